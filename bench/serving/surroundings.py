"""Where and when something was measured: the machine's own limits and who else used it, and where results go."""

import datetime
import json
import os
import platform
import shlex
import subprocess
import sys
import time

import report
from programs import run_program

ROOT = os.path.abspath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
FOLDER = os.path.join(ROOT, "build", "rivals")
BUSY_SHARE = 0.10  # of all cores, by others: above this the figures are not to be trusted


def core_seconds():
    """(all, idle) seconds of all cores since the system started; None where it does not say."""
    try:
        with open("/proc/stat", encoding="ascii") as stat:
            values = [int(value) / os.sysconf("SC_CLK_TCK") for value in stat.readline().split()[1:9]]
        return sum(values), values[3] + values[4]
    except OSError:
        return None


def busy_share(seconds=2.0):
    """The share of all cores' time used now, before anything of ours runs."""
    before = core_seconds()
    if before is None:
        return min(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))
    time.sleep(seconds)
    after = core_seconds()
    return 1 - (after[1] - before[1]) / max(0.01, after[0] - before[0])


def processor():
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as info:
            for line in info:
                if line.startswith("model name"):
                    return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


class Surroundings:
    """Made before anything of ours runs. Needs MLXD_MACHINE_BENCH and MLXD_LLAMA_VERSION of script/bench."""

    def __init__(self, threads):
        self.threads, self.machine = threads, []
        self.busy = busy_share()
        self.began, self.own_began = core_seconds(), sum(os.times()[:4])
        self.commit = subprocess.run(["git", "-C", ROOT, "describe", "--always", "--dirty", "--abbrev=10"],
                                     capture_output=True, text=True, check=False).stdout.strip()
        if self.busy > BUSY_SHARE:
            print(f"warning: {100 * self.busy:.0f} % of the cores' time is used by others; the figures will not be "
                  "trustworthy", file=sys.stderr)

    def measure(self, what):
        """The machine's limits now, before the round `what`."""
        limits = json.loads(run_program([os.environ["MLXD_MACHINE_BENCH"], "--json", str(self.threads)]))
        self.machine.append(limits)
        print(f"{what}: read {limits['read_gb_per_s']} GB/s, barrier {limits['barrier_us']} us", file=sys.stderr)

    def used_by_others(self):
        """The share of all cores' time since the beginning that neither this program nor what it ran and has ended
        used; None where that is not known."""
        now = core_seconds()
        if now is None:
            return None
        everything = now[0] - self.began[0]
        used = everything - (now[1] - self.began[1])
        return max(0.0, used - (sum(os.times()[:4]) - self.own_began)) / max(0.01, everything)

    def describe(self, command):
        def span(key):
            values = [entry[key] for entry in self.machine]
            return f"{min(values):g}–{max(values):g}"
        quiet = f"{100 * self.busy:.0f} % of the cores' time was used by others when it began"
        others = self.used_by_others()
        if others is not None:
            quiet += f", {100 * others:.0f} % while it ran"
        if max(self.busy, others or 0.0) > BUSY_SHARE:
            quiet += ": **not a quiet machine, the figures are not to be trusted**"
        return "\n".join([
            f"{datetime.datetime.now(datetime.timezone.utc):%Y-%m-%d %H:%M} UTC, commit {self.commit}, llama.cpp as in "
            f"{os.environ.get('MLXD_LLAMA_VERSION', '?')}.",
            f"Machine: {processor()}, {os.cpu_count()} cores, {platform.system()} {platform.machine()}; "
            f"read {span('read_gb_per_s')} GB/s, barrier {span('barrier_us')} µs over the rounds; {quiet}.",
            f"Command: `{shlex.join(['script/bench', command, *sys.argv[1:]])}`."])

    def publish(self, name, text, samples, write):
        """Prints the section, keeps the samples below build/rivals and, if `write`, puts it into docs/benchmarks.md."""
        print(text)
        os.makedirs(FOLDER, exist_ok=True)
        results = "results.json" if name == "rivals" else f"results-{name}.json"
        with open(os.path.join(FOLDER, results), "w", encoding="utf-8") as out:
            json.dump({"commit": self.commit, "machine": self.machine, "busy": self.busy, "rows": samples.as_json()},
                      out, indent=1)
        if not write:
            return
        path = os.path.join(ROOT, "docs", "benchmarks.md")
        before = ""
        if os.path.exists(path):
            with open(path, encoding="utf-8") as old:
                before = old.read()
        with open(path, "w", encoding="utf-8") as new:
            new.write(report.replace_section(before, text, name))
        print(f"written to {os.path.relpath(path, ROOT)}", file=sys.stderr)
