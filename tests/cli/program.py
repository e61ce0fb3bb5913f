"""Starts the built program for the tests of this folder: in pipes, or at a pseudo-terminal."""

import fcntl
import os
import pty
import re
import select
import shutil
import signal
import struct
import subprocess
import tempfile
import termios
import time
import unittest

REPOSITORY = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BINARY = os.environ.get("MLXD_BINARY", os.path.join(REPOSITORY, "build/release/mlxd"))
MODEL = "SmolLM2-135M-Instruct-4bit"
USER_HOME = os.environ.get("MLXD_HOME", os.path.expanduser("~/.mlxd"))
MODEL_FOLDER = os.environ.get("MLXD_TEST_MODEL", os.path.join(USER_HOME, "models", MODEL))
TIMEOUT_S = 120  # for anything; only a hang takes that long


class ProgramTest(unittest.TestCase):
    """Each test has a state folder of its own, with the demo model in it if `with_model`."""

    with_model = False

    def setUp(self):
        self.home = self.make_home()
        self.environment = {key: value for key, value in os.environ.items()
                            if not key.startswith(("MLXD_", "HF_")) and key not in ("NO_COLOR", "LANG", "LC_ALL")}
        self.environment.update(MLXD_HOME=self.home, HF_HUB_CACHE=os.path.join(self.home, "hub"), TERM="xterm")

    def make_home(self):
        """A new state folder, which goes with the test. A second server at once needs one of its own."""
        home = tempfile.mkdtemp(prefix="mlxd-cli-")
        self.addCleanup(shutil.rmtree, home, ignore_errors=True)
        if self.with_model:
            self.assertTrue(os.path.isfile(os.path.join(MODEL_FOLDER, "config.json")),
                            f"no demo model in {MODEL_FOLDER}: make it with script/demo-model")
            os.makedirs(os.path.join(home, "models"))
            os.symlink(MODEL_FOLDER, os.path.join(home, "models", MODEL))
        return home

    def run_program(self, *arguments, stdin="", check=0, **environment):
        """Runs to the end; returns (stdout, stderr) after checking the exit code."""
        result = subprocess.run([BINARY, *arguments], input=stdin.encode(), capture_output=True, timeout=TIMEOUT_S,
                                env={**self.environment, **environment})
        out, err = result.stdout.decode(), result.stderr.decode()
        self.assertEqual(result.returncode, check, f"mlxd {' '.join(arguments)}\n{out}\n{err}")
        return out, err

    def start_server(self, *arguments, **environment):
        """Starts `mlxd serve` on a free port and returns its address; it is ended with the test."""
        child = subprocess.Popen([BINARY, "serve", "--port", "0", *arguments], stdout=subprocess.PIPE,
                                 stderr=subprocess.PIPE, env={**self.environment, **environment})
        self.addCleanup(end_program, child)
        self.server = child
        line = child.stdout.readline().decode()
        match = re.fullmatch(r"mlxd is ready at (http://\S+)\n", line)
        self.assertTrue(match, line + (child.stderr.read().decode() if child.poll() is not None else ""))
        return match.group(1)

    def terminal(self, *arguments, **environment):
        terminal = Terminal(self, [BINARY, *arguments], {**self.environment, **environment})
        self.addCleanup(terminal.close)
        return terminal


def end_program(child):
    if child.poll() is None:
        child.kill()
    child.wait()
    child.stdout.close()
    child.stderr.close()


class Terminal:
    """The program at a pseudo-terminal, driven by keys and by what appears."""

    def __init__(self, test, command, environment):
        self.test = test
        self.output = ""  # all that has appeared, without escape sequences
        self.raw = b""
        self.seen = 0  # how much of `output` has been waited for
        self.exit_code = None
        self.process, self.file = pty.fork()
        if self.process == 0:
            os.execve(command[0], command, environment)
        # Wide enough that nothing typed is wrapped.
        fcntl.ioctl(self.file, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 200, 0, 0))

    def type(self, keys):
        os.write(self.file, keys.encode())

    def line(self, text):
        self.type(text + "\r")

    def expect(self, pattern):
        """Waits until `pattern` appears after what was last waited for; returns the match."""
        deadline = time.monotonic() + TIMEOUT_S
        while True:
            match = re.search(pattern, self.output[self.seen:], re.DOTALL)
            if match:
                self.seen += match.end()
                return match
            if not self.read(deadline - time.monotonic()):
                self.test.fail(f"{pattern!r} did not appear; the terminal shows:\n{self.output}")

    def read(self, timeout):
        """Reads what there is; False at the end or when the time is up."""
        if timeout <= 0 or not select.select([self.file], [], [], timeout)[0]:
            return False
        try:
            piece = os.read(self.file, 65536)
        except OSError:  # Linux reports a closed terminal so
            piece = b""
        self.raw += piece
        text = re.sub(rb"\x1b\[[0-9;?]*[A-Za-z]", b"", self.raw).decode(errors="replace")
        self.output = text.replace("\r\n", "\n")
        return bool(piece)

    def expect_exit(self, code):
        deadline = time.monotonic() + TIMEOUT_S
        while self.read(deadline - time.monotonic()):
            pass
        # The terminal is closed, or the time is up: then the program will not end by itself.
        ended, status = os.waitpid(self.process, os.WNOHANG)
        while ended == 0 and time.monotonic() < deadline:
            time.sleep(0.01)
            ended, status = os.waitpid(self.process, os.WNOHANG)
        if ended == 0:
            self.test.fail(f"did not end within {TIMEOUT_S} s; the terminal shows:\n{self.output}")
        self.process = None
        self.test.assertEqual(os.waitstatus_to_exitcode(status), code, self.output)

    def close(self):
        if self.process is not None:
            os.kill(self.process, signal.SIGKILL)
            os.waitpid(self.process, 0)
        os.close(self.file)
