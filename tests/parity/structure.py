#!/usr/bin/env python3
"""Asks a running server for answers to hundreds of JSON schemas, and lets another validator judge each.

    pip install jsonschema && tests/parity/structure.py [--url http://127.0.0.1:10242] [--model NAME] [--per-schema N]

Every answer that ends by itself has to be valid, at temperature 1.5. Exit status 1 if one is not, or if fewer than 95 in a
hundred end by themselves (the schemas are bounded). Schemas that the server refuses are listed: it may not keep all
keywords, but it has to say so.
"""

import argparse
import collections
import concurrent.futures
import itertools
import json
import random
import sys
import urllib.error
import urllib.request

import jsonschema

LEAVES = [
    {"type": "boolean"},
    {"type": "null"},
    {"enum": ["red", "green", "it's \"blue\"", 7, None]},
    {"const": {"a": [1, "x"]}},
    {"type": "integer", "minimum": -3, "maximum": 12},
    {"type": "integer", "exclusiveMinimum": 0, "exclusiveMaximum": 100},
    {"type": "integer", "multipleOf": 5, "minimum": 0, "maximum": 50},
    {"type": "number", "minimum": 0, "maximum": 1},
    {"type": "string", "maxLength": 6},
    {"type": "string", "minLength": 2, "maxLength": 4},
    {"type": "string", "pattern": "^[A-Z]{2}[0-9]{3}$"},
    {"type": "string", "pattern": "^(yes|no|maybe)$"},
    {"type": "string", "format": "date"},
    {"type": "string", "format": "uuid"},
    {"type": ["boolean", "null"]},
]


def wrappings(schema, other):
    """Schemas around one or two others, each with a keyword of its own."""
    yield {"type": "object", "properties": {"a": schema, "b": other}, "required": ["a", "b"], "additionalProperties": False}
    yield {"type": "object", "properties": {"a": schema, "b": other}, "required": ["b"], "additionalProperties": False}
    yield {"type": "array", "items": schema, "minItems": 1, "maxItems": 3}
    yield {"type": "array", "prefixItems": [schema, other], "items": False, "minItems": 2}
    yield {"anyOf": [schema, other]}
    yield {
        "$defs": {"part": schema},
        "type": "object",
        "properties": {"x": {"$ref": "#/$defs/part"}, "y": {"$ref": "#/$defs/part"}},
        "required": ["x", "y"],
        "additionalProperties": False,
    }
    yield {
        "type": "object",
        "properties": {"deep": {"type": "object", "properties": {"er": schema}, "required": ["er"], "additionalProperties": False}},
        "required": ["deep"],
        "additionalProperties": False,
    }


def schemas():
    """Leaves, everything around leaves, and a sample of everything around that."""
    yield from LEAVES
    chooser = random.Random(8)
    once = [w for leaf, other in itertools.product(LEAVES, chooser.sample(LEAVES, 3)) for w in wrappings(leaf, other)]
    yield from once
    for schema in chooser.sample(once, 30):
        if "$defs" not in schema:
            yield from itertools.islice(wrappings(schema, {"type": "boolean"}), 5)


def ask(url, model, schema, seed):
    body = {
        "model": model,
        "messages": [{"role": "user", "content": "Answer in JSON."}],
        "temperature": 1.5,
        "seed": seed,
        "max_tokens": 256,
        "response_format": {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}},
    }
    request = urllib.request.Request(url + "/v1/chat/completions", json.dumps(body).encode(), {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=600) as response:
            choice = json.load(response)["choices"][0]
    except urllib.error.HTTPError as error:
        return "refused", json.load(error)["error"]["message"]
    text = choice["message"]["content"]
    if choice["finish_reason"] != "stop":
        return "cut", text
    try:
        jsonschema.Draft202012Validator(schema).validate(json.loads(text))
    except (json.JSONDecodeError, jsonschema.ValidationError) as error:
        return "invalid", f"{text!r}: {error}"
    return "valid", text


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--url", default="http://127.0.0.1:10242")
    parser.add_argument("--model", default="SmolLM2-135M-Instruct-4bit")
    parser.add_argument("--per-schema", type=int, default=1)
    options = parser.parse_args()
    cases = [(schema, seed) for schema in schemas() for seed in range(options.per_schema)]
    counts = collections.Counter()
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = pool.map(lambda case: ask(options.url, options.model, *case), cases)
        for (schema, seed), (outcome, detail) in zip(cases, answers):
            counts[outcome] += 1
            if outcome in ("invalid", "refused"):
                print(f"{outcome}: {json.dumps(schema)} seed {seed}: {detail[:300]}")
    print(f"{len(cases)} answers: {dict(counts)}")
    ended = counts["valid"] + counts["invalid"]
    return 1 if counts["invalid"] or ended < 0.95 * (ended + counts["cut"]) else 0


if __name__ == "__main__":
    sys.exit(main())
