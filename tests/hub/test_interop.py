"""The same cache for mlxd and for the real huggingface_hub, in both directions."""

import json
import os
import subprocess

from program import REPOSITORY, TIMEOUT_S
from test_pull import NAME, HubTest

PYTHON = os.environ.get("MLXD_HUB_PYTHON", os.path.join(REPOSITORY, ".venv/bin/python"))


class Interop(HubTest):
    def python(self, code, **environment):
        """Runs code with huggingface_hub at hand; what it prints last is JSON."""
        self.assertTrue(os.path.exists(PYTHON), f"no {PYTHON}: run script/bootstrap --test")
        result = subprocess.run([PYTHON, "-c", "import json, huggingface_hub as hub\n" + code], capture_output=True,
                                timeout=TIMEOUT_S, env={**self.environment, "HF_HUB_DISABLE_XET": "1",
                                                        "HF_HUB_DISABLE_TELEMETRY": "1", **environment})
        self.assertEqual(result.returncode, 0, result.stderr.decode())
        return json.loads(result.stdout.decode().splitlines()[-1])

    def test_huggingface_hub_reads_what_we_downloaded(self):
        self.run_program("pull", NAME)
        scan = self.python("scan = hub.scan_cache_dir()\n"
                           "print(json.dumps([[str(each) for each in scan.warnings], scan.size_on_disk,"
                           " [[each.repo_id, each.nb_files, sorted(each.refs)] for each in scan.repos]]))")
        wanted = {path: data for path, data in self.repository.files.items() if path != "pytorch_model.bin"}
        self.assertEqual(scan, [[], sum(map(len, wanted.values())), [[NAME, len(wanted), ["main"]]]])
        path = self.python(f"print(json.dumps(hub.snapshot_download({NAME!r}, local_files_only=True)))",
                           HF_HUB_OFFLINE="1")
        self.assertEqual(os.path.realpath(path), os.path.realpath(self.snapshot()))
        file = self.python(f"print(json.dumps(hub.hf_hub_download({NAME!r}, 'config.json', local_files_only=True)))",
                           HF_HUB_OFFLINE="1")
        with open(file, "rb") as stream:
            self.assertEqual(stream.read(), self.repository.files["config.json"])
        # Online it takes what is there, and brings only what we left out.
        self.hub.seen.clear()
        self.python(f"print(json.dumps(hub.snapshot_download({NAME!r})))")
        self.assertEqual(self.ranges(), [])

    def test_we_read_what_huggingface_hub_downloaded(self):
        path = self.python(f"print(json.dumps(hub.snapshot_download({NAME!r})))")
        listed = json.loads(self.run_program("list", "--json")[0])["models"]
        self.assertEqual([(each["name"], each["path"]) for each in listed], [(NAME, path)])
        self.hub.seen.clear()
        self.assertEqual(self.run_program("pull", NAME)[0], path + "\n")
        self.assertEqual(self.ranges(), [])
        out, _ = self.run_program("rm", NAME)
        self.assertIn("freed", out)
        scan = self.python("scan = hub.scan_cache_dir()\n"
                           "print(json.dumps([len(scan.repos), len(scan.warnings)]))")
        self.assertEqual(scan, [0, 0])

    def test_a_download_that_was_stopped_leaves_a_cache_without_warnings(self):
        self.hub.faults[:] = [("model.safetensors", "corrupt")] * 2
        self.run_program("pull", NAME, check=1)
        scan = self.python("print(json.dumps([str(each) for each in hub.scan_cache_dir().warnings]))")
        self.assertEqual(scan, [])
        # And it completes what we began.
        self.python(f"print(json.dumps(hub.snapshot_download({NAME!r})))")
        self.assertEqual(json.loads(self.run_program("list", "--json")[0])["models"][0]["name"], NAME)
