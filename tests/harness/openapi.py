"""
contracts/openapi.yaml as a program sees it: operations, schemas with their references, and a client generated from it.

The client knows nothing but the document. Every request it makes must be one the document allows, and every answer one
that the document promises; anything else is an assertion.
"""

import json
import re
from dataclasses import dataclass
from functools import cached_property
from urllib.parse import quote, urlencode

import jsonschema
import yaml

from harness.paths import ROOT

CONTRACTS = ROOT / "contracts"
METHODS = ("get", "put", "post", "delete", "patch")


@dataclass(frozen=True)
class Operation:
    name: str
    method: str
    path: str
    spec: dict
    parameters: tuple

    @property
    def is_open(self) -> bool:
        return self.spec.get("security") == []

    def answers(self, status) -> dict:
        """What the document promises for a status."""
        responses = self.spec["responses"]
        return responses.get(str(status), responses.get("default"))


class Document:
    def __init__(self):
        self.tree = yaml.safe_load((CONTRACTS / "openapi.yaml").read_text(encoding="utf-8"))
        events = json.loads((CONTRACTS / "run_events.schema.json").read_text(encoding="utf-8"))
        self.others = {"run_events.schema.json": events}

    def resolve(self, node) -> dict:
        """The node itself, or what its $ref names."""
        while isinstance(node, dict) and "$ref" in node:
            where, _, pointer = node["$ref"].partition("#")
            node = self.others[where] if where else self.tree
            for part in pointer.strip("/").split("/") if pointer.strip("/") else []:
                node = node[part.replace("~1", "/").replace("~0", "~")]
        return node

    @cached_property
    def operations(self) -> dict:
        found = {}
        for path, item in self.tree["paths"].items():
            for method in METHODS:
                if method in item:
                    spec = item[method]
                    parameters = [self.resolve(p) for p in item.get("parameters", []) + spec.get("parameters", [])]
                    responses = {status: self.resolve(r) for status, r in spec["responses"].items()}
                    found[spec["operationId"]] = Operation(
                        spec["operationId"], method.upper(), path, spec | {"responses": responses}, tuple(parameters)
                    )
        return found

    def validator(self, schema):
        """The schema within the document, so that its references resolve."""
        resolver = jsonschema.RefResolver(
            "openapi.yaml", self.tree, store={"openapi.yaml": self.tree, "/openapi.yaml": self.tree} | self.others
        )
        return jsonschema.Draft202012Validator(schema, resolver=resolver)

    def faults(self, schema, value) -> list:
        return [f"{e.json_path}: {e.message}" for e in self.validator(schema).iter_errors(value)]

    def answer_faults(self, operation, answer) -> list:
        """What in an answer the document does not promise."""
        promised = operation.answers(answer.status_code)
        if promised is None:
            return [f"{operation.name}: status {answer.status_code} is not in the document"]
        contents = promised.get("content", {})
        media = answer.headers.get("content-type", "").split(";")[0]
        if not contents:
            return [f"{operation.name}: {answer.status_code} has a body"] if answer.content else []
        if media not in contents:
            return [f"{operation.name}: {answer.status_code} comes as {media!r}, not {list(contents)}"]
        if media.endswith("json"):
            return [f"{operation.name}: {f}" for f in self.faults(contents[media].get("schema", {}), answer.json())]
        return []


class GeneratedClient:
    """client.createRun(body={…}), client.appendEvents(id=…, body={…}, Idempotency_Key=…) and so on."""

    def __init__(self, document, http):
        self.document, self.http = document, http

    def __getattr__(self, name):
        operation = self.document.operations.get(name)
        if operation is None:
            raise AttributeError(name)
        return lambda **given: self.call(operation, **given)

    def call(self, operation, body=None, media="application/json", headers=None, **given):
        path, query, sent = operation.path, [], dict(headers or {})
        for parameter in operation.parameters:
            value = given.pop(re.sub(r"\W", "_", parameter["name"]), None)
            if value is None:
                assert not parameter.get("required"), f"{operation.name} needs {parameter['name']}"
                continue
            faults = self.document.faults(parameter["schema"], value)
            assert not faults, faults
            if parameter["in"] == "path":
                path = path.replace("{%s}" % parameter["name"], quote(str(value), safe=""))
            elif parameter["in"] == "query":
                query.append((parameter["name"], str(value)))
            else:
                sent[parameter["name"]] = str(value)
        assert not given, f"{operation.name} has no {sorted(given)}"
        content = None
        if body is not None:
            contents = operation.spec["requestBody"]["content"]
            sent["Content-Type"] = media
            content = body if isinstance(body, (str, bytes)) else json.dumps(body)
            if media == "application/json":
                faults = self.document.faults(contents[media]["schema"], body)
                assert not faults, faults
        full = path + ("?" + urlencode(query) if query else "")
        answer = self.http.request(operation.method, full, auth=not operation.is_open, headers=sent, content=content)
        faults = self.document.answer_faults(operation, answer)
        assert not faults, faults
        return answer
