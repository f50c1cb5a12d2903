#!/usr/bin/python3
"""Makes C, SQL, TypeScript and pages from the contracts.

run_events.schema.json -> generated/event_types.h/.c, generated/payloads.h/.c (compiled schemas), and with
entity_types.json      -> generated/entity_types.h/.c, generated/types.sql, generated/events.ts, docs/events.md
problems.json          -> generated/problems.h/.c, docs/problems/SLUG.md

Run from anywhere; `make codegen` runs it, `make check-generated` fails when its output is stale.
"""

from generator import names, pages, payloads, problems, sql
from generator.text import ROOT, read_json, write
from generator.typescript import TypeScript


def event_types(schema):
    definitions = schema["$defs"]
    types = [(name, definitions[name]) for name in schema["properties"]["type"]["enum"]]
    numbers = [definition["x-number"] for _, definition in types]
    if numbers != list(range(1, len(types) + 1)):
        raise SystemExit("run_events.schema.json: x-number must count from 1 without a hole")
    return types


def check_entities(schema, entities):
    """The list stands in two files, because a schema must be whole in itself."""
    listed = [item["name"] for group in entities["groups"] for item in group["types"]]
    if schema["$defs"]["entity_type"]["enum"] != listed:
        raise SystemExit("run_events.schema.json: the entity_type is not the list of entity_types.json")


def remove_stale(folder, pattern):
    """What is not made any more must not stay."""
    for stale in (ROOT / folder).glob(pattern):
        stale.unlink()


def make_problems(items):
    write("contracts/generated/problems.h", problems.problem_header(items))
    write("contracts/generated/problems.c", problems.problem_code(items))
    remove_stale("docs/problems", "*.md")
    write("docs/problems/README.md", problems.problem_index(items))
    for item in items:
        write(f"docs/problems/{item['slug']}.md", problems.problem_page(item))


def main():
    schema = read_json("run_events.schema.json")
    entities = read_json("entity_types.json")
    types = event_types(schema)
    check_entities(schema, entities)
    remove_stale("contracts/generated", "*.*")
    write("contracts/generated/event_types.h", names.event_header(types))
    write("contracts/generated/event_types.c", names.event_code(types))
    write("contracts/generated/entity_types.h", names.entity_header(entities["groups"]))
    write("contracts/generated/entity_types.c", names.entity_code(entities["groups"]))
    write("contracts/generated/payloads.h", payloads.payload_header())
    write("contracts/generated/payloads.c", payloads.payload_code(schema, types))
    write("contracts/generated/types.sql", sql.types_sql(types, entities))
    write("contracts/generated/events.ts", TypeScript(schema, types, entities).lines())
    write("docs/events.md", pages.Pages(schema, types, entities).events())
    make_problems(read_json("problems.json"))


main()
