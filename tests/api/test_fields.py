"""Every field of the document does what the document says: one that is honoured changes what comes of a request, or is
refused or told as ignored by its name; one that informs changes nothing; one that is refused is refused by its name; and
none takes a value that its schema excludes."""

import json
import time

from api_client import ApiTest, fields_of, with_field
from program import MODEL

TEXT = "Write a list of words: one two three one two three one two"
TOOL = {"type": "function", "function": {"name": "get_time", "parameters": {"type": "object", "properties": {}}}}
MESSAGES = [{"role": "user", "content": TEXT}]
CHAT = {"model": MODEL, "temperature": 0, "max_tokens": 12, "messages": MESSAGES}
LONG = "word " * 9000  # more than the context
TURNS = [{"role": "user", "content": LONG}, {"role": "assistant", "content": "Yes."}, {"role": "user", "content": "And?"}]
JSON_SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"], "additionalProperties": False}

# By route: a request, and where it has its sampling.
ROUTES = {
    "/v1/chat/completions": CHAT,
    "/v1/completions": {"model": MODEL, "temperature": 0, "max_tokens": 12, "prompt": TEXT},
    "/v1/messages": CHAT,
    "/v1/messages/count_tokens": {"model": MODEL, "messages": MESSAGES},
    "/v1/responses": {"model": MODEL, "temperature": 0, "max_output_tokens": 12, "input": TEXT},
    "/v1/responses/input_tokens": {"model": MODEL, "input": TEXT},
    "/api/chat": {"model": MODEL, "stream": False, "messages": MESSAGES, "options": {"temperature": 0, "num_predict": 12}},
    "/api/generate": {"model": MODEL, "stream": False, "prompt": TEXT, "options": {"temperature": 0, "num_predict": 12}},
}

# What shows that a field is honoured: a value for it, and what else the request says both with it and without it. A
# dictionary by route where they differ; None: as shown elsewhere (in brackets where).
DRAWN = {"/v1/messages": {"temperature": 1, "seed": 3}, "": {"temperature": 1.5, "seed": 3}}
DRAWN_OPTIONS = {"options": {"temperature": 1.5, "seed": 3, "num_predict": 12}}
EFFECTS = {
    "model": ("nobody/nothing", {}),
    "adapter": ("nothing", {}),
    "messages": ([{"role": "user", "content": "Hi"}], {}),
    "prompt": ("Hi", {}),
    "input": ("Hi", {}),
    "system": ("Answer in capital letters.", {}),
    "instructions": ("Answer in capital letters.", {}),
    "max_tokens": (3, {}), "max_completion_tokens": (3, {}), "max_output_tokens": (3, {}), "options.num_predict": (3, {}),
    "temperature": (1.5, {"seed": 3}), "options.temperature": (1.5, {"options": {"seed": 3, "num_predict": 12}}),
    "top_p": (0.05, DRAWN), "top_k": (1, DRAWN), "min_p": (0.9, DRAWN), "seed": (4, DRAWN),
    "options.top_p": (0.05, DRAWN_OPTIONS), "options.top_k": (1, DRAWN_OPTIONS), "options.min_p": (0.9, DRAWN_OPTIONS),
    "options.seed": (4, DRAWN_OPTIONS),
    "n": (2, {}),
    "stop": ("e", {}), "stop_sequences": (["e"], {}), "options.stop": (["e"], {}),
    "presence_penalty": (2.0, {}), "frequency_penalty": (2.0, {}), "repetition_penalty": (2.0, {}),
    "options.presence_penalty": (2.0, {}), "options.frequency_penalty": (2.0, {}), "options.repeat_penalty": (2.0, {}),
    "options.repeat_last_n": (0, {"options": {"temperature": 0, "num_predict": 12, "repeat_penalty": 2.0}}),
    "logit_bias": ({"28": 100}, {}), "options.logit_bias": ({"28": 100}, {}),
    "logprobs": ({"/v1/completions": 2, "": True}, {}),
    "top_logprobs": (2, {"/v1/responses": {}, "": {"logprobs": True}}),
    "echo": (True, {}),
    "suffix": ("end", {}),
    "stream": ({"/api/chat": True, "/api/generate": True, "": True}, {}),
    "stream_options": ({"include_usage": True}, {"stream": True}),
    "stream_options.include_usage": (True, {"stream": True}),
    "prediction": ({"type": "content", "content": TEXT}, {}),
    "tools": ({"/v1/messages": [{"name": "f", "input_schema": {"type": "object"}}],
               "/v1/messages/count_tokens": [{"name": "f", "input_schema": {"type": "object"}}],
               "/v1/responses": [{"type": "function", "name": "f"}],
               "/v1/responses/input_tokens": [{"type": "function", "name": "f"}], "": [TOOL]}, {}),
    "tool_choice": ({"/v1/messages": {"type": "any"}, "/v1/messages/count_tokens": {"type": "none"},
                     "/v1/responses/input_tokens": "none", "": "required"},
                    {"/v1/messages": {"tools": [{"name": "f", "input_schema": {"type": "object"}}]},
                     "/v1/messages/count_tokens": {"tools": [{"name": "f", "input_schema": {"type": "object"}}]},
                     "/v1/responses": {"tools": [{"type": "function", "name": "f"}]},
                     "/v1/responses/input_tokens": {"tools": [{"type": "function", "name": "f"}]}, "": {"tools": [TOOL]}}),
    "parallel_tool_calls": None, "max_tool_calls": None,  # (tools_test.cpp: a model that wants two calls)
    "reasoning_effort": None,      # (reasoning_fit_test.cpp: models that think)
    "reasoning": None, "reasoning.effort": None, "reasoning.summary": None, "reasoning.generate_summary": None,
    "think": None,
    "chat_template_kwargs": ({"messages": []}, {}),
    "thinking_budget": None, "thinking": None,
    "output_config": ({"effort": "high"}, {}), "output_config.effort": ("high", {}),
    "output_config.format": ({"type": "json_schema", "schema": JSON_SCHEMA}, {}),
    "output_format": ({"type": "json_schema", "schema": JSON_SCHEMA}, {}),
    "response_format": ({"type": "json_object"}, {}),
    "text": ({"format": {"type": "json_object"}}, {}), "text.format": ({"type": "json_object"}, {}),
    "format": ("json", {}),
    "include": (["message.output_text.logprobs"], {}),
    "raw": (True, {}),
    "truncation": ("auto", {"input": TURNS}),
    "options": ({"num_predict": 3}, {}),
}

# Of these the effect is no part of the answer: see the methods that look for it.
OTHERWISE = {"keep_alive", "cache_salt", "store", "previous_response_id"}

# What does not show in an answer, or differs from one to the next.
NOISE = {"id", "created", "created_at", "completed_at", "system_fingerprint", "total_duration", "load_duration",
         "prompt_eval_duration", "eval_duration", "cached_tokens", "cache_read_input_tokens", "call_id", "item_id"}
# Of a response, what is not just repeated.
RESPONSE_PARTS = {"output", "usage", "status", "error", "incomplete_details"}

# Values for fields of any kind: none that a schema with a type allows by accident.
WRONG = {"string": 5, "integer": "five", "number": "five", "boolean": "yes", "array": 5, "object": 5}


def without_noise(value):
    if isinstance(value, dict):
        if value.get("object") == "response":
            value = {key: value[key] for key in value if key in RESPONSE_PARTS}
        return {key: without_noise(entry) for key, entry in value.items() if key not in NOISE}
    return [without_noise(entry) for entry in value] if isinstance(value, list) else value


def for_route(value, path):
    """A value that may be given by route."""
    if isinstance(value, dict) and "" in value:
        return value.get(path, value[""])
    return value


def excluded_values(schema):
    """Values that a field's schema excludes, and what of it they break."""
    kinds = schema.get("type", [])
    if isinstance(kinds, str):
        yield WRONG[kinds]
    if "enum" in schema:
        yield "none of them"
    if schema.get("type") in ("integer", "number"):
        if schema.get("maximum", 2**53) < 2**53:
            yield schema["maximum"] + 1
        if "exclusiveMinimum" in schema:
            yield schema["exclusiveMinimum"]
        elif schema.get("minimum", -2**53) > -2**53:
            yield schema["minimum"] - 1
        if schema["type"] == "integer":
            yield 1.5


def bounds(schema):
    if schema.get("type") in ("integer", "number"):
        yield from (schema[end] for end in ("maximum", "minimum") if end in schema)
    yield from schema.get("enum", [])


class Fields(ApiTest):
    # Answers whose length nothing else limits end soon.
    server_arguments = ("--context", "1024")

    def outcome(self, path, body):
        answer = self.post(path, body)
        if answer.status != 200:
            return {"status": answer.status, "error": answer.error}
        said = answer.events if answer.is_stream else answer.body
        return {"said": without_noise(said), "ignored": answer.headers.get("x-mlxd-ignored", "")}

    def names(self, outcome, field):
        """Whether an error or the ignored fields name this one, or where it lies."""
        text = outcome.get("error", "") + outcome.get("ignored", "")
        return any(part in text for part in (field, field.split(".")[0]))

    def each_field(self):
        for path, body in ROUTES.items():
            for _, schema in self.body_schemas(path):
                for field, described in fields_of(schema):
                    yield path, body, field, described

    def test_those_that_are_honoured_change_what_comes_of_a_request(self):
        unchanged, unknown = [], set()
        for path, body, field, described in self.each_field():
            if described["x-mlxd-use"] != "honoured" or field in OTHERWISE:
                continue
            if field not in EFFECTS:
                unknown.add(field)
                continue
            if EFFECTS[field] is None:
                continue
            # Who only counts makes nothing: what is generated from, and how many, does not show.
            counts = path.endswith("tokens")
            value, more = (for_route(part, path) for part in EFFECTS[field])
            without = {**body, **more}
            given = with_field(without, field, value)
            before, after = self.outcome(path, without), self.outcome(path, given)
            if before == after and not counts:
                unchanged.append(f"{path} {field}")
            if "status" in after and "status" not in before:
                self.assertTrue(self.names(after, field) or field == "model", f"{path} {field}: {after}")
            if counts and field in ("messages", "input", "system", "instructions", "tools", "tool_choice"):
                self.assertNotEqual(before, after, f"{path} {field}")
        self.assertEqual(unknown, set(), "fields of the document without a test: say in EFFECTS what shows them")
        self.assertEqual(unchanged, [])

    def test_those_that_inform_change_nothing(self):
        for path, body, field, described in self.each_field():
            if described["x-mlxd-use"] != "informs":
                continue
            value = described.get("enum", [{"boolean": True, "object": {"k": "v"}}.get(described.get("type"), "x")])[0]
            if field == "metadata":
                value = {"k": "v"}
            without = body
            if field.startswith("stream_options"):
                # One token: how many of them come in one event differs from run to run.
                without = {**body, "stream": True, "stream_options": {}, "max_tokens": 1}
            self.assertEqual(self.outcome(path, with_field(without, field, value)), self.outcome(path, without),
                             f"{path} {field}")

    def test_those_that_are_refused_are_refused_by_name(self):
        for path, body, field, described in self.each_field():
            if described["x-mlxd-use"] != "refused":
                continue
            value = {"boolean": True, "integer": 9}.get(described.get("type"), [{"type": "x"}])
            without = {**body, "stream": True} if field.startswith("stream_options") else body
            outcome = self.outcome(path, with_field(without, field, value))
            self.assertTrue(self.names(outcome, field), f"{path} {field}: {outcome}")
            if not field.startswith("options."):
                self.assertEqual(outcome.get("status"), 400, f"{path} {field}: {outcome}")

    def test_none_takes_a_value_that_its_schema_excludes(self):
        # By an administrator: some of it belongs to an account.
        account = {"email": "owner@example.org", "password": "long enough"}
        self.assertEqual(self.post("/api/v1/auth/register", account).status, 201)
        self.token = self.post("/api/v1/auth/login", {**account, "cookie": False}).body["token"]
        for path, operations in self.document["paths"].items():
            for method, operation in operations.items():
                if "requestBody" not in operation or operation["x-mlxd-need"] == "anyone" or path == "/api/v1/settings":
                    continue
                place = path.replace("{model}", MODEL).replace("{", "").replace("}", "")
                for name, schema in self.body_schemas(path, method):
                    required = {key: value for key, value in ROUTES.get(path, {}).items() if key in schema["required"]} \
                        if "required" in schema and path in ROUTES else {}
                    if name == "TokenizeChatRequest":  # which is told by its messages
                        required = {"model": MODEL, "messages": MESSAGES}
                    for field, described in fields_of(schema):
                        if described["x-mlxd-use"] == "informs" and not described.get("enum"):
                            continue
                        for value in excluded_values(described):
                            if "." in field and field.split(".")[0] == "defaults":
                                continue
                            answer = self.call(method.upper(), place, with_field(required, field, value))
                            what = f"{method} {path} ({name}) {field} = {json.dumps(value)}: {answer.text[:300]}"
                            if answer.status == 404 and "{" in path:
                                continue  # what it would change is looked for first
                            self.assertEqual(answer.status, 400, what)
                            self.assertIn(field.split(".")[-1], answer.error, what)
                        if path not in ROUTES or described["x-mlxd-use"] not in ("honoured", "informs"):
                            continue
                        for value in bounds(described):
                            with_it = with_field({**ROUTES[path], "stream": False} if "stream" in ROUTES[path] else ROUTES[path],
                                                 field, value)
                            if field == "top_logprobs" and path != "/v1/responses":
                                with_it["logprobs"] = True
                            outcome = self.outcome(path, with_it)
                            if outcome.get("status") == 400:
                                self.assertNotRegex(outcome["error"], "must be (between|above|an|a )", f"{path} {field} = {value}")

    def test_unknown_fields_are_refused_by_name(self):
        for path, body in ROUTES.items():
            outcome = self.outcome(path, {**body, "no_such_field": 1})
            self.assertEqual(outcome.get("status"), 400, path)
            self.assertIn("no_such_field", outcome["error"], path)

    def test_parameters_of_queries_are_held_to_their_schemas(self):
        owner = {"email": "owner@example.org", "password": "long enough"}
        self.assertEqual(self.post("/api/v1/auth/register", owner).status, 201)
        self.token = self.post("/api/v1/auth/login", {**owner, "cookie": False}).body["token"]
        kept = self.post("/v1/responses", ROUTES["/v1/responses"]).body["id"]
        for path, operations in self.document["paths"].items():
            for method, operation in operations.items():
                if path.startswith("/api/v1/hub"):
                    continue  # it would ask the hub
                place = path.replace("{model}", "nothing").replace("/v1/responses/{id}", f"/v1/responses/{kept}")
                for parameter in operation["parameters"]:
                    if parameter["in"] != "query":
                        continue
                    schema = parameter["schema"]
                    wrong = [schema[end] + step for end, step in (("minimum", -1), ("maximum", 1)) if end in schema]
                    wrong += ["none-of-them"] if "enum" in schema else []
                    wrong += ["true"] if "const" in schema else []
                    wrong += ["five"] if schema.get("type") == "integer" else []
                    for value in wrong:
                        answer = self.call(method.upper(), f"{place}?{parameter['name']}={value}")
                        self.assertEqual(answer.status, 400, f"{method} {path} {parameter['name']}={value}: {answer.text}")
                        self.assertIn(parameter["name"], answer.error)
                    for value in [schema[end] for end in ("minimum", "maximum") if end in schema]:
                        answer = self.call(method.upper(), f"{place}?{parameter['name']}={value}")
                        self.assertNotEqual(answer.status, 400, f"{method} {path} {parameter['name']}={value}: {answer.text}")

    def test_keep_alive_sets_how_long_the_model_stays(self):
        # One that is loaded when the program starts stays anyway.
        self.assertLess(self.call("DELETE", f"/api/v1/servers/{MODEL}").status, 300)
        for path, body in ROUTES.items():
            if "keep_alive" not in {field for _, schema in self.body_schemas(path) for field, _ in fields_of(schema)}:
                continue
            for seconds in (1000, 2000):
                self.assertEqual(self.post(path, {**body, "keep_alive": seconds}).status, 200, path)
                left, patience = None, time.monotonic() + 30
                while left is None and time.monotonic() < patience:  # in use until the answer has been let go
                    left = self.call("GET", f"/api/v1/servers/{MODEL}").body["keep_alive_left_s"]
                self.assertTrue(left is not None and seconds - 500 < left <= seconds, f"{path}: {left}")

    def test_cache_salt_keeps_prefixes_apart(self):
        for path, body in ROUTES.items():
            if path.endswith("tokens"):
                continue

            def cached(salt):
                answer = self.post(path, {**body, **salt}, X_MLXD_Explain_Cache="1")
                return answer.body["mlxd"]["cache"]["cached_tokens"]

            cached({})
            self.assertGreater(cached({}), 0, path)
            self.assertEqual(cached({"cache_salt": f"salt of {path}"}), 0, path)

    def test_store_and_previous_response_id_keep_a_conversation(self):
        base = ROUTES["/v1/responses"]
        kept = self.post("/v1/responses", base).body
        self.assertEqual(self.call("GET", f"/v1/responses/{kept['id']}").status, 200)
        fleeting = self.post("/v1/responses", {**base, "store": False}).body
        self.assertEqual(self.call("GET", f"/v1/responses/{fleeting['id']}").status, 404)
        after = self.post("/v1/responses", {**base, "previous_response_id": kept["id"]}).body
        self.assertGreater(after["usage"]["input_tokens"], kept["usage"]["input_tokens"])
        counted = self.post("/v1/responses/input_tokens", {"model": MODEL, "input": TEXT,
                                                           "previous_response_id": kept["id"]}).body
        self.assertEqual(counted["input_tokens"], after["usage"]["input_tokens"])
