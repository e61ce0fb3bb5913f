"""`mlxd launch`, `service` and `completion`."""

import json
import os
import stat
import subprocess
import unittest

from program import BINARY, MODEL, TIMEOUT_S, ProgramTest


class WithPrograms(ProgramTest):
    """A folder first in PATH whose programs only write down how they were called."""

    def setUp(self):
        super().setUp()
        self.programs = os.path.join(self.home, "programs")
        os.makedirs(self.programs)
        self.environment["PATH"] = self.programs + os.pathsep + self.environment["PATH"]
        self.calls = os.path.join(self.home, "calls")

    def add_program(self, name, code=0):
        path = os.path.join(self.programs, name)
        with open(path, "w", encoding="utf-8") as file:
            file.write("#!/usr/bin/env python3\nimport json, os, sys\n"
                       f"with open({self.calls!r}, 'a') as out:\n"
                       "    print(json.dumps([sys.argv[1:], dict(os.environ)]), file=out)\n"
                       f"sys.exit({code})\n")
        os.chmod(path, stat.S_IRWXU)

    def seen(self):
        with open(self.calls, encoding="utf-8") as file:
            return [json.loads(line) for line in file]


class Launch(WithPrograms):
    with_model = True

    def test_starts_an_agent_on_the_running_server(self):
        url = self.start_server("--model", MODEL, "--threads", "1")
        for agent in ("claude", "codex", "opencode", "aider", "qwen"):
            self.add_program(agent)
            self.run_program("launch", agent, "--model", MODEL, "-p", "two words", "--flag",
                             ANTHROPIC_API_KEY="elsewhere")
        claude, codex, opencode, aider, qwen = self.seen()
        self.assertEqual(claude[0], ["-p", "two words", "--flag"])
        self.assertEqual(claude[1]["ANTHROPIC_BASE_URL"], url)
        self.assertEqual(claude[1]["ANTHROPIC_MODEL"], MODEL)
        self.assertNotIn("ANTHROPIC_API_KEY", claude[1])
        self.assertEqual(codex[0][-3:], ["-p", "two words", "--flag"])
        self.assertIn(f'base_url="{url}/v1"', codex[0][3].replace("\\/", "/"))
        self.assertEqual(codex[0][4:6], ["-m", MODEL])
        config = json.loads(opencode[1]["OPENCODE_CONFIG_CONTENT"])
        self.assertEqual(config["model"], f"mlxd/{MODEL}")
        self.assertEqual(config["provider"]["mlxd"]["options"]["baseURL"], f"{url}/v1")
        self.assertEqual(aider[0][:2], ["--model", f"openai/{MODEL}"])
        self.assertEqual(qwen[1]["OPENAI_BASE_URL"], f"{url}/v1")

    def test_takes_the_loaded_model_and_can_print_instead(self):
        self.start_server("--model", MODEL, "--threads", "1")
        line, _ = self.run_program("launch", "codex", "--print")
        self.assertTrue(line.startswith("env MLXD_KEY=mlxd codex -c 'model_provider=\"mlxd\"' -c 'model_providers.mlxd="),
                        line)
        self.assertTrue(line.endswith(f" -m {MODEL}\n"), line)

    def test_says_what_is_missing(self):
        _, err = self.run_program("launch", "claude", check=1)
        self.assertRegex(err, r"^mlxd: no server runs on .*: start one with 'mlxd serve'")
        self.start_server("--model", MODEL, "--threads", "1")
        _, err = self.run_program("launch", "clyde", check=1)
        self.assertIn("no agent 'clyde' to launch: known are claude, codex", err)
        empty = os.path.join(self.home, "empty")
        os.makedirs(empty)
        _, err = self.run_program("launch", "claude", check=1, PATH=empty)
        self.assertIn("Claude Code is not installed: npm install -g @anthropic-ai/claude-code", err)
        _, err = self.run_program("user", "add", "ann@example.org", stdin="a long password\n")
        _, err = self.run_program("launch", "claude", check=1)
        self.assertIn("wants an API key: make one with 'mlxd key create NAME'", err)


@unittest.skipUnless(os.uname().sysname == "Linux", "systemd is Linux's")
class Service(WithPrograms):
    def test_is_installed_told_of_and_removed(self):
        self.environment.update(HOME=self.home, HF_ENDPOINT='http://a"b%c')
        self.environment.pop("XDG_CONFIG_HOME", None)
        self.add_program("systemctl")
        out, _ = self.run_program("service", "status", check=1)
        self.assertEqual(out, "not installed\nnot running\n")
        unit = os.path.join(self.home, ".config/systemd/user/mlxd.service")
        out, _ = self.run_program("service", "install", "--port", "10999", "--model", "a $HOME model")
        self.assertIn("wrote " + unit, out)
        with open(unit, encoding="utf-8") as file:
            text = file.read()
        self.assertIn(f'ExecStart="{os.path.realpath(BINARY)}" "serve" "--model" "a $$HOME model" "--port" "10999"\n', text)
        self.assertIn(f'Environment="MLXD_HOME={self.home}"\n', text)
        self.assertIn('Environment="HF_ENDPOINT=http://a\\"b%%c"\n', text)
        self.assertEqual([call[0] for call in self.seen()],
                         [["--user", "daemon-reload"], ["--user", "enable", "--now", "mlxd.service"]])
        self.assertIn("installed: " + unit, self.run_program("service", "status", check=1)[0])
        self.run_program("service", "uninstall")
        self.assertFalse(os.path.exists(unit))
        _, err = self.run_program("service", "uninstall", check=1)
        self.assertIn("no service is installed", err)

    def test_tells_wrong_settings_and_failures_at_once(self):
        self.environment.update(HOME=self.home)
        _, err = self.run_program("service", "install", "--port", "many", check=1)
        self.assertIn("--port", err)
        self.run_program("service", "restart", check=2)
        self.add_program("systemctl", code=1)
        _, err = self.run_program("service", "install", check=1)
        self.assertIn("'systemctl --user daemon-reload' failed (1): the service starts at the next login", err)


class Completion(ProgramTest):
    def complete(self, *words):
        script = (f"source <({BINARY} completion bash); COMP_WORDS=({' '.join(words)}); "
                  'COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _mlxd; printf "%s\\n" "${COMPREPLY[@]}"')
        result = subprocess.run(["bash", "-c", script], capture_output=True, timeout=TIMEOUT_S, env=self.environment,
                                text=True, check=True)
        self.assertEqual(result.stderr, "")
        return result.stdout.split()

    def test_bash_knows_commands_their_parts_and_flags(self):
        self.assertEqual(self.complete("mlxd", "ver"), ["version"])
        self.assertEqual(self.complete("mlxd", "config", "se"), ["set"])
        self.assertEqual(self.complete("mlxd", "serve", "--thr"), ["--threads"])
        self.assertEqual(self.complete("mlxd", "run", "--temp"), ["--temperature"])

    def test_other_shells_and_wrong_ones(self):
        self.assertIn("#compdef mlxd", self.run_program("completion", "zsh")[0])
        self.assertIn("complete -c mlxd -n '__fish_use_subcommand' -a serve", self.run_program("completion", "fish")[0])
        _, err = self.run_program("completion", "cmd", check=1)
        self.assertIn("bash, zsh and fish", err)
