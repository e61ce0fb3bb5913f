"""Several models under one memory budget: a server with two copies of the demo model, seen from outside."""

import concurrent.futures
import json
import os
import re
import shutil
import threading
import time
import unittest
import urllib.error
import urllib.request

from program import MODEL_FOLDER, ProgramTest

# Room for one copy and some K/V, not for two.
BUDGET = 180_000_000
PROMPTS = ("Once upon a time", "The capital of France is", "def fibonacci(n):", "Water boils when")


OWNER = {}  # address of a server: the token of who started it


def call(url, path, body=None, method=None):
    """(status, parsed answer)"""
    data = None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {OWNER[url]}"}
    request = urllib.request.Request(url + path, data, headers, method=method)
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


class Pool(ProgramTest):
    def setUp(self):
        super().setUp()
        self.assertTrue(os.path.isfile(os.path.join(MODEL_FOLDER, "config.json")),
                        f"no demo model in {MODEL_FOLDER}: make it with script/demo-model")
        for name in ("first", "second"):
            folder = os.path.join(self.home, "models", name)
            os.makedirs(folder)
            for file in os.listdir(MODEL_FOLDER):
                source = os.path.realpath(os.path.join(MODEL_FOLDER, file))
                if os.path.isfile(source):
                    try:
                        os.link(source, os.path.join(folder, file))
                    except OSError:
                        shutil.copy(source, folder)

    def serve(self, *arguments):
        context = () if "--context" in arguments else ("--context", "512")
        self.url = self.start_server("--log-level", "error", *context, *arguments)
        with open(os.path.join(self.home, "server.json"), encoding="utf-8") as file:
            OWNER[self.url] = json.load(file)["token"]
        return self.url

    def ask(self, model, prompt, tokens=24, **more):
        status, answer = call(self.url, "/v1/completions", {"model": model, "prompt": prompt, "temperature": 0,
                                                            "max_tokens": tokens, **more})
        self.assertEqual(status, 200, answer)
        return answer["choices"][0]["text"]

    def servers(self):
        return {server["model"]: server for server in call(self.url, "/api/v1/servers")[1]["servers"]}

    @unittest.skipIf(os.environ.get("MLXD_SANITIZE"), "sanitizers keep freed memory")
    def test_two_models_larger_together_than_the_budget_alternate_under_load(self):
        self.serve("--memory", str(BUDGET), "--swap-wait", "1s")
        process = call(self.url, "/api/v1/servers")[1]["process"]
        alone = {}
        for prompt in PROMPTS:
            alone[prompt] = self.ask("first", prompt)
        before = process["anonymous_bytes"] + process["locked_bytes"]
        models = self.servers()
        # What the program itself takes beside its models, as one of them was there already.
        own = max(0, before - sum(server["memory"]["reserved_bytes"] for server in models.values()))
        done, peak, over = threading.Event(), [0], []

        def watch():
            while not done.is_set():
                pool = call(self.url, "/api/v1/servers")[1]
                held = pool["process"]["anonymous_bytes"] + pool["process"]["locked_bytes"]
                peak[0] = max(peak[0], held)
                if pool["budget"]["reserved_bytes"] > BUDGET:
                    over.append(pool)
                time.sleep(0.02)

        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            with concurrent.futures.ThreadPoolExecutor(6) as crowd:
                wishes = [(("first", "second")[(i // 3) % 2], PROMPTS[i % len(PROMPTS)]) for i in range(48)]
                answers = list(crowd.map(lambda wish: (wish, self.ask(*wish)), wishes))
        finally:
            done.set()
            watcher.join()
        for (model, prompt), text in answers:
            self.assertEqual(text, alone[prompt], model)
        self.assertEqual(over, [])
        self.assertLessEqual(peak[0] - own, BUDGET * 1.05)
        models = self.servers()
        self.assertGreater(models["first"]["loads"] + models["second"]["loads"], 3)
        self.assertEqual({name: server["last_error"] for name, server in models.items()},
                         {"first": None, "second": None})

    def test_shows_loads_pins_and_unloads(self):
        self.serve("--memory", "1GB")
        status, loading = call(self.url, "/api/v1/servers", {"model": "second", "keep_alive": "30m", "pin": True})
        self.assertIn(status, (200, 202))
        self.assertTrue(loading["pinned"])
        with urllib.request.urlopen(self.url + "/api/v1/servers/second/events") as events:
            steps = [json.loads(line[6:]) for line in events.read().decode().splitlines() if line.startswith("data: ")]
        names = [step["step"] for step in steps]
        self.assertEqual(names[0], "waiting")
        self.assertEqual(names[-1], "ready")
        for step in ("reading", "preparing", "warming_up"):
            self.assertIn(step, names)
        fractions = [step["fraction"] for step in steps if step["step"] == "reading"]
        self.assertEqual(fractions, sorted(fractions))
        server = self.servers()["second"]
        self.assertEqual((server["state"], server["in_use"], server["pinned"]), ("ready", 0, True))
        self.assertGreater(server["memory"]["weight_bytes"], 50_000_000)
        self.assertGreaterEqual(server["memory"]["reserved_bytes"],
                                sum(server["memory"][part + "_bytes"]
                                    for part in ("weight", "kv", "scratch", "adapter", "tokenizer")))
        out, _ = self.run_program("ps")
        self.assertRegex(out, r"MODEL +STATE +MEMORY +K/V +IN USE +TOKENS/S +STAYS\n")
        self.assertRegex(out, r"\nsecond +ready +\S+ MB +0 % +0 +0 +pinned\n")
        self.assertRegex(out, r"\nmemory: .* of 1\.00 GB\n$")
        out, _ = self.run_program("ps", "--json")
        self.assertEqual(json.loads(out)["budget"]["bytes"], 1_000_000_000)
        status, server = call(self.url, "/api/v1/servers/second/unpin", {})
        self.assertEqual((status, server["pinned"]), (200, False))
        out, _ = self.run_program("stop", "second")
        self.assertEqual(out, "unloaded second\n")
        self.assertEqual(self.servers()["second"]["state"], "unloaded")
        _, err = self.run_program("stop", "second", check=1)
        self.assertEqual(err, "mlxd: model 'second' is not loaded\n")
        _, err = self.run_program("ps", "--home", os.path.join(self.home, "elsewhere"), check=1)
        self.assertIn("no server runs on", err)

    def test_preloads_in_the_background_and_keeps(self):
        self.serve("--memory", "1GB", "--model", "first", "--preload", "second", "--keep-alive", "0s")
        with urllib.request.urlopen(self.url + "/api/v1/servers/second/events") as events:
            self.assertIn('"step":"ready"', events.read().decode())
        self.ask("second", PROMPTS[0], tokens=2)
        servers = self.servers()
        self.assertEqual([servers[name]["state"] for name in ("first", "second")], ["ready", "ready"])
        self.assertTrue(servers["first"]["preloaded"] and servers["second"]["preloaded"])
        # Others go at once, as told.
        self.run_program("stop", "second")
        self.ask("second", PROMPTS[0], tokens=2)
        while self.servers()["second"]["state"] not in ("unloaded",):
            time.sleep(0.01)

    def test_a_torn_model_says_why_everywhere(self):
        with open(os.path.join(MODEL_FOLDER, "model.safetensors"), "rb") as file:
            weights = file.read()
        torn = os.path.join(self.home, "models", "second", "model.safetensors")
        os.remove(torn)
        with open(torn, "wb") as file:
            file.write(weights[: len(weights) // 2])
        self.serve("--memory", "1GB", "--model", "first")
        with concurrent.futures.ThreadPoolExecutor(4) as crowd:
            answers = list(crowd.map(
                lambda _: call(self.url, "/v1/completions", {"model": "second", "prompt": "a"}), range(4)))
        for status, answer in answers:
            self.assertEqual(status, 500, answer)
            self.assertIn("model.safetensors", answer["error"]["message"])
        server = self.servers()["second"]
        self.assertEqual(server["state"], "failed")
        self.assertIn("model.safetensors", server["last_error"]["message"])
        self.assertRegex(self.run_program("ps")[0],
                         re.compile(r"^second: .*model\.safetensors", re.M))

    def test_tells_needs_and_availability_and_changes_while_it_runs(self):
        self.serve("--memory", "120MB", "--context", "2048")
        status, answer = call(self.url, "/v1/completions", {"model": "first", "prompt": "a", "max_tokens": 1})
        self.assertEqual(status, 503)
        self.assertRegex(answer["error"]["message"],
                         r"model 'first' needs 0\.\d\d GB \(0\.\d\d GB of weights and scratch, 0\.\d\d GB of K/V at "
                         r"the least\), the memory for models is 0\.12 GB: raise --memory")
        status, pool = call(self.url, "/api/v1/servers", {"memory": "400MB", "eviction": "lfu", "swap_wait": 2}, "PATCH")
        self.assertEqual(status, 200, pool)
        self.assertEqual(pool["settings"], {"eviction": "lfu", "keep_alive_s": None, "swap_wait_s": 2})
        self.ask("first", "a", tokens=1)
        for body, part in (({"memory": "lots"}, "memory"), ({"eviction": "fifo"}, "eviction"), ({"x": 1}, "x")):
            status, problem = call(self.url, "/api/v1/servers", body, "PATCH")
            self.assertEqual((status, problem["status"], problem["field"]), (400, 400, part), problem)
        status, problem = call(self.url, "/api/v1/servers", {"model": "third"})
        self.assertEqual((status, problem["code"]), (404, "not_found"))
