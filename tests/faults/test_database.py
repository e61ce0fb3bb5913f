"""A database whose file is damaged: said plainly, with where the backup is, and never a crash."""

import os
import random
import shutil
import sqlite3
import subprocess
import sys

from fault_test import FaultTest
from program import BINARY, TIMEOUT_S

PAGE = 4096


class DamagedDatabase(FaultTest):
    def setUp(self):
        super().setUp()
        server = self.start()
        for number in range(40):
            self.ask(server, "POST", "/api/v1/profiles", {"name": f"p{number}", "model": "m", "description": "d" * 3000})
        self.assertEqual(server.end()[0], 0)
        self.file = os.path.join(self.home, "mlxd.db")
        with open(self.file, "rb") as file:
            self.whole = file.read()
        self.assertGreater(len(self.whole), 20 * PAGE)

    def damage(self, at, bytes_):
        self.write(self.whole[:at] + bytes_ + self.whole[at + len(bytes_):])

    def write(self, data):
        for suffix in ("-wal", "-shm"):
            if os.path.exists(self.file + suffix):
                os.remove(self.file + suffix)
        with open(self.file, "wb") as file:
            file.write(data)

    def serve(self, *more):
        """(exit code, standard error) of a server that is ended after a while if it runs."""
        child = subprocess.Popen([BINARY, "serve", "--port", "0", *more], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                 env=self.environment)
        if child.stdout.readline():
            child.terminate()
        err = child.communicate(timeout=TIMEOUT_S)[1].decode()
        return child.returncode, err

    def test_the_message_names_the_file_and_the_newest_backup(self):
        self.damage(PAGE, b"\xff" * PAGE)
        code, err = self.serve()
        self.assertEqual(code, 1, err)
        self.assertIn(f"the database {self.file} is damaged", err)
        self.assertIn("there is no backup beside it", err)
        for version in ("2", "11"):
            shutil.copy(self.file, f"{self.file}.backup-v{version}")
        code, err = self.serve()
        self.assertEqual(code, 1, err)
        self.assertIn(f"the newest backup is {self.file}.backup-v11", err)
        for command in (("config",), ("user", "list"), ("profile", "list"), ("run", "hello")):
            _, err = self.run_program(*command, check=1)
            self.assertIn(f"{self.file}.backup-v11", err, command)
        # As it says: the backup in its place, and all is there again.
        with open(f"{self.file}.backup-v11", "wb") as file:
            file.write(self.whole)
        os.replace(f"{self.file}.backup-v11", self.file)
        server = self.start()
        self.assertEqual(len(self.ask(server, "GET", "/api/v1/profiles")["profiles"]), 40)

    def test_no_damage_crashes_it(self):
        seed = int(os.environ.get("MLXD_TEST_SEED", random.SystemRandom().randrange(1 << 32)))
        print(f"MLXD_TEST_SEED={seed}", file=sys.stderr)
        chance = random.Random(seed)
        told = 0
        for case in range(30):
            with self.subTest(seed=seed, case=case):
                kind = case % 5
                if kind == 0:  # a page of noise
                    self.damage(chance.randrange(len(self.whole) // PAGE) * PAGE, chance.randbytes(PAGE))
                elif kind == 1:  # some bytes
                    data = bytearray(self.whole)
                    for _ in range(chance.randrange(1, 50)):
                        data[chance.randrange(len(data))] = chance.randrange(256)
                    self.write(bytes(data))
                elif kind == 2:  # cut
                    self.write(self.whole[:chance.randrange(1, len(self.whole))])
                elif kind == 3:  # the beginning
                    self.damage(chance.randrange(100), chance.randbytes(16))
                else:  # a journal of noise beside it
                    self.write(self.whole)
                    with open(self.file + "-wal", "wb") as file:
                        file.write(chance.randbytes(chance.randrange(1, 5 * PAGE)))
                code, err = self.serve()
                self.assertIn(code, (0, 1), err)
                if code == 1:
                    self.assertIn(self.file, err)
                    told += 1
        self.assertGreater(told, 5, "hardly any damage was found")

    def test_damage_while_it_runs_is_an_error_of_the_request_and_not_the_end(self):
        server = self.start()
        self.ask(server, "GET", "/api/v1/profiles")
        self.ask(server, "POST", "/api/v1/chat-folders", {"name": "f"}, check=(201, 401, 403))
        begin = len(self.whole) // PAGE // 2 * PAGE  # the schema and the first pages stay
        with open(self.file, "r+b") as file:
            file.seek(begin)
            file.write(b"\xff" * (len(self.whole) - begin))
        # Another process's write makes the server forget the pages that it has in memory.
        connection = sqlite3.connect(self.file)
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        connection.execute(f"PRAGMA user_version = {version}")
        connection.close()
        refused = 0
        for number in range(60):
            status, answer = server.call("POST", "/api/v1/profiles",
                                         {"name": f"q{number}", "model": "m", "description": "d" * 20_000})
            self.assertIn(status, (201, 500), answer)
            if status == 500:
                self.assertIn(self.file, answer["detail"])
                refused += 1
        self.assertGreater(refused, 0)
        self.assertEqual(server.call("GET", "/healthz")[0], 200)
        self.assertEqual(server.call("GET", "/v1/models")[0], 200)
        code, err = server.end()
        self.assertIn(code, (0, 1), err)
