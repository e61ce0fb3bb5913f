"""Downloads and models through the server's management API."""

import http.client
import json
import os
import subprocess
import time
import urllib.error
import urllib.request

from fixture_hub import small_model
from program import BINARY, TIMEOUT_S, end_program
from test_pull import FOLDER, NAME, HubTest


class ServerTest(HubTest):
    def setUp(self):
        super().setUp()
        self.url = self.start_server()

    def credentials(self):
        """Of the owner, if this server asks for any."""
        try:
            with open(os.path.join(self.home, "server.json"), encoding="utf-8") as file:
                return {"Authorization": "Bearer " + json.load(file)["token"]}
        except FileNotFoundError:
            return {}

    def call(self, method, path, body=None, check=200):
        request = urllib.request.Request(self.url + path, method=method,
                                         data=None if body is None else json.dumps(body).encode(),
                                         headers={"Content-Type": "application/json", **self.credentials()})
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
                status, text = answer.status, answer.read()
        except urllib.error.HTTPError as error:
            status, text = error.code, error.read()
            self.assertEqual(error.headers["Content-Type"].split(";")[0], "application/problem+json")
        self.assertEqual(status, check, text)
        return json.loads(text) if text else None

    def wait_for(self, download, *states):
        deadline = time.monotonic() + TIMEOUT_S
        while time.monotonic() < deadline:
            status = self.call("GET", f"/api/v1/downloads/{download}")
            if status["state"] in states:
                return status
            time.sleep(0.02)
        self.fail(f"still {status}")

    def wait_for_bytes(self, download, least):
        deadline = time.monotonic() + TIMEOUT_S
        while time.monotonic() < deadline:
            status = self.call("GET", f"/api/v1/downloads/{download}")
            if status["present_bytes"] >= least:
                return status
            time.sleep(0.02)
        self.fail(f"still {status}")


class Downloads(ServerTest):
    def test_from_the_search_to_the_list_and_away_again(self):
        self.assertEqual(self.call("GET", "/api/v1/models")["models"], [])
        found = self.call("GET", "/api/v1/hub/models?search=mod")
        self.assertEqual([(each["id"], each["here"], each["supported"]) for each in found["models"]],
                         [(NAME, False, True)])
        shown = self.call("GET", f"/api/v1/hub/models/{NAME}?context=1024&concurrency=2")
        self.assertIn("# A model", shown["card"])
        self.assertEqual(shown["fit"]["kv_bytes"], 2 * 1024 * 2 * 2 * 64 * 2)
        self.assertEqual(shown["fit"]["verdict"], "fits")
        begun = self.call("POST", "/api/v1/downloads", {"model": NAME}, 202)
        done = self.wait_for(begun["id"], "done", "failed")
        self.assertEqual((done["state"], done["snapshot"]), ("done", self.snapshot()))
        self.check_whole()
        models = self.call("POST", "/api/v1/models/scan")["models"]
        self.assertEqual([(each["id"], each["source"], each["loaded"]) for each in models], [(NAME, "hub", False)])
        self.assertEqual(models[0]["facts"]["license"], "mit")
        self.assertEqual(models[0]["facts"]["base_models"], ["org/base"])
        whole = self.call("GET", "/api/v1/models/model")
        self.assertEqual(whole["repository"]["revisions"][0]["refs"], ["main"])
        self.assertEqual(whole["template_switches"], [])
        with urllib.request.urlopen(self.url + "/v1/models") as answer:
            listed = json.load(answer)["data"]
        self.assertEqual([(each["id"], each["context_length"], each["architecture"]) for each in listed],
                         [(NAME, 2048, "llama")])
        removed = self.call("DELETE", f"/api/v1/models/{NAME}")
        self.assertGreater(removed["freed_bytes"], 3_000_000)
        self.assertEqual(self.call("GET", "/api/v1/models")["models"], [])
        self.assertFalse(os.path.exists(os.path.join(self.cache, FOLDER)))
        self.call("DELETE", f"/api/v1/downloads/{begun['id']}", check=204)
        self.assertEqual(self.call("GET", "/api/v1/downloads")["downloads"], [])

    def test_the_switches_of_a_chat_template_are_told_with_their_defaults(self):
        folder = os.path.join(self.home, "models", "thinker")
        os.makedirs(folder)
        for name, data in small_model().files.items():
            if name in ("config.json", "tokenizer.json", "model.safetensors"):
                with open(os.path.join(folder, name), "wb") as file:
                    file.write(data)
        with open(os.path.join(folder, "chat_template.jinja"), "w", encoding="utf-8") as file:
            file.write("{% for message in messages %}{{ message.content }}{% endfor %}"
                       "{% if enable_thinking is defined and enable_thinking is false %}no thoughts{% endif %}")
        self.call("POST", "/api/v1/models/scan")
        self.assertEqual(self.call("GET", "/api/v1/models/thinker")["template_switches"],
                         [{"name": "enable_thinking", "default": True}])

    def test_variants_are_compared_and_the_best_that_fits_is_recommended(self):
        for bits, gigabytes in ((4, 1), (8, 2), (6, 1_000_000)):
            self.hub.repositories[f"mlx/model-{bits}bit"] = small_model(10, extra={
                "tags": ["mlx", f"base_model:quantized:{NAME}"], "config": {"quantization_config": {"bits": bits}},
                "safetensors": {"parameters": {"U32": gigabytes * 250_000_000}, "total": 1}})
        for name in (NAME, "mlx/model-4bit"):
            found = self.call("GET", f"/api/v1/hub/variants?of={name}")
            self.assertEqual((found["base"], found["recommended"]), (NAME, "mlx/model-8bit"))
            self.assertEqual([(each["bits"], each["fit"]["verdict"]) for each in found["variants"]],
                             [(4, "fits"), (8, "fits"), (6, "too_large")])

    def test_pause_resume_join_and_cancel(self):
        self.hub.faults[:] = [("model.safetensors", "hold", 1_000_000)] * 2
        begun = self.call("POST", "/api/v1/downloads", {"model": NAME}, 202)
        self.wait_for_bytes(begun["id"], 1_000_000)
        self.assertEqual(self.call("POST", "/api/v1/downloads", {"model": NAME + "@main"})["id"], begun["id"])
        self.call("DELETE", f"/api/v1/models/{NAME}", check=404 if not self.call("GET", "/api/v1/models")["models"] else 409)
        self.assertEqual(self.call("POST", f"/api/v1/downloads/{begun['id']}/pause")["state"], "paused")
        self.call("POST", f"/api/v1/downloads/{begun['id']}/pause", check=409)
        self.call("POST", f"/api/v1/downloads/{begun['id']}/resume")
        self.wait_for_bytes(begun["id"], 2_000_000)
        self.assertEqual(self.ranges(), [None, "bytes=1000000-"])
        self.call("POST", f"/api/v1/downloads/{begun['id']}/cancel")
        deadline = time.monotonic() + TIMEOUT_S
        while os.path.exists(os.path.join(self.cache, FOLDER)) and time.monotonic() < deadline:
            time.sleep(0.02)
        self.assertFalse(os.path.exists(os.path.join(self.cache, FOLDER)))
        self.assertEqual(self.call("GET", f"/api/v1/downloads/{begun['id']}")["state"], "cancelled")

    def test_bad_requests_name_what_is_wrong(self):
        for body, part in (({}, "model"), ({"model": 5}, "model"), ({"model": "../x"}, "no repository"),
                           ({"model": NAME, "revision": "../x"}, "no revision"), ({"modle": NAME}, "model")):
            self.assertIn(part, self.call("POST", "/api/v1/downloads", body, 400)["detail"])
        self.assertIn("context", self.call("GET", "/api/v1/models?context=x", check=400)["detail"])
        self.assertIn("'colour'", self.call("GET", "/api/v1/models?colour=x", check=400)["detail"])
        self.call("GET", "/api/v1/models/none", check=404)
        self.call("GET", "/api/v1/downloads/none", check=404)
        self.call("GET", "/api/v1/nothing", check=404)
        failed = self.call("POST", "/api/v1/downloads", {"model": "org/none"}, 202)
        self.assertIn("does not exist or is private", self.wait_for(failed["id"], "failed")["message"])

    def test_events_tell_of_each_change(self):
        address = self.url.removeprefix("http://")
        connection = http.client.HTTPConnection(address, timeout=TIMEOUT_S)
        self.addCleanup(connection.close)
        connection.request("GET", "/api/v1/events", headers=self.credentials())
        stream = connection.getresponse()
        self.assertEqual(stream.headers["Content-Type"], "text/event-stream")
        events = []

        def next_event():
            name = data = None
            while True:
                line = stream.readline().decode().rstrip("\n")
                if line.startswith("event: "):
                    name = line[7:]
                if line.startswith("data: "):
                    data = json.loads(line[6:])
                if not line and name:
                    return name, data

        self.assertEqual(next_event(), ("downloads", {"downloads": []}))
        begun = self.call("POST", "/api/v1/downloads", {"model": NAME}, 202)
        models_changed = False
        while not (events and events[-1] == "done" and models_changed):
            name, data = next_event()
            models_changed = models_changed or name == "models"
            if name == "download":
                self.assertEqual(data["id"], begun["id"])
                events.append(data["state"])
        # It may run before its beginning is told.
        self.assertIn(list(dict.fromkeys(events)), (["queued", "running", "done"], ["running", "done"]))

    def test_a_kept_token_opens_gated_models_and_can_be_tried_first(self):
        self.repository.gated, self.repository.token = True, "hf_right"
        self.hub.accounts["hf_right"] = "ann"
        tried = self.call("POST", "/api/v1/hub/token-test", {"token": "hf_right"})
        self.assertEqual(tried, {"name": "ann", "token_name": "laptop", "role": "read", "from": "this request"})
        self.assertIn("there is no token", self.call("POST", "/api/v1/hub/token-test", {}, 403)["detail"])
        wrong = self.call("POST", "/api/v1/hub/token-test", {"token": "hf_wrong"}, 403)
        self.assertIn("refuses the token from this request", wrong["detail"])
        self.assertIn("gated", self.call("GET", f"/api/v1/hub/models/{NAME}", check=403)["detail"])

        self.call("PATCH", "/api/v1/settings", {"hf-token": "hf_right"})
        self.assertEqual(self.call("POST", "/api/v1/hub/token-test", {})["from"], "the setting hf-token")
        begun = self.call("POST", "/api/v1/downloads", {"model": NAME}, 202)
        self.assertEqual(self.wait_for(begun["id"], "done", "failed")["state"], "done")
        self.check_whole()
        # The other host that LFS files come from sees no token.
        self.assertEqual({each.token for each in self.hub.seen if each.server == "cdn"}, {None})

        self.call("PATCH", "/api/v1/settings", {"hf-token": None})
        self.call("POST", "/api/v1/hub/token-test", {}, 403)

    def test_listeners_do_not_hold_up_the_end(self):
        connection = http.client.HTTPConnection(self.url.removeprefix("http://"), timeout=TIMEOUT_S)
        self.addCleanup(connection.close)
        connection.request("GET", "/api/v1/events", headers=self.credentials())
        stream = connection.getresponse()
        stream.readline()
        self.server.terminate()
        stream.read()  # to its proper end
        self.assertEqual(self.server.wait(TIMEOUT_S), 0)

    def test_a_killed_server_goes_on_with_its_downloads(self):
        self.hub.repositories[NAME] = small_model(size=20_000_000)
        self.hub.bytes_per_s = 8_000_000
        # Only one server at a time may have the state folder.
        self.server.terminate()
        self.server.wait(TIMEOUT_S)
        child = subprocess.Popen([BINARY, "serve", "--port", "0"], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                 env=self.environment)
        self.addCleanup(end_program, child)
        self.url = child.stdout.readline().decode().split()[-1]
        begun = self.call("POST", "/api/v1/downloads", {"model": NAME}, 202)
        self.wait_for_bytes(begun["id"], 2_000_000)
        for _ in range(3):
            child.kill()
            child.wait()
            child = subprocess.Popen([BINARY, "serve", "--port", "0"], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                     env=self.environment)
            self.addCleanup(end_program, child)
            self.url = child.stdout.readline().decode().split()[-1]
            known = self.call("GET", "/api/v1/downloads")["downloads"]
            self.assertEqual([each["id"] for each in known], [begun["id"]])
        self.hub.bytes_per_s = None
        self.assertEqual(self.wait_for(begun["id"], "done", "failed")["state"], "done")
        self.check_whole()
        self.assertTrue(any(self.ranges()))

    def test_downloads_of_earlier_versions_are_taken_over(self):
        self.server.terminate()
        self.server.wait(TIMEOUT_S)
        folder = os.path.join(self.home, "downloads")
        os.makedirs(folder)
        for name, state in (("aa01", "done"), ("aa02", "paused")):
            with open(os.path.join(folder, name + ".json"), "w", encoding="utf-8") as file:
                json.dump({"id": name, "repository": NAME, "revision": "main", "commit": "", "patterns": ["*.json"],
                           "state": state, "message": "paused", "owns_snapshot": False, "total_bytes": 5,
                           "present_bytes": 3, "created": 100, "ended": 0}, file)
        with open(os.path.join(folder, "torn.json"), "w", encoding="utf-8") as file:
            file.write("{")
        for _ in range(2):
            self.url = self.start_server()
            known = self.call("GET", "/api/v1/downloads")["downloads"]
            self.assertEqual([(each["id"], each["state"], each["present_bytes"]) for each in known],
                             [("aa01", "done", 5), ("aa02", "paused", 3)])
            self.assertEqual(os.listdir(folder), ["torn.json"])
            self.server.terminate()
            self.server.wait(TIMEOUT_S)


class PullThroughServer(ServerTest):
    def downloads(self):
        return self.call("GET", "/api/v1/downloads")["downloads"]

    def test_the_server_downloads_and_the_command_shows_it(self):
        out, err = self.run_program("pull", NAME)
        self.assertEqual(out, self.snapshot() + "\n")
        self.check_whole()
        self.assertIn("model.safetensors  3.00 MB\n", err)
        self.assertEqual([(each["model"], each["state"]) for each in self.downloads()], [(NAME, "done")])
        self.assertEqual([each["id"] for each in self.call("GET", "/api/v1/models")["models"]], [NAME])
        told = json.loads(self.run_program("pull", NAME, "--json", "--include", "*.json")[0])
        self.assertEqual((told["model"], told["path"]), (NAME, self.snapshot()))
        self.assertGreater(told["files"], 0)
        err = self.run_program("pull", "org/none", check=1)[1]
        self.assertIn("cannot download org/none", err)
        self.assertIn("does not exist or is private", err)

    def test_ctrl_c_pauses_what_the_command_began(self):
        self.hub.faults[:] = [("model.safetensors", "hold", 1_000_000)]
        terminal = self.terminal("pull", NAME)
        terminal.expect(r"model\.safetensors .*1\.00 MB of 3\.00 MB")
        terminal.type("\x03")
        terminal.expect("stopped: what came is kept")
        terminal.expect_exit(1)
        self.assertEqual([each["state"] for each in self.downloads()], ["paused"])
        self.run_program("pull", NAME)
        self.assertEqual(self.ranges(), [None, "bytes=1000000-"])
        self.check_whole()

    def test_what_is_under_way_is_joined_and_goes_on_without_the_command(self):
        self.hub.faults[:] = [("model.safetensors", "hold", 1_000_000)]
        begun = self.call("POST", "/api/v1/downloads", {"model": NAME}, 202)
        self.wait_for_bytes(begun["id"], 1_000_000)
        terminal = self.terminal("pull", NAME)
        terminal.expect(r"model\.safetensors .*1\.00 MB of 3\.00 MB")
        terminal.type("\x03")
        terminal.expect("the server goes on with the download")
        terminal.expect_exit(1)
        self.assertEqual([(each["id"], each["state"]) for each in self.downloads()], [(begun["id"], "running")])

    def test_a_server_that_ends_says_what_becomes_of_it(self):
        self.hub.faults[:] = [("model.safetensors", "hold", 1_000_000)]
        terminal = self.terminal("pull", NAME)
        terminal.expect(r"model\.safetensors .*1\.00 MB of 3\.00 MB")
        self.server.kill()
        self.server.wait(TIMEOUT_S)
        terminal.expect("when it starts again it goes on with the download")
        terminal.expect_exit(1)
        self.url = self.start_server()
        self.wait_for(self.downloads()[0]["id"], "done")
        self.check_whole()
        self.assertEqual(self.ranges(), [None, "bytes=1000000-"])
