"""Commands that load the demo model: one answer in a pipe, a conversation at a terminal, bench, serve."""

import concurrent.futures
import http.client
import json
import os
import random
import re
import signal
import stat
import subprocess
import time
import unittest
import urllib.parse
import urllib.request

from program import BINARY, MODEL, TIMEOUT_S, ProgramTest

# Greedy, so that answers can be compared; short, as this small model knows no end when it is greedy.
GREEDY = ("--temperature", "0", "--max-tokens", "48")
QUESTION = "Who wrote Romeo and Juliet?"


class OneAnswer(ProgramTest):
    with_model = True

    def test_a_pipe_gives_the_answer_and_a_newline_only(self):
        out, err = self.run_program("run", *GREEDY, stdin=QUESTION + "\n")
        self.assertIn("William Shakespeare", out)
        self.assertTrue(out.endswith("\n") and not out.endswith("\n\n"), out)
        self.assertNotIn("\033", out)
        self.assertEqual(err, "")
        # The same question in other ways is the same answer.
        self.assertEqual(self.run_program("run", MODEL, QUESTION, *GREEDY)[0], out)
        self.assertEqual(self.run_program("run", QUESTION, *GREEDY)[0], out)
        self.assertEqual(self.run_program("run", "instruct-4bit", *GREEDY, "--top-k", "3", stdin=QUESTION)[0], out)

    def test_standard_input_follows_the_prompt(self):
        out, _ = self.run_program("run", MODEL, "Who wrote", "--temperature", "0", "--max-tokens", "8", stdin="Romeo and Juliet?")
        other, _ = self.run_program("run", MODEL, "--temperature", "0", "--max-tokens", "8", stdin="Who wrote\n\nRomeo and Juliet?")
        self.assertEqual(out, other)

    def test_settings_reach_the_model(self):
        limited, _ = self.run_program("run", "--temperature", "0", "--max-tokens", "3", stdin=QUESTION)
        whole, err = self.run_program("run", *GREEDY, "--verbose", stdin=QUESTION)
        self.assertTrue(whole.startswith(limited.rstrip("\n")), (limited, whole))
        self.assertLess(len(limited), len(whole))
        self.assertRegex(err, r"(?s)load +.*\nprompt +\d+ tokens in .*tokens/s\nanswer +\d+ tokens in .*tokens/s")
        cut, _ = self.run_program("run", *GREEDY, "--stop", "William", stdin=QUESTION)
        self.assertEqual(cut.rstrip("\n"), whole.split("William")[0])
        seeded = [self.run_program("run", "--seed", "7", "--max-tokens", "12", stdin="Tell a story.")[0]
                  for _ in range(2)]
        self.assertEqual(*seeded)

    def test_kv_formats_answer_too(self):
        for kv_format in ("bf16", "int8"):
            out, _ = self.run_program("run", *GREEDY, "--kv-format", kv_format, stdin=QUESTION)
            self.assertIn("William Shakespeare", out)

    def test_nothing_to_answer_is_an_error(self):
        for stdin in ("", "\n", "  \n"):
            _, err = self.run_program("run", stdin=stdin, check=1)
            self.assertEqual(err, "mlxd: there is nothing to answer: standard input is empty\n")

    def test_bad_input_is_an_error(self):
        result = subprocess.run([BINARY, "run"], input=b"\xff\xfe broken", capture_output=True, timeout=TIMEOUT_S,
                                env=self.environment, check=False)
        self.assertEqual(result.returncode, 1)
        self.assertTrue(result.stderr.startswith(b"mlxd: "), result.stderr)
        _, err = self.run_program("run", stdin="word " * 20000, check=1)
        self.assertRegex(err, r"^mlxd: the prompt has \d+ tokens, the model's context holds 8192")
        _, err = self.run_program("run", "--context", "100000", stdin="hi", check=1)
        self.assertTrue(err.startswith("mlxd: "), err)

    def test_it_ends_when_its_reader_has_gone(self):
        with subprocess.Popen([BINARY, "run", "--temperature", "0"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, env=self.environment) as child:
            child.stdin.write(b"Count from one to one thousand, in words.")
            child.stdin.close()
            child.stdout.read(1)
            child.stdout.close()
            self.assertEqual(child.wait(TIMEOUT_S), 1)
            self.assertEqual(child.stderr.read(), b"")


class Conversation(ProgramTest):
    with_model = True

    def chat(self, *arguments, **environment):
        terminal = self.terminal("run", "--temperature", "0", *(arguments or ("--max-tokens", "48")), **environment)
        terminal.expect(r"/help for commands.*>>> ")
        return terminal

    def test_holds_two_turns_and_leaves(self):
        terminal = self.chat()
        terminal.line(QUESTION)
        terminal.expect(r"William Shakespeare.*>>> ")
        terminal.line("In which country was he born?")
        terminal.expect(r"born\?\n.*\w.*>>> ")
        terminal.line("/show")
        terminal.expect(r"conversation +4 messages")
        terminal.line("/clear")
        terminal.expect(r"forgotten.*>>> ")
        terminal.line("/show")
        terminal.expect(r"conversation +0 messages.*>>> ")
        terminal.line("/bye")
        terminal.expect_exit(0)

    def test_control_c_stops_the_answer_and_nothing_else(self):
        terminal = self.chat("--max-tokens", "4000")
        terminal.line("Write a very long story about a dragon.")
        terminal.expect(r"dragon\.\n.*[a-z]{3}")
        terminal.type("\x03")
        terminal.expect(r"\(stopped\)\n.*>>> ")
        terminal.line("/set max_tokens 48")
        terminal.expect(r"max_tokens is 48.*>>> ")
        terminal.line(QUESTION)
        terminal.expect(r"Juliet\?\n.*Juliet.*>>> ")
        terminal.type("half a line\x03")
        terminal.expect(r">>> ")
        terminal.type("\x03")
        terminal.expect(r"/bye or Ctrl-D to leave\n.*>>> ")
        terminal.type("\x04")
        terminal.expect_exit(0)

    def test_history_comes_back_by_arrow_keys_and_in_the_next_session(self):
        terminal = self.chat("--max-tokens", "4")
        terminal.line("/set verbose on")
        terminal.expect(r"verbose is on\n.*>>> ")
        terminal.line("Say käse.")
        terminal.expect(r"tokens/s\n.*>>> ")
        terminal.type("\x1b[A\x1b[A\r")  # two up
        terminal.expect(r"verbose is on\n.*>>> ")
        terminal.line("/bye")
        terminal.expect_exit(0)
        history = os.path.join(self.home, "history")
        self.assertEqual(stat.S_IMODE(os.stat(history).st_mode), 0o600)
        with open(history, encoding="utf-8") as file:
            self.assertEqual(file.read().splitlines(), ["/set verbose on", "Say käse.", "/set verbose on", "/bye"])

        terminal = self.chat("--max-tokens", "4")
        terminal.type("\x1b[A\x1b[A\x1b[A")
        terminal.expect(r"Say käse\.")
        terminal.type("\r")
        terminal.expect(r"\(ended by max_tokens\)\n.*>>> ")
        terminal.type("\x04")
        terminal.expect_exit(0)

    def test_takes_several_lines_as_one_message(self):
        terminal = self.chat("--max-tokens", "4")
        terminal.line('"""first')
        terminal.expect(r"\.\.\. ")
        terminal.line('second"""')
        terminal.expect(r"max_tokens\)\n.*>>> ")
        terminal.type("\x1b[200~pasted one\rpasted two\x1b[201~")
        terminal.expect(r"pasted two")
        terminal.type("\r")
        terminal.expect(r"max_tokens\)\n.*>>> ")
        terminal.line("/show")
        terminal.expect(r"conversation +4 messages.*>>> ")
        with open(os.path.join(self.home, "history"), encoding="utf-8") as file:
            self.assertEqual(file.read().splitlines(),
                             ['"""first\\nsecond"""', 'pasted one\\npasted two', "/show"])

    def test_wrong_commands_and_values_are_told(self):
        terminal = self.chat()
        terminal.line("/frob")
        terminal.expect(r"there is no command '/frob'")
        terminal.line("/set temperature 3")
        terminal.expect(r"mlxd: temperature is 3, must be between 0 and 2")
        terminal.line("/set temprature 1")
        terminal.expect(r"nearest: temperature")
        terminal.line("/set")
        terminal.expect(r"temperature +0 .*max_tokens +48 ")
        terminal.line("/help")
        terminal.expect(r"/clear.*>>> ")
        terminal.line("/bye")
        terminal.expect_exit(0)

    def test_drops_the_oldest_turns_when_the_context_is_full(self):
        terminal = self.chat("--context", "256", "--max-tokens", "40")
        for turn in range(6):
            terminal.line(f"Tell me about number {turn} and all its properties, its neighbours and its friends.")
            terminal.expect(r"friends\.\n.*>>> ")
        self.assertRegex(terminal.output, r"the oldest \d+ messages were dropped")
        terminal.line("/bye")
        terminal.expect_exit(0)

    def test_colours_follow_the_terminal_and_no_color(self):
        terminal = self.chat()
        terminal.line("/bye")
        terminal.expect_exit(0)
        self.assertRegex(terminal.raw, rb"\x1b\[[12]m")
        terminal = self.chat(NO_COLOR="1")
        terminal.line("/bye")
        terminal.expect_exit(0)
        self.assertNotRegex(terminal.raw, rb"\x1b\[[0-9]+m")

    def test_the_model_used_last_is_taken_again(self):
        os.symlink(os.path.join(self.home, "models", MODEL), os.path.join(self.home, "models", "another"))
        _, err = self.run_program("run", stdin="hi", check=1)
        self.assertIn(f"name one of {MODEL}, another", err)
        self.run_program("run", "another", "--max-tokens", "2", stdin="hi")
        terminal = self.terminal("run")
        terminal.expect(r"another  /help.*>>> ")
        terminal.type("\x04")
        terminal.expect_exit(0)

    def test_keys_typed_before_the_prompt_count(self):
        terminal = self.terminal("run", "--max-tokens", "4")
        terminal.type("/show\n")
        terminal.expect(r"conversation +0 messages.*>>> ")
        terminal.line("/bye")
        terminal.expect_exit(0)
        terminal = self.terminal("run")
        terminal.type("\x04")
        terminal.expect_exit(0)


class Bench(ProgramTest):
    with_model = True

    def test_prints_every_figure_as_json(self):
        out, err = self.run_program("bench", MODEL, "--prompt", "40", "--tokens", "6", "--concurrency", "1,3",
                                    "--rounds", "2", "--threads", "2", "--json")
        self.assertEqual(err, "")
        report = json.loads(out)
        self.assertEqual([result["concurrency"] for result in report["results"]], [1, 3])
        for figures in (report, *report["results"]):
            for key in ("prefill_tokens_per_s", "decode_tokens_per_s", "decode_tokens_per_s_per_stream",
                        "time_to_first_token_ms"):
                self.assertGreater(figures[key], 0, key)
            latency = figures["inter_token_latency_ms"]
            self.assertTrue(0 < latency["p50"] <= latency["p90"] <= latency["p99"], latency)
        self.assertEqual((report["prompt_tokens"], report["tokens"], report["rounds"]), (40, 6, 2))
        self.assertGreater(report["memory"]["weight_bytes"], 50_000_000)
        self.assertIn("2 threads", report["backend"])

    def test_prints_a_table(self):
        out, _ = self.run_program("bench", "--prompt", "8", "--tokens", "2", "--rounds", "1", "--concurrency", "1,2")
        self.assertRegex(out, r"STREAMS +PREFILL tok/s +DECODE tok/s")
        self.assertEqual(len(out.splitlines()), 4)

    STAGES = ["schedule", "prepare", "norm+quantize", "qkv+rope+write", "attention", "o_proj", "gate*up", "down",
              "vocabulary", "sampling", "publish", "wait"]

    def test_profiles_the_stages_of_a_step(self):
        out, err = self.run_program("bench", MODEL, "--prompt", "40", "--tokens", "6", "--concurrency", "1,2",
                                    "--rounds", "2", "--threads", "2", "--profile", "--json")
        self.assertEqual(err, "")
        report = json.loads(out)
        limits = report["limits"]
        self.assertEqual(limits["threads"], 2)
        for key in ("read_gb_per_s", "fp32_gflop_per_s", "barrier_us"):
            self.assertGreater(limits[key], 0, key)
        for result in report["results"]:
            streams = result["concurrency"]
            prefill, decode = result["prefill_profile"], result["decode_profile"]
            # A step a round, or more if the engine begins before all have come.
            self.assertTrue(2 <= prefill["steps"] <= 2 * streams, prefill)
            self.assertAlmostEqual(prefill["steps"] * prefill["tokens_per_step"], 2 * 40 * streams, delta=0.01)
            self.assertEqual((decode["steps"], decode["tokens_per_step"]), (2 * 6, streams))
            for profile in (prefill, decode):
                self.assertEqual(list(profile["stages"]), self.STAGES)
                stages = profile["stages"].values()
                self.assertAlmostEqual(sum(stage["ms"] for stage in stages), profile["ms_per_step"], delta=0.01)
                self.assertAlmostEqual(sum(stage["share"] for stage in stages), 1, delta=0.01)
                self.assertGreater(profile["of_limit"], 0)
                for name in ("qkv+rope+write", "attention", "o_proj", "gate*up", "down", "vocabulary"):
                    stage = profile["stages"][name]
                    self.assertIn(stage["limit"], ("memory", "int8", "fp32"))
                    self.assertAlmostEqual(stage["of_limit"], stage["limit_ms"] / stage["ms"],
                                           delta=0.02 * stage["of_limit"] + 0.01)
                self.assertNotIn("limit", profile["stages"]["wait"])
            for name in ("o_proj", "gate*up", "down"):  # the weights, once a step whatever its tokens
                self.assertEqual(prefill["stages"][name]["bytes"], decode["stages"][name]["bytes"])

    def test_prints_a_profile_as_tables(self):
        out, _ = self.run_program("bench", MODEL, "--prompt", "8", "--tokens", "2", "--rounds", "1", "--profile")
        self.assertRegex(out, r"\nlimits of \d+ threads?: read [0-9.]+ GB/s, .*barrier [0-9.]+ us\n")
        self.assertRegex(out, r"\nprefill of 1 stream: 1 step of 8\.0 tokens on average, [0-9.]+ ms each, [0-9.]+ % of the limit\n")
        self.assertRegex(out, r"\ndecode of 1 stream: 2 steps of 1\.0 tokens")
        for stage in self.STAGES:
            self.assertEqual(out.count(f"\n{stage} "), 2, stage)
        _, err = self.run_program("bench", MODEL, "--profile", "--workload", "closed", check=2)
        self.assertIn("--profile does not go with --workload", err)

    def test_refuses_what_exceeds_the_context(self):
        _, err = self.run_program("bench", "--prompt", "8190", "--tokens", "100", check=1)
        self.assertIn("the model has 8192", err)


class Serve(ProgramTest):
    with_model = True

    def start(self, *arguments, **environment):
        child = subprocess.Popen([BINARY, "serve", *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                 env={**self.environment, **environment})
        self.addCleanup(self.end, child)
        return child

    @staticmethod
    def end(child):
        if child.poll() is None:
            child.kill()
        child.wait()
        child.stdout.close()
        child.stderr.close()

    def ready_url(self, child):
        line = child.stdout.readline().decode()
        match = re.fullmatch(r"mlxd is ready at (http://127\.0\.0\.1:\d+)\n", line)
        self.assertTrue(match, line + (child.stderr.read().decode() if child.poll() is not None else ""))
        return match.group(1)

    def test_says_when_it_is_ready_and_ends_on_a_signal(self):
        child = self.start(MLXD_PORT="0")
        url = self.ready_url(child)
        with urllib.request.urlopen(url + "/v1/models", timeout=TIMEOUT_S) as response:
            self.assertEqual([model["id"] for model in json.load(response)["data"]], [MODEL])
        port = url.rsplit(":", 1)[1]
        _, err = self.run_program("serve", "--port", port, check=1, MLXD_HOME=self.make_home())
        self.assertRegex(err, rf"mlxd: .*{port}")
        report = json.loads(self.run_program("doctor", "--json", MLXD_PORT=port)[0])
        (found,) = [check for check in report["checks"] if check["check"] == "port"]
        self.assertIn("a server is running and healthy", found["detail"])
        child.send_signal(signal.SIGTERM)
        self.assertEqual(child.wait(TIMEOUT_S), 0)
        self.assertEqual(child.stdout.read(), b"")

    @unittest.skipIf(os.environ.get("MLXD_SANITIZE"), "sanitizers keep freed memory")
    def test_memory_does_not_grow_with_the_requests_served(self):
        # So little K/V that the first twenty requests have touched all of it.
        child = self.start("--port", "0", "--memory", "190MB", MLXD_LOG_LEVEL="error")
        url = urllib.parse.urlsplit(self.ready_url(child))
        draw = random.Random(7)

        def ask(_):
            cancel, words = draw.random() < 0.3, draw.randrange(10, 300)
            body = {"model": MODEL, "prompt": " ".join(draw.choice(("red", "green", "blue")) for _ in range(words)),
                    "max_tokens": draw.randrange(1, 24), "stream": cancel or draw.random() < 0.5,
                    "seed": draw.randrange(1000)}
            connection = http.client.HTTPConnection(url.netloc, timeout=TIMEOUT_S)
            connection.request("POST", "/v1/completions", json.dumps(body), {"Content-Type": "application/json"})
            response = connection.getresponse()
            self.assertEqual(response.status, 200)
            if cancel:
                response.fp.readline()
            else:
                response.read()
            connection.close()

        def resident_after(requests):
            with concurrent.futures.ThreadPoolExecutor(8) as crowd:
                list(crowd.map(ask, range(requests)))
            with urllib.request.urlopen(url.geturl() + "/metrics", timeout=TIMEOUT_S) as page:
                return float(re.search(r"^mlxd_resident_memory_bytes (.+)$", page.read().decode(), re.M)[1])

        few = resident_after(24)
        many = resident_after(int(os.environ.get("MLXD_TEST_REQUESTS", "120")))
        self.assertLess(many, few * 1.02)

    def test_opens_the_browser_when_asked(self):
        # A stand-in for the desktop's opener notes what it was given.
        tools = os.path.join(self.home, "tools")
        note = os.path.join(self.home, "opened")
        os.makedirs(tools)
        for name in ("xdg-open", "open"):
            path = os.path.join(tools, name)
            with open(path, "w", encoding="utf-8") as script:
                script.write(f'#!/bin/sh\necho "$1" > "{note}.part"\nmv "{note}.part" "{note}"\n')
            os.chmod(path, 0o755)
        child = self.start("--port", "0", "--open", PATH=tools + ":" + self.environment["PATH"])
        url = self.ready_url(child)
        deadline = time.monotonic() + TIMEOUT_S
        while not os.path.exists(note) and time.monotonic() < deadline:
            time.sleep(0.02)
        with open(note, encoding="utf-8") as file:
            self.assertEqual(file.read(), url + "\n")

    def test_holds_to_the_memory_setting(self):
        _, err = self.run_program("serve", "--port", "0", "--model", MODEL, "--memory", "20MB", check=1)
        self.assertRegex(err, r"mlxd: .* needs .* MB for weights and K/V, the memory setting allows 20\.0 MB")
        # A model that nobody asked for is no reason not to serve.
        child = self.start("--port", "0", "--memory", "20MB")
        self.ready_url(child)
        child.terminate()
        self.assertRegex(child.communicate(timeout=TIMEOUT_S)[1].decode(), r"no model is loaded yet: .* needs .* MB")
