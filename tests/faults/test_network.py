"""The hub goes away and comes back, before and in the middle of a download."""

import time

from fault_test import NAME, FaultTest
from fixture_hub import small_model
from program import TIMEOUT_S


class LostNetwork(FaultTest):
    def wait_until_waiting(self, server, download):
        deadline = time.monotonic() + TIMEOUT_S
        while time.monotonic() < deadline:
            status = self.ask(server, "GET", f"/api/v1/downloads/{download}")
            self.assertIn(status["state"], ("queued", "running"), status)
            if status["waiting"]:
                return status
            time.sleep(0.02)
        self.fail(f"nothing says that it waits: {status}")

    def test_a_download_waits_for_the_network_and_goes_on_where_it_stood(self):
        self.hub.repositories[NAME] = small_model(size=6_000_000)
        self.hub.bytes_per_s = 4_000_000
        server = self.start()
        begun = self.ask(server, "POST", "/api/v1/downloads", {"model": NAME})
        self.wait_for_bytes(server, begun["id"], 1_000_000)
        for _ in range(2):
            self.hub.vanish()
            told = self.wait_until_waiting(server, begun["id"])
            self.assertRegex(told["waiting"], "127.0.0.1|hub|connect")
            # Everything else is as ever.
            self.assertEqual(server.call("GET", "/healthz")[0], 200)
            status, problem = server.call("GET", "/api/v1/hub/models?search=model")
            self.assertEqual((status, problem["code"]), (503, "unavailable"), problem)
            self.assertIn(self.hub.url, problem["detail"])
            self.hub.come_back()
            self.wait_for_bytes(server, begun["id"], told["present_bytes"] + 100_000)
        self.hub.bytes_per_s = None
        self.assertEqual(self.wait_for(server, begun["id"], "done", "failed")["state"], "done")
        self.check_whole()
        self.assertEqual([each for each in self.ranges() if each is None], [None], "it began anew")
        self.assertEqual(server.end()[0], 0)
        self.check_no_leftovers()

    def test_a_download_that_is_begun_without_a_network_is_done_when_it_is_there(self):
        server = self.start()
        self.hub.vanish()
        begun = self.ask(server, "POST", "/api/v1/downloads", {"model": NAME})
        self.wait_until_waiting(server, begun["id"])
        self.hub.come_back()
        self.assertEqual(self.wait_for(server, begun["id"], "done", "failed")["state"], "done")
        self.check_whole()
