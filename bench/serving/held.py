#!/usr/bin/env python3
"""What a server holds: a thousand idle connections and two hundred streams at once, on two cores.

One server of mlxd. In each round two hundred streams run by themselves and again beside the idle connections, while a
health check asks a few times a second; beside that the engine's own rate with up to 64 rows, without HTTP. Run by
script/bench held; writes docs/benchmarks.md unless --no-write is given. The client is one thread of the same machine.
"""

import argparse
import asyncio
import json
import os
import resource
import time
import urllib.parse

import http_load
import report
from programs import end_tokens_of, Ours, resident_mb
from surroundings import Surroundings

MODEL = "SmolLM2-135M-Instruct"
WITHIN_S = 300
QUIET_S = 5
PROBE_EVERY_S = 0.25
DESCRIPTORS = 8192
PROMPT_WORDS = 16
ENGINE_ROWS = 64  # as many as mlxd bench takes at once
#: Threads that compute steps, by their names; the others serve.
STEP_THREADS = ("mlxd-engine", "mlxd-compute")


class Connection(asyncio.Protocol):
    """One connection. `ended` becomes true when the peer closes it."""

    def __init__(self):
        self.transport, self.bytes, self.times, self.ended = None, bytearray(), [], False
        self.news = asyncio.Event()

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.bytes += data
        self.times.append((time.perf_counter(), data.count(b"data: {")))
        self.news.set()

    def connection_lost(self, exc):
        self.ended = True
        self.news.set()

    def send(self, method, path, body=b""):
        self.transport.write(f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
                             f"Content-Length: {len(body)}\r\n\r\n".encode() + body)

    async def until(self, mark):
        """Reads on until `mark` came."""
        while mark not in self.bytes:
            if self.ended:
                raise RuntimeError(f"the server closed a connection after {bytes(self.bytes[-300:])!r}")
            self.news.clear()
            await self.news.wait()

    async def check_health(self):
        """Milliseconds until the server says that it is well."""
        self.bytes.clear()
        begin = time.perf_counter()
        self.send("GET", "/healthz")
        await self.until(b"}")
        if not self.bytes.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(f"no health: {bytes(self.bytes[:300])!r}")
        return (time.perf_counter() - begin) * 1000


async def connect(address, number):
    loop = asyncio.get_running_loop()
    made = [await loop.create_connection(Connection, address.hostname, address.port) for _ in range(number)]
    return [connection for _, connection in made]


async def run_streams(address, model, number, tokens, end_tokens, round_number):
    """Tokens a second of all streams together, each first token and the longest pause of each stream (ms)."""
    streams = await connect(address, number)
    began = time.perf_counter()
    for k, stream in enumerate(streams):
        stream.send("POST", "/v1/completions", json.dumps({
            "model": model, "prompt": http_load.prompt_of(PROMPT_WORDS, round_number * 1024 + k), "max_tokens": tokens,
            "temperature": 0, "stream": True, "stream_options": {"include_usage": True},
            "logit_bias": {str(token): -100 for token in end_tokens}}).encode())
    await asyncio.gather(*(stream.until(b"data: [DONE]") for stream in streams))
    made = 0
    for stream in streams:
        if not stream.bytes.startswith(b"HTTP/1.1 200") or b'"error"' in stream.bytes:
            raise RuntimeError(f"a stream failed: {bytes(stream.bytes[:500])!r}")
        usage = [json.loads(line[6:]) for line in bytes(stream.bytes).split(b"\n")
                 if line.startswith(b"data: {") and b'"completion_tokens"' in line][-1]["usage"]
        made += usage["completion_tokens"]
        stream.transport.close()
    if made != number * tokens:
        raise RuntimeError(f"{made} tokens instead of {number * tokens}")
    arrivals = [[at for at, events in stream.times if events] for stream in streams]
    end = max(times[-1] for times in arrivals)
    pauses = [max(later - earlier for earlier, later in zip(times, times[1:])) * 1000 for times in arrivals]
    return made / (end - began), [(times[0] - began) * 1000 for times in arrivals], pauses


async def probe(connection, every_s, samples):
    """Asks for the health again and again until it is cancelled."""
    while True:
        samples.append(await connection.check_health())
        await asyncio.sleep(every_s)


def cpu_s(pid):
    """Seconds of processor time that a process has used, and those of them outside the steps; None without Linux's files."""
    everything = own = 0.0
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/stat", encoding="ascii") as stat:
                name, _, rest = stat.read().partition("(")[2].rpartition(")")
            fields = rest.split()
            used = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
            everything += used
            own += 0.0 if name in STEP_THREADS else used
    except OSError:
        return None
    return everything, own


async def measure(server, arguments, end_tokens, round_number, samples):
    address = urllib.parse.urlsplit(server.url)

    async def streams(program, number):
        before = cpu_s(server.pid)
        rate, first, pauses = await run_streams(address, server.model, arguments.streams, arguments.tokens, end_tokens,
                                                number)
        after = cpu_s(server.pid)
        samples.add("demo", "all streams together", "tokens/s", True, program, rate)
        if before and after:
            samples.add("demo", f"own processor time (≤ {15 + 1000 // arguments.tokens}: 15, and 1 ms a request)", "µs a token", False, program,
                        (after[1] - before[1]) * 1e6 / (arguments.streams * arguments.tokens))
        samples.add("demo", "first token, median", "ms", False, program, report.median(first))
        samples.add("demo", "longest pause of any stream", "ms", False, program, max(pauses))

    await streams("alone", 2 * round_number)
    began = time.perf_counter()
    idle = await connect(address, arguments.idle)
    await asyncio.gather(*(connection.check_health() for connection in idle))
    samples.add("demo", "to open and ask on each", "ms", False, "held", (time.perf_counter() - began) * 1000)
    before = cpu_s(server.pid)
    await asyncio.sleep(QUIET_S)
    after = cpu_s(server.pid)
    if before and after:
        samples.add("demo", "processor time while all are idle", "% of a core", False, "held",
                    100 * (after[0] - before[0]) / QUIET_S)
    answers = []
    prober = asyncio.create_task(probe(idle[0], PROBE_EVERY_S, answers))
    await streams("held", 2 * round_number + 1)
    prober.cancel()
    await asyncio.gather(prober, return_exceptions=True)
    samples.add("demo", "health beside the streams, median", "ms", False, "held", report.median(answers))
    samples.add("demo", "health beside the streams, longest", "ms", False, "held", max(answers))
    samples.add("demo", "memory", "MB", False, "held", resident_mb(server.pid))
    lost = sum(connection.ended for connection in idle)
    if lost:
        raise RuntimeError(f"{lost} idle connections were closed")
    await asyncio.gather(*(connection.check_health() for connection in idle[1:]))
    for connection in idle:
        connection.transport.close()


def table(samples, engine_rates):
    lines = ["| what | beside idle connections | alone |", "|---|---|---|"]
    for (_, what, unit), (_, by_program) in samples.rows.items():
        alone = report.figure(by_program["alone"]) if "alone" in by_program else "–"
        lines.append(f"| {what} ({unit}) | {report.figure(by_program['held'])} | {alone} |")
    _, rates = samples.rows[("demo", "all streams together", "tokens/s")]
    ratio = report.median([held / alone for held, alone in zip(rates["held"], rates["alone"])])
    engine = report.median([alone / own for alone, own in zip(rates["alone"], engine_rates)])
    lines += ["", f"Held beside alone: **{ratio:.2f}×**; alone beside the engine with up to {ENGINE_ROWS} rows and no HTTP "
              f"({report.figure(engine_rates)} tokens/s, prefill left out): **{engine:.2f}×**."]
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--idle", type=int, default=1000)
    parser.add_argument("--streams", type=int, default=200)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--no-write", action="store_true", help="leave docs/benchmarks.md as it is")
    arguments = parser.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (DESCRIPTORS if hard < 0 else min(DESCRIPTORS, hard), hard))
    binary, folder = os.environ["MLXD_BINARY"], os.environ["MLXD_DEMO_MODEL"]
    end_tokens = end_tokens_of(folder)
    surroundings, samples, engine_rates = Surroundings(arguments.threads), report.Samples("held"), []
    ours = Ours(binary, folder, arguments.threads)
    for round_number in range(arguments.rounds):
        surroundings.measure(f"round {round_number + 1} of {arguments.rounds}")
        rows = min(ENGINE_ROWS, arguments.streams)
        rates, _ = ours.decode(PROMPT_WORDS, arguments.tokens, [rows])
        engine_rates.append(rates[rows])
        with ours.serve(0, 0) as server:
            asyncio.run(asyncio.wait_for(measure(server, arguments, end_tokens, round_number, samples), WITHIN_S))
    text = ("## What a server holds\n\n" + surroundings.describe("held") + "\n\n"
            f"{MODEL}, {arguments.threads} threads, {arguments.rounds} rounds: {arguments.streams} streams of "
            f"{arguments.tokens} tokens at once, alone and beside {arguments.idle} idle connections, each of which answers "
            "before and after; none was lost, no stream failed. Medians ± half the range; the client has the same "
            "cores.\n\n" + table(samples, engine_rates))
    surroundings.publish("held", text, samples, write=not arguments.no_write)


if __name__ == "__main__":
    main()
