#!/usr/bin/python3
"""The contracts agree with each other and with the database: event types, samples, problem slugs."""

import json
import re
import sys

import jsonschema

from tree import ROOT, report


def sql_enum():
    """Labels of run_event_type in the order the migrations give them."""
    labels = []
    for path in sorted((ROOT / "migrations").glob("*.up.sql")):
        text = path.read_text()
        if match := re.search(r"create type run_event_type as enum \((.*?)\);", text, re.S):
            labels += re.findall(r"'([A-Z_]+)'", match[1])
        labels += re.findall(r"alter type run_event_type add value (?:if not exists )?'([A-Z_]+)'", text)
    return labels


def generated_enum():
    text = (ROOT / "contracts/generated/event_types.h").read_text()
    return re.findall(r"^ *EVENT_TYPE_([A-Z_]+) = \d+,", text, re.M)


def check_samples(schema, offences):
    validator = jsonschema.Draft202012Validator(schema, format_checker=jsonschema.FormatChecker())
    samples = json.loads((ROOT / "contracts/sample_events.json").read_text())
    for event in samples["valid"]:
        for error in validator.iter_errors(event):
            offences.append(f"sample_events.json: {json.dumps(event)} should be valid: {error.message}")
    for sample in samples["invalid"]:
        if validator.is_valid(sample["event"]):
            offences.append(f"sample_events.json: should be invalid ({sample['why']}): {json.dumps(sample['event'])}")
    seen = {event["type"] for event in samples["valid"]}
    for name in schema["properties"]["type"]["enum"]:
        if name not in seen:
            offences.append(f"sample_events.json: no valid sample of {name}")


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
    wanted = schema["properties"]["type"]["enum"]
    for place, found in (("migrations", sql_enum()), ("contracts/generated/event_types.h", generated_enum())):
        if found != wanted:
            offences.append(f"{place}: event types are not those of run_events.schema.json: {found}")
    check_samples(schema, offences)
    check_problems(offences)
    return report(offences)


sys.exit(main())
