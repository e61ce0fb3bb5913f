#!/usr/bin/env python3
"""Our server and llama.cpp's side by side, the same clients and prompts for both, round by round in turn.

Run by script/bench serving, which builds both programs. The demo model; llama-server with its fastest 4-bit type, its
slots as large as each measurement needs, and its caching of prompts as it is by default. All prompts are fresh in each
round, so that nothing is cached unless it is meant to be. Writes docs/benchmarks.md unless --no-write is given.
"""

import argparse
import json
import os
import time

import http_load
import report
from http_load import fresh_words, measure_first_token
from programs import LlamaCpp, Ours, end_tokens_of, quantized, run_program
from surroundings import FOLDER, Surroundings

MODEL = "SmolLM2-135M-Instruct"
ROWS = ("crowd", "shared", "conversation", "short", "gap")
CROWDS = (1, 2, 4, 8, 16)
CROWD_TOKENS = 64
RIVAL_TYPE = "Q4_0"  # the fastest of its 4-bit types for this model
SLOT_TOKENS = {"crowd": 1024, "others": 8192}  # llama-server divides its context among its slots
OTHER_SLOTS = 5
PAUSE_S = 0.2  # between measurements, so that the last one's threads have come to rest


class Sizes:
    """How much is measured: what the table promises, or next to nothing to see that the script works."""

    def __init__(self, quick):
        self.longest_prompt = 64 if quick else 512
        self.crowd_tokens = 8 if quick else CROWD_TOKENS
        self.crowds = (1, 2) if quick else CROWDS
        self.shared = 100 if quick else 1500
        self.turn = 40 if quick else 300
        self.long = 600 if quick else 6000

    @staticmethod
    def requests(streams):
        """Enough for each client to send several, which also sees one of every length."""
        return max(4, 2 * streams)


def measure_crowds(binary, program, server, sizes, end_tokens, number, samples):
    """Closed loops by `mlxd bench --url`, which is lighter than any client in Python."""
    for streams in sizes.crowds:
        time.sleep(PAUSE_S)
        result = json.loads(run_program([
            binary, "bench", "--url", server.url, "--model", server.model, "--workload", "closed", "--concurrency",
            str(streams), "--requests", str(sizes.requests(streams)), "--prompt", str(sizes.longest_prompt), "--tokens",
            str(sizes.crowd_tokens), "--rounds", "1", "--seed", str(1000 * number + streams + 1), "--ban",
            ",".join(map(str, end_tokens)), "--json"]))["targets"][0]["results"][0]
        if result["failed"]:
            raise SystemExit(f"{program.name}: {result['failed']} requests failed: {result['failures']}")
        what = "1 stream" if streams == 1 else f"{streams} streams"
        samples.add(MODEL, f"{what}, prompts of 16 to {sizes.longest_prompt}", "tokens/s", True, program.name,
                    result["tokens_per_s"])


def measure_shared(program, server, sizes, end_tokens, number, samples):
    """First token after a shared prompt: nobody has seen it; then another question after the same text."""
    def first_ms(prompt):
        time.sleep(PAUSE_S)
        return measure_first_token(server.url, server.model, prompt, end_tokens).first_ms
    shared = fresh_words(sizes.shared, "shared", number)
    row = f"first token after {sizes.shared} shared tokens, "
    for heat in ("cold", "warm"):
        samples.add(MODEL, row + heat, "ms", False, program.name,
                    first_ms(f"{shared}\n\n{fresh_words(8, 'question', heat, number)}"))
    samples.add(MODEL, "first token after a fresh prompt of 64 tokens", "ms", False, program.name,
                first_ms(fresh_words(64, "fresh", number)))


def measure_conversation(program, server, sizes, end_tokens, number, samples):
    """Two turns; of the second, the tokens that had to be computed and the time to the first token."""
    messages = [{"role": "user", "content": fresh_words(sizes.turn, "turn 1", number)}]
    first = measure_first_token(server.url, server.model, messages, end_tokens, max_tokens=32)
    messages += [{"role": "assistant", "content": first.text},
                 {"role": "user", "content": fresh_words(16, "turn 2", number)}]
    time.sleep(PAUSE_S)
    second = measure_first_token(server.url, server.model, messages, end_tokens, max_tokens=2)
    samples.add(MODEL, "second turn: whole prompt", "tokens", False, program.name, second.usage["prompt_tokens"])
    samples.add(MODEL, "second turn: prompt tokens computed", "tokens", False, program.name, second.prefilled_tokens())
    samples.add(MODEL, "second turn: first token", "ms", False, program.name, second.first_ms)


def measure_short(program, server, sizes, end_tokens, number, samples):
    time.sleep(PAUSE_S)
    samples.add(MODEL, f"first token of 16 beside a prefill of {sizes.long}, 100 ms after it began", "ms", False,
                program.name,
                http_load.measure_beside_prefill(server.url, server.model, sizes.long, 16, 0.1, end_tokens, number))


def measure_gap(program, server, sizes, end_tokens, number, samples):
    time.sleep(PAUSE_S)
    alone = measure_first_token(server.url, server.model, fresh_words(sizes.shared, "alone", number), end_tokens)
    gap, usual, first_ms = http_load.measure_disturbance(server.url, server.model, 4, sizes.shared, end_tokens, number)
    row = f"4 streams beside a prefill of {sizes.shared}: "
    samples.add(MODEL, row + "longest gap", "ms", False, program.name, gap)
    samples.add(MODEL, row + "longest gap", "× their usual", False, program.name, gap / usual)
    samples.add(MODEL, row + "rate of the prefill", "× undisturbed", True, program.name, alone.first_ms / first_ms)


def measure_round(number, binary, programs, sizes, rows, end_tokens, samples):
    if "crowd" in rows:
        slots = max(sizes.crowds)
        for program in programs:
            with program.serve(SLOT_TOKENS["crowd"] * slots, slots) as server:
                server.first_token_s(end_tokens)
                measure_crowds(binary, program, server, sizes, end_tokens, number, samples)
    others = [(name, measure) for name, measure in (
        ("shared", measure_shared), ("conversation", measure_conversation), ("short", measure_short),
        ("gap", measure_gap)) if name in rows]
    if others:
        for program in programs:
            with program.serve(SLOT_TOKENS["others"] * OTHER_SLOTS, OTHER_SLOTS) as server:
                server.first_token_s(end_tokens)
                for _, measure in others:
                    measure(program, server, sizes, end_tokens, number, samples)


def goals(samples, sizes, rival):
    """The figures that the table's rows do not show by themselves: ratios between rows, with what is aimed at."""
    def median(what, program, unit="ms"):
        return samples.median(MODEL, what, unit, program)
    lines = []
    warm = median(f"first token after {sizes.shared} shared tokens, warm", Ours.name)
    fresh = median("first token after a fresh prompt of 64 tokens", Ours.name)
    cold = median(f"first token after {sizes.shared} shared tokens, cold", rival)
    short = f"first token of 16 beside a prefill of {sizes.long}, 100 ms after it began"
    if warm and cold:
        lines.append(f"- warm first token over llama-server's cold one: {warm / cold:.3f} (aim: ≤ 0.03)")
    if warm and fresh:
        lines.append(f"- warm first token over our own for a fresh prompt of 64 tokens: {warm / fresh:.2f}, "
                     f"{warm - fresh:+.1f} ms (aim: ≤ one step and 5 ms more)")
    if median(short, Ours.name) and median(short, rival):
        lines.append(f"- a short request beside a long prefill: {median(short, Ours.name) / median(short, rival):.3f} "
                     "of llama-server's time (aim: ≤ 0.1)")
    row = f"4 streams beside a prefill of {sizes.shared}: "
    gap = median(row + "longest gap", Ours.name, "× their usual")
    rate = median(row + "rate of the prefill", Ours.name, "× undisturbed")
    if gap and rate:
        lines.append(f"- longest gap of running streams: {gap:.1f} × their usual (aim: ≤ 4), the prefill at {rate:.2f} "
                     "of its undisturbed rate (aim: ≥ 0.6)")
    return "\n".join(lines)


def describe(arguments, sizes):
    rival = "" if arguments.alone else f" and `llama-server` ({RIVAL_TYPE}, a slot for each stream)"
    rounds = "1 round" if arguments.rounds == 1 else f"{arguments.rounds} interleaved rounds"
    return (f"{MODEL} over HTTP, `mlxd serve`{rival}, {arguments.threads} threads, {rounds}; medians ± half the range. "
            "Crowds: each client sends its next request when the last is answered, "
            f"{sizes.crowd_tokens} tokens each, prompts' lengths mixed evenly over their logarithm; tokens made over "
            "the whole time, prefills included. A ratio above 1 is good for rates, below 1 for times and tokens.")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--rows", default=",".join(ROWS), help=f"of {', '.join(ROWS)}")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--alone", action="store_true", help="measure mlxd only")
    parser.add_argument("--quick", action="store_true", help="tiny sizes, to see that it works; implies --no-write")
    parser.add_argument("--no-write", action="store_true", help="leave docs/benchmarks.md as it is")
    arguments = parser.parse_args()
    rows = arguments.rows.split(",")
    for name in rows:
        if name not in ROWS:
            parser.error(f"unknown row {name!r} (known: {', '.join(ROWS)})")
    if arguments.rounds < 1:
        parser.error("--rounds must be at least 1")

    binary, folder = os.environ["MLXD_BINARY"], os.environ["MLXD_DEMO_MODEL"]
    programs = [Ours(binary, folder, arguments.threads)]
    if not arguments.alone:
        binaries = os.environ["MLXD_LLAMA_BIN"]
        gguf = quantized(binaries, os.environ["MLXD_DEMO_GGUF"], os.path.join(FOLDER, "models", "demo", "Q4_0.gguf"),
                         RIVAL_TYPE)
        programs.append(LlamaCpp(binaries, gguf, RIVAL_TYPE, arguments.threads))

    sizes, end_tokens = Sizes(arguments.quick), end_tokens_of(folder)
    surroundings, samples = Surroundings(arguments.threads), report.Samples(Ours.name)
    for number in range(arguments.rounds):
        surroundings.measure(f"round {number + 1} of {arguments.rounds}")
        measure_round(number, binary, programs, sizes, rows, end_tokens, samples)

    text = "\n\n".join(part for part in (
        "## The server beside llama.cpp's",
        surroundings.describe("serving"),
        describe(arguments, sizes),
        samples.table_of(MODEL),
        goals(samples, sizes, programs[-1].name if len(programs) > 1 else "")) if part)
    surroundings.publish("serving", text, samples, write=not arguments.no_write and not arguments.quick)


if __name__ == "__main__":
    main()
