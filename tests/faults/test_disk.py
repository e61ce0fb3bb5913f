"""The disk runs full, while a download comes and settings are written, and has room again."""

import os
import shutil
import subprocess
import time

from fault_test import NAME, FaultTest, Faults
from fixture_hub import small_model
from program import TIMEOUT_S

RESERVE = 64 << 20  # what a download leaves to others


class FullDisk(FaultTest):
    """The story, told of a way to fill the disk: `fill` and `free`."""

    def tell(self, server, fill, free):
        begun = self.ask(server, "POST", "/api/v1/downloads", {"model": NAME})
        self.wait_for_bytes(server, begun["id"], 1_000_000)
        self.ask(server, "PATCH", "/api/v1/settings", {"session-days": 30})
        fill()
        paused = self.wait_for(server, begun["id"], "paused", "failed", "done")
        self.assertEqual(paused["state"], "paused", paused)
        self.assertIn("the disk is full: make room in", paused["message"])
        self.assertGreaterEqual(paused["present_bytes"], 1_000_000)
        # What the database's files have room for is still taken; then each write is refused and changes nothing.
        kept, detail = [], None
        for number in range(200):
            name = f"profile-{number}"
            status, answer = server.call("POST", "/api/v1/profiles",
                                         {"name": name, "model": "m", "description": "x" * 60_000})
            if status == 201:
                kept.append(name)
                continue
            self.assertEqual((status, answer["code"]), (500, "io"), answer)
            detail = answer["detail"]
            break
        self.assertIsNotNone(detail, "twelve megabytes were written onto a full disk")
        self.assertIn("there is no room for the database", detail)
        self.assertIn("mlxd.db: free some space on its disk; nothing was changed", detail)
        self.assertEqual(server.call("GET", "/healthz")[0], 200)
        self.assertEqual([each["name"] for each in self.ask(server, "GET", "/api/v1/profiles")["profiles"]], sorted(kept))
        free()
        self.ask(server, "PATCH", "/api/v1/settings", {"session-days": 31})
        self.hub.bytes_per_s = None
        self.ask(server, "POST", f"/api/v1/downloads/{begun['id']}/resume")
        done = self.wait_for(server, begun["id"], "done", "failed", "paused")
        self.assertEqual(done["state"], "done", done)
        first, *later = self.ranges()
        self.assertTrue(first is None and later and all(later), f"it began anew: {self.ranges()}")
        return kept

    def check_kept(self, server, kept):
        settings = {each["name"]: each["value"] for each in self.ask(server, "GET", "/api/v1/settings")["settings"]}
        self.assertEqual(settings["session-days"], 31)
        self.assertEqual([each["name"] for each in self.ask(server, "GET", "/api/v1/profiles")["profiles"]], sorted(kept))


class InjectedFullDisk(FullDisk):
    """Writes are refused by a library in the program, which works on every Linux."""

    def test_a_full_disk_pauses_downloads_and_refuses_writes_until_there_is_room(self):
        faults = Faults(self)
        self.hub.repositories[NAME] = small_model(size=8_000_000)
        self.hub.bytes_per_s = 4_000_000
        server = self.start(**faults.environment)
        kept = self.tell(server, lambda: faults.set_disk(True, 0), lambda: faults.set_disk(False))
        self.check_whole()
        self.assertEqual(server.end()[0], 0)
        self.check_database()
        self.check_no_leftovers()
        server = self.start()
        self.check_kept(server, kept)

    def test_a_download_that_cannot_fit_is_refused_before_it_starts(self):
        faults = Faults(self)
        faults.set_disk(False, RESERVE + 1_000_000)
        server = self.start(**faults.environment)
        begun = self.ask(server, "POST", "/api/v1/downloads", {"model": NAME})
        failed = self.wait_for(server, begun["id"], "failed", "done")
        self.assertEqual(failed["state"], "failed", failed)
        self.assertRegex(failed["message"], r"needs 3\.\d+ MB")
        self.assertEqual(self.ranges(), [])
        faults.set_disk(False)
        self.ask(server, "POST", f"/api/v1/downloads/{begun['id']}/resume")
        self.assertEqual(self.wait_for(server, begun["id"], "done", "failed")["state"], "done")
        self.check_whole()

    def test_a_server_that_starts_on_a_full_disk_says_so_or_runs(self):
        faults = Faults(self)
        self.start().end()
        faults.set_disk(True, 0)
        child = subprocess.run(["timeout", "-s", "TERM", "3", *self.serve()], capture_output=True, timeout=TIMEOUT_S,
                               env={**self.environment, **faults.environment})
        self.assertIn(child.returncode, (0, 1, 124), child.stderr)
        if b"ready" not in child.stdout:
            self.assertRegex(child.stderr.decode(), r"no room|no space left|cannot write")
        faults.set_disk(False)
        self.assertEqual(self.start(**faults.environment).end()[0], 0)

    def serve(self):
        from program import BINARY
        return [BINARY, "serve", "--port", "0"]


class RealFullDisk(FullDisk):
    """The same on a small file system of its own, in namespaces of the user's, where the system has them."""

    def test_a_full_disk_pauses_downloads_and_refuses_writes_until_there_is_room(self):
        probe = subprocess.run(["unshare", "-rm", "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True) \
            if shutil.which("unshare") else None
        if probe is None or probe.returncode != 0:
            self.skipTest("no user namespaces here to mount a small file system in; InjectedFullDisk told the story")
        self.hub.repositories[NAME] = small_model(size=8_000_000)
        self.hub.bytes_per_s = 4_000_000
        disk = os.path.join(self.home, "disk")
        os.mkdir(disk)
        inside = {"MLXD_HOME": os.path.join(disk, "state"), "HF_HUB_CACHE": os.path.join(disk, "hub")}
        script = f"mount -t tmpfs -o size={RESERVE + 16_000_000} none '{disk}' && exec \"$@\""
        self.environment.update(inside)
        self.home = self.seen_home = inside["MLXD_HOME"]
        server = self.start_inside(script)
        root = f"/proc/{server.child.pid}/root"
        filler = os.path.join(root + disk, "filler")

        def fill():
            with open(filler, "wb", buffering=0) as file:
                try:
                    while True:
                        file.write(b"\0" * 4096)
                except OSError:
                    pass

        kept = self.tell(server, fill, lambda: os.remove(filler))
        self.cache = root + inside["HF_HUB_CACHE"]
        self.check_whole()
        self.check_kept(server, kept)
        self.check_database(root + inside["MLXD_HOME"])
        self.assertEqual(server.end()[0], 0)

    def start_inside(self, script):
        """A server in new namespaces, whose files are seen through /proc."""
        from fault_test import Server, end_program
        server = Server(self.environment, prefix=["unshare", "-rm", "sh", "-ec", script, "sh"])
        self.addCleanup(end_program, server.child)
        server.home = f"/proc/{server.child.pid}/root{self.seen_home}"
        deadline = time.monotonic() + TIMEOUT_S
        if not server.wait_ready():
            server.child.kill()
            self.fail("no server: " + server.child.communicate()[1].decode())
        self.assertLess(time.monotonic(), deadline)
        return server
