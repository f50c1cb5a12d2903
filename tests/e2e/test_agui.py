"""AG-UI: npm's HttpAgent, its verifier on, reads runs as they happen, later, across a question, and as they end."""

import json
import os
import subprocess
import uuid

import pytest
from harness.client import assert_problem
from harness.node import FOLDER
from harness.paths import ROOT
from harness.waiting import wait_until

HELLO = {"id": "u1", "role": "user", "content": "Where is the night train?"}


def new_id(what) -> str:
    """As clients choose them: any text."""
    return f"{what} Ü/{uuid.uuid4()}"


class Agent:
    """The agent's side of the conversation: it finds its run and writes through the native interface."""

    def __init__(self, client):
        self.client = client

    def run_of(self, thread, status="running"):
        """Id of the newest run that the client of this thread started."""

        def look():
            runs = self.client.get("/api/v1/runs", params={"metadata": json.dumps({"client": {"thread_id": thread}})}).json()["runs"]
            return runs and runs[0]["status"] == status and runs[0]["id"]

        return wait_until(look, f"a run that is {status}")

    def log(self, run):
        """[(type, payload)]"""
        return [(kind, json.loads(text)) for _, kind, text in self.client.log(run)]

    def write(self, run, *events):
        self.client.append_many(run, [{"type": kind, "payload": payload} for kind, payload in events])


@pytest.fixture
def agent(client):
    return Agent(client)


@pytest.fixture
def talk(box, node_client):
    """talk(thread, run, …) starts an HttpAgent."""

    def start(thread, *runs, **more):
        given = {"url": f"{box.url}/api/v1/agui/planner", "key": box.api_key, "thread": thread, "runs": runs} | more
        return node_client.start("agui.mjs", given=given)

    return start


def until(process, kind):
    """Events as they come, up to one of this type."""
    events = []
    while not events or events[-1]["type"] != kind:
        line = process.line()
        assert line is not None and "event" in line, (line, events)
        events.append(line["event"])
    return events


def end(process):
    """(events, what the run came to)."""
    events = []
    while True:
        line = process.line()
        assert line is not None and "warning" not in line, (line, events)
        if "run" in line:
            return events, line
        events.append(line["event"])


def attach_url(box, run, name="planner"):
    return f"{box.url}/api/v1/agui/{name}/runs/{run.replace('/', '%2F').replace(' ', '%20')}"


def test_live_late_and_over(box, talk, agent):
    """One reads along, one comes in the middle, one when all is over: the same in the end, each under the client's own ids."""
    thread, run = new_id("thread"), new_id("run")
    live = talk(thread, {"id": run, "messages": [HELLO], "tools": [{"name": "show", "description": "d"}]}, state={"k": 1})
    started = until(live, "RUN_STARTED")[0]
    assert (started["threadId"], started["runId"]) == (thread, run)
    mine = agent.run_of(thread)
    kinds, (started, said, message) = zip(*agent.log(mine), strict=True)
    assert kinds == ("RUN_STARTED", "CUSTOM", "MESSAGE_COMPLETED") and started["metadata"]["agent"] == "planner"
    assert said["name"] == "ag_ui.input" and said["value"]["tools"][0]["name"] == "show"
    assert (message["role"], message["content"]) == ("user", HELLO["content"])

    agent.write(mine, ("TASK_STARTED", {"task_id": "t", "title": "Look"}),
                ("MESSAGE_STARTED", {"message_id": "m", "role": "assistant"}), ("MESSAGE_DELTA", {"message_id": "m", "delta": "On plat"}),
                ("TOOL_CALL_STARTED", {"tool_call_id": "c", "name": "find", "arguments": {"x": 1}}))  # fmt: skip
    until(live, "TOOL_CALL_END")
    late = talk(thread, {"id": run, "get": attach_url(box, run)})
    assert [event["type"] for event in until(late, "STATE_SNAPSHOT")] == ["RUN_STARTED", "MESSAGES_SNAPSHOT", "STATE_SNAPSHOT"]
    again = talk(thread, {"id": run}, messages=[HELLO, {"id": "m", "role": "assistant", "content": "On pl"}], state={"k": 1})
    until(again, "STATE_SNAPSHOT")
    agent.write(mine, ("MESSAGE_DELTA", {"message_id": "m", "delta": "form 3"}), ("SOURCE_ADDED", {"source_id": "s", "entity_type": "web_page"}),
                ("STATE_DELTA", {"delta": [{"op": "replace", "path": "/k", "value": 2}]}),
                ("MESSAGE_COMPLETED", {"message_id": "m", "content": "On platform 3"}),
                ("TOOL_CALL_COMPLETED", {"tool_call_id": "c", "name": "find", "result": {"platform": 3}}),
                ("TASK_COMPLETED", {"task_id": "t"}), ("RUN_FINISHED", {"result": {"ok": True}}))  # fmt: skip
    results = [end(process)[1] for process in (live, late, again)]
    results.append(end(talk(thread, {"id": run, "get": attach_url(box, mine)}))[1])
    for result in results:
        assert (result["outcome"], result["error"], result["state"]) == ("success", None, {"k": 2}), result
        assert result["messages"] == results[0]["messages"], result
        assert result["customs"] == [["SOURCE_ADDED", {"source_id": "s", "entity_type": "web_page"}]]
    assert [(one["role"], one.get("content")) for one in results[0]["messages"]] == [
        ("user", HELLO["content"]), ("assistant", "On platform 3"), ("assistant", None), ("tool", '{"platform": 3}')]  # fmt: skip


def test_question_and_answer(box, talk, agent):
    """A question ends the client's run; its answer begins another one, which is the same log, and both can be come back to."""
    thread, first, second = new_id("thread"), new_id("run"), new_id("run")
    live = talk(thread, {"id": first, "messages": [HELLO]},
                {"id": second, "resume": [{"interruptId": "q", "status": "resolved", "payload": {"yes": True}}]},
                {"id": second})  # fmt: skip
    until(live, "RUN_STARTED")
    mine = agent.run_of(thread)
    agent.write(mine, ("MESSAGE_DELTA", {"message_id": "m", "delta": "Book it"}),
                ("CLARIFICATION_NEEDED", {"clarification_id": "q", "question": "Shall I?", "schema": {"type": "object"},
                                          "expires_at": "2090-01-01T00:00:00Z"}))  # fmt: skip
    events, result = end(live)
    assert [event["type"] for event in events][-3:] == ["MESSAGES_SNAPSHOT", "STATE_SNAPSHOT", "RUN_FINISHED"]
    assert result["pending"] == [{"id": "q", "reason": "input_required", "message": "Shall I?", "responseSchema": {"type": "object"},
                                  "expiresAt": "2090-01-01T00:00:00Z"}]  # fmt: skip
    started = until(live, "RUN_STARTED")[0]
    assert (started["threadId"], started["runId"]) == (thread, second)
    kind, answer = agent.log(mine)[-1]
    assert kind == "CLARIFICATION_ANSWERED" and answer["response"] == {"yes": True}
    agent.write(mine, ("MESSAGE_COMPLETED", {"message_id": "n", "content": "Booked."}), ("RUN_FINISHED", {}))
    _, result = end(live)
    assert (result["outcome"], result["pending"], result["error"]) == ("success", [], None)
    assert [one["content"] for one in result["messages"]] == [HELLO["content"], "Book it", "Booked."]
    _, again = end(live)  # the same run once more, when it is over
    assert again["messages"] == result["messages"] and again["outcome"] == "success"

    for name, outcome in ((first, "interrupt"), (second, "success")):
        events, late = end(talk(thread, {"id": name, "get": attach_url(box, name)}))
        assert (late["outcome"], late["error"], events[0]["runId"]) == (outcome, None, name)


def run_input(thread, run, **more):
    return {"threadId": thread, "runId": run, "messages": [HELLO], "tools": [], "context": []} | more


def stream_events(answer):
    assert answer.status_code == 200 and answer.headers["content-type"].startswith("text/event-stream"), answer.text
    return [json.loads(line[6:]) for line in answer.text.split("\n") if line.startswith("data: {\"type")]


def ask(talk, agent, thread, run, *more):
    """A client's run that has come to a question, or more."""
    live = talk(thread, {"id": run, "messages": [HELLO]})
    until(live, "RUN_STARTED")
    mine = agent.run_of(thread)
    agent.write(mine, ("CLARIFICATION_NEEDED", {"clarification_id": "q", "question": "Shall I?"}), *more)
    assert end(live)[1]["outcome"] == "interrupt"
    return mine


def test_what_a_waiting_thread_refuses(client, talk, agent):
    """Nothing but the answers to all its questions; what was answered may be answered again."""
    thread, first, second = new_id("thread"), new_id("run"), new_id("run")
    mine = ask(talk, agent, thread, first, ("CLARIFICATION_NEEDED", {"clarification_id": "r", "question": "And this?"}))

    def post(run, *answers):
        resume = [{"interruptId": name, "status": "resolved", "payload": value} for name, value in answers]
        return client.post("/api/v1/agui/planner", run_input(thread, run) | ({"resume": resume} if answers else {}))

    for answer in (post(new_id("run")), post(new_id("run"), ("q", 1)), post(new_id("run"), ("other", 1))):
        (error,) = stream_events(answer)
        assert (error["type"], error["code"]) == ("RUN_ERROR", "interrupts_open")
    # Its own id shows it as it waits: with both questions.
    assert [one["id"] for one in stream_events(post(first))[-1]["outcome"]["interrupts"]] == ["q", "r"]
    assert client.run(mine)["status"] == "interrupted"

    live = talk(thread, {"id": second, "resume": [{"interruptId": name, "status": "cancelled"} for name in ("r", "q")]})
    until(live, "RUN_STARTED")
    agent.write(mine, ("RUN_FINISHED", {}))
    assert end(live)[1]["outcome"] == "success"
    assert [payload["response"] for kind, payload in agent.log(mine) if kind == "CLARIFICATION_ANSWERED"] == [{"status": "cancelled"}] * 2
    # The same answers under another id, their stream having been lost: nothing is written, the stream is there.
    cancelled = [{"interruptId": name, "status": "cancelled"} for name in ("q", "r")]
    again = client.post("/api/v1/agui/planner", run_input(thread, new_id("run"), resume=cancelled))
    assert stream_events(again)[-1]["outcome"] == {"type": "success"}
    assert_problem(client.post("/api/v1/agui/planner", run_input(thread, new_id("run"), resume=[cancelled[0] | {"interruptId": "x"}])), 409)
    assert [kind for kind, _ in agent.log(mine)].count("CLARIFICATION_ANSWERED") == 2
    nothing = client.post("/api/v1/agui/planner", run_input(new_id("thread"), new_id("run"), resume=cancelled))
    assert stream_events(nothing)[0]["code"] == "nothing_to_resume"


def test_answers_come_again_when_the_run_has_asked_anew(client, talk, agent):
    """Their stream was lost: it is there again, with the new question, and nothing is an answer to that."""
    thread, first, second = new_id("thread"), new_id("run"), new_id("run")
    mine = ask(talk, agent, thread, first)
    resume = [{"interruptId": "q", "status": "resolved", "payload": 1}]
    live = talk(thread, {"id": second, "resume": resume})
    until(live, "RUN_STARTED")
    agent.write(mine, ("CLARIFICATION_NEEDED", {"clarification_id": "r", "question": "And this?"}))
    assert end(live)[1]["outcome"] == "interrupt"
    again = client.post("/api/v1/agui/planner", run_input(thread, second, resume=resume), headers={"Connection": "close"})
    events = stream_events(again)
    assert (events[0]["type"], events[0]["runId"]) == ("RUN_STARTED", second), events
    assert [one["id"] for one in events[-1]["outcome"]["interrupts"]] == ["r"]
    assert client.run(mine)["status"] == "interrupted" and agent.log(mine)[-1][0] == "CLARIFICATION_NEEDED"
    agent.write(mine, ("RUN_FINISHED", {}))


def test_a_run_begun_and_no_more_is_told_what_was_said(client, agent):
    """The server died, or was busy, between the run and the messages: the same POST brings them. A run of others gets none."""
    thread, run, native = str(uuid.uuid4()), str(uuid.uuid4()), client.new_run()
    client.create_run(run, thread_id=thread, metadata={"client": {"protocol": "ag-ui", "thread_id": thread, "run_id": run}})
    for name in (run, run, native):
        with client.http.stream("POST", client.locate() + "/api/v1/agui/planner", json=run_input(thread, name),
                                headers={"Authorization": f"Bearer {client.key}"}) as answer:  # fmt: skip
            assert answer.status_code == 200
    assert [kind for kind, _ in agent.log(run)] == ["RUN_STARTED", "CUSTOM", "MESSAGE_COMPLETED"]
    assert agent.log(run)[-1][1]["content"] == HELLO["content"] and len(agent.log(native)) == 1
    agent.write(run, ("RUN_FINISHED", {}))


def test_interrupted_without_a_question(talk, agent):
    thread = new_id("thread")
    live = talk(thread, {"id": "one", "messages": [HELLO]})
    until(live, "RUN_STARTED")
    mine = agent.run_of(thread)
    agent.write(mine, ("RUN_INTERRUPTED", {"reason": "approval"}))
    (pending,) = end(live)[1]["pending"]
    assert pending == {"id": "interrupted:4", "reason": "approval"}
    live = talk(thread, {"id": new_id("run"), "resume": [{"interruptId": pending["id"], "status": "resolved"}]})
    until(live, "RUN_STARTED")
    agent.write(mine, ("RUN_FINISHED", {}))
    assert end(live)[1]["outcome"] == "success"
    assert agent.log(mine)[-2][0] == "RUN_RESUMED"


def test_cancelled_and_failed(client, talk, agent):
    """Who goes away cancels nothing; who cancels, by the native route, is told so, and a failure is an error."""
    thread, run = new_id("thread"), new_id("run")
    gone = talk(thread, {"id": run, "messages": [HELLO]})
    until(gone, "RUN_STARTED")
    mine = agent.run_of(thread)
    gone.close()
    live = talk(thread, {"id": run})
    until(live, "STATE_SNAPSHOT")
    assert client.run(mine)["status"] == "running"
    client.post(f"/api/v1/runs/{mine}/cancel", {"reason": "enough"})
    agent.write(mine, ("RUN_CANCELLED", {}))
    _, result = end(live)
    assert (result["outcome"], result["error"]) == ("cancelled", None)

    live = talk(thread, {"id": new_id("run"), "messages": [{"id": "u2", "role": "user", "content": "Again"}]},
                messages=[HELLO, {"id": "a", "role": "assistant", "content": "No."}])  # fmt: skip
    until(live, "RUN_STARTED")
    mine = agent.run_of(thread)
    # What the thread has already is not said again; what is new is.
    assert [payload["content"] for kind, payload in agent.log(mine) if kind == "MESSAGE_COMPLETED"] == ["Again"]
    agent.write(mine, ("MESSAGE_DELTA", {"message_id": "m", "delta": "Hal"}), ("RUN_FAILED", {"reason": "no_track", "error": "The track is gone"}))
    _, result = end(live)
    assert result["outcome"] == {"error": "The track is gone", "code": "no_track"}
    assert result["messages"][-1]["content"] == "Hal"


def test_a_broken_stream_is_an_error(own_box, node_client):
    """A streamer dies: the client must not take half a run for a whole one; coming back gives all of it."""
    box = own_box()
    agent = Agent(box.client())
    thread, run = new_id("thread"), new_id("run")
    given = {"url": f"{box.url}/api/v1/agui/planner", "key": box.api_key, "thread": thread, "messages": [HELLO]}
    live = node_client.start("agui.mjs", given=given | {"runs": [{"id": run}, {"id": run}]})
    until(live, "RUN_STARTED")
    mine = agent.run_of(thread)
    agent.write(mine, ("MESSAGE_DELTA", {"message_id": "m", "delta": "Half"}))
    until(live, "TEXT_MESSAGE_CONTENT")
    for name in [actor["name"] for actor in box.actors("streamer")]:
        box.kill_and_wait(name)
    broken = end(live)[1]
    assert broken["error"] is not None and broken["outcome"] is None
    until(live, "TEXT_MESSAGE_CONTENT")
    agent.write(mine, ("MESSAGE_DELTA", {"message_id": "m", "delta": " and half"}), ("RUN_FINISHED", {}))
    _, whole = end(live)
    assert whole["error"] is None and whole["messages"][-1]["content"] == "Half and half"


@pytest.mark.parametrize("input_, pointer", [
    ({"threadId": 5}, "/threadId"), ({"threadId": ""}, "/threadId"), ({"runId": "x" * 256}, "/runId"), ({"runId": None}, "/runId"),
    ({"messages": {}}, "/messages"), ({"messages": [5]}, "/messages/0"), ({"messages": [HELLO | {"id": ""}]}, "/messages/0/id"),
    ({"messages": [HELLO, HELLO | {"role": "robot"}]}, "/messages/1/role"), ({"messages": [HELLO | {"content": 5}]}, "/messages/0/content"),
    ({"messages": [HELLO | {"content": [{"type": "text"}]}]}, "/messages/0/content"),
    ({"messages": [HELLO | {"content": [{"type": "image", "source": {"type": "data", "value": ""}}]}]}, "/messages/0/content"),
    ({"messages": [{"id": "a", "role": "assistant", "toolCalls": [{"id": "c"}]}]}, "/messages/0/toolCalls"),
    ({"messages": [{"id": "a", "role": "tool", "content": "x"}]}, "/messages/0/toolCallId"),
    ({"messages": [HELLO | {"metadata": None}]}, "/messages/0/metadata"), ({"resume": {}}, "/resume"),
    ({"resume": [{"interruptId": "q", "status": "done"}]}, "/resume/0"),
    ({"resume": [{"interruptId": "q" * 256, "status": "resolved"}]}, "/resume/0"),
])  # fmt: skip
def test_bad_input(client, input_, pointer):
    answer = client.post("/api/v1/agui/planner", run_input("thread", "run") | input_)
    assert_problem(answer, 422, "invalid-payload")
    assert answer.json()["errors"][0]["pointer"] == pointer


def test_other_tenants_and_long_names(client, other, talk, agent):
    thread, run = new_id("thread"), new_id("run")
    live = talk(thread, {"id": run, "messages": [HELLO]})
    until(live, "RUN_STARTED")
    mine = agent.run_of(thread)
    for name in (run.replace("/", "%2F").replace(" ", "%20"), mine):
        assert_problem(other.get(f"/api/v1/agui/planner/runs/{name}"), 404)
    assert_problem(client.get("/api/v1/agui/planner/runs/unknown"), 404)
    assert_problem(client.post(f"/api/v1/agui/{'a' * 256}", run_input("thread", "run")), 404)
    # The thread is at work: one run at a time.
    assert_problem(client.post("/api/v1/agui/planner", run_input(thread, new_id("run"))), 409)
    agent.write(mine, ("RUN_FINISHED", {}))
    assert end(live)[1]["outcome"] == "success"


def test_the_page_s_client(box, client, node_client, agent):
    """The code of docs/protocols.md, as it stands there."""
    page = (ROOT / "docs" / "protocols.md").read_text(encoding="utf-8")
    code = page[page.index("## AG-UI") :].split("```js\n")[1].split("```")[0]
    process = subprocess.Popen(["node", "--input-type=module", "-"], cwd=FOLDER, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                               env=os.environ | {"SIGNALBOX": box.url, "SIGNALBOX_KEY": client.key})  # fmt: skip

    def look():
        runs = client.get("/api/v1/runs", params={"metadata": '{"agent":"planner"}', "status": "running"}).json()["runs"]
        return [run["id"] for run in runs if "night train" in json.dumps(agent.log(run["id"]))]

    try:
        process.stdin.write(code)
        process.stdin.close()
        (mine,) = wait_until(look, "the page's run")
        agent.write(mine, ("MESSAGE_STARTED", {"message_id": "m", "role": "assistant"}), ("MESSAGE_DELTA", {"message_id": "m", "delta": "Platform 3"}),
                    ("CLARIFICATION_NEEDED", {"clarification_id": "q", "question": "Shall I book?"}))  # fmt: skip
        wait_until(lambda: agent.log(mine)[-1][0] == "CLARIFICATION_ANSWERED", "the answer")
        assert agent.log(mine)[-1][1]["response"] == {"yes": True}
        agent.write(mine, ("RUN_FINISHED", {}))
        assert process.stdout.read() == "Platform 3" and process.wait(30) == 0
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
