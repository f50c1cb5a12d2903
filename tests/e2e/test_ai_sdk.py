"""Chats of the AI SDK, both versions of its client (tests/clients/ai_sdk_chat.mjs) against whole servers: an agent elsewhere
does the work through the native interface."""

import json
import os
import re
import subprocess
import urllib.parse

import pytest
from harness.client import assert_problem, random_id
from harness.node import FOLDER
from harness.paths import ROOT
from harness.waiting import wait_until

VERSIONS = ["ai6", "ai7"]
CHAT_IDS = ["chat/7 \u00e9? 50%25 ..%2F", "3f0e8a52-6c1d-4c7e-9a53-0c9f3f6c1b11", "x" * 255]


class Chat:
    """One chat: its front end, and the agent on the other side."""

    def __init__(self, box, client, node_client, version, id=None):
        self.box, self.client, self.node, self.version = box, client, node_client, version
        self.id = id or "chat-" + random_id()

    def open(self, *steps, messages=(), prefix="m", body=None):
        return self.node.start("ai_sdk_chat.mjs", given={
            "version": self.version, "api": f"{self.box.url}/api/v1/ai-sdk/chat", "key": self.client.key, "id": self.id,
            "messages": list(messages), "do": list(steps), "prefix": prefix, "body": body,
        })  # fmt: skip

    def post(self, **body):
        return self.client.request("POST", "/api/v1/ai-sdk/chat", content=json.dumps({"id": self.id} | body), timeout=10)

    def path(self, what):
        return f"/api/v1/ai-sdk/chat/{urllib.parse.quote(self.id, safe='')}/{what}"

    def runs(self):
        query = urllib.parse.quote(json.dumps({"client": {"thread_id": self.id}}))
        return self.client.get(f"/api/v1/runs?metadata={query}").json()["runs"]

    def run(self, count=1):
        """The newest run, when there are so many."""
        return wait_until(lambda: (found := self.runs()) and len(found) >= count and found[0], what="the run")

    def say(self, run_id, *events):
        return self.client.append_many(run_id, [{"type": kind, "payload": payload} for kind, payload in events])


def text(message):
    return "".join(part["text"] for part in message["parts"] if part["type"] == "text")


def until(process, want):
    """Reads on until the client shows that text."""
    while (line := process.line()) is not None:
        if line.get("text") == want and line.get("role") == "assistant":
            return
    raise AssertionError(f"never showed {want!r}: {process.seen}")


def delta(words, name="a"):
    return ("MESSAGE_DELTA", {"message_id": name, "delta": words})


def user(words, name="m1"):
    return {"id": name, "role": "user", "parts": [{"type": "text", "text": words}]}


@pytest.fixture
def chat(request, box, client, node_client):
    return Chat(box, client, node_client, request.param)


with_both = pytest.mark.parametrize("chat", VERSIONS, indirect=True)
with_6 = pytest.mark.parametrize("chat", ["ai6"], indirect=True)
with_7 = pytest.mark.parametrize("chat", ["ai7"], indirect=True)


@with_both
@pytest.mark.requirement("R093")
def test_live(chat):
    front = chat.open({"send": "Hello"}, body={"agent": "helper", "model": "small"})
    run = chat.run()
    assert run["metadata"]["agent"] == "helper" and run["metadata"]["client"]["body"] == {"model": "small"}
    wait_until(lambda: len(chat.client.log(run["id"])) == 2, what="the user's message")
    seq, kind, payload = chat.client.log(run["id"])[1]
    assert (seq, kind, json.loads(payload)) == (2, "MESSAGE_COMPLETED", {"message_id": "m2", "role": "user", "content": "Hello"}) or \
        json.loads(payload)["content"] == "Hello"  # fmt: skip
    chat.say(run["id"], delta("Hi"))
    until(front, "Hi")
    chat.say(run["id"], delta(" there"), ("TOOL_CALL_STARTED", {"tool_call_id": "t", "name": "find", "arguments": "{}"}),
             ("TOOL_CALL_COMPLETED", {"tool_call_id": "t", "name": "find", "result": 7}),
             ("PLAN_CREATED", {"plan_id": "p", "tasks": []}), ("RUN_FINISHED", {}))  # fmt: skip
    end = front.result()
    assert end["status"] == "ready" and [m["role"] for m in end["messages"]] == ["user", "assistant"]
    answer = end["messages"][1]
    assert answer["id"] == run["id"] and text(answer) == "Hi there"
    assert {part["type"] for part in answer["parts"]} == {"step-start", "text", "tool-find", "data-plan"}
    assert end["finished"][0]["finishReason"] == "stop" and not end["finished"][0]["isError"]


@with_both
@pytest.mark.requirement("R093")
def test_late_and_twice(chat):
    """A reload in the middle, and another: everything once."""
    first = chat.open({"send": "Hello"})
    run = chat.run()["id"]
    chat.say(run, delta("one"))
    until(first, "one")
    first.close()
    second = chat.open({"resume": True}, messages=[user("Hello")])
    until(second, "one")
    chat.say(run, delta(" two"))
    until(second, "one two")
    second.close()
    kept = [user("Hello"), {"id": run, "role": "assistant", "parts": [{"type": "text", "text": "one tw"}]}]
    third = chat.open({"resume": True}, messages=kept)
    until(third, "one two")
    assert chat.client.run(run)["status"] == "running"  # who goes away cancels nothing
    chat.say(run, delta(" three"), ("RUN_FINISHED", {}))
    end = third.result()
    assert [(m["role"], text(m)) for m in end["messages"]] == [("user", "Hello"), ("assistant", "one two three")]
    over = chat.open({"resume": True}, messages=end["messages"]).result()
    assert over["status"] == "ready" and over["messages"] == end["messages"]


@with_6
@pytest.mark.requirement("R093")
def test_stopped(chat):
    front = chat.open({"send": "Hello"})
    run = chat.run()["id"]
    chat.say(run, delta("half"))
    until(front, "half")
    answer = chat.client.post(chat.path("stop"), {"reason": "enough"})
    assert answer.status_code == 202 and answer.json() == {"id": run, "status": "cancelling"}
    assert chat.client.post(chat.path("stop")).status_code == 202
    chat.say(run, ("RUN_CANCELLED", {"reason": "enough"}))
    end = front.result()
    assert end["status"] == "ready" and text(end["messages"][1]) == "half"
    assert_problem(chat.client.post(chat.path("stop")), 404, "not-found")
    assert chat.client.get(chat.path("stream")).status_code == 204


@with_7
@pytest.mark.requirement("R093")
def test_failed(chat):
    front = chat.open({"send": "Hello"})
    run = chat.run()["id"]
    chat.say(run, delta("half"), ("RUN_FAILED", {"error": "no more tokens"}))
    end = front.result()
    assert (end["status"], end["error"], text(end["messages"][1])) == ("error", "no more tokens", "half")


@with_both
@pytest.mark.requirement("R093")
def test_interrupted_and_resumed(chat):
    """The stream pauses where the agent asks; the answer stands in the message that asked, which goes on."""
    front = chat.open({"send": "Hello"}, {"answer": {"ok": True}})
    run = chat.run()["id"]
    chat.say(run, delta("May I?"), ("CLARIFICATION_NEEDED", {"clarification_id": "q", "question": "May I?"}))
    wait_until(lambda: chat.client.run(run)["status"] == "running", what="the answer")
    chat.say(run, delta(" Done.", "b"), ("RUN_FINISHED", {}))
    end = front.result()
    assert end["status"] == "ready" and len(end["messages"]) == 2 and text(end["messages"][1]) == "May I? Done."
    asked = [part["data"] for part in end["messages"][1]["parts"] if part["type"] == "data-clarification"]
    assert asked == [{"clarification_id": "q", "question": "May I?", "response": {"ok": True}}]
    log = chat.client.log(run)
    assert [kind for _, kind, _ in log][-3:] == ["CLARIFICATION_ANSWERED", "MESSAGE_DELTA", "RUN_FINISHED"]
    # All of it once more, through the pause.
    whole = chat.post(messages=end["messages"][:1])
    assert whole.text.count('"type":"start"') == 2 and whole.text.count(f'"messageId":"{run}"') == 2


@with_7
@pytest.mark.requirement("R093")
def test_a_message_answers_too(chat):
    """Front ends that know nothing of questions: what the person writes is the answer, and a message of its own follows."""
    front = chat.open({"send": "Hello"}, {"send": "yes"})
    run = chat.run()["id"]
    chat.say(run, delta("May I?"), ("CLARIFICATION_NEEDED", {"clarification_id": "q", "question": "May I?"}))
    wait_until(lambda: chat.client.run(run)["status"] == "running", what="the answer")
    chat.say(run, delta("Done.", "b"), ("RUN_FINISHED", {}))
    end = front.result()
    assert [text(m) for m in end["messages"]] == ["Hello", "May I?", "yes", "Done."]
    assert len({m["id"] for m in end["messages"]}) == 4 and len(chat.runs()) == 1
    answered = json.loads(next(payload for _, kind, payload in chat.client.log(run) if kind == "CLARIFICATION_ANSWERED"))
    assert answered["response"] == "yes" and answered["message_id"] == end["messages"][2]["id"]
    again = chat.post(messages=end["messages"][2:3])
    assert again.status_code == 200 and '"delta":"Done."' in again.text and "May I?" not in again.text.split("start-step")[1]
    assert len(chat.runs()) == 1


@with_6
def test_a_reader_comes_to_a_run_that_waits(chat):
    front = chat.open({"send": "Hello"})
    run = chat.run()["id"]
    chat.say(run, delta("one"), ("CLARIFICATION_NEEDED", {"clarification_id": "q", "question": "?"}))
    assert front.result()["status"] == "ready"
    chat.client.post(f"/api/v1/runs/{run}/resume", {"clarification_id": "q", "response": 1})
    chat.say(run, delta(" two"), ("RUN_INTERRUPTED", {"reason": "again"}))
    end = chat.open({"resume": True}, messages=[user("Hello")]).result()  # through the first pause, to the second
    assert end["status"] == "ready" and text(end["messages"][1]) == "one two"
    assert chat.client.run(run)["status"] == "interrupted"
    more = chat.open({"send": "go"}, messages=end["messages"], prefix="n")
    wait_until(lambda: chat.client.run(run)["status"] == "running", what="the answer")
    chat.say(run, ("RUN_FINISHED", {}))
    assert more.result()["status"] == "ready"


@with_6
def test_written_anew(chat):
    front = chat.open({"send": "Hello"}, {"regenerate": True}, {"regenerate": True})
    for count, words in ((1, "one"), (2, "two"), (3, "three")):
        run = chat.run(count)["id"]
        chat.say(run, delta(words), ("RUN_FINISHED", {}))
    end = front.result()
    assert [text(m) for m in end["messages"]] == ["Hello", "three"] and len(chat.runs()) == 3


def begin(chat, **body):
    """A POST whose client goes away at once; returns the run it began."""
    with chat.client.http.stream("POST", chat.client.locate() + "/api/v1/ai-sdk/chat", content=json.dumps({"id": chat.id} | body),
                                 headers={"Authorization": f"Bearer {chat.client.key}"}) as answer:  # fmt: skip
        assert answer.status_code == 200
    return chat.run()


def test_a_run_begun_and_no_more_is_told_what_was_said(box, client):
    """The server died, or was busy, between the run and the user's message: the same POST brings it."""
    chat = Chat(box, client, None, "ai6")
    first = begin(chat, messages=[user("Hello")])
    chat.say(first["id"], ("RUN_FINISHED", {}))
    run = client.new_run(thread_id=first["thread_id"], metadata=first["metadata"])
    for _ in range(2):
        begin(chat, messages=[user("Hello")])
    assert [kind for _, kind, _ in client.log(run)] == ["RUN_STARTED", "MESSAGE_COMPLETED"]
    assert json.loads(client.log(run)[-1][2])["content"] == "Hello"
    chat.say(run, ("RUN_FINISHED", {}))


def test_a_message_with_several_answers_comes_again(box, client):
    """Its stream was lost, or the server died between the first answer and the second: all are given, and shown."""
    chat = Chat(box, client, None, "ai6")
    run = begin(chat, messages=[user("Hello")])["id"]
    chat.say(run, *(("CLARIFICATION_NEEDED", {"clarification_id": name, "question": "?"}) for name in "qr"))
    client.post(f"/api/v1/runs/{run}/resume", {"clarification_id": "q", "response": 0})
    chat.say(run, *(("CLARIFICATION_NEEDED", {"clarification_id": name, "question": "?"}) for name in "st"))
    parts = [{"type": "data-clarification", "data": {"clarification_id": name, "response": name}} for name in "rst"]
    message = {"id": "m2", "role": "user", "parts": parts}
    # As the first answer of the message, and no more, is written.
    chat.say(run, ("CLARIFICATION_ANSWERED", {"clarification_id": "r", "response": "r", "message_id": "m2"}))
    for _ in range(2):
        begin(chat, message=message)
        answers = [json.loads(payload) for _, kind, payload in client.log(run) if kind == "CLARIFICATION_ANSWERED"]
        assert [answer["clarification_id"] for answer in answers] == ["q", "r", "s", "t"]
    chat.say(run, ("RUN_FINISHED", {}))
    shown = chat.post(message=message).text
    assert [f'"response":"{name}"' in shown for name in "rst"] == [True] * 3


def test_to_write_anew_is_no_answer(box, client):
    """What a person said at first is not what they say to a question that came after."""
    chat = Chat(box, client, None, "ai6")
    run = begin(chat, messages=[user("Hello")])["id"]
    chat.say(run, ("CLARIFICATION_NEEDED", {"clarification_id": "q", "question": "?"}))
    anew = chat.post(messages=[user("Hello")], trigger="regenerate-message", messageId=run)
    assert_problem(anew, 409, "thread-busy")
    # No question has so long a name; what carries it is no answer, and no command.
    part = {"type": "data-clarification", "data": {"clarification_id": "é" * 2000, "response": 1}}
    long = chat.post(message={"role": "assistant", "parts": [part]})
    assert_problem(long, 409, "clarification-mismatch")
    assert client.run(run)["status"] == "interrupted" and client.log(run)[-1][1] == "CLARIFICATION_NEEDED"
    chat.say(run, ("RUN_FINISHED", {}))


@pytest.mark.requirement("R093")
def test_the_same_post_again_finds_its_run(box, client):
    chat = Chat(box, client, None, "ai6")
    one = {"messages": [user("Hello")], "trigger": "submit-message"}
    with client.http.stream("POST", client.locate() + "/api/v1/ai-sdk/chat", content=json.dumps({"id": chat.id} | one),
                            headers={"Authorization": f"Bearer {client.key}"}) as first:  # fmt: skip
        assert first.status_code == 200 and first.headers["x-vercel-ai-ui-message-stream"] == "v1"
        run = chat.run()["id"]
    assert_problem(chat.post(messages=[user("Other", "m9")]), 409, "thread-busy")
    chat.say(run, delta("Hi"), ("RUN_FINISHED", {}))
    again = chat.post(**one)
    assert again.status_code == 200 and again.text.endswith("data: [DONE]\nid: 4\n\n") and '"delta":"Hi"' in again.text
    assert [kind for _, kind, _ in client.log(run)] == ["RUN_STARTED", "MESSAGE_COMPLETED", "MESSAGE_DELTA", "RUN_FINISHED"]
    assert len(chat.runs()) == 1


@pytest.mark.parametrize("id", CHAT_IDS)
def test_ids_are_the_clients_own(box, client, node_client, id):
    id = id if len(id) == 255 or id.count("-") == 4 else id + random_id()
    chat = Chat(box, client, node_client, "ai7", id)
    front = chat.open({"send": "Hello"})
    run = chat.run()
    assert run["metadata"]["client"]["thread_id"] == id
    assert (run["thread_id"] == id) == (id.count("-") == 4 and len(id) == 36)
    chat.say(run["id"], delta("Hi"))
    until(front, "Hi")
    resumed = chat.open({"resume": True}, messages=[user("Hello")])
    until(resumed, "Hi")
    assert chat.client.post(chat.path("stop")).status_code == 202
    chat.say(run["id"], ("RUN_CANCELLED", {}))
    assert front.result()["status"] == resumed.result()["status"] == "ready"


def test_a_position(box, client):
    """For clients that say their stream is no replay."""
    chat = Chat(box, client, None, "ai6")
    with client.http.stream("POST", client.locate() + "/api/v1/ai-sdk/chat", headers={"Authorization": f"Bearer {client.key}"},
                            content=json.dumps({"id": chat.id, "message": user("Hello")})):  # fmt: skip
        run = chat.run()["id"]
    chat.say(run, delta("one"), delta(" two"), ("RUN_INTERRUPTED", {}))
    rest = client.get(chat.path("stream") + "?after_seq=3").text
    assert '"delta":" two"' in rest and "one" not in rest
    again = client.get(chat.path("stream"), headers={"Last-Event-ID": "3"}).text
    assert again[again.index("data:") :] == rest[rest.index("data:") :]
    assert_problem(client.get(chat.path("stream") + "?after_seq=99"), 400, "cursor-beyond-head")
    assert_problem(chat.post(message={"role": "assistant", "parts": []}), 409)
    client.post(f"/api/v1/runs/{run}/cancel")
    chat.say(run, ("RUN_CANCELLED", {}))


def test_the_ten_lines_of_the_page_work(box, client, node_client):
    page = (ROOT / "docs" / "protocols.md").read_text(encoding="utf-8")
    code = next(block for block in re.findall(r"```js\n(.*?)```", page, re.S) if "from 'ai'" in block)
    chat = Chat(box, client, node_client, "ai7")
    code = code.replace("from 'ai'", "from 'ai7'").replace("chat-7", chat.id)
    process = subprocess.Popen(["node", "--input-type=module", "-"], cwd=FOLDER, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                               env=os.environ | {"SIGNALBOX": box.url, "SIGNALBOX_KEY": client.key})  # fmt: skip
    try:
        process.stdin.write(code)
        process.stdin.close()
        chat.say(chat.run()["id"], delta("It works."), ("RUN_FINISHED", {}))
        assert process.stdout.read().strip().endswith("It works.") and process.wait(30) == 0
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.mark.requirement("R093")
def test_a_killed_streamer_is_an_error_and_no_tidy_end(own_box, node_client):
    box = own_box()
    chats = [Chat(box, box.client(), node_client, version) for version in VERSIONS]
    fronts = [chat.open({"send": "Hello"}) for chat in chats]
    runs = [chat.run()["id"] for chat in chats]
    for chat, front, run in zip(chats, fronts, runs, strict=True):
        chat.say(run, delta("half"))
        until(front, "half")
    for actor in box.actors("streamer"):
        box.kill(actor["name"])
    for front in fronts:
        end = front.result()
        assert end["status"] == "error" and text(end["messages"][1]) == "half", end
    box.all_healthy()
    for chat, run in zip(chats, runs, strict=True):
        front = chat.open({"resume": True}, messages=[user("Hello")])
        until(front, "half")
        chat.say(run, delta(" whole"), ("RUN_FINISHED", {}))
        assert text(front.result()["messages"][1]) == "half whole"
