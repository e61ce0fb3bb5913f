"""`mlxd pull`, `search`, `show`, `rm` and `list` against a hub that misbehaves."""

import json
import os
import random
import signal
import subprocess
import time
import unittest

from fixture_hub import FixtureHub, small_model
from program import BINARY, TIMEOUT_S, ProgramTest

NAME = "org/model"
FOLDER = "models--org--model"


class HubTest(ProgramTest):
    def setUp(self):
        super().setUp()
        self.hub = FixtureHub({NAME: small_model()})
        self.addCleanup(self.hub.close)
        self.cache = self.environment["HF_HUB_CACHE"]
        self.environment.update(HF_ENDPOINT=self.hub.url, HF_HOME=os.path.join(self.home, "hf"), NO_PROXY="127.0.0.1")

    @property
    def repository(self):
        return self.hub.repositories[NAME]

    def snapshot(self, commit=None):
        return os.path.join(self.cache, FOLDER, "snapshots", commit or self.repository.commit)

    def check_whole(self):
        """Every file that was wanted is there, a link to a blob of its name and hash, and nothing else is."""
        repository = self.repository
        wanted = sorted(path for path in repository.files if path != "pytorch_model.bin")
        self.assertEqual(sorted(os.listdir(self.snapshot())), wanted)
        for path in wanted:
            link = os.path.join(self.snapshot(), path)
            self.assertEqual(os.readlink(link), f"../../blobs/{repository.etag(path)}")
            with open(link, "rb") as file:
                self.assertEqual(file.read(), repository.files[path], path)
        self.assertEqual(sorted(os.listdir(os.path.join(self.cache, FOLDER, "blobs"))),
                         sorted({repository.etag(path) for path in wanted}))
        with open(os.path.join(self.cache, FOLDER, "refs", "main"), encoding="utf-8") as file:
            self.assertEqual(file.read(), repository.commit)

    def ranges(self):
        return [each.range for each in self.hub.requests("model.safetensors", "cdn") if each.method == "GET"]


class Pull(HubTest):
    def test_brings_a_model_into_the_cache(self):
        out, err = self.run_program("pull", NAME)
        self.assertEqual(out, self.snapshot() + "\n")
        self.check_whole()
        self.assertIn("model.safetensors  3.00 MB\n", err)
        self.assertIn("100 %", err)
        self.assertNotIn("\r", err)
        self.assertTrue(all(each.agent.startswith("mlxd/") for each in self.hub.seen))
        # Again: nothing is read again but the list.
        before = len(self.hub.requests("model.safetensors"))
        told = json.loads(self.run_program("pull", NAME, "--json")[0])
        self.assertEqual(told["path"], self.snapshot())
        self.assertEqual(len(self.hub.requests("model.safetensors")), before)
        self.assertIn(NAME, self.run_program("list")[0])

    def test_faults_on_the_way_change_nothing_in_the_end(self):
        faults = [
            [("model.safetensors", "cut", 1_000_000), ("model.safetensors", "cut", 500_000)],
            [("model.safetensors", "cut", 1_000_000), ("model.safetensors", "ignore-range")],
            [("model.safetensors", "cut", 1_000_000), ("model.safetensors", "wrong-range")],
            [("model.safetensors", "corrupt")],
            [("model.safetensors", "status", 503), ("config.json", "status", 500)],
            [("tokenizer.json", "cut", 100), ("model.safetensors", "drop"), ("/revision/main", "status", 502)],
        ]
        for case in faults:
            with self.subTest(case):
                self.hub.seen.clear()
                self.hub.faults[:] = case
                self.run_program("pull", NAME)
                self.assertEqual(self.hub.faults, [])
                self.check_whole()
                self.run_program("rm", NAME)
                self.assertEqual(os.listdir(self.cache), [".locks"])

    def test_goes_on_at_the_byte(self):
        self.hub.faults[:] = [("model.safetensors", "cut", 1_000_000), ("model.safetensors", "cut", 500_000)]
        self.run_program("pull", NAME)
        self.assertEqual(self.ranges(), [None, "bytes=1000000-", "bytes=1500000-"])
        self.check_whole()

    def test_a_checksum_that_stays_wrong_is_an_error_and_leaves_no_model(self):
        self.hub.faults[:] = [("model.safetensors", "corrupt")] * 2
        _, err = self.run_program("pull", NAME, check=1)
        self.assertRegex(err, "mlxd: cannot download org/model: model.safetensors of org/model does not have the checksum")
        self.assertFalse(os.path.lexists(os.path.join(self.snapshot(), "model.safetensors")))
        self.assertFalse(os.path.exists(os.path.join(self.cache, FOLDER, "refs")))
        self.run_program("pull", NAME)
        self.check_whole()

    def test_waits_as_long_as_the_hub_asks(self):
        self.hub.faults[:] = [("model.safetensors", "status", 429, 2), ("/revision/main", "status", 429, 1)]
        begin = time.monotonic()
        self.run_program("pull", NAME)
        self.assertGreaterEqual(time.monotonic() - begin, 3)
        self.check_whole()

    def test_the_token_goes_to_no_other_host(self):
        self.hub.repositories[NAME] = small_model(gated=True, token="hf_secret")
        self.run_program("pull", NAME, HF_TOKEN="hf_secret")
        self.check_whole()
        self.assertTrue(all(each.token == "Bearer hf_secret" for each in self.hub.seen if each.server == "front"))
        self.assertEqual([each.token for each in self.hub.seen if each.server == "cdn"], [None])
        # The same from the file that `hf auth login` writes.
        self.run_program("rm", NAME)
        os.makedirs(self.environment["HF_HOME"])
        with open(os.path.join(self.environment["HF_HOME"], "token"), "w", encoding="utf-8") as file:
            file.write("hf_secret\n")
        self.run_program("pull", NAME)
        self.check_whole()

    def test_refusals_say_what_to_do(self):
        self.hub.repositories["org/gated"] = small_model(gated=True, token="hf_secret")
        _, err = self.run_program("pull", "org/gated", check=1)
        self.assertIn(f"org/gated is gated: accept its licence at {self.hub.url}/org/gated", err)
        self.assertIn("HF_TOKEN", err)
        _, err = self.run_program("pull", "org/gated", check=1, HF_TOKEN="hf_other")
        self.assertIn("org/gated is gated and the account of your token (from HF_TOKEN) may not read it", err)
        self.assertNotIn("hf_other", err)
        _, err = self.run_program("pull", "org/none", check=1)
        self.assertIn("org/none does not exist or is private", err)
        _, err = self.run_program("pull", NAME + "@v9", check=1)
        self.assertIn("org/model has no such revision", err)
        _, err = self.run_program("pull", NAME, check=1, HF_HUB_OFFLINE="1")
        self.assertIn("offline mode is on", err)
        _, err = self.run_program("pull", NAME, check=1, HF_TOKEN="two words")
        self.assertIn("the token of HF_TOKEN is none", err)
        _, err = self.run_program("pull", "../model", check=1)
        self.assertIn("is no repository of the hub", err)
        self.assertFalse(os.path.exists(self.cache) and [each for each in os.listdir(self.cache) if each != ".locks"])

    def test_a_repository_without_a_model_is_refused_unless_files_are_named(self):
        del self.repository.files["model.safetensors"]
        _, err = self.run_program("pull", NAME, check=1)
        self.assertIn("has no files that a model needs", err)
        self.run_program("pull", NAME, "--include", "*.bin")
        self.assertEqual(os.listdir(self.snapshot()), ["pytorch_model.bin"])

    def test_a_lost_network_comes_back(self):
        self.hub.faults[:] = [("model.safetensors", "cut", 1_000_000)] + [("model.safetensors", "drop")] * 3
        _, err = self.run_program("pull", NAME)
        self.assertIn("waiting: ", err)
        self.check_whole()

    def test_twenty_kills(self):
        seed = random.randrange(1 << 32)
        print(f"seed {seed}", end=" ", flush=True)
        chance = random.Random(seed)
        self.hub.repositories[NAME] = small_model(size=20_000_000)
        self.hub.bytes_per_s = 6_000_000
        kills = 0
        while kills < 20:
            child = subprocess.Popen([BINARY, "pull", NAME], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                     env=self.environment)
            try:
                child.wait(chance.uniform(0.02, 0.3))
            except subprocess.TimeoutExpired:
                child.send_signal(signal.SIGKILL)
                child.wait()
                kills += 1
                # Whatever has a name is whole.
                for folder, _, files in os.walk(self.snapshot()):
                    for name in files:
                        with open(os.path.join(folder, name), "rb") as file:
                            self.assertEqual(file.read(), self.repository.files[name], name)
                continue
            # It ended before its time: begin anew, so that there are twenty in mid-flight.
            self.assertEqual(child.returncode, 0)
            self.run_program("rm", NAME)
        self.hub.bytes_per_s = None
        self.run_program("pull", NAME)
        self.check_whole()

    def test_two_programs_share_the_work(self):
        self.hub.bytes_per_s = 3_000_000
        children = [subprocess.Popen([BINARY, "pull", NAME], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                     env=self.environment) for _ in range(2)]
        for child in children:
            out, err = child.communicate(timeout=TIMEOUT_S)
            self.assertEqual(child.returncode, 0, err)
            self.assertEqual(out.decode(), self.snapshot() + "\n")
        self.check_whole()
        self.assertEqual(len(self.ranges()), 1)

    def test_ctrl_c_keeps_what_came(self):
        self.hub.faults[:] = [("model.safetensors", "hold", 1_000_000)]
        terminal = self.terminal("pull", NAME)
        terminal.expect(r"model\.safetensors .*1\.00 MB of 3\.00 MB")
        terminal.type("\x03")
        terminal.expect("stopped: what came is kept")
        terminal.expect_exit(1)
        self.run_program("pull", NAME)
        self.assertEqual(self.ranges(), [None, "bytes=1000000-"])
        self.check_whole()

    def test_a_new_revision_takes_only_what_is_new_and_rm_keeps_what_the_other_uses(self):
        self.run_program("pull", NAME)
        old = self.repository
        self.hub.old[NAME, old.commit] = old
        self.hub.repositories[NAME] = small_model()
        self.repository.files["config.json"] = b'{"model_type": "llama"}'
        self.run_program("pull", NAME)
        self.assertEqual(len(self.ranges()), 1)
        out, _ = self.run_program("rm", f"{NAME}@{old.commit}")
        self.assertRegex(out, r"removed org/model@\w+: \d+ B freed")
        self.check_whole()


class Look(HubTest):
    def test_search_lists_a_page(self):
        self.hub.repositories.update({f"org/other-{index}": small_model(10) for index in range(5)})
        out, _ = self.run_program("search", "other", "--limit", "3")
        self.assertEqual([line.split()[0] for line in out.splitlines()],
                         ["NAME", "org/other-0", "org/other-1", "org/other-2"])
        self.assertEqual(len(self.hub.requests("/api/models")), 1)
        found = json.loads(self.run_program("search", "--author", "org", "--json")[0])["models"]
        self.assertEqual(len(found), 6)
        self.assertEqual(found[0]["architecture"], "llama")
        _, err = self.run_program("search", "--sort", "size", check=1)
        self.assertIn("'size' is no order", err)

    def test_show_tells_of_the_hub_what_is_not_here(self):
        shown = json.loads(self.run_program("show", NAME, "--json")[0])
        self.assertEqual((shown["source"], shown["fits"], shown["context_tokens"]), ("hub", "fits", 2048))
        self.assertGreater(shown["weight_bytes"], 3_000_000)
        self.assertEqual(shown["kv_bytes"], 2048 * 2 * 2 * 64 * 2)

    def test_rm_takes_whole_names_only(self):
        self.run_program("pull", NAME)
        _, err = self.run_program("rm", "model", check=1)
        self.assertIn("there is no model 'model'; nearest: org/model", err)
        out, _ = self.run_program("rm", NAME)
        self.assertIn("removed org/model: 3.0", out)
        self.assertEqual(os.listdir(self.cache), [".locks"])
        folder = os.path.join(self.home, "models", "own")
        os.makedirs(folder)
        with open(os.path.join(folder, "config.json"), "w", encoding="utf-8") as file:
            file.write("{}")
        self.run_program("rm", "own")
        self.assertFalse(os.path.exists(folder))


if __name__ == "__main__":
    unittest.main()
