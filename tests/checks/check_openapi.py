#!/usr/bin/python3
"""
contracts/openapi.yaml: well formed, every reference there, every example valid, and exactly the routes the api has.
"""

import json
import re
import sys

import jsonschema
import yaml

from tree import ROOT, read, report

METHODS = ("get", "put", "post", "delete", "patch")
KNOWN = {"parameters", "summary", "description", *METHODS}


def walk(node, path=""):
    yield path, node
    if isinstance(node, dict):
        for name, value in node.items():
            yield from walk(value, f"{path}/{name}")
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from walk(value, f"{path}/{index}")


def target(tree, reference):
    where, _, pointer = reference.partition("#")
    node = json.loads((ROOT / "contracts" / where).read_text()) if where else tree
    for part in pointer.strip("/").split("/"):
        node = node[part.replace("~1", "/").replace("~0", "~")]
    return node


def api_routes():
    """(method, pattern) of each row of routes.c, "{}" for every segment that varies."""
    text = read("actors/api/routes.c")
    table = text[text.index("struct route routes[]"):]
    return set(re.findall(r'\(?"(GET|POST|PUT|DELETE|PATCH)",\s*"([^"]+)"', table))


def document_routes(tree):
    return {(method.upper(), re.sub(r"\{\w+\}", "{}", path))
            for path, item in tree["paths"].items() for method in METHODS if method in item}


def operation_faults(tree, path, method, operation):
    where = f"{method.upper()} {path}"
    for name in ("operationId", "summary", "tags", "responses"):
        if not operation.get(name):
            yield f"{where}: no {name}"
    for tag in operation.get("tags", []):
        if tag not in [known["name"] for known in tree["tags"]]:
            yield f"{where}: unknown tag {tag}"
    parameters = tree["paths"][path].get("parameters", []) + operation.get("parameters", [])
    parameters = [target(tree, p["$ref"]) if "$ref" in p else p for p in parameters]
    said = {p["name"] for p in parameters if p["in"] == "path"}
    if said != set(re.findall(r"\{(\w+)\}", path)):
        yield f"{where}: the path's parameters are {sorted(said)}"
    if "default" not in operation.get("responses", {}):
        yield f"{where}: no default response"
    for status, response in operation.get("responses", {}).items():
        if "description" not in (target(tree, response["$ref"]) if "$ref" in response else response):
            yield f"{where}: response {status} has no description"
    for media, content in operation.get("requestBody", {}).get("content", {}).items():
        yield from example_faults(tree, f"{where} {media}", content)


def example_faults(tree, where, content):
    others = {"run_events.schema.json": json.loads(read("contracts/run_events.schema.json"))}
    resolver = jsonschema.RefResolver("openapi.yaml", tree, store={"openapi.yaml": tree, **others})
    validator = jsonschema.Draft202012Validator(content.get("schema", {}), resolver=resolver)
    for name, example in content.get("examples", {}).items():
        for error in validator.iter_errors(example["value"]):
            yield f"{where}: example {name}: {error.message}"


def faults():
    tree = yaml.safe_load(read("contracts/openapi.yaml"))
    for path, node in walk(tree):
        if isinstance(node, dict) and isinstance(node.get("$ref"), str):
            try:
                target(tree, node["$ref"])
            except (KeyError, OSError, ValueError):
                yield f"openapi.yaml{path}: nothing at {node['$ref']}"
    for name, schema in tree["components"]["schemas"].items():
        try:
            jsonschema.Draft202012Validator.check_schema(schema)
        except jsonschema.SchemaError as error:
            yield f"schema {name}: {error.message}"
    for method, path in sorted(api_routes() - document_routes(tree)):
        yield f"{method} {path} is in routes.c and not in openapi.yaml"
    for method, path in sorted(document_routes(tree) - api_routes()):
        yield f"{method} {path} is in openapi.yaml and not in routes.c"
    names = []
    for path, item in tree["paths"].items():
        for unknown in set(item) - KNOWN:
            yield f"{path}: {unknown} is no method"
        for method in METHODS:
            if method in item:
                names.append(item[method].get("operationId"))
                yield from operation_faults(tree, path, method, item[method])
    for name in {n for n in names if names.count(n) > 1}:
        yield f"operationId {name} is there twice"


if __name__ == "__main__":
    sys.exit(report(list(faults())))
