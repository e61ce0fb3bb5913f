"""Somebody sets the system's clock, days forward and years back, while the server runs."""

import http.client
import json
import os
import threading
import time

from fault_test import FaultTest, Faults
from program import MODEL, TIMEOUT_S

DAY = 24 * 3600
ACCOUNT = {"email": "ann@example.org", "password": "correct horse battery"}


class ClockJumps(FaultTest):
    with_model = True

    def setUp(self):
        super().setUp()
        self.faults = Faults(self)
        self.server = self.start("--keep-alive", "10m", **self.faults.environment)

    def make_account(self):
        with open(os.path.join(self.home, "setup.token"), encoding="utf-8") as file:
            token = file.read().strip()
        self.ask(self.server, "POST", "/api/v1/auth/register", {**ACCOUNT, "setup_token": token})

    def log_in(self):
        return self.ask(self.server, "POST", "/api/v1/auth/login", {**ACCOUNT, "cookie": False})["token"]

    def me(self, token):
        return self.server.call("GET", "/api/v1/auth/me", token=token)[0]

    def complete(self, token=None):
        return self.server.call("POST", "/v1/completions",
                                {"model": MODEL, "prompt": "Once", "max_tokens": 2, "temperature": 0}, token)[0]

    def test_logins_end_when_their_days_are_over_and_not_when_the_clock_goes_back(self):
        self.make_account()
        token = self.log_in()
        self.faults.set_clock(-3650 * DAY)
        self.assertEqual(self.me(token), 200)
        older = self.log_in()
        self.faults.set_clock(6 * DAY)
        self.assertEqual(self.me(token), 200)
        self.assertEqual(self.me(older), 401, "ten years are more than a week")
        self.faults.set_clock(8 * DAY)
        self.assertEqual(self.me(token), 401)
        self.assertEqual(self.me(self.log_in()), 200)

    def test_keys_end_in_their_time_and_their_limits_hold(self):
        self.make_account()
        token = self.log_in()
        now = int(time.time())
        status, made = self.server.call("POST", "/api/v1/keys",
                                        {"name": "k", "expires_at": now + 20 * DAY, "requests_per_minute": 3}, token)
        self.assertEqual(status, 201, made)
        self.assertEqual(self.complete(made["key"]), 200)
        self.faults.set_clock(-3650 * DAY)
        self.assertEqual(self.complete(made["key"]), 200)
        self.faults.set_clock(2 * DAY)
        self.assertEqual(self.complete(made["key"]), 200)
        self.assertEqual(self.complete(made["key"]), 429, "a minute by the wall clock is no minute")
        self.faults.set_clock(21 * DAY)
        self.assertEqual(self.complete(made["key"]), 401)

    def test_answers_under_way_and_loaded_models_do_not_notice(self):
        before = self.stay()
        self.assertGreater(before, 0)
        connection = http.client.HTTPConnection(self.server.url.removeprefix("http://"), timeout=TIMEOUT_S)
        self.addCleanup(connection.close)
        connection.request("POST", "/v1/completions", json.dumps(
            {"model": MODEL, "prompt": "Once upon a time", "max_tokens": 120, "temperature": 0, "stream": True,
             "stream_options": {"include_usage": True}}), {"Content-Type": "application/json"})
        answer = connection.getresponse()
        answer.readline()
        stop = threading.Event()
        jumper = threading.Thread(target=self.jump_about, args=(stop,))
        jumper.start()
        text = answer.read().decode()
        stop.set()
        jumper.join()
        self.assertTrue(text.endswith("data: [DONE]\n\n"), text[-300:])
        self.assertIn('"completion_tokens":120', text)
        self.faults.set_clock(30 * DAY)
        self.assertEqual(self.complete(), 200)
        self.assertAlmostEqual(self.stay(), 600, delta=60)
        self.faults.set_clock(-3650 * DAY)
        self.assertEqual(self.complete(), 200)
        self.assertAlmostEqual(self.stay(), 600, delta=60)
        system = self.ask(self.server, "GET", "/api/v1/system")
        self.assertTrue(0 <= system["uptime_s"] < TIMEOUT_S, system)
        self.assertEqual(self.server.end()[0], 0)
        self.check_database()

    def jump_about(self, stop):
        offsets = (400 * DAY, -400 * DAY, 3, -3, 0)
        at = 0
        while not stop.wait(0.02):
            self.faults.set_clock(offsets[at % len(offsets)])
            at += 1

    def stay(self):
        """Seconds for which the model stays loaded."""
        self.complete()
        deadline = time.monotonic() + TIMEOUT_S
        while time.monotonic() < deadline:
            servers = self.ask(self.server, "GET", "/api/v1/servers")["servers"]
            self.assertEqual([each["state"] for each in servers], ["ready"])
            if servers[0]["keep_alive_left_s"] is not None:
                return servers[0]["keep_alive_left_s"]
            time.sleep(0.02)  # it is in use for a moment more
        self.fail("it is never idle")
