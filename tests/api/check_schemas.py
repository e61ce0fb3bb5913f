"""Judges an OpenAPI document, and values by its schemas. Reads {"document", "values": [[name, schema, value]…]} as JSON
and writes a list of what is wrong. Run by the tests with the Python of .venv."""

import json
import sys

from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator


def main():
    asked = json.load(sys.stdin)
    document = asked["document"]
    problems = [f"document: {error.message} at {'/'.join(map(str, error.absolute_path))}"
                for error in OpenAPIV31SpecValidator(document).iter_errors()]
    for name, schema, value in asked["values"]:
        whole = {**schema, "components": document["components"]}
        for error in Draft202012Validator(whole).iter_errors(value):
            problems.append(f"{name}: {error.message[:300]} at {'/'.join(map(str, error.absolute_path))}")
    json.dump(problems, sys.stdout)


main()
