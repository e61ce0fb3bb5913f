"""/openapi.json is a valid document, and what the server answers is as it says."""

import json
import os
import subprocess

from api_client import ApiTest
from program import MODEL, REPOSITORY, TIMEOUT_S

HERE = os.path.dirname(os.path.abspath(__file__))
PYTHON = os.environ.get("MLXD_API_PYTHON", os.path.join(REPOSITORY, ".venv/bin/python"))

CHAT = {"model": MODEL, "temperature": 0, "max_tokens": 8, "messages": [{"role": "user", "content": "Say hello."}]}
MESSAGES = {**CHAT, "system": [{"type": "text", "text": "Be brief."}]}
TOOL = {"type": "function", "function": {"name": "get_time", "description": "The time.", "parameters": {
    "type": "object", "properties": {"city": {"type": "string", "maxLength": 5}}, "required": ["city"]}}}
COMPLETION = {"model": MODEL, "temperature": 0, "max_tokens": 8, "prompt": "The capital of France is"}
RESPONSE = {"model": MODEL, "temperature": 0, "max_output_tokens": 8, "input": "Say hello."}
OLLAMA = {"model": MODEL, "stream": False, "options": {"temperature": 0, "num_predict": 8}}

# Method, path (a pattern's parameter filled in), body.
REQUESTS = [
    ("get", "/healthz", None), ("get", "/readyz", None), ("get", "/metrics", None), ("get", "/openapi.json", None),
    ("get", "/v1/models", None), ("get", "/v1/models/{id}", None),
    ("post", "/v1/chat/completions", CHAT),
    ("post", "/v1/chat/completions", {**CHAT, "n": 2, "logprobs": True, "top_logprobs": 2}),
    ("post", "/v1/chat/completions", {**CHAT, "max_tokens": 60, "tools": [TOOL], "tool_choice": "required"}),
    ("post", "/v1/chat/completions", {**CHAT, "stream": True, "stream_options": {"include_usage": True}, "logprobs": True}),
    ("post", "/v1/chat/completions", {**CHAT, "max_tokens": 60, "stream": True, "tools": [TOOL], "tool_choice": "required"}),
    ("post", "/v1/batch/chat/completions", CHAT),
    ("post", "/v1/completions", COMPLETION),
    ("post", "/v1/completions", {**COMPLETION, "logprobs": 2}),
    ("post", "/v1/completions", {**COMPLETION, "logprobs": 2, "echo": True, "max_tokens": 0, "prompt": ["One", "Two more"]}),
    ("post", "/v1/batch/completions", COMPLETION),
    ("post", "/v1/messages", MESSAGES), ("post", "/v1/messages", {**MESSAGES, "stream": True}),
    ("post", "/v1/messages", {**CHAT, "max_tokens": 60, "tool_choice": {"type": "any"}, "tools": [
        {"name": "get_time", "input_schema": TOOL["function"]["parameters"]}]}),
    ("post", "/v1/batch/messages", MESSAGES), ("post", "/v1/messages/count_tokens", MESSAGES),
    ("post", "/v1/responses", RESPONSE), ("post", "/v1/responses", {**RESPONSE, "stream": True}),
    ("post", "/v1/responses", {**RESPONSE, "include": ["message.output_text.logprobs"], "input": [
        {"role": "user", "content": [{"type": "input_text", "text": "Hi"}]}]}),
    ("post", "/v1/batch/responses", RESPONSE), ("post", "/v1/responses/input_tokens", RESPONSE),
    ("post", "/v1/tokenize", {"model": MODEL, "text": "Hello", "pieces": True}),
    ("post", "/v1/tokenize", {"model": MODEL, "messages": CHAT["messages"]}),
    ("post", "/v1/detokenize", {"model": MODEL, "tokens": [1, 500]}),
    ("post", "/api/chat", {**OLLAMA, "messages": CHAT["messages"]}),
    ("post", "/api/chat", {**OLLAMA, "messages": CHAT["messages"], "stream": True, "logprobs": True}),
    ("post", "/api/generate", {**OLLAMA, "prompt": "Hello"}),
    ("post", "/api/generate", {**OLLAMA, "prompt": "Hello", "stream": True}), ("post", "/api/generate", {**OLLAMA}),
    ("get", "/api/version", None), ("get", "/api/tags", None), ("get", "/api/ps", None),
    ("post", "/api/show", {"model": MODEL}),
    ("get", "/api/v1/auth/state", None), ("get", "/api/v1/users", None), ("get", "/api/v1/keys", None),
    ("get", "/api/v1/profiles", None), ("post", "/api/v1/profiles", {"name": "brief", "model": MODEL, "defaults": {
        "system": "Be brief.", "temperature": 0.5}}),
    ("get", "/api/v1/profiles/{id}", None), ("get", "/api/v1/profiles/{id}/toml", None),
    ("patch", "/api/v1/profiles/{id}", {"description": "Short."}), ("post", "/api/v1/profiles/{id}/duplicate", {}),
    ("get", "/api/v1/aliases", None), ("put", "/api/v1/aliases/{name}", {"model": MODEL}),
    ("get", "/api/v1/settings", None), ("patch", "/api/v1/settings", {"log-level": "info"}),
    ("get", "/api/v1/system", None),
    ("get", "/api/v1/servers", None), ("get", "/api/v1/servers/{model}", None),
    ("patch", "/api/v1/servers", {"eviction": "lfu"}),
    ("get", "/api/v1/models", None), ("get", "/api/v1/models/{id}", None), ("post", "/api/v1/models/scan", None),
    ("get", "/api/v1/downloads", None),
    ("post", "/api/v1/jobs", {"kind": "perplexity", "parameters": {"model": MODEL, "text": "One sentence, and another one."}}),
    ("get", "/api/v1/jobs", None), ("get", "/api/v1/jobs/kinds", None), ("get", "/api/v1/jobs/{id}", None),
    ("get", "/api/v1/jobs/{id}/log", None),
    # Kept for who asked: nobody in particular, as yet.
    ("get", "/v1/responses/{id}", None), ("get", "/v1/responses/{id}/input_items", None), ("delete", "/v1/responses/{id}", None),
    ("post", "/api/v1/auth/register", {"email": "owner@example.org", "password": "long enough"}),
    ("post", "/api/v1/auth/login", {"email": "owner@example.org", "password": "long enough", "cookie": False}),
    ("get", "/api/v1/auth/me", None), ("get", "/api/v1/auth/sessions", None),
    ("post", "/api/v1/keys", {"name": "key"}), ("get", "/api/v1/keys/{id}/usage", None),
    ("post", "/api/v1/users", {"email": "user@example.org", "password": "long enough", "role": "user"}),
    ("patch", "/api/v1/users/{id}", {"name": "A user"}), ("delete", "/api/v1/users/{id}", None),
    ("post", "/api/v1/chat-folders", {"name": "folder"}), ("get", "/api/v1/chat-folders", None),
    ("post", "/api/v1/chats", {"title": "chat"}), ("get", "/api/v1/chats", None), ("get", "/api/v1/chats/{id}", None),
    ("post", "/api/v1/chats/{id}/messages", {"role": "user", "text": "Hi"}), ("patch", "/api/v1/chats/{id}", {"pinned": True}),
]

# Refused, each in its API's form.
REFUSED = [("/v1/chat/completions", {}), ("/v1/messages", {}), ("/api/chat", {}), ("/api/v1/profiles", {}),
           ("/v1/completions", {"odd": 1}), ("/api/embed", {}), ("/v1/responses/{id}/cancel", {})]


class Document(ApiTest):
    def check(self, values):
        self.assertTrue(os.path.exists(PYTHON), f"no {PYTHON}: run script/bootstrap --test")
        result = subprocess.run([PYTHON, os.path.join(HERE, "check_schemas.py")], timeout=TIMEOUT_S, capture_output=True,
                                input=json.dumps({"document": self.document, "values": values}).encode())
        self.assertEqual(result.returncode, 0, result.stderr.decode()[-2000:])
        self.assertEqual(json.loads(result.stdout), [])

    def path(self, method, path):
        """The path with the last id that there is of its kind."""
        kept = {"/v1/responses": self.ids.get("/v1/responses"), "/v1/models": MODEL, "/api/v1/models": MODEL,
                "/api/v1/servers": MODEL, "/api/v1/aliases": "short"}
        base = path.split("/{")[0]
        value = kept.get(base) or self.ids.get(base) or "nothing"
        return "/".join(value if part.startswith("{") else part for part in path.split("/"))

    def test_is_valid_and_answers_are_as_it_says(self):
        values = []
        self.ids = {}
        asked = set()
        for method, path, body in REQUESTS:
            name = f"{method} {path} {json.dumps(body)[:150]}"
            operation = self.document["paths"][path][method]
            asked.add((method, path))
            if body is not None:
                values.append((name, operation["requestBody"]["content"]["application/json"]["schema"], body))
            answer = self.call(method.upper(), self.path(method, path), body)
            known = [status for status in operation["responses"] if status != "default"]
            self.assertIn(str(answer.status), known, f"{name}: {answer.text[:500]}")
            content = operation["responses"][str(answer.status)].get("content", {})
            kind = answer.headers.get("Content-Type", "").split(";")[0]
            if not answer.text:
                self.assertEqual(content, {}, name)
                continue
            self.assertIn(kind, content, name)
            if "x-mlxd-event" in content[kind]:
                self.assertGreater(len(answer.events), 1, name)
                values += [(f"{name}: event", content[kind]["x-mlxd-event"], event) for event in answer.events]
            elif kind == "application/json":
                values.append((name, content[kind]["schema"], answer.body))
                if method == "post" and isinstance(answer.body, dict) and "id" in answer.body:
                    self.ids[path] = answer.body["id"]
                if path == "/api/v1/auth/login":
                    self.token = answer.body["token"]
            else:
                values.append((name, content[kind]["schema"], answer.text))
        for path, body in REFUSED:
            answer = self.post(self.path("post", path), body)
            self.assertGreaterEqual(answer.status, 400, path)
            response = self.document["paths"][path]["post"]["responses"]["default"]["$ref"].rsplit("/", 1)[1]
            content = self.document["components"]["responses"][response]["content"]
            kind = answer.headers["Content-Type"].split(";")[0]
            self.assertIn(kind, content, path)
            values.append((f"refused {path}", content[kind]["schema"], answer.body))
        self.check(values)
        # What all who may only look can ask without naming anything has been asked.
        for path, operations in self.document["paths"].items():
            for method, operation in operations.items():
                if method == "get" and "{" not in path and not path.startswith("/api/v1/hub") and path != "/api/v1/events":
                    self.assertIn((method, path), asked)
