#!/usr/bin/env python3
"""What guaranteed structure costs: answers held to a grammar beside free ones of the same length.

One server of mlxd; the same question with a grammar and without, in turns, several streams at a time. Grammars that never let an answer end before
its last token, so that both make as many. Run by script/bench structure; writes docs/benchmarks.md unless --no-write is given.
"""

import argparse
import os

import http_load
import report
from programs import end_tokens_of, Ours
from surroundings import Surroundings

MODEL = "SmolLM2-135M-Instruct"
CLIENTS = (1, 8)
TOKENS = 192
QUESTION = "Tell a story about a river, a bridge and an old engine driver."
PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string", "minLength": 4, "maxLength": 12}, "age": {"type": "integer", "minimum": 1, "maximum": 99},
                   "role": {"enum": ["driver", "guard", "passenger"]}},
    "required": ["name", "age", "role"],
    "additionalProperties": False,
}
#: (what, response_format)
ROWS = (
    ("words by a regular expression", {"type": "regex", "regex": "([a-z]{1,12} )*\u2603"}),
    ("objects by a JSON schema", {"type": "json_schema", "json_schema": {
        "name": "people", "strict": True, "schema": {"type": "array", "items": PERSON, "minItems": 400}}}),
    ("any JSON object", {"type": "json_schema", "json_schema": {
        "name": "text", "strict": True, "schema": {"type": "object", "properties": {"text": {"type": "string", "minLength": 4000}},
                                                  "required": ["text"]}}}),
)


def crowd(server, streams, response_format, temperature, end_tokens, number):
    """Tokens a second of all streams together, first token to last."""
    extra = {"temperature": temperature, "seed": number + 1}
    if response_format:
        extra["response_format"] = response_format
    running = [http_load.Stream(server.url, server.model, [{"role": "user", "content": f"{QUESTION} ({number}.{k})"}], TOKENS,
                                [] if response_format else end_tokens, extra) for k in range(streams)]
    http_load.run_streams(running)
    begin = min(stream.token_times[0] for stream in running)
    end = max(stream.token_times[-1] for stream in running)
    made = sum(http_load.completion_tokens(stream, TOKENS) for stream in running)
    if made != TOKENS * streams:
        raise RuntimeError(f"{made} tokens instead of {TOKENS * streams}")
    return made / (end - begin)


def table(samples):
    lines = ["| what | streams | held (tokens/s) | free (tokens/s) | ratio | aim |", "|---|---|---|---|---|---|"]
    for what, _ in ROWS:
        for clients in CLIENTS:
            rates = [samples.rows[("demo", f"{what}, {clients}", "tokens/s")][1][key] for key in ("held", "free")]
            ratio = report.median([held / free for held, free in zip(*rates)])
            lines.append(f"| {what} | {clients} | {report.figure(rates[0])} | {report.figure(rates[1])} | {ratio:.2f}× | "
                         f"{'≥ 0.9×' if clients == 8 else '–'} |")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--temperature", type=float, default=0.7)
    parser.add_argument("--speculation", default="auto")
    parser.add_argument("--no-write", action="store_true", help="leave docs/benchmarks.md as it is")
    arguments = parser.parse_args()
    binary, folder = os.environ["MLXD_BINARY"], os.environ["MLXD_DEMO_MODEL"]
    end_tokens = end_tokens_of(folder)
    surroundings, samples = Surroundings(arguments.threads), report.Samples("held")
    with Ours(binary, folder, arguments.threads, ["--speculation", arguments.speculation]).serve(0, 0) as server:
        for number in range(arguments.rounds):
            surroundings.measure(f"round {number + 1} of {arguments.rounds}")
            for what, response_format in ROWS:
                for clients in CLIENTS:
                    for name, form in (("held", response_format), ("free", None)):
                        rate = crowd(server, clients, form, arguments.temperature, end_tokens, number)
                        samples.add("demo", f"{what}, {clients}", "tokens/s", True, name, rate)
    text = ("## Guaranteed structure\n\n" + surroundings.describe("structure") + "\n\n"
            f"{MODEL} over HTTP, {arguments.threads} threads, {arguments.rounds} interleaved rounds, {TOKENS} tokens each at temperature "
            f"{arguments.temperature:g}, from the first token to the last; speculation {arguments.speculation}. Rates are medians ± half the range, "
            "ratios medians of the rounds'.\n\n" + table(samples))
    surroundings.publish("structure", text, samples, write=not arguments.no_write)


if __name__ == "__main__":
    main()
