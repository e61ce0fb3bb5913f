#!/usr/bin/env python3
"""What guessing ahead brings where texts repeat themselves, and what it costs where they do not.

Two servers of mlxd on one model, one that guesses by looking up the text so far and one that does not, answer the same requests in
turns. Run by script/bench speculation; writes docs/benchmarks.md unless --no-write is given.
"""

import argparse
import contextlib
import json
import os

import report
from programs import end_tokens_of, Ours, run_program
from surroundings import Surroundings

CLIENTS = (1, 4, 8)
#: (what, workload, temperature, aim of the ratio)
ROWS = (
    ("repeats its prompt", "repeating", 0.0, 1.5),
    ("repeats its prompt, temperature 0.7", "repeating", 0.7, None),
    ("random words", "closed", 0.0, 0.97),
    ("random words, temperature 1", "closed", 1.0, 0.97),
)


def measure(binary, urls, workload, temperature, end_tokens, number):
    """{clients: (tokens/s with guesses, without)} of one run."""
    command = [binary, "bench", "--workload", workload, "--concurrency", ",".join(map(str, CLIENTS)), "--rounds", "1",
               "--requests", "16", "--tokens", "128", "--prompt", "256", "--seed", str(number + 1),
               "--temperature", str(temperature), "--ban", ",".join(map(str, end_tokens)), "--json"]
    for url in urls:
        command += ["--url", url]
    answer = json.loads(run_program(command))
    result = {}
    for guessed, plain in zip(answer["targets"][0]["results"], answer["targets"][1]["results"]):
        result[guessed["concurrency"]] = (guessed["tokens_per_s"], plain["tokens_per_s"])
    return result


def table(samples):
    lines = ["| text | streams | guessing (tokens/s) | not (tokens/s) | ratio | aim |", "|---|---|---|---|---|---|"]
    for what, _, _, aim in ROWS:
        for clients in CLIENTS:
            name = f"{what}, {clients}"
            rates = [samples.rows[("demo", name, "tokens/s")][1][key] for key in ("guessing", "plain")]
            ratio = report.median([on / off for on, off in zip(*rates)])
            lines.append(f"| {what} | {clients} | {report.figure(rates[0])} | {report.figure(rates[1])} | {ratio:.2f}× | "
                         f"{f'≥ {aim:g}×' if aim else '–'} |")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--no-write", action="store_true", help="leave docs/benchmarks.md as it is")
    arguments = parser.parse_args()
    binary, folder = os.environ["MLXD_BINARY"], os.environ["MLXD_DEMO_MODEL"]
    surroundings, samples = Surroundings(arguments.threads), report.Samples("guessing")
    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(Ours(binary, folder, arguments.threads, ["--speculation", method]).serve(0, 0))
                   for method in ("lookup", "off")]
        for number in range(arguments.rounds):
            surroundings.measure(f"round {number + 1} of {arguments.rounds}")
            for what, workload, temperature, _ in ROWS:
                figures = measure(binary, [server.url for server in servers], workload, temperature,
                                  end_tokens_of(folder), number)
                for clients, (on, off) in figures.items():
                    name = f"{what}, {clients}"
                    samples.add("demo", name, "tokens/s", True, "guessing", on)
                    samples.add("demo", name, "tokens/s", True, "plain", off)
    text = ("## Guessing ahead (prompt lookup)\n\n" + surroundings.describe("speculation") + "\n\n"
            f"SmolLM2-135M-Instruct over HTTP, {arguments.threads} threads, {arguments.rounds} interleaved rounds, prompts of 256 tokens (random "
            "words: 16 to 256), 128 tokens each, prefills included; rates are medians ± half the range, ratios medians of the rounds'.\n\n"
            + table(samples))
    surroundings.publish("speculation", text, samples, write=not arguments.no_write)


if __name__ == "__main__":
    main()
