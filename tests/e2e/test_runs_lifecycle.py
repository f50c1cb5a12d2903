"""Cancel, resume, fork, heartbeat over HTTP: what they answer, once and again, and across deaths."""

import concurrent.futures
import json

import pytest
from harness.client import assert_problem, custom, idempotency, random_id
from harness.paths import fault_bin_dir
from harness.waiting import wait_until

needs_faults = pytest.mark.skipif(
    not (fault_bin_dir() / "signalbox-api").exists(), reason="needs a build with fault points"
)


def ask(client, run_id, clarification, **more):
    payload = {"clarification_id": clarification, "question": "which?", **more}
    return client.append(run_id, "CLARIFICATION_NEEDED", payload)


def cancel(client, run_id, body=None):
    return client.post(f"/api/v1/runs/{run_id}/cancel", body)


def resume(client, run_id, body):
    return client.post(f"/api/v1/runs/{run_id}/resume", body)


def fork(client, run_id, body, key=None):
    return client.post(f"/api/v1/runs/{run_id}/fork", body, headers=idempotency(key))


def types(client, run_id) -> list:
    return [kind for _, kind, _ in client.log(run_id)]


# ---- cancel ------------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("R089", "R091")
def test_cancelling_asks_once_and_agents_see_it(client, run_id):
    first = cancel(client, run_id, {"reason": "no \"longer\" wanted"})
    assert first.status_code == 202 and first.json() == {"id": run_id, "status": "cancelling"}
    again = cancel(client, run_id)
    assert (again.status_code, again.text) == (202, first.text)
    assert types(client, run_id) == ["RUN_STARTED", "RUN_CANCEL_REQUESTED"]
    payload = json.loads(client.log(run_id)[1][2])
    assert payload["reason"] == "no \"longer\" wanted" and payload["by"].startswith("key:")
    assert client.append(run_id, "CUSTOM", custom(1)["payload"])["cancel_requested"] is True
    assert client.post(f"/api/v1/runs/{run_id}/heartbeat").json() == {"cancel_requested": True, "status": "cancelling"}
    client.append(run_id, "RUN_CANCELLED", {"reason": "asked"})
    assert client.run(run_id)["status"] == "cancelled"
    assert cancel(client, run_id).json() == {"id": run_id, "status": "cancelled"}


@pytest.mark.requirement("R089")
@pytest.mark.parametrize("ending", ["RUN_FINISHED", "RUN_FAILED"])
def test_what_has_ended_otherwise_cannot_be_cancelled(client, run_id, ending):
    client.append(run_id, ending, {})
    assert_problem(cancel(client, run_id), 409, "run-closed")


@pytest.mark.parametrize(
    ("body", "pointer"), [({"reason": 1}, "/reason"), ({"reason": "x" * 1001}, "/reason"), ({"why": "x"}, "/why")]
)
def test_wrong_reasons_are_pointed_at(client, run_id, body, pointer):
    document = assert_problem(cancel(client, run_id, body), 422)
    assert document["errors"][0]["pointer"] == pointer
    assert client.run(run_id)["status"] == "running"


@pytest.mark.requirement("I15")
def test_another_tenants_run_is_not_there(client, other):
    hidden = other.new_run()
    for action, body in (("cancel", {}), ("resume", {"response": 1}), ("fork", {"seq": 1}), ("heartbeat", {})):
        for run in (hidden, random_id(), "x"):
            assert_problem(client.post(f"/api/v1/runs/{run}/{action}", body), 404, "not-found")
    assert types(other, hidden) == ["RUN_STARTED"]


@pytest.mark.requirement("R089")
def test_many_cancels_at_once_are_one(client, run_id):
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: cancel(client, run_id), range(24)))
    assert {(a.status_code, a.text) for a in answers} == {(202, answers[0].text)}
    assert types(client, run_id).count("RUN_CANCEL_REQUESTED") == 1


# ---- bulk --------------------------------------------------------------------------------------------------------------


def cancel_all(client, filter, expected=None):
    return client.post("/api/v1/runs/cancel", {"filter": filter} | ({} if expected is None else {"expected_count": expected}))


@pytest.mark.requirement("R089")
def test_many_runs_are_counted_first_and_then_cancelled(client):
    thread = random_id()
    runs = [client.new_run(thread_id=thread, metadata={"n": n % 2}) for n in range(6)]
    client.finish(runs[5])
    assert cancel_all(client, {"thread_id": thread}).json() == {"count": 5}
    assert cancel_all(client, {"thread_id": thread, "metadata": {"n": 0}}).json() == {"count": 3}
    document = assert_problem(cancel_all(client, {"thread_id": thread}, 4), 409, "count-changed")
    assert document["count"] == 5
    assert {client.run(run)["status"] for run in runs[:5]} == {"running"}
    answer = cancel_all(client, {"thread_id": thread, "metadata": {"n": 0}, "status": ["running"]}, 3)
    assert answer.status_code == 200 and answer.json() == {"cancelled": 3, "remaining": 0}
    assert [client.run(run)["status"] for run in runs] == ["cancelling", "running"] * 2 + ["cancelling", "finished"]
    assert cancel_all(client, {"thread_id": thread}).json() == {"count": 2}
    assert cancel_all(client, {"thread_id": thread}, 2).json() == {"cancelled": 2, "remaining": 0}
    assert cancel_all(client, {"thread_id": thread}, 0).json() == {"cancelled": 0, "remaining": 0}


@pytest.mark.parametrize(
    ("body", "pointer"),
    [({}, "/filter"), ({"filter": 1}, "/filter"), ({"filter": {"x": 1}}, "/filter/x"), ({"filter": {"status": "finished"}}, "/filter/status"),
     ({"filter": {"status": []}}, "/filter/status"), ({"filter": {"status": 1}}, "/filter/status"), ({"filter": {"status": ["x"]}}, "/filter/status"),
     ({"filter": {"thread_id": "x"}}, "/filter/thread_id"), ({"filter": {"thread_id": 1}}, "/filter/thread_id"),
     ({"filter": {"metadata": []}}, "/filter/metadata"), ({"filter": {"created_after": "x"}}, "/filter/created_after"),
     ({"filter": {}, "expected_count": -1}, "/expected_count"), ({"filter": {}, "expected_count": "1"}, "/expected_count"),
     ({"filter": {}, "force": True}, "/force")],
)  # fmt: skip
def test_wrong_filters_are_pointed_at(client, body, pointer):
    document = assert_problem(client.post("/api/v1/runs/cancel", body), 422)
    assert [error["pointer"] for error in document["errors"]] == [pointer]


@pytest.mark.requirement("I15")
def test_a_bulk_cancel_stays_within_the_tenant(client, other):
    thread = random_id()
    theirs = other.new_run(thread_id=thread)
    assert cancel_all(client, {"thread_id": thread}).json() == {"count": 0}
    assert cancel_all(client, {"q": theirs}, 0).json() == {"cancelled": 0, "remaining": 0}
    assert other.run(theirs)["status"] == "running"


# ---- resume ------------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("R058", "R010")
def test_an_interrupted_run_goes_on_with_the_answer(box, client, run_id):
    with box.stream(run_id) as stream:
        ask(client, run_id, "q1")
        assert client.run(run_id)["status"] == "interrupted"
        body = {"clarification_id": "q1", "response": {"choice": [1, "ä"]}}
        first = resume(client, run_id, body)
        assert first.status_code == 202 and first.json() == {"id": run_id, "status": "running"}
        again = resume(client, run_id, body)
        assert (again.status_code, again.text) == (202, first.text)
        client.finish(run_id)
        assert [e[1] for e in stream.take(4)] == ["RUN_STARTED", "CLARIFICATION_NEEDED", "CLARIFICATION_ANSWERED", "RUN_FINISHED"]
    payload = json.loads(client.log(run_id)[2][2])
    assert payload["clarification_id"] == "q1" and payload["response"] == {"choice": [1, "ä"]}
    late = resume(client, run_id, body)
    assert late.status_code == 202 and late.json() == {"id": run_id, "status": "finished"}  # what it is now
    assert len(types(client, run_id)) == 4


@pytest.mark.requirement("R058")
def test_another_answer_or_another_question_is_refused(client, run_id):
    ask(client, run_id, "q1")
    assert_problem(resume(client, run_id, {"clarification_id": "q2", "response": 1}), 409, "clarification-mismatch")
    assert resume(client, run_id, {"clarification_id": "q1", "response": 1}).status_code == 202
    assert_problem(resume(client, run_id, {"clarification_id": "q1", "response": 2}), 409, "clarification-mismatch")
    assert types(client, run_id)[2:] == ["CLARIFICATION_ANSWERED"]


def test_a_run_that_waits_for_nothing_is_not_resumed(client, run_id):
    assert_problem(resume(client, run_id, {"response": 1}), 409, "not-interrupted")
    answer = resume(client, run_id, {"clarification_id": "q", "response": 1})
    assert answer.status_code == 409, answer.text


@pytest.mark.requirement("R010")
def test_a_run_interrupted_without_a_question_goes_on(client, run_id):
    client.append(run_id, "RUN_INTERRUPTED", {"reason": "approval"})
    assert client.run(run_id)["status"] == "interrupted"
    assert resume(client, run_id, {"response": "go"}).json() == {"id": run_id, "status": "running"}
    assert types(client, run_id)[-1] == "RUN_RESUMED"
    assert json.loads(client.log(run_id)[-1][2])["response"] == "go"


def test_with_two_questions_the_run_waits_for_both(client, run_id):
    ask(client, run_id, "a")
    ask(client, run_id, "b")
    assert resume(client, run_id, {"clarification_id": "a", "response": 1}).json()["status"] == "interrupted"
    assert resume(client, run_id, {"clarification_id": "b", "response": 1}).json()["status"] == "running"


@pytest.mark.parametrize(
    ("body", "pointer"),
    [({"clarification_id": "q"}, "/response"), ({"clarification_id": 1, "response": 1}, "/clarification_id"),
     ({"clarification_id": "", "response": 1}, "/clarification_id"), ({"clarification_id": "x" * 256, "response": 1}, "/clarification_id"),
     ({"response": 1, "more": 1}, "/more")],
)  # fmt: skip
def test_wrong_answers_are_pointed_at(client, run_id, body, pointer):
    document = assert_problem(resume(client, run_id, body), 422)
    assert [error["pointer"] for error in document["errors"]] == [pointer]


@pytest.mark.parametrize("question", ["q", None])
def test_an_answer_is_no_larger_than_an_event(client, run_id, question):
    ask(client, run_id, "q") if question else client.append(run_id, "RUN_INTERRUPTED", {})
    body = {"clarification_id": question, "response": "x" * (256 << 10)}
    document = assert_problem(resume(client, run_id, body), 413, "too-large")
    assert document["errors"][0]["pointer"] == "/response"
    assert client.run(run_id)["status"] == "interrupted"
    assert resume(client, run_id, {**body, "response": "x" * (255 << 10)}).status_code == 202


@pytest.mark.requirement("R058")
def test_many_answers_at_once_are_one(client, run_id):
    ask(client, run_id, "q")
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda n: resume(client, run_id, {"clarification_id": "q", "response": n % 2}), range(16)))
    codes = [a.status_code for a in answers]
    assert codes.count(202) == 8 and codes.count(409) == 8
    assert types(client, run_id).count("CLARIFICATION_ANSWERED") == 1


# ---- fork --------------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("R006", "R010")
def test_a_fork_has_the_same_beginning_and_goes_its_own_way(client):
    run_id = client.new_run(metadata={"m": 1}, thread_id=random_id())
    client.append_many(run_id, [custom(n) for n in range(5)])
    answer = fork(client, run_id, {"seq": 3})
    assert answer.status_code == 201, answer.text
    copy = answer.json()
    assert copy == {"id": copy["id"], "parent_run_id": run_id, "last_seq": 3} and copy["id"] != run_id
    assert client.log(copy["id"]) == client.log(run_id)[:3]
    shown = client.run(copy["id"])
    assert (shown["parent_run_id"], shown["fork_seq"], shown["status"]) == (run_id, 3, "running")
    assert client.append(copy["id"], "CUSTOM", custom("own")["payload"])["first_seq"] == 4
    assert client.run(run_id)["last_seq"] == 6


@pytest.mark.requirement("R010", "I9")
def test_a_fork_asked_for_again_is_the_same(client):
    run_id, copy = client.new_run(), random_id()
    first = fork(client, run_id, {"seq": 1, "id": copy})
    again = fork(client, run_id, {"seq": 1, "id": copy})
    assert (first.status_code, again.status_code) == (201, 200) and first.text == again.text
    assert_problem(fork(client, client.new_run(), {"seq": 1, "id": copy}), 409, "run-id-taken")
    assert_problem(fork(client, run_id, {"seq": 1, "id": run_id}), 409, "run-id-taken")
    key = random_id()
    keyed = fork(client, run_id, {"seq": 1}, key)
    assert fork(client, run_id, {"seq": 1}, key).text == keyed.text
    assert_problem(fork(client, run_id, {"seq": 1, "id": random_id()}, key), 409, "idempotency-mismatch")


def test_a_fork_takes_along_only_what_is_there(client, run_id):
    document = assert_problem(fork(client, run_id, {"seq": 2}), 409, "seq-beyond-head")
    assert document["last_seq"] == 1


@pytest.mark.parametrize(
    ("body", "pointer"),
    [({}, "/seq"), ({"seq": 0}, "/seq"), ({"seq": "1"}, "/seq"), ({"seq": -1}, "/seq"), ({"seq": 1, "id": "x"}, "/id"), ({"seq": 1, "x": 1}, "/x")],
)  # fmt: skip
def test_wrong_forks_are_pointed_at(client, run_id, body, pointer):
    document = assert_problem(fork(client, run_id, body), 422)
    assert [error["pointer"] for error in document["errors"]] == [pointer]


# ---- heartbeat ---------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("R010")
def test_a_heartbeat_tells_the_status_and_keeps_the_run_alive(client):
    run_id = client.new_run(liveness_timeout_ms=1500)
    silent = client.new_run(liveness_timeout_ms=1500)

    def beat():
        answer = client.post(f"/api/v1/runs/{run_id}/heartbeat")
        assert answer.status_code == 200 and answer.json() == {"cancel_requested": False, "status": "running"}
        return client.run(silent)["status"] == "failed"

    wait_until(beat, "the silent run to fail", 15)
    assert client.run(run_id)["status"] == "running"
    assert json.loads(client.log(silent)[-1][2])["reason"] == "liveness_expired"
    client.finish(run_id)
    told = client.post(f"/api/v1/runs/{run_id}/heartbeat")
    assert told.status_code == 200 and told.json() == {"cancel_requested": False, "status": "finished"}
    assert_problem(client.post(f"/api/v1/runs/{run_id}/heartbeat", {"x": 1}), 422, "unknown-field")


# ---- deaths ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def fault_box():
    from harness.server import Server

    server = Server({"restart.late_deaths": 1000, "restart.early_deaths": 1000, "restart.total_deaths": 10000, "api.count": 1},
                    faults=True)  # fmt: skip
    try:
        server.start()
        yield server
        server.begin()
    finally:
        server.close()


@pytest.fixture
def breakable(fault_box):
    fault_box.begin()
    yield fault_box
    fault_box.faults.clear()
    fault_box.verify()


def repeated(request):
    """As a client does that gets no answer: the same again."""
    import httpx

    def answered():
        try:
            answer = request()
        except httpx.TransportError:
            return None
        return answer if answer.status_code != 503 else None

    return wait_until(answered, "an answer", 20)


@needs_faults
@pytest.mark.requirement("R089", "I9", "R058")
@pytest.mark.parametrize("action", ["cancel", "resume", "fork"])
@pytest.mark.parametrize(
    ("actor", "point"),
    [("api-1", "api_before_command"), ("api-1", "api_after_command"), ("api-1", "api_before_answer"),
     ("sequencer-1", "sequencer_after_receive"), ("sequencer-1", "sequencer_before_commit"),
     ("sequencer-1", "sequencer_after_commit"), ("sequencer-1", "sequencer_after_ack")],
)  # fmt: skip
def test_a_death_in_the_middle_changes_nothing(breakable, action, actor, point):
    client = breakable.client()
    run_id, copy = client.new_run(), random_id()
    if action == "resume":
        ask(client, run_id, "q")
    requests = {
        "cancel": lambda: cancel(client, run_id, {"reason": "r"}),
        "resume": lambda: resume(client, run_id, {"clarification_id": "q", "response": 1}),
        "fork": lambda: fork(client, run_id, {"seq": 1}, copy),
    }
    generation = breakable.settled(actor)["generation"]
    breakable.allow_restart(actor)
    breakable.faults.order(point, "kill")
    first = repeated(requests[action])
    breakable.faults.obeyed(point)
    breakable.actor_ready(actor, generation)
    again = repeated(requests[action])
    assert (first.status_code, first.text) == (again.status_code, again.text)
    if action == "cancel":
        assert types(client, run_id) == ["RUN_STARTED", "RUN_CANCEL_REQUESTED"]
    elif action == "resume":
        assert types(client, run_id) == ["RUN_STARTED", "CLARIFICATION_NEEDED", "CLARIFICATION_ANSWERED"]
    else:
        children = client.get("/api/v1/runs", params={"parent_run_id": run_id}).json()["runs"]
        assert [child["id"] for child in children] == [first.json()["id"]]
