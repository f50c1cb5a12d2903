"""
AG-UI: what the projection makes of any log that our contracts allow is what the protocol's own client takes, whenever one
comes. The client is npm's, with its verifier on.
"""

import json
import random

import pytest
from contract.project import project
from harness.paths import SAMPLE_TRAJECTORIES
from harness.trajectories import load

ENDS = {"RUN_FINISHED", "RUN_FAILED", "RUN_CANCELLED"}
PROGRESS = {"RUN_PROGRESS", "TASK_PROGRESS", "JOB_PROGRESS"}
IDS = ["a", "b", 'q"\\é', "long " * 20, "\u2028"]
TEXTS = ["x", "Grüße ", 'a "quote" and \\', "line\nbreak\r\n\n", "\u2028\x1f", "😀", ""]


class Log:
    """A random log as the sequencer lets it be written: any order of anything, but for questions and the end."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        client = {"protocol": "ag-ui", "run_id": 'client "run"', "thread_id": "client thread"}
        self.events = [("RUN_STARTED", self.random.choice([{}, {"metadata": {"client": client}}, {"thread_id": "0" * 8}]))]
        self.questions, self.waits, self.cancelling = [], False, False
        self.contents = {}
        for _ in range(self.random.randint(1, 40)):
            self.step()
        self.finish()

    def add(self, kind, **payload):
        self.events.append((kind, payload))

    def id(self):
        return self.random.choice(IDS)

    def text(self):
        return self.random.choice(TEXTS)

    def content(self, message):
        """Mostly what its pieces make up, as it should be."""
        so_far = self.contents.get(message, "")
        return self.random.choice([so_far, so_far, so_far + self.text(), self.text()])

    def step(self):
        self.random.choice([self.message, self.message, self.message, self.reasoning, self.call, self.call, self.task, self.other,
                            self.state, self.question])()  # fmt: skip

    def message(self):
        kind, message = self.random.choice(["START", "DELTA", "DELTA", "DELTA", "COMPLETED", "COMPLETED", "EDITED"]), self.id()
        if kind == "START":
            self.add("MESSAGE_STARTED", message_id=message, role=self.random.choice(["assistant", "user", "system", "robot", "tool"]))
        elif kind == "DELTA":
            self.contents[message] = self.contents.get(message, "") + (delta := self.text())
            self.add("MESSAGE_DELTA", message_id=message, delta=delta)
        elif kind == "EDITED":
            self.contents[message] = content = self.text()
            self.add("MESSAGE_EDITED", message_id=message, content=content or None)
        elif self.random.random() < 0.2:
            self.add("MESSAGE_COMPLETED", message_id=f"t{len(self.events)}", role="tool", content=self.text(),
                     **self.random.choice([{}, {"tool_call_id": f"call {self.id()}"}]))  # fmt: skip
        else:
            self.contents[message] = content = self.content(message)
            self.add("MESSAGE_COMPLETED", message_id=message, content=content, **self.random.choice([{}, {"role": "user"}]))

    def reasoning(self):
        kind = self.random.choice(["STARTED", "DELTA", "DELTA", "COMPLETED"])
        extra = {"delta": self.text()} if kind == "DELTA" else {}
        self.add(f"REASONING_{kind}", message_id=self.id(), **extra)

    def call(self):
        kind, call = self.random.choice(["STARTED", "STARTED", "ARGS", "COMPLETED", "COMPLETED", "FAILED"]), f"call {self.id()}"
        if kind == "STARTED":
            arguments = self.random.choice(["", {}, {"a": [1, "é"]}, '{"b":"\\n"}', "no json"])
            self.add("TOOL_CALL_STARTED", tool_call_id=call, name=self.random.choice(["find", 'f"']), arguments=arguments,
                     **self.random.choice([{}, {"message_id": self.id()}]))  # fmt: skip
        elif kind == "ARGS":
            self.add("TOOL_CALL_ARGS", tool_call_id=call, delta=self.text())
        elif kind == "COMPLETED":
            self.add("TOOL_CALL_COMPLETED", tool_call_id=call, name="find", result=self.random.choice([None, "text", {"x": ["\n"]}, 5]))
        else:
            self.add("TOOL_CALL_FAILED", tool_call_id=call, **self.random.choice([{}, {"reason": "no"}, {"error": {"code": 1}}]))

    def task(self):
        kind = self.random.choice(["STARTED", "STARTED", "PROGRESS", "COMPLETED", "FAILED", "CANCELLED"])
        self.add(f"TASK_{kind}", task_id=self.id(), **self.random.choice([{}, {"title": "same"}, {"title": "a"}, {"title": ""}]))

    def other(self):
        self.random.choice([
            lambda: self.add("CUSTOM", name=self.id(), value=self.random.choice([None, 1, {"a": None}])),
            lambda: self.add("SOURCE_ADDED", source_id="s", entity_type="web_page"),
            lambda: self.add("PLAN_CREATED", plan_id=self.id(), tasks=[{"task_id": "t", "title": self.text()}]),
            lambda: self.add("PLAN_UPDATED", plan_id=self.id(), tasks=[]),
            lambda: self.add("USAGE_RECORDED", model=self.id(), input_tokens=self.random.choice([0, 5, 2**63 - 1]), output_tokens=1,
                             cost_micros=None),
            lambda: self.add("RUN_PROGRESS", percent=5),
            lambda: self.add("WARNING", message="w"),
        ])()  # fmt: skip

    def state(self):
        path = self.random.choice(["/a", "/a/b", "", "no pointer", "/~2", "/~1~0"])
        self.random.choice([
            lambda: self.add("STATE_SNAPSHOT", snapshot=self.random.choice([{}, {"a": {"b": 1}}, None, [1]])),
            lambda: self.add("STATE_DELTA", delta=[{"op": "add", "path": path, "value": self.text()}]),
            lambda: self.add("STATE_DELTA", delta=[{"op": self.random.choice(["add", "move", "remove", "test"]), "path": path}]),
        ])()  # fmt: skip

    def question(self):
        if self.waits and self.random.random() < 0.7:
            self.answer()
        elif len(self.questions) < 4 and self.random.random() < 0.8:
            question = f"q{len(self.events)}"
            self.add("CLARIFICATION_NEEDED", clarification_id=question, question=self.text() or "?",
                     **self.random.choice([{}, {"schema": True}, {"schema": {"type": "string"}, "expires_at": "2030-01-01T00:00:00Z"}]))  # fmt: skip
            if not self.cancelling:
                self.questions.append(question)
                self.waits = True
        elif self.random.random() < 0.3:
            self.add("RUN_CANCEL_REQUESTED", by="a person")
            self.questions, self.waits, self.cancelling = [], False, True
        else:
            self.add("RUN_INTERRUPTED", **self.random.choice([{}, {"reason": "approval"}]))
            self.waits = not self.cancelling

    def answer(self):
        name = self.random.choice([{}, {"client_run_id": f"next {len(self.events)}"}])
        if self.questions:
            self.add("CLARIFICATION_ANSWERED", clarification_id=self.questions.pop(), response=None, **name)
            self.waits = bool(self.questions)
        else:
            self.add("RUN_RESUMED", **name)
            self.waits = False

    def finish(self):
        self.random.choice([
            lambda: self.add("RUN_FINISHED", **self.random.choice([{}, {"result": None}, {"result": {"x": 1}}])),
            lambda: self.add("RUN_FAILED", **self.random.choice([{}, {"reason": "r"}, {"error": {"message": "m", "code": "c"}}, {"error": "e"}])),
            lambda: self.add("RUN_CANCELLED"),
            # What comes while it waits is told when it goes on, so that the end of a log is no place to compare at.
            lambda: self.add("RUN_FINISHED") if self.waits else None,
        ])()  # fmt: skip


def streams_of(pieces):
    """What a client reads that comes back for more whenever it was told that the run waits."""
    streams, stream = [], []
    for piece in pieces:
        if piece["bytes"]:
            stream.append(piece["bytes"])
        if piece["pauses"]:
            streams.append(stream)
            stream = []
    return [one for one in [*streams, stream] if one]


def clients(node_client, requests):
    return node_client("agui_replay.mjs", given=requests, timeout=120)


def kept(customs):
    return [one for one in customs if one[0] not in PROGRESS]


def in_order(result, log):
    """A client puts what a later snapshot tells it at the end: after a pause the order may be another one."""
    pauses = any(kind in ("CLARIFICATION_NEEDED", "RUN_INTERRUPTED") for kind, _ in log)
    # A message that is there for its calls may have an empty text or none.
    messages = [{k: v for k, v in one.items() if k != "content" or v or "toolCalls" not in one} for one in result["messages"]]
    return sorted(messages, key=lambda one: one["id"]) if pauses else messages


def assert_taken(result, log):
    assert not any(result["errors"]), (result["errors"], log)
    assert not [one for one in result["warnings"] if "[ag-ui]" in one], (result["warnings"], log)


def test_any_log_from_any_point(node_client):
    """Read from its beginning, and joined at any point: the verifier is content, and the client has the same in the end."""
    logs = [Log(seed).events for seed in range(200)]
    rng = random.Random(7)
    joins = [sorted(rng.sample(range(1, len(log) + 1), min(3, len(log)))) for log in logs]
    requests, about = [], []
    for log, (pieces, joined) in zip(logs, project(logs, joins)):
        about.append((log, None))
        requests.append({"streams": streams_of(pieces)})
        for position, beginning in joined.items():
            about.append((log, position))
            requests.append({"streams": streams_of([beginning, *pieces[position:]])})
    whole = None
    for (log, position), result in zip(about, clients(node_client, requests), strict=True):
        assert_taken(result, log)
        whole = result if position is None else whole
        assert in_order(result, log) == in_order(whole, log), (position, log)
        if any(kind.startswith("STATE_") for kind, _ in log):
            assert result["state"] == whole["state"], (position, log)
        if log[-1][0] in ENDS - {"RUN_FAILED"}:  # the client forgets no question over an error
            assert result["pending"] == whole["pending"], (position, log)
        assert kept(result["customs"]) == kept(whole["customs"]), (position, log)
        if log[-1][0] in ENDS:
            assert result["outcomes"][-1] == whole["outcomes"][-1], (position, log)


def test_texts_are_those_of_the_log(node_client):
    """However pieces, wholes and edits come: in the end the client has the text that was said last."""
    logs = []
    for seed in range(100, 160):
        log = Log(seed)
        log.events = [event for event in log.events if event[1].get("role") != "tool" and not event[0].startswith("TOOL_")]
        logs.append(log.events)
    results = clients(node_client, [{"streams": streams_of(pieces)} for pieces, _ in project(logs)])
    for log, result in zip(logs, results, strict=True):
        texts = {}
        for kind, payload in log:
            message = payload.get("message_id")
            if kind == "MESSAGE_STARTED":
                texts.setdefault(message, "")
            elif kind == "MESSAGE_DELTA":
                texts[message] = texts.get(message, "") + payload["delta"]
            elif kind == "MESSAGE_COMPLETED" or (kind == "MESSAGE_EDITED" and message in texts):
                texts[message] = payload["content"] or ""
        assert {one["id"]: one["content"] for one in result["messages"] if one["role"] in ("assistant", "user", "system")} == texts, log


def test_a_client_keeps_what_it_said(node_client):
    """Messages that the client sent along are in its list once, and in the list of one who comes later."""
    said = [{"id": "old", "role": "assistant", "content": "before", "toolCalls": []},
            {"id": "u1", "role": "user", "content": [{"type": "text", "text": "Where?"}]}]  # fmt: skip
    log = [
        ("RUN_STARTED", {}),
        ("CUSTOM", {"name": "ag_ui.input", "value": {"messages": said, "state": {"k": 1}, "tools": []}}),
        ("MESSAGE_COMPLETED", {"message_id": "u1", "role": "user", "content": "Where?", "input": True}),
        ("MESSAGE_DELTA", {"message_id": "m", "delta": "He"}),
        ("CLARIFICATION_NEEDED", {"clarification_id": "q", "question": "There?"}),
    ]
    ((pieces, joined),) = project([log], [[4, 5]])
    live, *late = clients(node_client, [
        {"streams": streams_of(pieces), "initial": {"messages": said, "state": {"k": 1}}},
        {"streams": streams_of([joined[4], *pieces[4:]])},
        {"streams": streams_of([joined[4], *pieces[4:]]), "initial": {"messages": [*said, {"id": "m", "role": "assistant", "content": "H"}]}},
        {"streams": streams_of([joined[5]])},
    ])  # fmt: skip
    assert live["messages"] == [*said, {"id": "m", "role": "assistant", "content": "He"}]
    for one in late:
        assert_taken(one, log)
        assert one["messages"] == live["messages"] and one["state"] == {"k": 1} and one["pending"] == live["pending"]


def test_too_many_open_at_once(node_client):
    """What cannot be shown while it is written is shown when it is whole."""
    log = [("RUN_STARTED", {})]
    log += [("MESSAGE_DELTA", {"message_id": f"m{number}", "delta": "part"}) for number in range(100)]
    log += [("TASK_STARTED", {"task_id": f"t{number}"}) for number in range(100)]
    log += [("MESSAGE_COMPLETED", {"message_id": f"m{number}", "content": "part and rest"}) for number in range(100)]
    log += [("RUN_FINISHED", {})]
    ((pieces, joined),) = project([log], [[150]])
    results = clients(node_client, [{"streams": streams_of(pieces)}, {"streams": streams_of([joined[150], *pieces[150:]])}])
    for result in results:
        assert_taken(result, log)
        assert sorted(one["content"] for one in result["messages"]) == ["part and rest"] * 100


def test_a_very_long_run_is_bounded(node_client):
    """One who comes to a run of many megabytes is told its last part, and goes on from there."""
    log = [("RUN_STARTED", {})]
    log += [("MESSAGE_COMPLETED", {"message_id": f"m{number}", "content": f"{number} " + "x" * 50_000}) for number in range(120)]
    log += [("STATE_DELTA", {"delta": [{"op": "add", "path": "/k", "value": number}]}) for number in range(50)]
    ((pieces, joined),) = project([log], [[len(log)]])
    bytes_ = joined[len(log)]["bytes"]
    assert len(bytes_) < 6_000_000
    (result,) = clients(node_client, [{"streams": [[bytes_]]}])
    assert_taken(result, log)
    assert result["messages"][-1]["content"].startswith("119 ") and len(result["messages"]) > 60
    assert result["state"] == {"k": 49}


def as_replayed(trajectory):
    """A recorded conversation as `signalbox replay` writes it."""
    log = [("RUN_STARTED", {})]
    for number, message in enumerate(trajectory["messages"]):
        name, role, content = f"m{number}", message["role"], message["content"]
        if role == "tool":
            log.append(("TOOL_CALL_COMPLETED", {"tool_call_id": message["tool_call_id"], "name": message["name"], "result": content}))
        elif role != "assistant":
            log.append(("MESSAGE_COMPLETED", {"message_id": name, "role": role, "content": content}))
        elif content:
            log.append(("MESSAGE_STARTED", {"message_id": name, "role": role}))
            log += [("MESSAGE_DELTA", {"message_id": name, "delta": content[at : at + 80]}) for at in range(0, len(content), 80)]
            log.append(("MESSAGE_COMPLETED", {"message_id": name, "content": content}))
        for call in message.get("tool_calls") or []:
            log.append(("TOOL_CALL_STARTED", {"tool_call_id": call["id"], **call["function"]}))
    return [*log, ("RUN_FINISHED", {})]


def test_a_recorded_conversation(node_client):
    trajectories = load(SAMPLE_TRAJECTORIES)
    logs = [as_replayed(trajectory) for trajectory in trajectories]
    results = clients(node_client, [{"streams": streams_of(pieces)} for pieces, _ in project(logs)])
    for trajectory, log, result in zip(trajectories, logs, results, strict=True):
        assert_taken(result, log)
        wanted = [one["content"] for one in trajectory["messages"] if one["role"] in ("user", "system") or (one["role"] == "assistant" and one["content"])]
        assert [one["content"] for one in result["messages"] if one["role"] != "tool" and "toolCalls" not in one] == wanted
        calls = [call["id"] for one in trajectory["messages"] for call in one.get("tool_calls") or []]
        assert [call["id"] for one in result["messages"] for call in one.get("toolCalls", [])] == calls
        assert result["outcomes"] == ["success"]


@pytest.mark.parametrize("payload", ['{"message_id":"\\u0061","delta":"x"}', '{ "delta" : "x" , "message_id" : "a" }'])
def test_two_spellings_of_one_id(payload):
    ((pieces, _),) = project([[("RUN_STARTED", {}), ("MESSAGE_STARTED", {"message_id": "a", "role": "assistant"}), ("MESSAGE_DELTA", payload)]])
    frames = pieces[2]["bytes"].split("\n\n")[:-1]
    assert [json.loads(frame.split("\n")[0][6:]) for frame in frames] == [{"type": "TEXT_MESSAGE_CONTENT", "messageId": "a", "delta": "x"}]
