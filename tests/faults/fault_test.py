"""What the tests of this folder share: servers that are killed, asked and looked at from outside."""

import fcntl
import json
import mmap
import os
import re
import shutil
import signal
import sqlite3
import struct
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "hub"))

from program import BINARY, TIMEOUT_S, end_program
from test_pull import NAME, HubTest

SHIM = os.environ.get("MLXD_FAULT_SHIM", "")  # the library made of fault_shim.c


class Gone(Exception):
    """The server went away before it answered."""


class Server:
    """A `mlxd serve` on a free port. `url` is None if it ended before it was ready."""

    def __init__(self, environment, arguments=(), prefix=()):
        self.child = subprocess.Popen([*prefix, BINARY, "serve", "--port", "0", *arguments], stdout=subprocess.PIPE,
                                      stderr=subprocess.PIPE, env=environment)
        self.home = environment["MLXD_HOME"]
        self.url = None
        self.token = None

    def wait_ready(self):
        line = self.child.stdout.readline().decode()
        match = re.fullmatch(r"mlxd is ready at (http://\S+)\n", line)
        if match is None:
            return False
        try:
            with open(self.state("server.json"), encoding="utf-8") as file:
                self.token = json.load(file)["token"]
        except FileNotFoundError:  # killed meanwhile, by a test that does so
            return False
        self.url = match.group(1)
        return True

    def state(self, *parts):
        """A path in its state folder, as this process sees it."""
        return os.path.join(self.home, *parts)

    def call(self, method, path, body=None, token=None):
        """(status, JSON or text). Gone if there is no answer."""
        request = urllib.request.Request(self.url + path, method=method,
                                         data=None if body is None else json.dumps(body).encode(),
                                         headers={"Content-Type": "application/json",
                                                  "Authorization": f"Bearer {token or self.token}"})
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
                status, text = answer.status, answer.read()
        except urllib.error.HTTPError as error:
            status, text = error.code, error.read()
        except (OSError, EOFError, ValueError) as error:
            raise Gone(str(error)) from error
        except Exception as error:  # http.client has several of its own for an answer that is cut
            raise Gone(repr(error)) from error
        try:
            return status, json.loads(text) if text else None
        except ValueError:
            return status, text.decode(errors="replace")

    def kill(self):
        self.child.kill()

    def end(self):
        """Asks it to stop; its exit code and what it wrote to standard error."""
        self.child.send_signal(signal.SIGTERM)
        err = self.child.communicate(timeout=TIMEOUT_S)[1]
        return self.child.returncode, err.decode()


class FaultTest(HubTest):
    def start(self, *arguments, prefix=(), **environment):
        server = Server({**self.environment, **environment}, arguments, prefix)
        self.addCleanup(end_program, server.child)
        if not server.wait_ready():
            server.child.kill()
            self.fail("no server: " + server.child.communicate()[1].decode())
        return server

    def ask(self, server, method, path, body=None, check=(200, 201, 202, 204)):
        status, answer = server.call(method, path, body)
        self.assertIn(status, check if isinstance(check, tuple) else (check,), answer)
        return answer

    def wait_for(self, server, download, *states):
        deadline = time.monotonic() + TIMEOUT_S
        while time.monotonic() < deadline:
            status = self.ask(server, "GET", f"/api/v1/downloads/{download}")
            if status["state"] in states:
                return status
            time.sleep(0.02)
        self.fail(f"still {status}")

    def wait_for_bytes(self, server, download, least):
        deadline = time.monotonic() + TIMEOUT_S
        while time.monotonic() < deadline:
            status = self.ask(server, "GET", f"/api/v1/downloads/{download}")
            if status["present_bytes"] >= least:
                return status
            self.assertIn(status["state"], ("queued", "running"), status)
            time.sleep(0.02)
        self.fail(f"still {status}")

    def check_database(self, home=None):
        """SQLite finds nothing wrong with the database as it lies there, in a copy so that it stays as it is."""
        home = home or self.home
        folder = tempfile.mkdtemp(prefix="mlxd-db-")
        try:
            for suffix in ("", "-wal", "-shm"):
                file = os.path.join(home, "mlxd.db" + suffix)
                if os.path.exists(file):
                    shutil.copy(file, folder)
            connection = sqlite3.connect(os.path.join(folder, "mlxd.db"))
            try:
                self.assertEqual(connection.execute("PRAGMA integrity_check").fetchall(), [("ok",)])
                self.assertEqual(connection.execute("PRAGMA foreign_key_check").fetchall(), [])
            finally:
                connection.close()
        finally:
            shutil.rmtree(folder)

    def check_no_leftovers(self):
        """Nothing half made lies in the state folder or the cache of a server that has ended."""
        left = []
        for folder, _, files in os.walk(self.home):
            for name in files:
                path = os.path.relpath(os.path.join(folder, name), self.home)
                if path.startswith("models/") or path == "mlxd.lock":
                    continue
                if path.startswith("hub/.locks/"):
                    # huggingface_hub leaves its lock files too, which cannot be removed without a race: they are free.
                    with open(os.path.join(folder, name), "rb") as file:
                        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                elif name == "server.json" or re.search(r"\.(incomplete|part|new|tmp|temp)$|\.lock$|^\.", name):
                    left.append(path)
        self.assertEqual(left, [])


class Faults:
    """What fault_shim.c does to a program, changed while it runs."""

    def __init__(self, test):
        test.assertTrue(SHIM and os.path.exists(SHIM),
                        "no library of faults: build the target fault_shim and set MLXD_FAULT_SHIM to it")
        self.path = os.path.join(test.make_home(), "faults")
        with open(self.path, "wb") as file:
            file.write(struct.pack("<qqq", 0, 0, -1))
        self.file = open(self.path, "r+b")
        test.addCleanup(self.file.close)
        self.map = mmap.mmap(self.file.fileno(), 24)
        test.addCleanup(self.map.close)
        self.environment = {"LD_PRELOAD": SHIM, "MLXD_FAULTS": self.path}

    def set_clock(self, offset_s):
        self.map[0:8] = struct.pack("<q", int(offset_s))

    def set_disk(self, full, free_bytes=-1):
        self.map[16:24] = struct.pack("<q", free_bytes)
        self.map[8:16] = struct.pack("<q", 1 if full else 0)
