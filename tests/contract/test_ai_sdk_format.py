"""Runs as the AI SDK's stream, without a server: random logs that our contracts allow, and what both versions of the
client make of them (tests/clients/ai_sdk_read.mjs)."""

import json
import random

import pytest
from contract.project import RUN_ID
from contract.project import project as show

WORDS = ["ship", "rain", "\u00e9t\u00e9", "a\"b", "line\nbreak", "\U0001f6a2", "\\", "data: x", "</script>", " "]


def project(logs):
    """What the format makes of each log: [seq, text, pauses] of every event."""
    return [[[seq, answer["bytes"], answer["pauses"]] for seq, answer in enumerate(answers, 1)]
            for answers, _ in show(logs, form="ai-sdk")]


def text(shown, after_seq=0):
    return "".join(piece for seq, piece, _ in shown if seq > after_seq)


class Log:
    """A random log, and what a reader must find in it."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.events = [("RUN_STARTED", {"metadata": {}})]
        self.texts = {}  # (family, id) -> whole text
        self.open = {}  # (family, id) -> shown so far
        self.calls = {}  # id -> [has a result, result or error]
        self.tasks, self.plans, self.sources, self.questions, self.answers = {}, {}, set(), [], {}
        self.waits, self.numbers, self.answered_at = False, 0, []
        for _ in range(self.random.randrange(40)):
            self.step()
        self.end()

    def add(self, kind, **payload):
        self.events.append((kind, payload))

    def number(self, prefix):
        self.numbers += 1
        return f"{prefix}{self.numbers}" + self.random.choice(["", "", " \u00e9\"", "\\n"])

    def words(self):
        return " ".join(self.random.choice(WORDS) for _ in range(self.random.randrange(1, 5)))

    def step(self):
        self.random.choice([self.begin, self.begin, self.delta, self.delta, self.delta, self.complete, self.complete, self.whole,
                            self.other, self.tool, self.tool, self.task, self.data, self.ask, self.answer])()  # fmt: skip

    def begin(self):
        family = self.random.choice(["text", "reasoning"])
        name = self.number("m")
        self.open[family, name] = ""
        if family == "reasoning":
            self.add("REASONING_STARTED", message_id=name)
        elif self.random.random() < 0.7:  # or the delta comes without it
            self.add("MESSAGE_STARTED", message_id=name, role="assistant")

    def delta(self):
        if self.open:
            family, name = self.random.choice(sorted(self.open))
            delta = self.words() if self.random.random() < 0.9 else ""
            self.open[family, name] += delta
            self.add("MESSAGE_DELTA" if family == "text" else "REASONING_DELTA", message_id=name, delta=delta)

    def complete(self):
        if self.open:
            family, name = self.random.choice(sorted(self.open))
            content = self.open.pop((family, name)) + (self.words() if self.random.random() < 0.3 else "")
            self.texts[family, name] = content
            self.add("MESSAGE_COMPLETED" if family == "text" else "REASONING_COMPLETED", message_id=name, content=content)

    def whole(self):
        name, content = self.number("w"), self.words()
        role = {"role": "assistant"} if self.random.random() < 0.5 else {}
        self.texts["text", name] = content
        self.add("MESSAGE_COMPLETED", message_id=name, content=content, **role)

    def other(self):
        """What is not the assistant's is not shown."""
        name, role = self.number("o"), self.random.choice(["user", "system", "tool", "developer"])
        if self.random.random() < 0.5:
            self.add("MESSAGE_STARTED", message_id=name, role=role)
            self.add("MESSAGE_DELTA", message_id=name, delta="hidden")
            self.add("MESSAGE_COMPLETED", message_id=name, content="hidden")
        else:
            self.add("MESSAGE_COMPLETED", message_id=name, role=role, content="hidden")

    def tool(self):
        name = self.number("t")
        way = self.random.randrange(6)
        if way == 0:
            self.add("TOOL_CALL_STARTED", tool_call_id=name, name="look up", arguments=self.random.choice(['{"a":\n[1]}', "not json {", {}, {"b": 2}]))
        elif way == 1:
            self.add("TOOL_CALL_STARTED", tool_call_id=name, name="look up", arguments="")
            for piece in ('{"city":', '"Bern"', "}")[: self.random.randrange(4)]:
                self.add("TOOL_CALL_ARGS", tool_call_id=name, delta=piece)
                if self.random.random() < 0.3:
                    self.step()
        elif way == 2:
            self.add("TOOL_CALL_ARGS", tool_call_id=name, delta="{}")
            self.add("TOOL_CALL_STARTED", tool_call_id=name, name="late", arguments=self.random.choice(["", '{"x":1}']))
        if way in (1, 2, 0) and self.random.random() < 0.5:
            self.step()
        if way < 4 and self.random.random() < 0.8:
            result = self.random.choice(["text", {"n": 1}, [1, None], None, 5])
            self.add("TOOL_CALL_COMPLETED", tool_call_id=name, name="look up", result=result)
            self.calls[name] = ("output-available", result)
        elif way in (4, 5):
            error = self.random.choice([{"error": "gone"}, {"error": {"message": "gone"}}, {"reason": "gone"}])
            self.add("TOOL_CALL_FAILED", tool_call_id=name, **error)
            self.calls[name] = ("output-error", "gone")
        else:
            self.calls[name] = None

    def task(self):
        name = self.random.choice(sorted(self.tasks)) if self.tasks and self.random.random() < 0.6 else self.number("k")
        kind, status = self.random.choice([("TASK_STARTED", "running"), ("TASK_PROGRESS", "running"), ("TASK_COMPLETED", "completed"),
                                           ("TASK_FAILED", "failed"), ("TASK_CANCELLED", "cancelled")])  # fmt: skip
        more = {"title": "Title"} if kind == "TASK_STARTED" else {}
        ended, title = self.tasks.get(name, (False, None))[1:] if name in self.tasks else (False, None)
        title = more.get("title") or (None if ended else title)
        self.tasks[name] = (status, status != "running", title)
        self.add(kind, task_id=name, **more)

    def data(self):
        kind = self.random.randrange(6)
        if kind == 0:
            plan = [{"task_id": "a", "title": self.words()}]
            self.plans["p"] = plan
            self.add(self.random.choice(["PLAN_CREATED", "PLAN_UPDATED"]), plan_id="p", tasks=plan)
        elif kind == 1:
            name = self.number("s")
            self.sources.add(name)
            self.add("SOURCE_ADDED", source_id=name, entity_type="web_page", url="https://example.com/" + name)
        elif kind == 2:
            self.add("ARTIFACT_CREATED", artifact_id=self.number("a"), entity_type="report", url="/a", media_type="text/html")
        elif kind == 3:
            self.add("CUSTOM", name="any", value=self.random.choice([None, 1, "x", {"deep": [1]}]))
        elif kind == 4:
            self.add("WARNING", message="careful")
        else:
            self.add("STATE_DELTA", delta=[{"op": "add", "path": "/a", "value": 1}])

    def ask(self):
        if self.random.random() < 0.7:
            name = self.number("q")
            self.questions.append(name)
            self.add("CLARIFICATION_NEEDED", clarification_id=name, question="Which?")
        elif not self.waits:
            self.add("RUN_INTERRUPTED", reason="wait")
        self.waits = True

    def answer(self):
        if not self.waits:
            return
        if self.questions:
            name = self.questions.pop(self.random.randrange(len(self.questions)))
            self.answers[name] = self.random.choice(["yes", {"ok": True}, None])
            self.add("CLARIFICATION_ANSWERED", clarification_id=name, response=self.answers[name])
            self.waits = bool(self.questions)
        else:
            self.add("RUN_RESUMED", response="go")
            self.waits = False
        self.answered_at.append(len(self.events))

    def end(self):
        self.last = self.random.choice(["RUN_FINISHED", "RUN_FAILED", "RUN_CANCELLED", None])
        if self.last:
            self.add(self.last, **({"error": "broke"} if self.last == "RUN_FAILED" else {}))


def shown_texts(chunks):
    """Texts by (family, id); a part that is used when it is not open is the client's affair to notice."""
    texts = {}
    for chunk in chunks:
        family, _, what = chunk["type"].rpartition("-")
        if what == "delta" and family in ("text", "reasoning"):
            texts[family, chunk["id"]] = texts.get((family, chunk["id"]), "") + chunk["delta"]
    return texts


def parts_by(parts, kind, key="id"):
    return {part[key]: part for part in parts if part["type"] == kind}


def check(log, seen, seed):
    expected = {**log.open, **log.texts}
    assert shown_texts(seen["chunks"]) == {key: whole for key, whole in expected.items() if whole}, seed
    assert len(seen["messages"]) == 1 and seen["messages"][0]["id"] == RUN_ID, seed
    parts = seen["messages"][0]["parts"]
    kinds = [chunk["type"] for chunk in seen["chunks"]]
    for family in ("text", "reasoning"):
        assert "".join(sorted("".join(part["text"] for part in parts if part["type"] == family))) == \
            "".join(sorted("".join(whole for (kind, _), whole in expected.items() if kind == family))), seed  # fmt: skip
    calls = [part for part in parts if part["type"].startswith("tool-")]
    assert len(calls) == len({part["toolCallId"] for part in calls}), f"{seed}: a call is shown twice"
    by_id = {part["toolCallId"]: part for part in calls}
    for name, outcome in log.calls.items():
        if outcome:
            part = by_id[name]
            assert (part["state"], part["output"] if outcome[0] == "output-available" else part["errorText"]) == outcome, seed
    for name, (status, _, title) in log.tasks.items():
        data = parts_by(parts, "data-task")[name]["data"]
        assert (data["status"], data.get("title")) == (status, title), seed
    assert {part["sourceId"] for part in parts if part["type"] == "source-url"} == log.sources
    assert {name: part["data"]["tasks"] for name, part in parts_by(parts, "data-plan").items()} == log.plans, seed
    asked = parts_by(parts, "data-clarification")
    assert {name: part["data"]["response"] for name, part in asked.items() if "response" in part["data"]} == log.answers, seed
    assert all(part["data"]["question"] == "Which?" for part in asked.values()), seed
    assert kinds[0] == "start", seed
    if log.last:
        assert kinds.count("start-step") == kinds.count("finish-step"), seed
        assert all(part.get("state") not in ("streaming", "input-streaming") for part in parts), seed
    assert ("abort" in kinds) == (log.last == "RUN_CANCELLED"), seed
    assert seen["errors"] == (["broke"] if log.last == "RUN_FAILED" else []), seed
    if log.last == "RUN_FINISHED":
        assert seen["chunks"][-1] == {"type": "finish", "finishReason": "stop"}, seed


def without_steps(parts):
    """Where a client goes on from another stream its parts stand in another order: not what they are."""
    return sorted(json.dumps(part, sort_keys=True) for part in parts if part["type"] != "step-start")


@pytest.mark.requirement("R093")
def test_both_versions_accept_whatever_the_contracts_allow(node_client):
    logs = [Log(seed) for seed in range(150)]
    shown = project([log.events for log in logs])
    results = node_client("ai_sdk_read.mjs", given=[{"sse": text(one)} for one in shown], timeout=60)
    for seed, (log, result) in enumerate(zip(logs, results, strict=True)):
        for seen in (result["ai6"], result["ai7"]):
            check(log, seen, seed)


@pytest.mark.requirement("R093")
def test_a_stream_from_an_answer_on_completes_the_message_that_asked(node_client):
    """What a client has when its stream pauses, and what it is given when it has answered, are the whole message."""
    cases = []
    logs = [log for log in map(Log, range(1000, 1400)) if log.answered_at][:40]
    for log, shown in zip(logs, project([log.events for log in logs]), strict=True):
        seq = log.answered_at[-1]
        cases.append((text(shown[: seq - 1]), text(shown, seq - 1), text(shown)))
    first = node_client("ai_sdk_read.mjs", given=[{"sse": before} for before, _, _ in cases], timeout=60)
    for version in ("ai6", "ai7"):
        given = [{"sse": after, "message": result[version]["messages"][-1]} for (_, after, _), result in zip(cases, first, strict=True)]
        given += [{"sse": whole} for _, _, whole in cases]
        results = node_client("ai_sdk_read.mjs", given=given, timeout=60)
        for split, whole in zip(results[: len(cases)], results[len(cases):], strict=True):
            assert [error for error in split[version]["errors"] if error != "broke"] == []
            parts = split[version]["messages"][-1]["parts"] if split[version]["messages"] else []
            assert without_steps(parts) == without_steps(whole[version]["messages"][-1]["parts"])


def test_pauses_are_where_the_run_waits():
    log = [("RUN_STARTED", {}), ("CLARIFICATION_NEEDED", {"clarification_id": "a", "question": "?"}),
           ("CLARIFICATION_NEEDED", {"clarification_id": "b", "question": "?"}),
           ("CLARIFICATION_ANSWERED", {"clarification_id": "a", "response": 1}),
           ("CLARIFICATION_ANSWERED", {"clarification_id": "b", "response": 1}), ("RUN_INTERRUPTED", {}), ("RUN_RESUMED", {}),
           ("RUN_CANCEL_REQUESTED", {"by": "key:x"}), ("CLARIFICATION_NEEDED", {"clarification_id": "c", "question": "?"}),
           ("RUN_CANCELLED", {})]  # fmt: skip
    (shown,) = project([log])
    assert [seq for seq, _, pauses in shown if pauses] == [2, 3, 4, 6]
    for seq, piece, pauses in shown:
        assert not pauses or piece.endswith(f"data: [DONE]\nid: {seq}\n\n")


def test_an_answer_is_followed_by_the_questions_that_wait_still():
    """A stream ends at the first of two questions: whoever answers it must be told of the second."""
    log = [("RUN_STARTED", {}), ("CLARIFICATION_NEEDED", {"clarification_id": "a\n", "question": "A?"}),
           ("CLARIFICATION_NEEDED", {"clarification_id": "b\"", "question": "B?"}),
           ("CLARIFICATION_ANSWERED", {"clarification_id": "a\n", "response": 1}),
           ("CLARIFICATION_ANSWERED", {"clarification_id": "b\"", "response": 1})]  # fmt: skip
    (shown,) = project([log])
    told = [json.loads(line[6:]) for line in shown[3][1].split("\n") if line.startswith('data: {"type":"data-clarification"')]
    assert [(part["id"], part["data"].get("response"), part["data"]["question"]) for part in told] == [("a\n", 1, "A?"), ('b"', None, "B?")]
    assert shown[4][1].count("data-clarification") == 1


def test_an_answer_that_was_a_message_begins_another_message(node_client):
    log = [("RUN_STARTED", {}), ("MESSAGE_COMPLETED", {"message_id": "m", "content": "one"}),
           ("CLARIFICATION_NEEDED", {"clarification_id": "a", "question": "?"}),
           ("CLARIFICATION_ANSWERED", {"clarification_id": "a", "response": "yes", "message_id": "u2"}),
           ("MESSAGE_COMPLETED", {"message_id": "n", "content": "two"}), ("RUN_FINISHED", {})]  # fmt: skip
    (shown,) = project([log])
    (result,) = node_client("ai_sdk_read.mjs", given=[{"sse": text(shown)}])
    for seen in result.values():
        texts = [(message["id"], [part["text"] for part in message["parts"] if part["type"] == "text"]) for message in seen["messages"]]
        assert texts == [(RUN_ID, ["one"]), (f"{RUN_ID}-4", ["two"])]
