"""Accounts, keys, settings and profiles on the command line: without a server, and over the API of one that runs."""

import http.client
import json
import os
import random
import re
import signal
import sqlite3
import stat
import subprocess
import threading
import unittest
import urllib.error
import urllib.request

from program import BINARY, MODEL, REPOSITORY, ProgramTest, end_program

PASSWORD = "correct horse\n"


def call(url, method="GET", body=None, key=None):
    """(status, JSON) of a request."""
    request = urllib.request.Request(url, method=method, data=None if body is None else json.dumps(body).encode())
    request.add_header("Content-Type", "application/json")
    if key:
        request.add_header("Authorization", f"Bearer {key}")
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            return response.status, json.loads(response.read() or "null")
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read() or "null")


class Manage(ProgramTest):
    def check_accounts(self):
        out, _ = self.run_program("user", "add", "ann@example.org", "--name", "Ann", stdin=PASSWORD)
        self.assertEqual(out, "made the account ann@example.org, role admin\n")
        self.run_program("user", "add", "bob@example.org", "--role", "viewer", stdin=PASSWORD)
        out, _ = self.run_program("user", "list")
        title, ann, bob = out.splitlines()
        self.assertEqual(title.split(), ["EMAIL", "NAME", "ROLE", "STATUS", "LAST", "LOGIN"])
        self.assertRegex(ann, r"^ann@example.org +Ann +admin +active +never$")
        self.assertRegex(bob, r"^bob@example.org +viewer +active +never$")
        _, err = self.run_program("user", "add", "ann@example.org", stdin=PASSWORD, check=1)
        self.assertEqual(err, "mlxd: ann@example.org has an account already\n")
        _, err = self.run_program("user", "add", "carl@example.org", stdin="short\n", check=1)
        self.assertIn("fewer than 8 characters", err)
        self.assertEqual(self.run_program("user", "role", "bob@example.org", "user")[0],
                         "bob@example.org is now active, role user\n")
        self.assertEqual(self.run_program("user", "disable", "bob@example.org")[0],
                         "bob@example.org is now disabled, role user\n")
        self.run_program("user", "enable", "bob@example.org")
        self.assertIn("new password", self.run_program("user", "reset-password", "bob@example.org",
                                                       stdin="another one\n")[0])
        _, err = self.run_program("user", "role", "ann@example.org", "user", check=1)
        self.assertIn("last active administrator", err)
        _, err = self.run_program("user", "delete", "bob@example.org", check=1)
        self.assertIn("--yes", err)

        out, err = self.run_program("key", "create", "laptop", "--user", "bob@example.org", "--requests-per-minute", "9")
        self.assertRegex(out, r"^mlxd-[A-Za-z0-9_-]{43}\n$")
        self.assertIn("only time", err)
        (key,) = json.loads(self.run_program("key", "list", "--json")[0])["keys"]
        self.assertEqual((key["name"], key["user"], key["requests_per_minute"]), ("laptop", "bob@example.org", 9))
        self.assertTrue(out.startswith(key["hint"]))
        self.assertNotIn(out.strip(), self.run_program("key", "list")[0])
        _, err = self.run_program("key", "create", "other", check=1)
        self.assertIn("--user EMAIL", err)
        return out.strip()

    def finish_accounts(self):
        self.assertEqual(self.run_program("key", "revoke", "laptop")[0], "revoked laptop\n")
        _, err = self.run_program("key", "revoke", "laptop", check=1)
        self.assertIn("there is no key 'laptop'", err)
        self.assertEqual(self.run_program("user", "delete", "bob@example.org", "--yes")[0],
                         "removed bob@example.org with 0 keys and 0 chats\n")

    def test_accounts_and_keys_without_a_server(self):
        self.check_accounts()
        self.finish_accounts()
        for name in ("mlxd.db", "secret.key"):
            self.assertEqual(stat.S_IMODE(os.stat(os.path.join(self.home, name)).st_mode), 0o600, name)

    def test_accounts_and_keys_of_a_running_server(self):
        url = self.start_server()
        self.assertEqual(call(url + "/v1/models")[0], 200)
        self.assertEqual(call(url + "/api/v1/users")[0], 401)
        self.assertEqual(stat.S_IMODE(os.stat(os.path.join(self.home, "server.json")).st_mode), 0o600)
        key = self.check_accounts()
        self.assertEqual(call(url + "/v1/models")[0], 401)
        self.assertEqual(call(url + "/v1/models", key=key)[0], 200)
        self.finish_accounts()
        self.assertEqual(call(url + "/v1/models", key=key)[0], 401)

    def test_settings_are_stored_and_a_running_server_takes_them_over(self):
        url = self.start_server()
        self.assertEqual(self.run_program("config", "get", "session-days")[0], "7\n")
        self.run_program("config", "set", "session-days", "2")
        self.assertEqual(json.loads(self.run_program("config", "get", "session-days", "--json")[0]),
                         {"value": 2, "from": "stored"})
        _, err = self.run_program("config", "set", "port", "4000")
        self.assertIn("next start", err)
        _, err = self.run_program("config", "set", "log_level", "debug", MLXD_LOG_LEVEL="warn")
        self.assertIn("stored, but MLXD_LOG_LEVEL wins: warn", err)
        _, err = self.run_program("config", "set", "session-days", "0", check=1)
        self.assertEqual(err, "mlxd: session-days: '0' is not a whole number from 1 to 365\n")
        _, err = self.run_program("config", "set", "sesion-days", "1", check=1)
        self.assertIn("nearest: session-days", err)
        self.run_program("config", "set", "hf-token", stdin="hf_secret\n")
        _, err = self.run_program("config", "get", "hf-token", check=1)
        self.assertIn("never shown", err)
        out, _ = self.run_program("config")
        self.assertRegex(out, r"(?m)^session-days +2 +stored$")
        self.assertNotIn("hf_secret", out)
        self.run_program("config", "unset", "session-days")
        self.assertEqual(self.run_program("config", "get", "session-days")[0], "7\n")
        with open(os.path.join(self.home, "server.json"), encoding="utf-8") as file:
            token = json.load(file)["token"]
        settings = {entry["name"]: entry for entry in call(url + "/api/v1/settings", key=token)[1]["settings"]}
        self.assertEqual(settings["log-level"]["value"], "debug")
        self.assertTrue(settings["port"]["from"].startswith("--port"))

    def test_profiles_come_from_files_and_go_to_them(self):
        text = 'name = "Brief"\nmodel = "some/model"\n[defaults]\ntemperature = 0.5\nsystem = "Be brief."\n'
        self.assertEqual(self.run_program("profile", "import", "-", stdin=text)[0], "made the profile Brief\n")
        exported, _ = self.run_program("profile", "export", "brief")
        self.assertIn("temperature = 0.5", exported)
        self.assertEqual(self.run_program("profile", "duplicate", "Brief", "--as", "Short")[0],
                         "made the profile Short\n")
        self.assertEqual([line.split()[0] for line in self.run_program("profile", "list")[0].splitlines()],
                         ["NAME", "Brief", "Short"])
        self.run_program("profile", "delete", "Short")
        path = os.path.join(self.home, "wrong.toml")
        with open(path, "w", encoding="utf-8") as file:
            file.write('name = "x"\nmodel = "y"\n[defaults]\ntemperature = 9\n')
        _, err = self.run_program("profile", "import", path, check=1)
        self.assertIn("temperature is 9", err)

    def test_a_server_that_was_killed_is_not_asked(self):
        child = subprocess.Popen([BINARY, "serve", "--port", "0"], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                 env=self.environment)
        self.addCleanup(end_program, child)
        child.stdout.readline()
        child.kill()
        child.wait()
        self.assertTrue(os.path.exists(os.path.join(self.home, "server.json")))
        self.assertEqual(json.loads(self.run_program("user", "list", "--json")[0]), {"users": []})

    def test_the_setup_link_is_told_until_there_is_an_account(self):
        def told():
            child = subprocess.Popen([BINARY, "serve", "--port", "0"], stdout=subprocess.PIPE,
                                     stderr=subprocess.PIPE, env=self.environment)
            self.addCleanup(end_program, child)
            child.stdout.readline()
            child.send_signal(signal.SIGTERM)
            return child.communicate(timeout=60)[1].decode()
        link = re.search(r"http://127\.0\.0\.1:\d+/#setup=([A-Za-z0-9_-]{43})", told())
        self.assertTrue(link)
        with open(os.path.join(self.home, "setup.token"), encoding="utf-8") as file:
            self.assertEqual(file.read().strip(), link.group(1))
        self.run_program("user", "add", "ann@example.org", stdin=PASSWORD)
        self.assertNotIn("#setup=", told())

    def test_a_newer_or_damaged_database_is_refused_with_what_to_do(self):
        self.run_program("user", "list")
        path = os.path.join(self.home, "mlxd.db")
        with sqlite3.connect(path) as database:
            database.execute("PRAGMA user_version = 9999")
        database.close()
        for command in (["serve"], ["user", "list"], ["config"]):
            _, err = self.run_program(*command, check=1)
            self.assertIn(f"{path} has version 9999", err)
        for end in ("", "-wal", "-shm"):
            if os.path.exists(path + end):
                os.remove(path + end)
        with open(path, "wb") as file:
            file.write(b"no database at all" * 500)
        _, err = self.run_program("user", "list", check=1)
        self.assertIn("is damaged", err)

    def test_the_settings_page_names_every_flag_of_serve(self):
        out, _ = self.run_program("serve", "--help")
        with open(os.path.join(REPOSITORY, "docs/settings.md"), encoding="utf-8") as file:
            page = file.read()
        for name in re.findall(r"^\| `([a-z-]+)` \|", page, re.MULTILINE):
            if name != "hf-token":
                self.assertIn("--" + name, out)


    def test_the_examples_of_the_api_docs_run(self):
        url = self.start_server()
        with open(os.path.join(REPOSITORY, "docs/api/manage.md"), encoding="utf-8") as file:
            script = re.search(r"```sh\n(.*?)```", file.read(), re.DOTALL).group(1)
        with open(os.path.join(self.home, "setup.token"), encoding="utf-8") as file:
            token = file.read().strip()
        script = script.replace("http://127.0.0.1:10242", url).replace("curl -s", "curl -s -f -w '\\n'")
        result = subprocess.run(["bash", "-euo", "pipefail", "-c", script], capture_output=True, timeout=60,
                                env={**self.environment, "SETUP_TOKEN": token})
        self.assertEqual(result.returncode, 0, result.stderr.decode() + result.stdout.decode())
        answers = [json.loads(line) for line in result.stdout.decode().splitlines() if line.strip()]
        self.assertFalse(answers[0]["has_users"])
        self.assertEqual(answers[2]["user"]["email"], "ann@example.org")
        self.assertTrue(answers[3]["key"].startswith("mlxd-"))
        self.assertEqual(answers[4]["defaults"]["max_tokens"], 100)


class Kills(ProgramTest):
    with_model = True

    def test_a_kill_loses_nothing_that_was_answered(self):
        """kill -9 at random points of settings writes and requests; after each the database is whole."""
        seed = random.randrange(1 << 30)
        chance = random.Random(seed)
        last = 900
        for round_number in range(20):
            with self.subTest(seed=seed, round=round_number):
                child = subprocess.Popen([BINARY, "serve", "--port", "0", "--threads", "1"], stdout=subprocess.PIPE,
                                         stderr=subprocess.PIPE, env=self.environment)
                self.addCleanup(end_program, child)
                line = child.stdout.readline().decode()
                self.assertIn("ready", line, line or child.stderr.read().decode())
                url = line.split()[-1]
                with open(os.path.join(self.home, "server.json"), encoding="utf-8") as file:
                    token = json.load(file)["token"]
                found = {entry["name"]: entry["value"]
                         for entry in call(url + "/api/v1/settings", key=token)[1]["settings"]}["request-timeout"]
                # A write that was under way may have been committed, though nobody was told.
                self.assertIn(found, (last, last + 1))
                last = found
                stop = threading.Event()

                def generate():
                    body = {"model": MODEL, "prompt": "Once", "max_tokens": 8}
                    while not stop.is_set():
                        try:
                            call(url + "/v1/completions", "POST", body)
                        except (OSError, ValueError, http.client.HTTPException):
                            return

                worker = threading.Thread(target=generate)
                worker.start()
                killer = threading.Timer(chance.uniform(0.0, 0.15), child.kill)
                killer.start()
                try:
                    while True:
                        status, _ = call(url + "/api/v1/settings", "PATCH", {"request-timeout": last + 1}, token)
                        self.assertEqual(status, 200)
                        last += 1
                except (OSError, ValueError, http.client.HTTPException):
                    pass
                stop.set()
                killer.join()
                worker.join()
                child.wait()
        database = sqlite3.connect(os.path.join(self.home, "mlxd.db"))
        self.assertEqual(database.execute("PRAGMA integrity_check").fetchall(), [("ok",)])
        database.close()


if __name__ == "__main__":
    unittest.main()
