#!/usr/bin/python3
"""The contracts agree with each other and with the database: event types on every surface (K23), samples, problem slugs."""

import datetime
import json
import re
import sys

import jsonschema

from tree import ROOT, report

CHECKER = jsonschema.FormatChecker()


@CHECKER.checks("date-time", raises=ValueError)
def is_time(value):
    """The checker knows date-time only when a further package is there; this is enough for the samples."""
    if isinstance(value, str):
        datetime.datetime.fromisoformat(value.replace("Z", "+00:00"))
    return True


def sql_enum():
    """Labels of run_event_type in the order the migrations give them."""
    labels = []
    for path in sorted((ROOT / "migrations").glob("*.up.sql")):
        text = path.read_text()
        if match := re.search(r"create type run_event_type as enum \((.*?)\);", text, re.S):
            labels += re.findall(r"'([A-Z_]+)'", match[1])
        labels += re.findall(r"alter type run_event_type add value (?:if not exists )?'([A-Z_]+)'", text)
    return labels


def sql_domain():
    """Values of entity_type, of the last migration that says anything about it."""
    found = []
    for path in sorted((ROOT / "migrations").glob("*.up.sql")):
        for match in re.finditer(r"entity_type_known check \(value in \((.*?)\)\)", path.read_text(), re.S):
            found = re.findall(r"'([a-z_]+)'", match[1])
    return found


def in_file(name, pattern):
    return re.findall(pattern, (ROOT / name).read_text(), re.M)


def entity_names():
    groups = json.loads((ROOT / "contracts/entity_types.json").read_text())["groups"]
    return [item["name"] for group in groups for item in group["types"]]


def check_surfaces(schema, offences):
    """K23: a type that is missing somewhere, or somewhere else only."""
    types = schema["properties"]["type"]["enum"]
    samples = json.loads((ROOT / "contracts/sample_events.json").read_text())
    surfaces = {
        "the definitions of run_events.schema.json": [n for n, d in schema["$defs"].items() if "x-number" in d],
        "the oneOf of run_events.schema.json": [ref["$ref"].rsplit("/", 1)[1] for ref in schema["oneOf"]],
        "contracts/generated/event_types.h": in_file(
            "contracts/generated/event_types.h", r"^ *EVENT_TYPE_([A-Z_]+) = \d+,"),
        "contracts/generated/payloads.c": in_file(
            "contracts/generated/payloads.c", r"^ *\[EVENT_TYPE_([A-Z_]+)\] = \d+,"),
        "contracts/generated/types.sql": in_file("contracts/generated/types.sql", r"^    '([A-Z_]+)',?$"),
        "contracts/generated/events.ts": in_file("contracts/generated/events.ts", r"^  ([A-Z_]+): \w+Payload;$"),
        "migrations": sql_enum(),
        "docs/events.md": in_file("docs/events.md", r"^## ([A-Z_]+)$"),
        "valid samples": {event["type"] for event in samples["valid"]},
        "invalid samples": {sample["event"].get("type") for sample in samples["invalid"]} & set(types),
    }
    for place, found in surfaces.items():
        missing = [name for name in types if name not in found]
        further = [name for name in found if name not in types]
        if missing or further:
            offences.append(f"{place}: without {missing}, more than the list of types: {further}")
        elif isinstance(found, list) and found != types:
            offences.append(f"{place}: another order than the list of types")
    if sql_domain() != entity_names():
        offences.append(f"migrations: entity_type is not the list of entity_types.json: {sql_domain()}")


def check_samples(schema, offences):
    validator = jsonschema.Draft202012Validator(schema, format_checker=CHECKER)
    samples = json.loads((ROOT / "contracts/sample_events.json").read_text())
    for event in samples["valid"]:
        for error in validator.iter_errors(event):
            offences.append(f"sample_events.json: {json.dumps(event)} should be valid: {error.message}")
    for sample in samples["invalid"]:
        if validator.is_valid(sample["event"]):
            offences.append(f"sample_events.json: should be invalid ({sample['why']}): {json.dumps(sample['event'])}")


def check_problems(offences):
    problems = json.loads((ROOT / "contracts/problems.json").read_text())
    slugs = [problem["slug"] for problem in problems]
    for slug in {slug for slug in slugs if slugs.count(slug) > 1}:
        offences.append(f"problems.json: {slug} is there twice")
    for problem in problems:
        if not re.fullmatch(r"[a-z]+(-[a-z]+)*", problem["slug"]) or not 400 <= problem["status"] <= 599:
            offences.append(f"problems.json: {problem['slug']} {problem['status']}: wrong form")


def main():
    offences = []
    schema = json.loads((ROOT / "contracts/run_events.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    check_surfaces(schema, offences)
    check_samples(schema, offences)
    check_problems(offences)
    return report(offences)


sys.exit(main())
