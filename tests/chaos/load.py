"""
What the load programs share: run ids that every process can work out for itself, events with keys, and a lean HTTP
client (the programs run beside the server on the same two cores).

There are SLOTS places; each holds one open run at a time, and when it ends the next generation of that place.
"""

import hashlib
import http.client
import json
import uuid
from pathlib import Path

SLOTS = 50
_NAMESPACE = uuid.UUID("6a1d2f52-5b0e-4a52-9d55-2f6f6a0c7d11")


def run_of(phase: str, slot: int, generation: int) -> str:
    return str(uuid.uuid5(_NAMESPACE, f"{phase}/{slot}/{generation}"))


def thread_of(phase: str) -> str:
    """All runs of a phase are in one thread."""
    return str(uuid.uuid5(_NAMESPACE, phase))


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def payload_of(key: str, pad: int) -> str:
    return json.dumps({"name": "chaos", "value": {"k": key, "pad": "x" * pad}}, separators=(",", ":"))


def spoken(payload: dict, key: str) -> str:
    """The payload of an event of a conversation; what a key needs stands beside its members."""
    return json.dumps(payload | {"name": "chaos", "value": {"k": key}}, separators=(",", ":"))


def conversation(chance, lane, ordinal, count) -> list:
    """
    [(type, payload)]: more of the lane's long message, which never ends; a message, piece by piece or whole; a call of a tool,
    with a result more often than not.
    """
    name, pieces = f"{lane}-{ordinal}", [f'{ordinal}/{n} "\u00fc"\n' for n in range(count)]
    form = chance.choice(("long", "long", "message", "whole", "call", "call at once"))
    if form == "long":
        return [("MESSAGE_DELTA", {"message_id": lane, "delta": piece}) for piece in pieces]
    if form in ("message", "whole"):
        end = {"message_id": name, "content": "".join(pieces)} | ({"role": "assistant"} if form == "whole" else {})
        begin = [("MESSAGE_STARTED", {"message_id": name, "role": "assistant"})]
        begin += [("MESSAGE_DELTA", {"message_id": name, "delta": piece}) for piece in pieces]
        return [*(begin if form == "message" else ()), ("MESSAGE_COMPLETED", end)]
    texts = ['{"q":[', *(f'"{n}",' for n in range(count)), f'"{name}"]}}']
    call = [("TOOL_CALL_STARTED", {"tool_call_id": name, "arguments": "" if form == "call" else "".join(texts)})]
    if form == "call":
        call += [("TOOL_CALL_ARGS", {"tool_call_id": name, "delta": text}) for text in texts]
    if chance.random() < 0.8:
        call.append(("TOOL_CALL_COMPLETED", {"tool_call_id": name, "result": f"result of {name}"}))
    return call


def key_of(payload_text: str):
    """The key of a chaos event; None for events that carry none."""
    if '"chaos"' not in payload_text:
        return None
    return json.loads(payload_text)["value"]["k"]


class Unsent(Exception):
    """No connection: nothing can have happened."""


class Lost(Exception):
    """The request was sent, or partly sent, and no answer came: the outcome is unknown."""


class Connection:
    """One keep-alive connection that is made again when it breaks."""

    def __init__(self, host, port, key_path, timeout=12.0):
        self.host, self.port, self.timeout = host, port, timeout
        self.key = Path(key_path).read_text(encoding="ascii").strip()
        self.http = None

    def request(self, method, path, body=None, idempotency=None) -> tuple:
        """(status, text)."""
        if self.http is None:
            fresh = http.client.HTTPConnection(self.host, self.port, timeout=self.timeout)
            try:
                fresh.connect()
            except OSError as error:
                raise Unsent(str(error)) from error
            self.http = fresh
        headers = {"Authorization": f"Bearer {self.key}"}
        if idempotency is not None:
            headers["Idempotency-Key"] = idempotency
        try:
            self.http.request(method, path, body.encode() if body is not None else None, headers)
            answer = self.http.getresponse()
            text = answer.read().decode()
            if answer.will_close:
                self.drop()
            return answer.status, text
        except (OSError, http.client.HTTPException) as error:
            self.drop()
            raise Lost(repr(error)) from error

    def drop(self):
        if self.http is not None:
            self.http.close()
            self.http = None
