#!/usr/bin/env python3
"""Asks a running server for what it guarantees, hundreds of times at temperature 1.5, and lets others judge each answer.

    pip install jsonschema regex lark && tests/parity/guarantees.py [--url http://127.0.0.1:10242] [--model NAME] [--runs 200] [--cases "a nested,a regular"]

A forced call, up to five calls of five strict tools, a nested schema, a regular expression and a Lark grammar; one half streamed, one half whole; each alone and
eight at a time. An answer that ends by itself has to be valid, one that is cut a beginning of a valid one. Exit status 1 if one is not, or if fewer
than 95 in a hundred end by themselves (what is asked for is bounded).
"""

import argparse
import collections
import concurrent.futures
import json
import sys
import urllib.error
import urllib.request

import jsonschema
import lark
import regex

NESTED = {
    "type": "object",
    "properties": {
        "id": {"type": "string", "pattern": "^[A-Z]{2}-[0-9]{4}$"},
        "state": {"enum": ["open", "closed", "in review"]},
        "owner": {
            "type": "object",
            "properties": {"name": {"type": "string", "minLength": 1, "maxLength": 8}, "level": {"type": "integer", "minimum": 1, "maximum": 5}},
            "required": ["name", "level"],
            "additionalProperties": False,
        },
        "tags": {"type": "array", "items": {"enum": ["red", "green", "blue"]}, "minItems": 1, "maxItems": 3},
    },
    "required": ["id", "state", "owner", "tags"],
    "additionalProperties": False,
}
WEATHER = {
    "type": "object",
    "properties": {"city": {"enum": ["Oslo", "Rome", "Lima"]}, "days": {"type": "integer", "minimum": 1, "maximum": 7}},
    "required": ["city", "days"],
    "additionalProperties": False,
}
TOOLS = {
    "get_weather": WEATHER,
    "set_light": {
        "type": "object",
        "properties": {"on": {"type": "boolean"}, "room": {"type": "string", "pattern": "^[a-z]{3,8}$"}},
        "required": ["on", "room"],
        "additionalProperties": False,
    },
    "add": {
        "type": "object",
        "properties": {"a": {"type": "integer", "minimum": -9, "maximum": 9}, "b": {"enum": [0.5, 1, 1.5]}},
        "required": ["a", "b"],
        "additionalProperties": False,
    },
    "stop": {"type": "object", "properties": {}, "additionalProperties": False},
    "file": {
        "type": "object",
        "properties": {"name": {"type": "string", "pattern": "^[a-z]{1,8}$"}, "tags": {"type": "array", "items": {"enum": ["red", "blue"]}, "maxItems": 2}},
        "required": ["name", "tags"],
        "additionalProperties": False,
    },
}
REGEX = r"(yes|no|maybe), [0-9]{1,3} (apple|pear)s?( and [a-f]{2})?"
LARK = """start: term (OPERATOR term){1,4}
term: NUMBER | "(" NUMBER OPERATOR NUMBER ")"
NUMBER: /[1-9][0-9]{0,2}/
OPERATOR: "+" | "-" | "*"
"""
# The same for the judge, who has no bounds of repetition of groups.
LARK_JUDGE = lark.Lark(LARK.replace("(OPERATOR term){1,4}", "OPERATOR term (OPERATOR term)~0..3"), parser="earley")


def declare(name, strict):
    return {"type": "function", "function": {"name": name, "parameters": TOOLS[name], "strict": strict}}


CASES = {
    "a forced call": {"tools": [declare("get_weather", False)], "tool_choice": {"type": "function", "function": {"name": "get_weather"}}},
    "five strict tools": {"tools": [declare(name, True) for name in TOOLS], "tool_choice": "required", "max_tool_calls": 5},
    "a nested schema": {"response_format": {"type": "json_schema", "json_schema": {"name": "ticket", "strict": True, "schema": NESTED}}},
    "a regular expression": {"response_format": {"type": "regex", "regex": REGEX}},
    "a Lark grammar": {"response_format": {"type": "lark", "lark": LARK}},
}


def ask(url, body):
    """Content, calls as [name, arguments], and why it ended."""
    request = urllib.request.Request(url + "/v1/chat/completions", json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=600) as response:
        if not body["stream"]:
            choice = json.load(response)["choices"][0]
            calls = [[call["function"]["name"], call["function"]["arguments"]] for call in choice["message"].get("tool_calls") or []]
            return choice["message"]["content"] or "", calls, choice["finish_reason"]
        content, calls, reason = "", [], None
        for line in response:
            if not line.startswith(b"data: {"):
                continue
            for choice in json.loads(line[6:])["choices"]:
                content += choice["delta"].get("content") or ""
                for call in choice["delta"].get("tool_calls") or []:
                    if call["index"] == len(calls):
                        calls.append([call["function"]["name"], ""])
                    calls[call["index"]][1] += call["function"].get("arguments", "")
                reason = choice["finish_reason"] or reason
        return content, calls, reason


def begins_json(text):
    """Whether a JSON value may go on from this text; the form alone is judged."""
    string = r'"(?:[^"\\]|\\.)*"'
    flat = regex.sub(string, "0", text)
    opened = []
    for sign in flat.split('"')[0]:
        if sign in "{[":
            opened.append("}" if sign == "{" else "]")
        elif sign in "}]" and (not opened or opened.pop() != sign):
            return False
    return flat.lstrip()[:1] in ("", "{", "[", "0", '"', "t", "f", "n", "-")


def judge(case, content, calls, reason):
    """"valid", "cut" or what is wrong."""
    if reason == "length":
        if case == "a regular expression":
            return "cut" if regex.fullmatch(REGEX, content, partial=True) else "no beginning"
        if case == "a nested schema":
            return "cut" if begins_json(content) else "no beginning"
        for name, arguments in calls[:-1]:
            jsonschema.validate(json.loads(arguments), TOOLS[name])
        return "cut"
    if case in ("a forced call", "five strict tools"):
        if reason != "tool_calls" or content or not calls:
            return f"no call: {reason} {content!r}"
        if len(calls) > 5:
            return f"{len(calls)} calls"
        for name, arguments in calls:
            if case == "a forced call" and name != "get_weather":
                return f"a call of {name}"
            jsonschema.validate(json.loads(arguments), TOOLS[name])
        return "valid"
    if reason != "stop":
        return f"ended by {reason}"
    if case == "a nested schema":
        jsonschema.validate(json.loads(content), NESTED)
    elif case == "a regular expression":
        if not regex.fullmatch(REGEX, content):
            return "no match"
    else:
        LARK_JUDGE.parse(content)
    return "valid"


def run(url, model, case, number):
    body = {
        "model": model,
        "messages": [{"role": "user", "content": "Say something about the weather, the lights and the numbers."}],
        "temperature": 1.5,
        "seed": number,
        "max_tokens": 600,
        "stream": number % 2 == 1,
        **CASES[case],
    }
    answer = None
    try:
        answer = ask(url, body)
        verdict = judge(case, *answer)
    except urllib.error.HTTPError as error:
        verdict = f"status {error.code}: {error.read()[:300]}"
    except (ValueError, KeyError, jsonschema.ValidationError, lark.exceptions.LarkError) as error:
        verdict = f"{type(error).__name__}: {str(error).splitlines()[0]}"
    if verdict not in ("valid", "cut"):
        print(f"{case}, seed {number}: {verdict}\n  {answer}")
        return "wrong"
    return verdict


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--url", default="http://127.0.0.1:10242")
    parser.add_argument("--model", default="SmolLM2-135M-Instruct-4bit")
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--cases", help="beginnings of their names, with commas between (default: all)")
    options = parser.parse_args()
    failed = False
    wanted = tuple(options.cases.split(",")) if options.cases else ("",)
    for case in (case for case in CASES if case.startswith(wanted)):
        for together in (1, 8):
            with concurrent.futures.ThreadPoolExecutor(together) as pool:
                counts = collections.Counter(pool.map(lambda number: run(options.url, options.model, case, number), range(options.runs)))
            print(f"{case}, {together} at a time: {dict(counts)}", flush=True)
            failed = failed or counts["wrong"] > 0 or counts["valid"] < 0.95 * options.runs
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
