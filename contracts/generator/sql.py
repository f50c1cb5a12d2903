"""The enum and the domain that the migrations must add up to."""

from .text import NOTE


def listed(names):
    return [f"    '{name}'," for name in names[:-1]] + [f"    '{names[-1]}'"]


def types_sql(types, entities):
    return [
        f"-- {NOTE.format('run_events.schema.json and entity_types.json')}",
        "--",
        "-- What the migrations must have made of these two types; a test compares them with a migrated database.",
        "create type run_event_type as enum (",
        *listed([name for name, _ in types]),
        ");",
        "",
        "create domain entity_type as text constraint entity_type_known check (value in (",
        *listed([item["name"] for group in entities["groups"] for item in group["types"]]),
        "));",
    ]
