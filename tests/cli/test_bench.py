"""`mlxd bench` under load: every workload in process and on a running server, two servers, and servers that fail."""

import http.server
import json
import threading

from program import MODEL, ProgramTest

# Small enough for a test, with more requests than clients.
SMALL = ("--tokens", "4", "--rounds", "2", "--requests", "3", "--concurrency", "1,2")
WORKLOADS = {
    "closed": ("--prompt", "24"),
    "poisson": ("--prompt", "24", "--rate", "50"),
    "shared-prefix": ("--prompt", "4", "--shared", "40"),
    "repeating": ("--prompt", "24"),
    "multi-turn": ("--prompt", "6", "--turns", "2"),
}


def arguments_of(workload):
    small = SMALL if workload != "poisson" else SMALL[:-2]  # its load is not set by a number of clients
    return ("--workload", workload, *small, *WORKLOADS[workload])


class LoadTest(ProgramTest):
    def bench(self, *arguments, check=0):
        out, err = self.run_program("bench", *arguments, "--json", check=check)
        self.assertEqual(err, "")
        return json.loads(out)

    def check_figures(self, result, requests, max_tokens=4):
        self.assertEqual((result["answered"], result["failed"], result["failures"]), (requests, 0, []))
        self.assertGreater(result["tokens_per_s"], 0)
        self.assertGreater(result["requests_per_s"], 0)
        self.assertGreaterEqual(result["tokens_per_s_spread"], 0)
        self.assertTrue(0 < result["mean_completion_tokens"] <= max_tokens, result)
        for key in ("time_to_first_token_ms", "inter_token_latency_ms"):
            values = result[key]
            self.assertTrue(0 <= values["p50"] <= values["p90"] <= values["p99"], values)
        self.assertGreater(result["time_to_first_token_ms"]["p50"], 0)


class OfAModel(LoadTest):
    with_model = True

    def test_every_workload_runs_in_process(self):
        for workload in WORKLOADS:
            with self.subTest(workload):
                report = self.bench(MODEL, *arguments_of(workload))
                self.assertEqual((report["workload"], report["seed"], report["rounds"], report["requests"],
                                  report["tokens"]), (workload, 1, 2, 3, 4))
                self.assertNotIn("comparison", report)
                (target,) = report["targets"]
                self.assertEqual(target["model"], MODEL)
                self.assertTrue(target["target"].startswith("in process"), target["target"])
                self.assertEqual([result["concurrency"] for result in target["results"]],
                                 [None] if workload == "poisson" else [1, 2])
                each = {"multi-turn": 6, "shared-prefix": 4}.get(workload, 3)
                for result in target["results"]:
                    self.check_figures(result, each * 2)
                    self.assertEqual(result["mean_completion_tokens"], 4)  # nothing ends early

    def test_prompts_have_the_length_asked_for(self):
        report = self.bench(MODEL, *arguments_of("shared-prefix"))
        for result in report["targets"][0]["results"]:
            self.assertEqual([stage["stage"] for stage in result["stages"]], ["cold", "warm"])
            self.assertEqual([stage["answered"] for stage in result["stages"]], [2, 6])
            self.assertTrue(44 <= result["mean_prompt_tokens"] <= 50, result)  # one token a word, and the break
        report = self.bench(MODEL, *arguments_of("multi-turn"))
        for result in report["targets"][0]["results"]:
            first, second = result["stages"]
            self.assertEqual((first["stage"], second["stage"]), ("turn 1", "turn 2"))
            # The second question comes after the first and its four tokens of answer.
            grown = second["mean_prompt_tokens"] - first["mean_prompt_tokens"]
            self.assertTrue(6 + 4 <= grown <= 6 + 4 + 3, result)

    def test_prints_tables_and_charts_within_the_width(self):
        out, err = self.run_program("bench", MODEL, *arguments_of("multi-turn"))
        self.assertEqual(err, "")
        self.assertIn("multi-turn, 3 conversations of 2 turns, 6 new tokens each, answers of 4, 2 rounds, seed 1\n", out)
        self.assertRegex(out, r"STREAMS +tok/s +±% +req/s +FIRST p50 ms +p90 +p99 +GAP p50 ms +p90 +p99 +FAILED\n +1 ")
        self.assertRegex(out, r"STREAMS +REQUEST +ANSWERED +PROMPT tokens +CACHED +FIRST TOKEN ms\n +1  turn 1 ")
        chart = out[out.index("time to first token, ms (2 streams)"):]
        self.assertRegex(chart, r"between tokens, ms \(2 streams\)\n( +[0-9.]+ - +[0-9.]+ \|[# 0-9]*\n){10}$")
        self.assertTrue(chart.isascii())
        self.assertLessEqual(max(map(len, chart.splitlines())), 80)

    def test_refuses_what_exceeds_the_context(self):
        _, err = self.run_program("bench", MODEL, "--workload", "multi-turn", "--turns", "60", "--tokens", "100", check=1)
        self.assertRegex(err, r"^mlxd: the longest request of this workload takes 9840 tokens .* context holds 8192")

    def test_stops_when_the_time_is_up(self):
        report = self.bench(MODEL, "--workload", "poisson", "--rate", "0.01", "--requests", "4", "--rounds", "1",
                            "--prompt", "16", "--tokens", "1", "--time-limit", "3")
        (result,) = report["targets"][0]["results"]
        self.assertEqual((result["answered"], result["failed"]), (1, 3))
        self.assertEqual(result["failures"], [{"why": "not answered within the time limit", "count": 3}])


class OfServers(LoadTest):
    with_model = True

    def test_every_workload_runs_on_a_server(self):
        url = self.start_server("--model", MODEL)
        for workload in WORKLOADS:
            with self.subTest(workload):
                report = self.bench("--url", url, *arguments_of(workload))
                (target,) = report["targets"]
                self.assertEqual((target["target"], target["model"]), (url, MODEL))
                each = {"multi-turn": 6, "shared-prefix": 4}.get(workload, 3)
                for result in target["results"]:
                    self.check_figures(result, each * 2)
                    self.assertGreater(result["mean_prompt_tokens"], 0)
                    for stage in result.get("stages", ()):
                        self.assertIn("mean_cached_tokens", stage)

    def test_sends_the_same_to_a_server_as_in_process(self):
        url = self.start_server("--model", MODEL)
        for workload in ("closed", "shared-prefix"):
            here, there = (self.bench(*where, *arguments_of(workload), "--seed", "7")["targets"][0]["results"]
                           for where in ((MODEL,), ("--url", url)))
            for ours, theirs in zip(here, there, strict=True):
                self.assertEqual(ours["mean_prompt_tokens"], theirs["mean_prompt_tokens"])

    def test_compares_two_servers(self):
        urls = [self.start_server("--model", MODEL, "--threads", "1", MLXD_HOME=home)
                for home in (self.home, self.make_home())]
        arguments = [word for url in urls for word in ("--url", url)]
        report = self.bench(*arguments, *arguments_of("closed"), "--model", MODEL)
        self.assertEqual([target["target"] for target in report["targets"]], urls)
        first, second = ([result["mean_prompt_tokens"] for result in target["results"]] for target in report["targets"])
        self.assertEqual(first, second)
        self.assertEqual([level["concurrency"] for level in report["comparison"]], [1, 2])
        for level in report["comparison"]:
            for key in ("tokens_per_s", "time_to_first_token_ms_p50", "time_to_first_token_ms_p99",
                        "inter_token_latency_ms_p50", "inter_token_latency_ms_p99"):
                values = level[key]
                self.assertAlmostEqual(values["ratio"], values["first"] / values["second"], delta=0.01 * values["ratio"])

        out, _ = self.run_program("bench", *arguments, *arguments_of("poisson"))
        self.assertRegex(out, rf"(?s)\nA  {urls[0]}, .*\nB  {urls[1]}, .*\nSTREAMS +MEDIANS +A +B +A / B\n +open  tokens/s ")
        self.assertIn("between tokens, ms (B, open)", out)

    def test_a_wrong_model_is_told_before_anything_is_measured(self):
        url = self.start_server("--model", MODEL)
        _, err = self.run_program("bench", "--url", url, "--model", "nobody", check=1)
        self.assertRegex(err, rf"^mlxd: nobody at {url} does not answer a first request: status 404: .*nobody")
        _, err = self.run_program("bench", "--url", url, "--prompt", "9000", "--requests", "1", "--rounds", "1", check=1)
        self.assertRegex(err, rf"^mlxd: {url} answered no request: status 400: .*9000 tokens.*8192")


class FakeServer(http.server.ThreadingHTTPServer):
    """Answers each request by `script(its number from 0)`: a status and a body, or a list of events to stream."""

    def __init__(self, script, models=("one",), refusal=None):
        super().__init__(("127.0.0.1", 0), FakeHandler)
        self.script, self.models, self.count, self.lock, self.bodies = script, models, 0, threading.Lock(), []
        self.daemon_threads, self.refusal = True, refusal  # refusal: the answer to /v1/models
        self.url = f"http://127.0.0.1:{self.server_address[1]}"


class FakeHandler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.server.refusal:
            self.send(self.server.refusal[0], "application/json", self.server.refusal[1])
            return
        self.send(200, "application/json", json.dumps({"data": [{"id": name} for name in self.server.models]}))

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.server.lock:
            number = self.server.count
            self.server.count += 1
            self.server.bodies.append(body)
        answer = self.server.script(number)
        if isinstance(answer, tuple):
            self.send(answer[0], "application/json", answer[1])
        else:
            self.send(200, "text/event-stream", "".join(
                f"data: {event if isinstance(event, str) else json.dumps(event)}\n\n" for event in answer))

    def send(self, status, content_type, body):
        data = body.encode()
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *arguments):
        pass


def piece(text):
    return {"choices": [{"text": text}]}


GOOD = [piece("a"), piece("b"), {"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 5}}, "[DONE]"]


class OfFailingServers(LoadTest):
    ARGUMENTS = ("--workload", "closed", "--requests", "4", "--rounds", "1", "--concurrency", "1", "--tokens", "5")

    def fake(self, script, **options):
        server = FakeServer(script, **options)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        self.addCleanup(server.server_close)
        self.addCleanup(thread.join)
        self.addCleanup(server.shutdown)
        return server

    def test_counts_and_names_failures(self):
        answers = [
            GOOD,  # the warm-up
            GOOD,
            (503, json.dumps({"error": {"message": "the queue is full"}})),
            [piece("a"), {"error": {"message": "out of memory"}}],
            [piece("a")],
        ]
        server = self.fake(lambda number: answers[number])
        report = self.bench("--url", server.url, *self.ARGUMENTS, "--ban", "0,2")
        (result,) = report["targets"][0]["results"]
        self.assertEqual((result["answered"], result["failed"]), (1, 3))
        self.assertEqual({entry["why"]: entry["count"] for entry in result["failures"]}, {
            "status 503: the queue is full": 1,
            "failed in mid-stream: out of memory": 1,
            "the answer is no stream that ends in [DONE]": 1})
        self.assertEqual((result["mean_prompt_tokens"], result["mean_completion_tokens"]), (9, 5))
        for body in server.bodies:
            self.assertEqual(body["model"], "one")
            self.assertEqual(body["logit_bias"], {"0": -100, "2": -100})
            self.assertTrue(body["stream"])
        self.assertEqual([body["max_tokens"] for body in server.bodies], [5] * 5)

    def test_shows_failures_and_early_ends_to_people(self):
        server = self.fake(lambda number: (500, "<b>no\x1b[2J\njson</b>") if number == 2 else GOOD)
        out, _ = self.run_program("bench", "--url", server.url, *self.ARGUMENTS[:-1], "40")
        self.assertIn("at 1 stream: 1 failed: status 500: <b>no[2J json</b>\n", out)
        self.assertIn("answers ended early, after 5 tokens on average", out)

    def test_without_usage_pieces_are_counted(self):
        server = self.fake(lambda number: [piece("a"), piece(""), piece("b"), "[DONE]"])
        (result,) = self.bench("--url", server.url, *self.ARGUMENTS)["targets"][0]["results"]
        self.assertEqual(result["mean_completion_tokens"], 2)

    def test_conversations_carry_the_answers(self):
        server = self.fake(lambda number: [{"choices": [{"delta": {"role": "assistant", "content": text}}]}
                                           for text in ("answer ", str(number))] + ["[DONE]"])
        self.bench("--url", server.url, "--workload", "multi-turn", "--turns", "3", "--requests", "1", "--rounds", "1",
                   "--concurrency", "1")
        last = server.bodies[-1]["messages"]
        self.assertEqual([message["role"] for message in last], ["user", "assistant"] * 2 + ["user"])
        self.assertEqual([message["content"] for message in last[1::2]], ["answer 1", "answer 2"])

    def test_says_what_to_do_when_a_server_is_of_no_use(self):
        cases = [
            (dict(script=lambda number: GOOD, models=()), r"has no models: load one there"),
            (dict(script=lambda number: GOOD, models=("x", "y")), r"has several models: name one with --model \(x, y\)"),
            (dict(script=lambda number: GOOD, refusal=(503, json.dumps({"error": {"message": "Loading model"}}))),
             r"for its models: status 503: Loading model: try again when it is ready"),
            (dict(script=lambda number: GOOD, refusal=(404, "nothing here")),
             r"for its models: status 404: nothing here: name one with --model"),
            (dict(script=lambda number: (401, json.dumps({"error": "no key"}))),
             r"one at http://.* does not answer a first request: status 401: no key"),
            (dict(script=lambda number: (200, "{}")), r"the answer is no stream that ends in \[DONE\]"),
            (dict(script=lambda number: ["nonsense"]), r"an event that is no JSON object: nonsense"),
        ]
        for options, message in cases:
            with self.subTest(message):
                server = self.fake(**options)
                out, err = self.run_program("bench", "--url", server.url, *self.ARGUMENTS, check=1)
                self.assertEqual(out, "")
                self.assertRegex(err, "^mlxd: .*" + message)
        # A port that was free a moment ago.
        server = FakeServer(lambda number: GOOD)
        server.server_close()
        _, err = self.run_program("bench", "--url", server.url, check=1)
        self.assertRegex(err, rf"^mlxd: cannot ask {server.url} for its models: .*is a server running there\?")

    def test_wrong_calls_are_told(self):
        url = ("--url", "http://127.0.0.1:9")
        cases = [
            (("--workload", "open"), "unknown workload 'open' (known: closed, poisson, shared-prefix, repeating, multi-turn)"),
            (("--rate", "3"), "--rate needs --workload poisson"),
            (("--workload", "closed", "--turns", "3"), "--turns needs --workload multi-turn"),
            (("--workload", "multi-turn", "--shared", "3"), "--shared needs --workload shared-prefix"),
            (("--workload", "poisson", "--concurrency", "2"), "--concurrency does not go with --workload poisson"),
            (("--requests", "3"), "--requests needs --workload or --url"),
            (("--time-limit", "3"), "--time-limit needs --workload or --url"),
            (("--model", "x"), "--model names a server's model and needs --url"),
            (("--workload", "closed", "--ban", "1"), "--ban needs --url"),
            (("x", *url), "MODEL 'x' and --url do not go together"),
            ((*url, "--threads", "2"), "--threads does not go with --url"),
            (url * 3, "--url is given more than twice"),
            ((*url, "--model", "x", "--model", "y"), "--model is given more often than --url"),
            (("--url", "https://x"), "server address 'https://x' must begin with http://"),
            (("--workload", "poisson", "--rate", "0"), "--rate"),
            (("--workload", "closed", "--requests", "1001"), "--requests"),
        ]
        for arguments, message in cases:
            with self.subTest(message):
                out, err = self.run_program("bench", *arguments, check=2)
                self.assertEqual(out, "")
                self.assertTrue(err.startswith("mlxd: "), err)
                self.assertIn(message, err)
                self.assertIn("(see 'mlxd bench --help')", err)
