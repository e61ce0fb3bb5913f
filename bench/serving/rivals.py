#!/usr/bin/env python3
"""Side by side with llama.cpp on the same models, in one run: A B A B, medians and spread, ratios.

Run by script/bench rivals, which builds both programs. Every round measures all programs in turn, so that a drift of
the machine touches all alike; the machine's own limits are measured before each round and printed beside. Writes
docs/benchmarks.md unless --no-write is given.
"""

import argparse
import datetime
import json
import os
import platform
import shlex
import subprocess
import sys
import time

import http_load
import report
from programs import LlamaCpp, Ours, resident_mb, run_program

ROOT = os.path.abspath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
FOLDER = os.path.join(ROOT, "build", "rivals")
SECTIONS = ("prefill", "decode", "load", "http", "disturbance")
PROMPT_TOKENS, DECODE_PROMPT_TOKENS, DECODE_TOKENS = 512, 16, 128
STREAMS = (1, 2, 4, 8)
HTTP_TOKENS = 128
SERVER_CONTEXT, SERVER_STREAMS = 16384, 8
LONG_PROMPT_WORDS = 1500
BUSY_SHARE = 0.10  # of all cores, by others: above this the figures are not to be trusted

MODELS = {
    "demo": "SmolLM2-135M-Instruct",
    "llama-3.2-1b": "Llama-3.2-1B shape, random weights",
}


def busy_share(seconds=2.0):
    """The share of all cores' time used now, before anything of ours runs."""
    def sample():
        with open("/proc/stat", encoding="ascii") as stat:
            values = [int(value) for value in stat.readline().split()[1:]]
        return sum(values), values[3] + values[4]
    try:
        total, idle = sample()
        time.sleep(seconds)
        later_total, later_idle = sample()
        return 1 - (later_idle - idle) / max(1, later_total - total)
    except OSError:
        return min(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))


def processor():
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as info:
            for line in info:
                if line.startswith("model name"):
                    return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def prepare_models(arguments, demo_folder, demo_gguf, quantize_with):
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
            ggufs[name] = os.path.join(folder, f"{name}.gguf")
            if not os.path.exists(ggufs[name]):
                quantize_with.gguf = source
                quantize_with.tool("llama-quantize", "--allow-requantize", source, ggufs[name] + ".part", name)
                os.rename(ggufs[name] + ".part", ggufs[name])
        if model != "demo" and os.path.exists(source):
            os.remove(source)  # 2.5 GB that only quantizing needed
        prepared[model] = (mlx, ggufs)
    return prepared


class Samples:
    """What has been measured: (model, row) → {program: [figure of each round]}, rows in order of appearance."""

    def __init__(self):
        self.rows = {}

    def add(self, model, what, unit, higher_is_better, program, value):
        row = self.rows.setdefault((model, what), (unit, higher_is_better, {}))
        row[2].setdefault(program, []).append(value)
        print(f"  {model:14} {what:34} {program:18} {value:10.2f} {unit}", file=sys.stderr, flush=True)

    def table_of(self, model):
        return report.table([(what, unit, higher, samples) for (name, what), (unit, higher, samples)
                             in self.rows.items() if name == model], Ours.name)

    def as_json(self):
        return [{"model": model, "what": what, "unit": unit, "samples": samples}
                for (model, what), (unit, _, samples) in self.rows.items()]


def end_tokens_of(folder):
    with open(os.path.join(folder, "config.json"), encoding="utf-8") as file:
        end = json.load(file).get("eos_token_id", [])
    return end if isinstance(end, list) else [end]


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


def describe(arguments, machine, busy, commit, llama_version):
    def span(key):
        values = [entry[key] for entry in machine]
        return f"{min(values):g}–{max(values):g}"
    quiet = f"{100 * busy:.0f} % of the cores' time was used by others when it began"
    if busy > BUSY_SHARE:
        quiet += ": **not a quiet machine, the figures are not to be trusted**"
    return "\n".join([
        f"{datetime.datetime.now(datetime.timezone.utc):%Y-%m-%d %H:%M} UTC, commit {commit}, llama.cpp as in "
        f"{llama_version}.",
        f"Machine: {processor()}, {os.cpu_count()} cores, {platform.system()} {platform.machine()}; "
        f"read {span('read_gb_per_s')} GB/s, barrier {span('barrier_us')} µs over the rounds; {quiet}.",
        f"Command: `{shlex.join(['script/bench', 'rivals', *sys.argv[1:]])}`.",
        "",
        f"{arguments.rounds} interleaved rounds, {arguments.threads} threads; medians ± half the range. Each row is "
        "against the rival's best type. `decode`: in process, no server, after a prompt of "
        f"{DECODE_PROMPT_TOKENS} tokens, {DECODE_TOKENS} tokens each. A ratio above 1 is good for rates, below 1 for "
        "times and memory.",
    ])


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
    machine_program = os.environ["MLXD_MACHINE_BENCH"]

    prepared = prepare_models(arguments, demo_folder, demo_gguf, LlamaCpp(binaries, demo_gguf, "", arguments.threads))
    busy = busy_share()
    if busy > BUSY_SHARE:
        print(f"warning: {100 * busy:.0f} % of the cores' time is used by others; the figures will not be "
              "trustworthy", file=sys.stderr)
    samples, machine = Samples(), []
    for number in range(arguments.rounds):
        for model in arguments.models:
            machine.append(json.loads(run_program([machine_program, "--json", str(arguments.threads)])))
            print(f"round {number + 1} of {arguments.rounds}, {model}: read {machine[-1]['read_gb_per_s']} GB/s, "
                  f"barrier {machine[-1]['barrier_us']} us", file=sys.stderr)
            folder, ggufs = prepared[model]
            programs = [Ours(binary, folder, arguments.threads)]
            if not arguments.alone:
                programs += [LlamaCpp(binaries, path, name, arguments.threads) for name, path in ggufs.items()]
            measure_round(number, model, programs, end_tokens_of(folder), sections, samples)

    commit = subprocess.run(["git", "-C", ROOT, "describe", "--always", "--dirty", "--abbrev=10"], capture_output=True,
                            text=True, check=False).stdout.strip()
    text = "## Side by side with llama.cpp\n\n" + describe(
        arguments, machine, busy, commit, os.environ.get("MLXD_LLAMA_VERSION", "?"))
    for model in arguments.models:
        text += f"\n\n### {MODELS[model]}\n\n{samples.table_of(model)}"
    print(text)
    os.makedirs(FOLDER, exist_ok=True)
    with open(os.path.join(FOLDER, "results.json"), "w", encoding="utf-8") as out:
        json.dump({"commit": commit, "machine": machine, "busy": busy, "rows": samples.as_json()}, out, indent=1)
    if not arguments.no_write:
        path = os.path.join(ROOT, "docs", "benchmarks.md")
        before = ""
        if os.path.exists(path):
            with open(path, encoding="utf-8") as old:
                before = old.read()
        with open(path, "w", encoding="utf-8") as new:
            new.write(report.replace_section(before, text))
        print(f"written to {os.path.relpath(path, ROOT)}", file=sys.stderr)


if __name__ == "__main__":
    main()
