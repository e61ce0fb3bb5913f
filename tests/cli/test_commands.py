"""Commands that need no model in memory: help, names, lists, settings, exit codes."""

import json
import os
import socket
import subprocess
import unittest

from program import BINARY, MODEL, MODEL_FOLDER, ProgramTest


class WithoutModel(ProgramTest):
    def test_alone_it_prints_its_commands(self):
        out, err = self.run_program()
        for command in ("serve", "run", "import", "convert", "perplexity", "list", "show", "bench", "doctor", "config",
                        "version"):
            self.assertIn(f"  {command} ", out)
        self.assertEqual(err, "")

    def test_help_of_a_command_names_its_flags(self):
        out, _ = self.run_program("serve", "--help")
        for flag in ("--host", "--port", "--model", "--backend", "--threads", "--context", "--memory", "--open",
                     "--strict", "--log-level", "--home", "MLXD_PORT"):
            self.assertIn(flag, out)

    def test_an_unknown_command_names_the_nearest_and_exits_with_2(self):
        out, err = self.run_program("srve", check=2)
        self.assertEqual(out, "")
        self.assertEqual(err, "mlxd: unknown command 'srve': did you mean 'serve'? (see 'mlxd --help')\n")

    def test_wrong_flags_exit_with_2(self):
        for arguments in (["list", "--frob"], ["--frob"], ["bench", "--rounds", "none"], ["bench", "--rounds", "0"],
                          ["show"], ["import"], ["list", "surplus"], ["run", "a", "b", "c"],
                          ["bench", "--concurrency", "1,x"], ["serve", "--port"]):
            _, err = self.run_program(*arguments, check=2)
            self.assertRegex(err, r"^mlxd: .* --help'\)\n$")

    def test_values_out_of_range_exit_with_2_and_name_the_setting(self):
        for arguments, message in ((["serve", "--port", "http"], "--port: 'http'"),
                                   (["serve", "--backend", "mlx"], "no 'mlx' backend"),
                                   (["serve", "--memory", "lots"], "--memory: 'lots' is not a size"),
                                   (["run", "--temperature", "9"], "temperature is 9, must be between 0 and 2"),
                                   (["run", "--threads", "-1"], "--threads")):
            _, err = self.run_program(*arguments, check=2)
            self.assertIn(message, err)
            self.assertTrue(err.startswith("mlxd: "), err)

    def test_without_models_everything_says_how_to_get_one(self):
        out, err = self.run_program("list")
        self.assertEqual(out, "NAME  SIZE  QUANT  CONTEXT  MODIFIED\n")
        self.assertIn("mlxd import", err)
        self.assertEqual(json.loads(self.run_program("list", "--json")[0]), {"models": []})
        for arguments in (["run"], ["show", "x"], ["bench"]):
            _, err = self.run_program(*arguments, stdin="hello", check=1)
            self.assertRegex(err, r"^mlxd: .*mlxd import FILE\.gguf'\n$")

    def test_import_refuses_what_is_no_gguf(self):
        _, err = self.run_program("import", os.path.join(self.home, "absent.gguf"), check=1)
        self.assertRegex(err, r"^mlxd: .*absent\.gguf")
        broken = os.path.join(self.home, "broken.gguf")
        with open(broken, "wb") as file:
            file.write(b"GGUF" + bytes(60))
        _, err = self.run_program("import", broken, check=1)
        self.assertRegex(err, r"mlxd: .*broken\.gguf")
        self.assertEqual(os.listdir(os.path.join(self.home, "models")) if
                         os.path.isdir(os.path.join(self.home, "models")) else [], [])

    def test_version_tells_what_was_built(self):
        out, _ = self.run_program("version")
        self.assertRegex(out, r"^mlxd \d+\.\d+\.\d+")
        self.assertEqual(self.run_program("--version")[0], out)
        version = json.loads(self.run_program("version", "--json")[0])
        self.assertEqual(set(version), {"version", "commit", "compiler", "instruction_sets", "libraries"})
        self.assertIn("scalar", version["instruction_sets"])

    def test_config_says_where_each_setting_comes_from(self):
        path = os.path.join(self.home, "config.toml")
        with open(path, "w", encoding="utf-8") as file:
            file.write("port = 1234\nthreads = 2\n")
        config = json.loads(self.run_program("config", "--json", MLXD_THREADS="1")[0])
        self.assertEqual(config["port"], {"value": 1234, "from": path})
        self.assertEqual(config["threads"], {"value": 1, "from": "MLXD_THREADS"})
        self.assertEqual(config["host"], {"value": "127.0.0.1", "from": "default"})
        with open(path, "a", encoding="utf-8") as file:
            file.write("prot = 1\n")
        for command in ("config", "serve"):
            _, err = self.run_program(command, check=1 if command == "config" else 2)
            self.assertIn("there is no setting 'prot'; nearest: port", err)

    def test_doctor_exits_with_1_only_if_something_is_broken(self):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            port = str(taken.getsockname()[1])
            taken.listen()
            out, _ = self.run_program("doctor", "--json", check=1, MLXD_PORT=port)
        report = json.loads(out)
        self.assertFalse(report["healthy"])
        broken = [check for check in report["checks"] if check["verdict"] == "broken"]
        self.assertEqual([check["check"] for check in broken], ["port"])
        self.assertIn("MLXD_PORT", broken[0]["remedy"])
        out, _ = self.run_program("doctor", MLXD_PORT=port)
        self.assertTrue(out.endswith("nothing is broken\n"), out)
        self.assertNotIn("\033", out)

    @unittest.skipUnless(os.path.exists("/dev/full"), "needs /dev/full")
    def test_a_full_disk_is_an_error(self):
        with open("/dev/full", "w", encoding="utf-8") as full:
            result = subprocess.run([BINARY, "version"], stdout=full, stderr=subprocess.PIPE, env=self.environment,
                                    check=False)
        self.assertEqual(result.returncode, 1)
        self.assertIn(b"cannot write to standard output", result.stderr)


class WithModel(ProgramTest):
    with_model = True

    def test_list_shows_the_model(self):
        out, _ = self.run_program("list")
        title, row = out.splitlines()
        self.assertEqual(title.split(), ["NAME", "SIZE", "QUANT", "CONTEXT", "MODIFIED"])
        self.assertRegex(row, rf"^{MODEL} +\d+(\.\d+)? MB  4-bit, group 32 +8,192  ")
        (model,) = json.loads(self.run_program("list", "--json")[0])["models"]
        self.assertEqual(model["name"], MODEL)
        self.assertEqual(model["source"], "home")
        self.assertEqual(model["context_tokens"], 8192)
        self.assertTrue(model["chat_template"])
        self.assertGreater(model["size_bytes"], 50_000_000)

    def test_show_finds_it_by_name_ending_and_path(self):
        for name in (MODEL, "instruct-4bit", MODEL_FOLDER):
            model = json.loads(self.run_program("show", name, "--json")[0])
            self.assertEqual(model["architecture"], "llama")
            self.assertAlmostEqual(model["parameters"] / 1e6, 134.5, delta=1)
            self.assertEqual(model["end_tokens"][0]["name"], "<|im_end|>")
            self.assertEqual(model["layers"], 30)
        out, _ = self.run_program("show", MODEL)
        self.assertRegex(out, r"parameters +135M\n")
        self.assertRegex(out, r"end tokens +<\|im_end\|>")

    def test_an_unknown_name_gets_the_nearest(self):
        _, err = self.run_program("show", "smollm3", check=1)
        self.assertEqual(err, f"mlxd: no model 'smollm3'; nearest: {MODEL}\n")

    def test_doctor_opens_the_demo_model(self):
        report = json.loads(self.run_program("doctor", "--json", MLXD_PORT="0")[0])
        (demo,) = [check for check in report["checks"] if check["check"] == "demo model"]
        self.assertEqual(demo["verdict"], "good")
        self.assertIn("tokenizer and chat template load", demo["detail"])

    def test_a_damaged_model_is_named_with_what_is_wrong(self):
        folder = os.path.join(self.home, "models", "damaged")
        os.makedirs(folder)
        for name in os.listdir(MODEL_FOLDER):
            if name.endswith(".safetensors"):
                with open(os.path.join(MODEL_FOLDER, name), "rb") as whole, \
                        open(os.path.join(folder, name), "wb") as cut:
                    cut.write(whole.read(100_000))
            else:
                os.symlink(os.path.join(MODEL_FOLDER, name), os.path.join(folder, name))
        for arguments in (["show", "damaged"], ["run", "damaged"], ["bench", "damaged"],
                          ["serve", "--port", "0", "--model", "damaged"]):
            out, err = self.run_program(*arguments, stdin="hello", check=1)
            self.assertEqual(out, "")
            self.assertRegex(err, r"(?s)mlxd: .*damaged.*\.safetensors")
