#!/usr/bin/env python3
"""Side by side with llama.cpp on the same models, in one run: A B A B, medians and spread, ratios.

Run by script/bench rivals, which builds both programs. Every round measures all programs in turn, so that a drift of
the machine touches all alike; the machine's own limits are measured before each round and printed beside. Writes
docs/benchmarks.md unless --no-write is given.
"""

import argparse
import os
import sys

import http_load
import report
from programs import LlamaCpp, Ours, end_tokens_of, quantized, resident_mb, run_program
from surroundings import FOLDER, ROOT, Surroundings

SECTIONS = ("prefill", "decode", "load", "http", "disturbance")
PROMPT_TOKENS, DECODE_PROMPT_TOKENS, DECODE_TOKENS = 512, 16, 128
STREAMS = (1, 2, 4, 8, 16)
HTTP_TOKENS = 128
SERVER_CONTEXT, SERVER_STREAMS = 16384, 8
LONG_PROMPT_WORDS = 1500

MODELS = {
    "demo": "SmolLM2-135M-Instruct",
    "llama-0.6b": "Qwen3-0.6B shape (llama's layers), random weights",
    "llama-3.2-1b": "Llama-3.2-1B shape, random weights",
}


def prepare_models(arguments, demo_folder, demo_gguf, binaries):
    """{model: (our folder, {type: GGUF})}; makes what is missing below build/rivals/models."""
    prepared = {}
    for model in arguments.models:
        folder = os.path.join(FOLDER, "models", model)
        os.makedirs(folder, exist_ok=True)
        if model == "demo":
            mlx, source, types = demo_folder, demo_gguf, ["Q4_0"]
            ggufs = {"Q4_1": demo_gguf}
        else:
            mlx, source, types = os.path.join(folder, model), os.path.join(folder, "f16.gguf"), ["Q4_0", "Q4_K_M", "Q4_1"]
            ggufs = {}
            wanted = [] if arguments.alone else [os.path.join(folder, f"{name}.gguf") for name in types]
            if not os.path.exists(os.path.join(mlx, "model.safetensors")) or not all(map(os.path.exists, wanted)):
                print(f"making {model}", file=sys.stderr)
                run_program([sys.executable, os.path.join(ROOT, "tools", "make_synthetic_model.py"), "--shape", model,
                             "--tokenizer", demo_folder, "--mlx", mlx, *(["--gguf", source] if wanted else [])])
        for name in [] if arguments.alone else types:
            ggufs[name] = quantized(binaries, source, os.path.join(folder, f"{name}.gguf"), name)
        if model != "demo" and os.path.exists(source):
            os.remove(source)  # 2.5 GB that only quantizing needed
        prepared[model] = (mlx, ggufs)
    return prepared


def measure_round(number, model, programs, end_tokens, sections, samples):
    streams_words = {1: "1 stream"}
    if "prefill" in sections:
        for program in programs:
            samples.add(model, f"prefill of {PROMPT_TOKENS}", "tokens/s", True, program.name,
                        program.prefill(PROMPT_TOKENS))
    if "decode" in sections:
        for program in programs:
            rates, details = program.decode(DECODE_PROMPT_TOKENS, DECODE_TOKENS, STREAMS)
            for streams, rate in sorted(rates.items()):
                words = streams_words.get(streams, f"{streams} streams together")
                samples.add(model, f"decode, {words}", "tokens/s", True, program.name, rate)
            if details:
                memory = details["memory"]
                accounted = sum(memory[key] for key in ("weight_bytes", "page_bytes", "scratch_bytes", "tokenizer_bytes"))
                samples.add(model, "bench: resident beside weights, pages, scratch and tokenizer", "MB", False,
                            program.name, (memory["peak_resident_bytes"] - accounted) / 2**20)
    if not {"load", "http", "disturbance"} & set(sections):
        return
    for program in programs:
        with program.serve(SERVER_CONTEXT, SERVER_STREAMS) as server:
            first = server.first_token_s(end_tokens)
            if "load" in sections:
                samples.add(model, "start to first token over HTTP", "s", False, program.name, first)
                samples.add(model, "resident after one request", "MB", False, program.name, resident_mb(server.pid))
            if "http" in sections:
                for streams in STREAMS:
                    rate, first_ms = http_load.measure_crowd(server.url, server.model, streams, HTTP_TOKENS, end_tokens,
                                                             number * 16 + streams)
                    samples.add(model, f"HTTP, {streams} at once", "tokens/s", True, program.name, rate)
                    samples.add(model, f"HTTP, {streams} at once: first token", "ms", False, program.name, first_ms)
            if "disturbance" in sections:
                gap, usual, first_ms = http_load.measure_disturbance(
                    server.url, server.model, 4, LONG_PROMPT_WORDS, end_tokens, number)
                what = f"a prompt of {LONG_PROMPT_WORDS} words beside 4 streams: "
                samples.add(model, what + "longest gap", "× their usual", False, program.name, gap / usual)
                samples.add(model, what + "its first token", "ms", False, program.name, first_ms)


def describe(arguments, surroundings, rounds):
    counted = "1 round" if rounds == 1 else f"{rounds} interleaved rounds"
    return surroundings.describe("rivals") + "\n\n" + (
        f"{counted}, {arguments.threads} threads; medians ± half the range. Each row is "
        "against the rival's best type. `decode`: in process, no server, after a prompt of "
        f"{DECODE_PROMPT_TOKENS} tokens, {DECODE_TOKENS} tokens each. A ratio above 1 is good for rates, below 1 for "
        "times and memory.")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--models", default=",".join(MODELS), help=f"of {', '.join(MODELS)}")
    parser.add_argument("--sections", default=",".join(SECTIONS), help=f"of {', '.join(SECTIONS)}")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--alone", action="store_true", help="measure mlxd only")
    parser.add_argument("--no-write", action="store_true", help="leave docs/benchmarks.md as it is")
    arguments = parser.parse_args()
    arguments.models = arguments.models.split(",")
    sections = arguments.sections.split(",")
    for name in arguments.models:
        if name not in MODELS:
            parser.error(f"unknown model {name!r} (known: {', '.join(MODELS)})")
    for name in sections:
        if name not in SECTIONS:
            parser.error(f"unknown section {name!r} (known: {', '.join(SECTIONS)})")

    binary = os.environ["MLXD_BINARY"]
    binaries = os.environ.get("MLXD_LLAMA_BIN", "")
    demo_folder, demo_gguf = os.environ["MLXD_DEMO_MODEL"], os.environ["MLXD_DEMO_GGUF"]

    prepared = prepare_models(arguments, demo_folder, demo_gguf, binaries)
    surroundings, samples = Surroundings(arguments.threads), report.Samples(Ours.name)
    for number in range(arguments.rounds):
        for model in arguments.models:
            surroundings.measure(f"round {number + 1} of {arguments.rounds}, {model}")
            folder, ggufs = prepared[model]
            programs = [Ours(binary, folder, arguments.threads)]
            if not arguments.alone:
                programs += [LlamaCpp(binaries, path, name, arguments.threads) for name, path in ggufs.items()]
            measure_round(number, model, programs, end_tokens_of(folder), sections, samples)
        # After each round: it takes long, and who ends it early keeps what has been measured.
        text = "## Side by side with llama.cpp\n\n" + describe(arguments, surroundings, number + 1)
        for model in arguments.models:
            text += f"\n\n### {MODELS[model]}\n\n{samples.table_of(model)}"
        surroundings.publish("rivals", text, samples, write=not arguments.no_write)


if __name__ == "__main__":
    main()
