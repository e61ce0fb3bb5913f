"""Runs the two programs compared: ours and llama.cpp's tools. Each function runs one measurement and gives its
figures; a program that fails ends the benchmark with its own words."""

import contextlib
import http.client
import json
import os
import re
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time

from http_load import run_streams, Stream

READY_WITHIN_S = 120
STOPPED_WITHIN_S = 30


def run_program(command, environment=None):
    """Standard output of a program that must succeed."""
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode != 0:
        sys.exit(f"failed ({done.returncode}): {' '.join(command)}\n{done.stderr[-2000:]}")
    return done.stdout


def resident_mb(pid):
    """Physical memory of a process that is its own or mapped from files, in MB."""
    try:
        with open(f"/proc/{pid}/status", encoding="ascii") as status:
            for line in status:
                if line.startswith("VmRSS:"):
                    return int(line.split()[1]) / 1024
    except OSError:
        pass
    return int(run_program(["ps", "-o", "rss=", "-p", str(pid)]).split()[0]) / 1024


def end_tokens_of(folder):
    with open(os.path.join(folder, "config.json"), encoding="utf-8") as file:
        end = json.load(file).get("eos_token_id", [])
    return end if isinstance(end, list) else [end]


def quantized(binaries, source, target, type_name):
    """The GGUF file `target`, made of `source` by llama-quantize if it is missing."""
    if not os.path.exists(target):
        os.makedirs(os.path.dirname(target), exist_ok=True)
        LlamaCpp(binaries, source, "", 1).tool("llama-quantize", "--allow-requantize", source, target + ".part",
                                               type_name)
        os.rename(target + ".part", target)
    return target


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Server:
    """A running server: `url`, `model` (its name in requests), `pid`, and when it was started."""

    def __init__(self, process, url, model, started):
        self.process, self.url, self.model, self.started = process, url, model, started

    @property
    def pid(self):
        return self.process.pid

    def first_token_s(self, end_tokens):
        """Seconds from the start of the program to the answer of a first, short request."""
        stream = Stream(self.url, self.model, "Hello", 1, end_tokens)
        run_streams([stream])
        return stream.token_times[0] - self.started


def end_in_order(signum, frame):
    """For SIGTERM: an exception, so that the servers that were started are ended too."""
    del frame
    sys.exit(f"stopped by signal {signum}")


@contextlib.contextmanager
def running(command, url_of, model, environment=None, output=subprocess.PIPE):
    """Starts a server, yields it once `url_of(process)` gives its address, and ends it in order."""
    signal.signal(signal.SIGTERM, end_in_order)
    with tempfile.TemporaryFile("w+") as log:
        started = time.perf_counter()
        process = subprocess.Popen(command, stdout=output, stderr=log, env=environment)
        try:
            url = url_of(process)
            if url is None:
                log.seek(0)
                sys.exit(f"did not become ready: {' '.join(command)}\n{log.read()[-2000:]}")
            yield Server(process, url, model, started)
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(STOPPED_WITHIN_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            if process.stdout:
                process.stdout.close()


class Ours:
    """mlxd on one model folder."""

    name = "mlxd"

    def __init__(self, binary, folder, threads, options=()):
        """`options`: more flags of the server."""
        self.binary, self.folder, self.threads, self.options = binary, folder, threads, options

    def bench(self, prompt, tokens, concurrency):
        """`mlxd bench` once; its JSON."""
        return json.loads(run_program([
            self.binary, "bench", self.folder, "--prompt", str(prompt), "--tokens", str(tokens), "--threads",
            str(self.threads), "--concurrency", ",".join(map(str, concurrency)), "--rounds", "1", "--json"]))

    def prefill(self, prompt):
        return self.bench(prompt, 1, [1])["prefill_tokens_per_s"]

    def decode(self, prompt, tokens, concurrency):
        """Tokens per second of all streams together, by number of streams; and the memory report."""
        report = self.bench(prompt, tokens, concurrency)
        return {result["concurrency"]: result["decode_tokens_per_s"] for result in report["results"]}, report

    @contextlib.contextmanager
    def serve(self, context, streams):
        del context, streams  # ours takes the model's context and as many streams as come

        def ready(process):
            deadline = time.monotonic() + READY_WITHIN_S
            while time.monotonic() < deadline:
                if select.select([process.stdout], [], [], 1.0)[0]:
                    line = process.stdout.readline().decode()
                    match = re.match(r"mlxd is ready at (http://\S+)", line)
                    if match or not line:
                        return match and match.group(1)
            return None

        # A state folder of its own: the user's may be in use, and has settings.
        with tempfile.TemporaryDirectory(prefix="mlxd-bench-") as home, \
                running([self.binary, "serve", "--port", "0", "--threads", str(self.threads), "--home", home, "--model",
                         self.folder, *self.options], ready, os.path.basename(self.folder.rstrip("/"))) as server:
            yield server


class LlamaCpp:
    """llama.cpp's tools on one GGUF file."""

    def __init__(self, binaries, gguf, type_name, threads):
        self.binaries, self.gguf, self.threads = binaries, gguf, threads
        self.name = f"llama.cpp {type_name}"
        self.environment = dict(os.environ, LD_LIBRARY_PATH=binaries, DYLD_LIBRARY_PATH=binaries)

    def tool(self, name, *arguments):
        return run_program([os.path.join(self.binaries, name), *arguments], self.environment)

    def bench(self, *arguments):
        lines = self.tool("llama-bench", "-m", self.gguf, "-t", str(self.threads), "-ngl", "0", "-r", "1", "-o",
                          "jsonl", *arguments)
        return json.loads(lines.strip().splitlines()[-1])["avg_ts"]

    def prefill(self, prompt):
        return self.bench("-p", str(prompt), "-n", "0")

    def decode(self, prompt, tokens, concurrency):
        """As Ours.decode; one stream by llama-bench after a prompt of the same length, more by llama-batched-bench."""
        rates = {}
        if 1 in concurrency:
            rates[1] = self.bench("-p", "0", "-n", str(tokens), "-d", str(prompt))
        crowds = [number for number in concurrency if number > 1]
        if crowds:
            context = max(crowds) * (prompt + tokens + 16)
            lines = self.tool("llama-batched-bench", "-m", self.gguf, "-t", str(self.threads), "-ngl", "0", "-c",
                              str(context), "-npp", str(prompt), "-ntg", str(tokens), "-npl",
                              ",".join(map(str, crowds)), "--output-format", "jsonl")
            for line in lines.splitlines():
                if line.startswith("{"):
                    result = json.loads(line)
                    rates[result["pl"]] = result["speed_tg"]
        return rates, {}

    def serve(self, context, streams):
        port = free_port()

        def ready(process):
            deadline = time.monotonic() + READY_WITHIN_S
            while time.monotonic() < deadline and process.poll() is None:
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
                try:
                    connection.request("GET", "/health")
                    if connection.getresponse().status == 200:
                        return f"http://127.0.0.1:{port}"
                except (OSError, http.client.HTTPException):
                    pass
                finally:
                    connection.close()
                time.sleep(0.002)
            return None

        return running([os.path.join(self.binaries, "llama-server"), "-m", self.gguf, "-t", str(self.threads), "-ngl",
                        "0", "--host", "127.0.0.1", "--port", str(port), "-c", str(context), "-np", str(streams)],
                       ready, "model", self.environment, subprocess.DEVNULL)
