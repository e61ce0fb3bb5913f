"""The manual page, the recommended models and the log files."""

import json
import os
import shutil
import subprocess
import time
import unittest
import urllib.error
import urllib.request

from program import TIMEOUT_S, ProgramTest


class ServerTest(ProgramTest):
    def call(self, method, path, body=None, check=200, headers=None):
        """(JSON, headers) of the owner's request."""
        with open(os.path.join(self.home, "server.json"), encoding="utf-8") as file:
            token = json.load(file)["token"]
        request = urllib.request.Request(self.url + path, method=method, data=None if body is None else json.dumps(body).encode(),
                                         headers={"Content-Type": "application/json", "Authorization": f"Bearer {token}",
                                                  **(headers or {})})
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
                status, text, head = answer.status, answer.read(), answer.headers
        except urllib.error.HTTPError as error:
            status, text, head = error.code, error.read(), error.headers
        self.assertEqual(status, check, text)
        return (json.loads(text) if text else None), head

    def models(self):
        return {each["id"]: each for each in self.call("GET", "/api/v1/models")[0]["models"]}

    def eventually(self, look, wanted):
        deadline = time.monotonic() + TIMEOUT_S
        while time.monotonic() < deadline:
            found = look()
            if found == wanted:
                return
            time.sleep(0.02)
        self.assertEqual(found, wanted)

    def change(self, **settings):
        self.call("PATCH", "/api/v1/settings", {name.replace("_", "-"): value for name, value in settings.items()})

    def folder_with_model(self, name):
        folder = os.path.join(self.make_home(), "more")
        os.makedirs(folder)
        os.symlink(MODEL_FOLDER, os.path.join(folder, name))
        return folder


class LogFiles(ServerTest):
    def test_they_are_put_aside_at_their_size_and_the_oldest_goes(self):
        self.url = self.start_server("--log-level", "debug", "--log-files", "3", "--log-file-size", "1500")
        for number in range(30):
            self.call("POST", "/v1/completions", {"model": f"none-{number}", "prompt": "x"}, check=404)
            self.call("PATCH", "/api/v1/settings", {"log-level": "debug" if number % 2 else "trace"})
        self.server.terminate()
        self.server.communicate(timeout=TIMEOUT_S)
        logs = os.path.join(self.home, "logs")
        sizes = {name: os.path.getsize(os.path.join(logs, name)) for name in os.listdir(logs)}
        self.assertLessEqual(set(sizes), {"mlxd.log", "mlxd.1.log", "mlxd.2.log"})
        self.assertTrue(all(size < 3000 for size in sizes.values()), sizes)
        with open(os.path.join(logs, "mlxd.log"), encoding="utf-8") as file:
            self.assertRegex(file.read(), r"(?m)^\d{4}-\d\d-\d\dT[\d:.]+ \w+ +\S")


class ManualPage(ProgramTest):
    def test_it_tells_every_command_and_setting(self):
        page, _ = self.run_program("man")
        plain = page.replace("\\-", "-").replace("\\fB", "").replace("\\fR", "").replace("\\fI", "")
        with_commands = self.run_program("--help")[0]
        commands = [line.split()[0] for line in with_commands.split("Subcommands:\n")[1].splitlines() if line.startswith("  ") and line[2] != " "]
        self.assertGreater(len(commands), 20)
        for command in commands:
            self.assertRegex(plain, rf"(?m)^\.SS mlxd {command}\b")
        settings = json.loads(self.run_program("config", "--json")[0])
        for name in settings:
            if name != "home":
                self.assertIn(f"--{name}", plain)
        for section in ("NAME", "SYNOPSIS", "COMMANDS", "SETTINGS", "FILES", "EXIT STATUS"):
            self.assertIn(f"\n.SH {section}\n", page)

    def test_manual_readers_find_nothing_wrong_with_it(self):
        page, _ = self.run_program("man")
        readers = [command for command in (["mandoc", "-T", "lint", "-W", "error"], ["groff", "-man", "-Tutf8", "-ww", "-z"],
                                           ["man", "-l", "-"]) if shutil.which(command[0])]
        if not readers:
            self.skipTest("neither mandoc nor groff nor man is here")
        for command in readers:
            done = subprocess.run(command, input=page.encode(), capture_output=True, timeout=TIMEOUT_S,
                                  env={**os.environ, "MANPAGER": "cat", "PAGER": "cat", "MANWIDTH": "100"})
            self.assertEqual((done.returncode, done.stderr), (0, b""), command)
            if command[0] == "man":
                self.assertIn("MLXD(1)", done.stdout.decode())


class Recommended(ServerTest):
    def test_the_same_list_is_told_by_the_command_line_and_the_api(self):
        self.url = self.start_server(HF_HUB_OFFLINE="1")
        told, _ = self.call("GET", "/api/v1/hub/recommended")
        said = json.loads(self.run_program("search", "--recommended", "--json")[0])
        self.assertEqual(told["as_of"], said["as_of"])
        self.assertEqual([(each["id"], each["fit"]["verdict"], each["recommended"]) for each in told["models"]],
                         [(each["name"], each["fit"], each["recommended"]) for each in said["models"]])
        self.assertTrue(all(each["supported"] and not each["here"] for each in told["models"]))
        for each in told["models"]:
            if each["recommended"]:
                self.assertEqual(each["fit"]["verdict"], "fits")
        self.call("GET", "/api/v1/hub/recommended?colour=x", check=400)
        self.run_program("search", "--recommended", "text", check=2)


if __name__ == "__main__":
    unittest.main()
