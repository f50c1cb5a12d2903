"""The server keeps to contracts/openapi.yaml, whatever it is sent, and a client made from the document alone can live by it."""

import json
import uuid

import pytest
from harness.generate import doubtful, fitting
from harness.openapi import Document, GeneratedClient
from harness.waiting import wait_until
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

DOCUMENT = Document()
# Streams do not end by themselves; they have tests of their own.
ASKED = sorted(name for name, o in DOCUMENT.operations.items() if "streams" not in o.spec["tags"])
HERE = settings(
    max_examples=25, deadline=None, derandomize=True, database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.filter_too_much],
)  # fmt: skip


@st.composite
def requests(draw, operation, known_ids):
    """(path, query, headers, content): mostly what the document allows, often not quite."""
    path, query, headers = operation.path, {}, {}
    for parameter in operation.parameters:
        fits = fitting(DOCUMENT, parameter["schema"]).map(str)
        where = parameter["in"]
        if where == "path":
            value = draw(st.one_of(st.sampled_from(known_ids), fits, st.sampled_from(["x", "%00", "..", "-1"])))
            path = path.replace("{%s}" % parameter["name"], value)
        elif draw(st.booleans()):
            odd = st.sampled_from(["", "-1", "0", "99999999999999999999", "x y", "1e3", "é"])
            value = draw(st.one_of(fits, odd if where == "query" else odd.filter(str.isascii)))
            (query if where == "query" else headers)[parameter["name"]] = value
    content = None
    if "requestBody" in operation.spec:
        schema = operation.spec["requestBody"]["content"]["application/json"]["schema"]
        value = draw(st.one_of(fitting(DOCUMENT, schema), doubtful(DOCUMENT, schema)))
        content = draw(st.sampled_from([json.dumps(value), json.dumps(value), "", "{", "[]", '{"a":1,"a":2}']))
    return path, query, {k: v for k, v in headers.items() if v.isascii() and v.isprintable()}, content


@pytest.mark.requirement("R130", "R180")
@pytest.mark.parametrize("name", ASKED)
def test_no_request_gets_an_answer_that_is_not_in_the_document(box, client, name):
    operation = DOCUMENT.operations[name]
    known = [client.new_run(), client.new_run()]

    @HERE
    @given(requests(operation, known))
    def ask(request):
        path, query, headers, content = request
        answer = client.request(
            operation.method, path, params=query, content=content,
            headers=headers | ({"Content-Type": "application/json"} if content is not None else {}),
        )  # fmt: skip
        assert answer.status_code < 500, answer.text
        assert not DOCUMENT.answer_faults(operation, answer), answer.text

    ask()
    if name == "pauseJobs":
        assert client.request("DELETE", "/api/v1/jobs/pause").status_code == 200
    for run_id in known:
        client.finish(run_id)


@pytest.mark.requirement("R180")
@pytest.mark.parametrize("name", sorted(n for n, o in DOCUMENT.operations.items() if not o.is_open and n != "metrics"))
def test_every_operation_that_needs_a_key_says_so(client, name):
    operation = DOCUMENT.operations[name]
    path = operation.path
    for parameter in operation.parameters:
        if parameter["in"] == "path":
            path = path.replace("{%s}" % parameter["name"], "3f0e8a52-6c1d-4c7e-9a53-0c9f3f6c1b11")
    answer = client.request(operation.method, path, auth=False)
    assert answer.status_code == 401, answer.text
    assert not DOCUMENT.answer_faults(operation, answer), answer.text


@pytest.mark.requirement("R010", "R180")
def test_a_client_made_from_the_document_lives_through_a_run(client):
    api = GeneratedClient(DOCUMENT, client)
    run = api.createRun(body={"metadata": {"task": "weather"}}, Idempotency_Key="life").json()
    assert api.createRun(body={"metadata": {"task": "weather"}}, Idempotency_Key="life").json() == run
    said = api.appendEvents(id=run["id"], body={"type": "TASK_STARTED", "payload": {"task_id": "t1"}}).json()
    assert said == {"first_seq": 2, "last_seq": 2, "cancel_requested": False}
    api.appendEvents(
        id=run["id"],
        body={"events": [{"type": "TASK_COMPLETED", "payload": {"task_id": "t1"}}, {"type": "RUN_FINISHED"}]},
    )
    page = api.listEvents(id=run["id"], after_seq=1, limit=2).json()
    assert [event["seq"] for event in page["events"]] == [2, 3] and page["last_seq"] == 4
    assert api.getRun(id=run["id"]).json()["status"] == "finished"
    assert run["id"] in [found["id"] for found in api.listRuns(limit=5).json()["runs"]]
    closed = api.appendEvents(id=run["id"], body={"type": "RUN_FINISHED"})
    assert closed.status_code == 409 and closed.json()["type"] == "/problems/run-closed"
    assert client.get(f"/api/v1/runs/{run['id']}/stream", headers={"Last-Event-ID": "4"}).status_code == 204


@pytest.mark.requirement("R010", "R089", "R097", "R099", "R180")
def test_the_whole_lifecycle_by_the_document_alone(client):
    """Created late, questioned, answered, forked, counted, cancelled, found again: no line here knows a path or a header."""
    api = GeneratedClient(DOCUMENT, client)
    thread = str(uuid.uuid4())
    late = api.createRun(body={"thread_id": thread, "delay_ms": 86_400_000, "deliverable_type": "report"}).json()
    assert (late["status"], late["last_seq"], late["started_at"]) == ("pending", 0, None)
    assert api.appendEvents(id=late["id"], body={"type": "WARNING", "payload": {"message": "too early"}}).status_code == 409
    run = api.createRun(body={"thread_id": thread, "metadata": {"by": "document"}, "liveness_timeout_ms": 3_600_000}).json()
    question = {"clarification_id": "c1", "question": "Which city?"}
    api.appendEvents(id=run["id"], body={"type": "CLARIFICATION_NEEDED", "payload": question})
    assert api.getRun(id=run["id"]).json()["status"] == "interrupted"
    wrong = api.resumeRun(id=run["id"], body={"clarification_id": "c2", "response": "Bern"})
    assert wrong.status_code == 409 and wrong.json()["type"] == "/problems/clarification-mismatch"
    answered = [api.resumeRun(id=run["id"], body={"clarification_id": "c1", "response": {"city": "Bern"}}) for _ in range(2)]
    assert [a.json() for a in answered] == [{"id": run["id"], "status": "running"}] * 2
    types = [e["type"] for e in api.listEvents(id=run["id"]).json()["events"]]
    assert types == ["RUN_STARTED", "CLARIFICATION_NEEDED", "CLARIFICATION_ANSWERED"]
    fork = api.forkRun(id=run["id"], body={"seq": 2}).json()
    assert (fork["parent_run_id"], fork["last_seq"]) == (run["id"], 2)
    assert api.getRun(id=fork["id"]).json()["status"] == "interrupted"
    assert api.heartbeat(id=run["id"]).json() == {"cancel_requested": False, "status": "running"}
    listed = api.listRuns(thread_id=thread, count="true").json()
    assert listed["total"] == 3 and {r["id"] for r in listed["runs"]} == {late["id"], run["id"], fork["id"]}
    assert api.cancelRun(id=run["id"], body={"reason": "enough"}).json()["status"] == "cancelling"
    assert api.heartbeat(id=run["id"]).json()["cancel_requested"]
    ended = api.appendEvents(id=run["id"], body={"type": "RUN_CANCELLED", "payload": {}})
    assert ended.status_code == 201 and api.cancelRun(id=run["id"]).json()["status"] == "cancelled"
    counted = api.cancelRuns(body={"filter": {"thread_id": thread, "status": ["pending", "interrupted"]}}).json()
    assert counted == {"count": 2}
    done = api.cancelRuns(body={"filter": {"thread_id": thread, "status": ["pending", "interrupted"]}, "expected_count": 2})
    assert done.json() == {"cancelled": 2, "remaining": 0}
    assert api.getRun(id=late["id"]).json()["status"] == "cancelled"


@pytest.mark.requirement("R172", "R180")
def test_keys_by_the_document_alone(box, client):
    api = GeneratedClient(DOCUMENT, client)
    made = api.createKey(body={"name": "reader", "scopes": ["read"]}).json()
    reader = GeneratedClient(DOCUMENT, box.client(made["key"]))
    assert reader.listRuns().status_code == 200
    assert reader.createRun(body={}).status_code == 403
    assert made["id"] in [key["id"] for key in api.listKeys(limit=1000).json()["keys"]]
    assert api.revokeKey(id=made["id"]).status_code in (200, 204)
    wait_until(lambda: reader.listRuns().status_code == 401, "the revocation to be known")
