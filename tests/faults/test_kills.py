"""kill -9 at twenty random moments, while a download runs, requests are answered and settings are written."""

import os
import random
import sys
import threading
import time

from fault_test import NAME, FaultTest, Gone, Server
from fixture_hub import small_model
from program import MODEL, TIMEOUT_S, end_program

KILLS = 20


class Ledger:
    """What the server has promised to keep: each thing's last confirmed value, and one that was asked for since."""

    def __init__(self):
        self.kept = {}
        self.asked = {}

    def ask(self, name, value):
        self.asked[name] = value

    def confirm(self, name):
        self.kept[name] = self.asked.pop(name)

    def refuse(self, name):
        del self.asked[name]

    def allows(self, name, value):
        return value in ([self.kept[name]] if name in self.kept else [None]) + ([self.asked[name]] if name in self.asked else [])

    def settle(self, name, value):
        """What is there now holds from here on."""
        self.asked.pop(name, None)
        self.kept[name] = value


class Kills(FaultTest):
    with_model = True

    def setUp(self):
        super().setUp()
        self.seed = int(os.environ.get("MLXD_TEST_SEED", random.SystemRandom().randrange(1 << 32)))
        self.random = random.Random(self.seed)
        print(f"MLXD_TEST_SEED={self.seed}", file=sys.stderr)
        self.ledger = Ledger()
        self.answers = 0
        self.download = None
        self.failures = []

    def test_twenty_kills_lose_nothing_and_leave_nothing(self):
        self.hub.repositories[NAME] = small_model(size=30_000_000)
        # So slow that no life is long enough for it, on a slow machine either.
        self.hub.bytes_per_s = 150_000
        for _ in range(KILLS):
            self.live_and_die()
        self.hub.bytes_per_s = None
        server = self.start()
        self.check_promises(server)
        begun = self.ask(server, "POST", "/api/v1/downloads", {"model": NAME})
        if self.download is not None:
            self.assertEqual(begun["id"], self.download, "another download than the one before the kills")
        done = self.wait_for(server, begun["id"], "done", "failed")
        self.assertEqual(done["state"], "done", done)
        self.check_whole()
        self.assertGreater(self.answers, 0, "no request was answered: the kills came too soon")
        self.assertGreater(len(self.ledger.kept), 3)
        self.assertIn("bytes=", "".join(filter(None, self.ranges())), "the download always began anew")
        code, err = server.end()
        self.assertEqual(code, 0, err)
        self.check_database()
        self.check_no_leftovers()

    def live_and_die(self):
        """One life of the server, cut at a random moment, which may be before it is ready."""
        server = Server(self.environment)
        self.addCleanup(end_program, server.child)
        early = self.random.random() < 0.25
        if early:
            time.sleep(self.random.uniform(0.0, 0.6))
            server.kill()
        if not server.wait_ready():
            self.assertTrue(early, "seed %d: %s" % (self.seed, server.child.stderr.read().decode()))
            server.child.wait()
            self.check_database_if_made()
            return
        try:
            if not early:
                self.check_promises(server)
        except Gone:
            self.assertTrue(early)
        workers = [threading.Thread(target=self.until_gone, args=(each, server))
                   for each in (self.write, self.generate, self.pull)]
        answers = self.answers
        for worker in workers:
            worker.start()
        # Every other life is cut after an answer at the earliest.
        patience = time.monotonic() + self.random.choice((0, TIMEOUT_S))
        while self.answers == answers and time.monotonic() < patience and not self.failures:
            time.sleep(0.01)
        time.sleep(self.random.uniform(0.02, 1.0))
        server.kill()
        for worker in workers:
            worker.join(TIMEOUT_S)
            self.assertFalse(worker.is_alive())
        server.child.wait()
        self.assertEqual(self.failures, [], f"seed {self.seed}")
        self.check_database_if_made()

    def until_gone(self, work, server):
        chance = random.Random(self.random.randrange(1 << 32))
        try:
            while True:
                work(server, chance)
        except Gone:
            pass
        except Exception as error:  # of a thread: the test's own thread tells
            self.failures.append(repr(error))

    def write(self, server, chance):
        kind = chance.randrange(3)
        if kind == 0:
            value = chance.randrange(1, 365)
            self.ledger.ask("session-days", value)
            self.promise(server, "session-days", "PATCH", "/api/v1/settings", {"session-days": value})
        elif kind == 1:
            name = f"profile-{chance.randrange(1 << 30)}"
            self.ledger.ask(name, "x" * chance.randrange(20_000))
            self.promise(server, name, "POST", "/api/v1/profiles",
                         {"name": name, "model": MODEL, "description": self.ledger.asked[name]})
        else:
            name = f"alias-{chance.randrange(5)}"
            self.ledger.ask(name, f"{MODEL}+{chance.randrange(1 << 30)}")
            self.promise(server, name, "PUT", f"/api/v1/aliases/{name}", {"model": self.ledger.asked[name]})

    def promise(self, server, name, method, path, body):
        status, answer = server.call(method, path, body)
        if status >= 300:
            raise AssertionError(f"{method} {path}: {status} {answer}")
        self.ledger.confirm(name)

    def generate(self, server, chance):
        status, answer = server.call("POST", "/v1/completions", {
            "model": MODEL, "prompt": "Once upon a time", "max_tokens": 1 + chance.randrange(8), "temperature": 0})
        if status != 200:
            raise AssertionError(f"completion: {status} {answer}")
        self.answers += 1

    def pull(self, server, chance):
        status, answer = server.call("POST", "/api/v1/downloads", {"model": NAME})
        if status not in (200, 202):
            raise AssertionError(f"download: {status} {answer}")
        self.download = self.download or answer["id"]
        if answer["id"] != self.download:
            raise AssertionError(f"the download {self.download} was forgotten for {answer['id']}")
        time.sleep(chance.uniform(0.0, 0.1))

    def check_promises(self, server):
        """All that was confirmed is there; of what was asked for last, all or nothing."""
        settings = self.ask(server, "GET", "/api/v1/settings")["settings"]
        found = {each["name"]: each["value"] for each in settings if each["name"] == "session-days"}
        found.update((each["name"], each["description"]) for each in self.ask(server, "GET", "/api/v1/profiles")["profiles"])
        found.update((each["name"], each["model"]) for each in self.ask(server, "GET", "/api/v1/aliases")["aliases"])
        for name in {*self.ledger.kept, *self.ledger.asked}:
            value = found.get(name)
            if name == "session-days" and name not in self.ledger.kept and value == 7:
                value = None  # the default
            self.assertTrue(self.ledger.allows(name, value),
                            f"seed {self.seed}: {name} is {str(value)[:60]!r}, promised was "
                            f"{str(self.ledger.kept.get(name))[:60]!r}, asked for {str(self.ledger.asked.get(name))[:60]!r}")
            if value is None:
                self.ledger.asked.pop(name, None)
            else:
                self.ledger.settle(name, value)

    def check_database_if_made(self):
        if os.path.exists(os.path.join(self.home, "mlxd.db")):
            self.check_database()
