"""The server keeps to contracts/openapi.yaml, whatever it is sent, and a client made from the document alone can live by it."""

import json

import pytest
from harness.generate import doubtful, fitting
from harness.openapi import Document, GeneratedClient
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
