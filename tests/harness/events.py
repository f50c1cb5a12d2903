"""Payloads of every event type, from the samples of the contract."""

import json

from .paths import ROOT

SCHEMA = json.loads((ROOT / "contracts/run_events.schema.json").read_text())
EVENTS = json.loads((ROOT / "contracts/sample_events.json").read_text())
TYPES = SCHEMA["properties"]["type"]["enum"]
RESERVED = tuple(name for name in TYPES if SCHEMA["$defs"][name].get("x-reserved"))
ENDINGS = tuple(name for name in TYPES if SCHEMA["$defs"][name].get("x-terminal"))
# In an order in which a run can live through them: each has its meaning for the status.
LIFECYCLE = ("CLARIFICATION_NEEDED", "CLARIFICATION_ANSWERED", "RUN_INTERRUPTED", "RUN_RESUMED", "RUN_CANCEL_REQUESTED")


def valid(name) -> list:
    """Every valid payload of a type."""
    return [event.get("payload", {}) for event in EVENTS["valid"] if event["type"] == name]


def invalid(name) -> list:
    """(why, payload) of every invalid payload of a type."""
    return [(sample["why"], sample["event"]["payload"]) for sample in EVENTS["invalid"]
            if sample["event"].get("type") == name and "payload" in sample["event"]]


# One valid payload of every type a client may append at any time, again and again.
SAMPLES = {name: valid(name)[0] for name in TYPES if name not in RESERVED + ENDINGS + LIFECYCLE}
