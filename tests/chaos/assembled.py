"""
What a client of a conversation has put together, and what the log says it must be.

A client is fed with the frames of one connection, as the npm clients are, and breaks their rules never: what they would throw at is
a ValueError here (`Agui` as the verifier of @ag-ui/client, `AiSdk` as readUIMessageStream of ai). Frames count once the one with their
event's seq has come. `Assembled` is what it has come to when the connection ended; `check_assembled` replays the log up to that
seq, in a way of its own, and compares. Nothing here talks to a server.
"""

import json
from dataclasses import dataclass, field

TERMINAL = ("RUN_FINISHED", "RUN_FAILED", "RUN_CANCELLED")
OVER, PAUSES = "over", "pauses"


@dataclass
class Assembled:
    """Of one connection. seq: of the last event shown. end: OVER or PAUSES as the client was told it, else "". tidy: how it ended."""

    name: str
    kind: str
    run: str
    seq: int
    end: str
    tidy: bool
    texts: dict = field(default_factory=dict)  # message id -> text, the assistant's only
    calls: dict = field(default_factory=dict)  # call id -> arguments: text, or the value when they are whole (AI SDK)
    results: dict = field(default_factory=dict)
    customs: list = field(default_factory=list)  # keys of the load's CUSTOM events


class Client:
    def __init__(self):
        self.run, self.end, self.seq = None, "", 0
        self.texts, self.calls, self.results, self.customs = {}, {}, {}, []
        self.open = set()
        self.waiting = []  # frames whose event is not complete yet

    def frame(self, identity, data) -> bool:
        """True: an event is complete."""
        self.waiting.append(data)
        if identity is None:
            return False
        seq = int(identity)
        must(seq > self.seq, f"seq {seq} after {self.seq}")
        for text in self.waiting:
            if text != "[DONE]":
                self.take(json.loads(text))
        self.waiting, self.seq = [], seq
        return True

    def opens(self, what):
        must(what not in self.open, f"{what} begins twice")
        self.open.add(what)

    def goes_on(self, what):
        must(what in self.open, f"{what} is not open")

    def closes(self, what):
        self.goes_on(what)
        self.open.remove(what)

    def custom(self, name, value):
        if name == "chaos":
            self.customs.append(value["k"])

    def assembled(self, name, kind, tidy) -> Assembled:
        return Assembled(name, kind, self.run, self.seq, self.end, tidy, self.shown(), self.calls, self.results, self.customs)

    def shown(self) -> dict:
        return self.texts


def must(good, text):
    if not good:
        raise ValueError(text)


class Agui(Client):
    IGNORED = ("STATE_SNAPSHOT", "STATE_DELTA", "ACTIVITY_SNAPSHOT", "STEP_STARTED", "STEP_FINISHED")

    def __init__(self):
        super().__init__()
        self.running = False
        self.roles = {}

    def shown(self):
        return {message: text for message, text in self.texts.items() if self.roles.get(message) == "assistant"}

    def take(self, event):
        kind = event["type"]
        if kind == "RUN_STARTED":
            must(not self.running and self.end != OVER, "RUN_STARTED of a run that goes on or is over")
            must(self.run in (None, event["runId"]), f"run {event['runId']} in the place of {self.run}")
            self.run, self.running, self.end = event["runId"], True, ""
            return
        must(self.running, f"{kind} where no run goes on")
        if kind in ("RUN_FINISHED", "RUN_ERROR"):
            must(kind == "RUN_ERROR" or not self.open, f"the run ends while {self.open} are open")
            self.running = False
            self.end = PAUSES if event.get("outcome", {}).get("type") == "interrupt" else OVER
        elif kind == "MESSAGES_SNAPSHOT":
            self.snapshot(event["messages"])
        elif kind == "CUSTOM":
            self.custom(event["name"], event.get("value"))
        elif kind.startswith("TEXT_MESSAGE_"):
            self.message(kind, event["messageId"], event)
        elif kind.startswith("TOOL_CALL_"):
            self.call(kind, event["toolCallId"], event)
        else:
            must(kind in self.IGNORED, f"unknown type {kind}")

    def message(self, kind, message, event):
        if kind == "TEXT_MESSAGE_START":
            self.opens(("message", message))
            self.roles.setdefault(message, event.get("role", "assistant"))
            self.texts.setdefault(message, "")
        elif kind == "TEXT_MESSAGE_CONTENT":
            self.goes_on(("message", message))
            self.texts[message] += event["delta"]
        else:
            must(kind == "TEXT_MESSAGE_END", f"unknown type {kind}")
            self.closes(("message", message))

    def call(self, kind, call, event):
        if kind == "TOOL_CALL_START":
            self.opens(("call", call))
            self.calls.setdefault(call, "")
        elif kind == "TOOL_CALL_ARGS":
            self.goes_on(("call", call))
            self.calls[call] += event["delta"]
        elif kind == "TOOL_CALL_RESULT":
            must(call not in self.results, f"two results of {call}")
            self.results[call] = event["content"]
        else:
            must(kind == "TOOL_CALL_END", f"unknown type {kind}")
            self.closes(("call", call))

    def snapshot(self, messages):
        """Instead of all that was there."""
        self.texts, self.roles, self.calls, self.results = {}, {}, {}, {}
        for message in messages:
            must(message["id"] not in self.roles, f"{message['id']} twice in a snapshot")
            self.roles[message["id"]] = message["role"]
            for call in message.get("toolCalls", ()):
                self.calls[call["id"]] = call["function"]["arguments"]
            if message["role"] == "tool":
                self.results[message["toolCallId"]] = message["content"]
            elif message.get("content"):
                self.texts[message["id"]] = message["content"]


class AiSdk(Client):
    """A message's text is that of all its parts. Arguments are an `Input` once the part says that they are all."""

    IGNORED = ("start-step", "error", "source-url", "file")

    def __init__(self):
        super().__init__()
        self.partial = set()

    def take(self, part):
        kind = part["type"]
        must(kind == "start" or self.run is not None, f"{kind} before the start")
        # A message that has ended may begin again; its last word is what counts.
        self.end = {"finish": PAUSES if part.get("finishReason") == "other" else OVER, "abort": OVER}.get(kind, "")
        if kind == "start":
            must(self.run in (None, part["messageId"]), f"message {part['messageId']} in the place of {self.run}")
            self.run = part["messageId"]
        elif kind == "finish-step":
            self.open = set()
        elif kind.startswith("text-"):
            self.text(kind, part["id"], part)
        elif kind.startswith("tool-"):
            self.call(kind, part["toolCallId"], part)
        elif kind == "data-custom":
            self.custom(part["data"].get("name"), part["data"].get("value"))
        else:
            must(kind in self.IGNORED or kind in ("finish", "abort") or kind.startswith("data-"), f"unknown part {kind}")

    def text(self, kind, message, part):
        if kind == "text-start":
            self.opens(message)
            self.texts.setdefault(message, "")
        elif kind == "text-delta":
            self.goes_on(message)
            self.texts[message] += part["delta"]
        else:
            must(kind == "text-end", f"unknown part {kind}")
            self.closes(message)

    def call(self, kind, call, part):
        if kind == "tool-input-start":
            must(call not in self.calls, f"{call} begins twice")
            self.calls[call] = ""
            self.partial.add(call)
        elif kind == "tool-input-delta":
            must(call in self.partial, f"{call} is not open")
            self.calls[call] += part["inputTextDelta"]
        elif kind == "tool-input-available":
            self.partial.discard(call)
            self.calls[call] = [part["input"]]
        else:
            must(kind in ("tool-output-available", "tool-output-error"), f"unknown part {kind}")
            must(call in self.calls and call not in self.results, f"{kind} of {call}")
            self.results[call] = part.get("output", part.get("errorText"))


CLIENTS = {"agui": Agui, "ai-sdk": AiSdk}


@dataclass
class Truth:
    """The log up to some event."""

    texts: dict = field(default_factory=dict)
    calls: dict = field(default_factory=dict)
    results: dict = field(default_factory=dict)
    customs: list = field(default_factory=list)
    customs_told: int = 0  # of them, when the run began to wait
    hidden: set = field(default_factory=set)  # messages that are not the assistant's
    questions: set = field(default_factory=set)
    cancelling: bool = False
    kind: str = ""

    def take(self, kind, payload):
        waited = self.waits()
        self.kind = kind
        if kind == "CUSTOM":
            self.customs.append(payload["value"]["k"])
        elif kind.startswith("MESSAGE_"):
            self.message(kind, payload["message_id"], payload)
        elif kind == "TOOL_CALL_STARTED":
            self.calls[payload["tool_call_id"]] = payload["arguments"]
        elif kind == "TOOL_CALL_ARGS":
            self.calls[payload["tool_call_id"]] += payload["delta"]
        elif kind == "TOOL_CALL_COMPLETED":
            self.results[payload["tool_call_id"]] = payload["result"]
        elif kind == "CLARIFICATION_NEEDED":
            self.questions.add(payload["clarification_id"])
        elif kind == "CLARIFICATION_ANSWERED":
            self.questions.discard(payload["clarification_id"])
        elif kind == "RUN_CANCEL_REQUESTED":
            self.cancelling = True
        if not waited:
            self.customs_told = len(self.customs)

    def message(self, kind, message, payload):
        if payload.get("role", "assistant") != "assistant":
            self.hidden.add(message)
        if message in self.hidden:
            return
        if kind == "MESSAGE_DELTA":
            self.texts[message] = self.texts.get(message, "") + payload["delta"]
        elif kind == "MESSAGE_COMPLETED":
            self.texts[message] = payload["content"]

    def waits(self) -> bool:
        return bool(self.questions) and not self.cancelling


def truth_at(log, seq) -> Truth:
    truth = Truth()
    for kind, payload in log[:seq]:
        truth.take(kind, payload)
    return truth


def check_assembled(one: Assembled, log: list) -> list:
    """[(invariant, text)]. log: (type, payload) by seq."""
    if one.seq == 0:
        return [("I5", f"{one.name}: a tidy end of nothing")] if one.tidy else []
    if one.seq > len(log):
        return [("I4", f"{one.name} saw seq {one.seq}, the table ends at {len(log)}")]
    truth = truth_at(log, one.seq)
    found = check_end(one, truth, len(log))
    # Whoever comes to a run that waits is told of CUSTOM events when it goes on.
    customs = truth.customs[: truth.customs_told] if one.kind == "agui" and truth.waits() else truth.customs
    found += differences(one, "texts", nonempty(one.texts), nonempty(truth.texts))
    found += differences(one, "calls", one.calls, {call: arguments(one, call, text) for call, text in truth.calls.items()})
    found += differences(one, "results", one.results, truth.results)
    if one.customs != customs:
        at = next((n for n, pair in enumerate(zip(one.customs, customs)) if pair[0] != pair[1]), min(len(one.customs), len(customs)))
        found.append(("I4", f"{one.name} at seq {one.seq}: custom {at} is {one.customs[at:][:2]}, the table has {customs[at:][:2]}"))
    return found


def check_end(one, truth, length) -> list:
    """A tidy end is one behind the run's end, or where it waits; and what was told as such must be that."""
    found = []
    if one.tidy and not one.end:
        found.append(("I5", f"{one.name} ended tidily at seq {one.seq}, {truth.kind}"))
    if (one.end == OVER) != (truth.kind in TERMINAL and one.seq == length):
        found.append(("I5", f"{one.name} was told {one.end or 'nothing'!r} at seq {one.seq} of {length}, {truth.kind}"))
    if one.end == PAUSES and not truth.waits():
        found.append(("I5", f"{one.name} was told to wait at seq {one.seq}, {truth.kind}"))
    return found


def nonempty(texts) -> dict:
    return {name: text for name, text in texts.items() if text}


def arguments(one, call, text):
    """As the client must have them: whole ones of the AI SDK as the value that they spell."""
    if not isinstance(one.calls.get(call), list):
        return text
    try:
        return [json.loads(text)]
    except ValueError:
        return [text]


def differences(one, what, mine, theirs) -> list:
    names = sorted(name for name in mine.keys() | theirs.keys() if mine.get(name) != theirs.get(name))
    return [
        ("I4", f"{one.name} at seq {one.seq}: {what} {name}: {mine.get(name)!r:.300}, the table has {theirs.get(name)!r:.300}")
        for name in names[:3]
    ]
