"""Everything that the documents show the program printing is what it prints.

Each fenced block of docs/**/*.md and README.md in which a line begins with "$ " is run, the blocks of a file in order and in
one prepared state: a home with the demo model, a hub on loopback that has it too. A block shows standard output, and
after a failure standard error too. Blocks of which a line begins with ">>> " are a conversation at a terminal.

    a line that ends in "…"      what follows on it may be anything
    a line that is "…"           lines that may be anything, or none
    what differs by nature       see VOLATILE; how wide columns are does not count

With MLXD_UPDATE_DOCS=1 a block that differs is written anew.
"""

import os
import re
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "hub"))

from fixture_hub import FixtureHub, Repository, weights
from program import BINARY, MODEL, MODEL_FOLDER, REPOSITORY, TIMEOUT_S, ProgramTest, Terminal

# (file, command's beginning) → why it is not run.
NOT_RUN = {
    ("docs/guides/profile-a-step.md", "mlxd bench"): "the figures of one machine",
    ("docs/guides/convert-a-model.md", "mlxd convert Qwen"): "needs a checkpoint of 1.5 GB",
}

# What is typed into a command that asks, by the command's beginning.
TYPED = {"mlxd user add": "correct horse battery\n"}

# Looks different each time, on both sides.
VOLATILE = [
    (r"http://127\.0\.0\.1:\d+", "http://127.0.0.1:PORT"),
    (r"mlxd-(?:[A-Za-z0-9_-]{20,}|[A-Za-z0-9_-]*…)", "mlxd-KEY"),
    (r"\bkey_[A-Za-z0-9_-]+", "key_ID"),
    (r"\b[0-9a-f]{40}\b", "COMMIT"),
    (r"\b\d{4}-\d\d-\d\d(?: \d\d:\d\d(?::\d\d)?)?\b", "DATE"),
    (r"\b(?:\d+ (?:s|min|h|d|days?|hours?|minutes?|seconds?|weeks?|months?|years?)(?: ago)|just now|now)\b", "AGE"),
    (r"\b\d+(?:\.\d+)? (?:ms|s|tok/s|tokens/s|MB/s|GB/s)\b", "N UNIT"),
    (r"\b\d+(?:\.\d+)? [GMT]?B of \d+(?:\.\d+)? [GMT]?B\b", "N OF N"),
    (r"\b(?:fits|tight|too large|best that fits for \w+)(?= )", "FIT"),
    (r"[ \t]+", " "),
    (r" \n", "\n"),
]

# The same of one command, by its beginning.
VOLATILE_OF = {"mlxd ps": [(r"\b\d+(?:\.\d+)? [kMGT]?B\b", "SIZE")]}

FENCE = re.compile(r"^```[a-z]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def documents():
    files = [os.path.join(REPOSITORY, "README.md")]
    for folder, _, names in os.walk(os.path.join(REPOSITORY, "docs")):
        files += [os.path.join(folder, name) for name in names if name.endswith(".md")]
    return sorted(files)


def blocks_of(text):
    """(place of the inside, inside) of each block that shows commands."""
    return [(match.start(1), match.group(1)) for match in FENCE.finditer(text)
            if re.search(r"^\$ ", match.group(1), re.MULTILINE)]


def steps_of(block):
    """[command, shown output] of each "$ " line."""
    steps = []
    for line in block.splitlines(keepends=True):
        if line.startswith("$ "):
            steps.append([line[2:].rstrip("\n"), ""])
        elif steps:
            steps[-1][1] += line
    return steps


def without_comment(command):
    return re.sub(r"\s+#\s.*$", "", command)


def normal(text, command):
    more = [pair for start, pairs in VOLATILE_OF.items() if command.startswith(start) for pair in pairs]
    for pattern, name in more + VOLATILE:
        text = re.sub(pattern, name, text)
    return text.strip("\n")


def matches(command, shown, printed):
    pattern = ""
    for line in normal(shown, command).split("\n"):
        if line == "…":
            pattern += r"(?:.*\n)*"
        elif line.endswith("…"):
            pattern += re.escape(line[:-1]) + ".*\n"
        else:
            pattern += re.escape(line) + "\n"
    return re.fullmatch(pattern, normal(printed, command) + "\n") is not None


def demo_repository():
    files = {}
    for name in os.listdir(MODEL_FOLDER):
        path = os.path.join(MODEL_FOLDER, name)
        if os.path.isfile(path):
            with open(path, "rb") as file:
                files[name] = file.read()
    files.setdefault("README.md", b"---\nlicense: apache-2.0\nbase_model: HuggingFaceTB/SmolLM2-135M-Instruct\n---\n")
    return Repository(files, extra={"downloads": 9120, "likes": 14, "usedStorage": sum(map(len, files.values())),
                                    "config": {"model_type": "llama"}, "lastModified": "2025-11-03T10:00:00.000Z"})


class Docs(ProgramTest):
    with_model = False

    def setUp(self):
        super().setUp()
        self.assertTrue(os.path.isfile(os.path.join(MODEL_FOLDER, "config.json")),
                        f"no demo model in {MODEL_FOLDER}: make it with script/demo-model")
        self.hub = FixtureHub({"mlx-community/" + MODEL: demo_repository(),
                               "mlx-community/SmolLM2-360M-Instruct": Repository(
                                   {"config.json": b'{"model_type": "llama"}', "model.safetensors": weights(1000)},
                                   extra={"downloads": 730, "likes": 3, "usedStorage": 725_000_000,
                                          "config": {"model_type": "llama"}})})
        self.addCleanup(self.hub.close)
        bin_folder = os.path.join(self.home, "bin")
        os.mkdir(bin_folder)
        os.symlink(os.path.abspath(BINARY), os.path.join(bin_folder, "mlxd"))
        self.environment.update(HF_ENDPOINT=self.hub.url, NO_PROXY="127.0.0.1", COLUMNS="120",
                                PATH=bin_folder + os.pathsep + self.environment["PATH"])

    def new_state(self):
        """A user's home with the demo model in it; what a file's blocks do stays for its next block."""
        self.user_home = tempfile.mkdtemp(prefix="home-", dir=self.home)
        models = os.path.join(self.user_home, ".mlxd", "models")
        os.makedirs(models)
        os.symlink(MODEL_FOLDER, os.path.join(models, MODEL))
        with open(os.path.join(self.user_home, "notes.txt"), "w", encoding="utf-8") as file:
            file.write("The meeting is on Monday. Ann brings the plans.\n")
        self.environment = {key: value for key, value in self.environment.items()
                            if key not in ("MLXD_HOME", "HF_HUB_CACHE", "HF_HOME")}
        self.environment["HOME"] = self.user_home

    def tidy(self, text):
        text = text.replace(self.user_home, "~").replace(self.hub.url, "https://huggingface.co")
        return re.sub(r"http://127\.0\.0\.1:\d+", "http://127.0.0.1:10242", text)

    def run_step(self, command):
        typed = next((text for start, text in TYPED.items() if command.startswith(start)), "")
        done = subprocess.run(["bash", "-c", without_comment(command)], input=typed.encode(), capture_output=True,
                              timeout=TIMEOUT_S, cwd=self.user_home, env=self.environment)
        text = done.stdout.decode() + (done.stderr.decode() if done.returncode != 0 else "")
        return self.tidy(text)

    def serve(self, command):
        """Starts a server that runs until the file's end; what it prints when it is ready."""
        child = subprocess.Popen(["bash", "-c", "exec " + without_comment(command) + " --port 0"], stdout=subprocess.PIPE,
                                 stderr=subprocess.DEVNULL, cwd=self.user_home, env=self.environment)
        self.addCleanup(child.stdout.close)
        self.addCleanup(child.wait)
        self.addCleanup(child.kill)
        self.servers.append(child)
        return self.tidy(child.stdout.readline().decode())

    def converse(self, command, shown):
        """Types what stands behind ">>> " and gives what the terminal showed, in the same form."""
        parts = re.split(r"^>>> (.*)\n", shown, flags=re.MULTILINE)
        terminal = Terminal(self, ["/bin/bash", "-c", without_comment(command)], {**self.environment, "TERM": "xterm"})
        self.addCleanup(terminal.close)
        text = terminal.expect(r"^(.*?)>>> ").group(1)
        for typed in parts[1::2]:
            terminal.line(typed)
            answer = terminal.expect(re.escape(typed) + r"\s*\n(.*?)>>> ").group(1)
            text += f">>> {typed}\n" + answer
        terminal.line("/bye")
        terminal.expect_exit(0)
        # What the line editor draws before it is ready stands before the last of each line.
        return self.tidy(re.sub(r"^.*\r(?!\n)", "", text, flags=re.MULTILINE))

    def test_what_the_documents_show_is_what_it_prints(self):
        ran = 0
        for path in documents():
            name = os.path.relpath(path, REPOSITORY)
            with open(path, encoding="utf-8") as file:
                text = file.read()
            blocks = blocks_of(text)
            if not blocks:
                continue
            self.new_state()
            self.servers = []
            fresh = text
            for _, block in blocks:
                written = ""
                for command, shown in steps_of(block):
                    if any(name == file and command.startswith(start) for file, start in NOT_RUN):
                        printed = shown
                    elif without_comment(command).startswith("mlxd serve"):
                        printed = self.serve(command)
                    elif ">>> " in shown:
                        printed = self.converse(command, shown)
                    else:
                        printed = self.run_step(command)
                    ran += 1
                    same = matches(command, shown, printed)
                    if not same and "MLXD_UPDATE_DOCS" not in os.environ:
                        with self.subTest(f"{name}: {command}"):
                            self.fail(f"{name} shows\n$ {command}\n{shown}\nbut it prints\n{printed}\n"
                                      "run this test once with MLXD_UPDATE_DOCS=1, and look at what it changes")
                    written += f"$ {command}\n" + (shown if same else re.sub(r"mlxd-[A-Za-z0-9_-]{20,}", "mlxd-…", printed))
                fresh = fresh.replace(block, written, 1)
            for server in self.servers:
                server.kill()
                server.wait()
            if fresh != text and "MLXD_UPDATE_DOCS" in os.environ:
                with open(path, "w", encoding="utf-8") as file:
                    file.write(fresh)
        self.assertGreater(ran, 10)

    def test_no_reason_is_left_for_a_block_that_is_gone(self):
        shown = {(os.path.relpath(path, REPOSITORY), command) for path in documents()
                 for _, block in blocks_of(open(path, encoding="utf-8").read()) for command, _ in steps_of(block)}
        for file, start in NOT_RUN:
            self.assertTrue(any(file == name and command.startswith(start) for name, command in shown), (file, start))


if __name__ == "__main__":
    unittest.main()
