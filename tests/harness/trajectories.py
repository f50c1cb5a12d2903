"""The replay mapping of recorded conversations, written a second time from its description: what `replay` must send."""

import json
from pathlib import Path

DELTA_CHARACTERS = 80


def load(path: Path, count=None) -> list:
    with open(path, encoding="utf-8") as lines:
        found = [json.loads(line) for line in lines if line.strip()]
    return found[:count]


def metadata(trajectory) -> dict:
    return {k: v for k, v in trajectory.items() if k != "messages"}


def rebuild(log) -> list:
    """
    Messages from the events of a run [(seq, type, payload text)], as (role, text) and ("call", …) / ("result", …).

    Checks on the way that the events of a message fit each other: deltas joined give the content.
    """
    built, open_deltas = [], {}
    for _, kind, text in log:
        payload = json.loads(text)
        if kind == "MESSAGE_STARTED":
            open_deltas[payload["message_id"]] = (payload["role"], [])
        elif kind == "MESSAGE_DELTA":
            assert len(payload["delta"]) <= DELTA_CHARACTERS, payload
            open_deltas[payload["message_id"]][1].append(payload["delta"])
        elif kind == "MESSAGE_COMPLETED":
            role, deltas = open_deltas.pop(payload["message_id"], (payload.get("role"), None))
            assert deltas is None or "".join(deltas) == payload["content"], payload["message_id"]
            built.append((role, payload["content"]))
        elif kind == "TOOL_CALL_STARTED":
            built.append(("call", payload["tool_call_id"], payload["name"], payload["arguments"]))
        elif kind == "TOOL_CALL_COMPLETED":
            built.append(("result", payload["tool_call_id"], payload["name"], payload["result"]))
        else:
            assert kind in ("RUN_STARTED", "RUN_FINISHED"), kind
    assert not open_deltas, open_deltas
    return built


def expected(trajectory) -> list:
    """The same from the recorded conversation."""
    built = []
    for message in trajectory["messages"]:
        role, content = message["role"], message.get("content")
        if role == "tool":
            built.append(("result", message["tool_call_id"], message.get("name"), content))
            continue
        if content is not None and (content != "" or role != "assistant"):
            built.append((role, content))
        for call in message.get("tool_calls") or []:
            function = call["function"]
            built.append(("call", call["id"], function["name"], function["arguments"]))
    return built
