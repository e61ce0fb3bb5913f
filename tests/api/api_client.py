"""A running server with the demo model, asked over HTTP; and its document."""

import http.client
import json
import os
import urllib.parse

from program import MODEL, TIMEOUT_S, ProgramTest


class Answer:
    def __init__(self, status, headers, text):
        self.status = status
        self.headers = headers
        self.text = text
        self.is_stream = headers.get("Content-Type", "").split(";")[0] in ("text/event-stream", "application/x-ndjson")

    @property
    def body(self):
        return json.loads(self.text) if self.text else None

    @property
    def events(self):
        """The JSON of each event of a stream."""
        lines = self.text.splitlines()
        if self.headers["Content-Type"].startswith("text/event-stream"):
            lines = [line[6:] for line in lines if line.startswith("data: ")]
        return [json.loads(line) for line in lines if line and line != "[DONE]"]

    @property
    def error(self):
        """What an error says, in whatever form."""
        body = self.body
        error = body.get("error", body)
        return error if isinstance(error, str) else error.get("message", error.get("detail", ""))


class ApiTest(ProgramTest):
    """One server for a class of tests."""

    with_model = True

    def setUp(self):
        super().setUp()
        self.url = urllib.parse.urlsplit(self.start_server("--model", MODEL, *self.server_arguments))
        with open(os.path.join(self.home, "server.json"), encoding="utf-8") as file:
            self.token = json.load(file)["token"]
        self.document = self.call("GET", "/openapi.json").body

    server_arguments = ()

    def call(self, method, path, body=None, **headers):
        connection = http.client.HTTPConnection(self.url.hostname, self.url.port, timeout=TIMEOUT_S)
        try:
            given = {"Authorization": f"Bearer {self.token}", **{key.replace("_", "-"): value for key, value in headers.items()}}
            if body is not None:
                given["Content-Type"] = "application/json"
            connection.request(method, path, None if body is None else json.dumps(body), given)
            response = connection.getresponse()
            return Answer(response.status, response.headers, response.read().decode())
        finally:
            connection.close()

    def post(self, path, body, **headers):
        return self.call("POST", path, body, **headers)

    def schema(self, name):
        return self.document["components"]["schemas"][name]

    def body_schemas(self, path, method="post"):
        """Name and schema of each body that a route takes."""
        operation = self.document["paths"][path][method]
        schema = operation["requestBody"]["content"]["application/json"]["schema"]
        names = [form["$ref"].rsplit("/", 1)[1] for form in schema.get("anyOf", [schema])]
        return [(name, self.schema(name)) for name in names]


def fields_of(schema, path=""):
    """Path and schema of each field, those of members too."""
    for name, field in schema.get("properties", {}).items():
        yield path + name, field
        if field.get("properties"):
            yield from fields_of(field, path + name + ".")


def with_field(body, path, value):
    """A copy of `body` with the value at a path; objects on the way are made."""
    copy = json.loads(json.dumps(body))
    *parents, last = path.split(".")
    place = copy
    for name in parents:
        place = place.setdefault(name, {})
    place[last] = value
    return copy
