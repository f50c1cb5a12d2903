"""Runs: creating, reading, listing, ids, repeated creation."""

import re
import uuid

import pytest
from harness.client import assert_problem, random_id

pytestmark = pytest.mark.any_database

TIME = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$")


@pytest.mark.requirement("R001", "R002", "R004", "R010", "R012", "R159")
def test_creating_a_run_starts_its_log(client):
    run = client.create_run(metadata={"task_id": 7})
    assert str(uuid.UUID(run["id"])) == run["id"]
    assert run["status"] == "running" and run["last_seq"] == 1
    assert TIME.match(run["created_at"]), run
    assert [(seq, kind) for seq, kind, _ in client.log(run["id"])] == [(1, "RUN_STARTED")]
    again = client.run(run["id"])
    assert again["id"] == run["id"] and again["metadata"] == {"task_id": 7}
    assert again["created_at"] == run["created_at"]


@pytest.mark.requirement("R010")
def test_a_body_may_be_absent_or_empty(client):
    assert client.post("/api/v1/runs", {}).status_code == 201
    answer = client.request("POST", "/api/v1/runs")
    assert answer.status_code in (201, 400), answer.text


@pytest.mark.requirement("R008", "R009")
def test_client_chosen_ids_and_threads_are_kept(client):
    run_id, thread = random_id(), random_id()
    run = client.create_run(run_id, thread_id=thread)
    assert (run["id"], run["thread_id"]) == (run_id, thread)
    client.append(run_id, "CUSTOM", {"name": "n", "value": 1})
    assert client.run(run_id)["last_seq"] == 2
    assert client.run(client.new_run())["thread_id"] is None


@pytest.mark.requirement("R010")
def test_creating_a_known_id_answers_the_run_that_is_there(client):
    run = client.create_run(random_id(), metadata={"first": True})
    answer = client.post("/api/v1/runs", {"id": run["id"], "metadata": {"second": True}})
    assert answer.status_code == 200, answer.text
    assert answer.json()["id"] == run["id"] and answer.json()["metadata"] == {"first": True}
    assert client.run(run["id"])["last_seq"] == 1


@pytest.mark.requirement("R010", "I9")
def test_creation_is_repeatable_with_a_key(client):
    key = random_id()
    body = {"metadata": {"n": 1}}
    first = client.post("/api/v1/runs", body, headers={"Idempotency-Key": key})
    second = client.post("/api/v1/runs", body, headers={"Idempotency-Key": key})
    assert first.status_code == second.status_code == 201
    assert first.json()["id"] == second.json()["id"]
    assert first.text == second.text
    other = client.post("/api/v1/runs", {"metadata": {"n": 2}}, headers={"Idempotency-Key": key})
    assert_problem(other, 409, "idempotency-mismatch")


@pytest.mark.requirement("I9", "I15")
def test_creation_keys_belong_to_the_tenant(client, other):
    key = random_id()
    mine = client.post("/api/v1/runs", {}, headers={"Idempotency-Key": key})
    theirs = other.post("/api/v1/runs", {}, headers={"Idempotency-Key": key})
    assert mine.status_code == theirs.status_code == 201
    assert mine.json()["id"] != theirs.json()["id"]


@pytest.mark.requirement("I15")
def test_another_tenants_id_is_refused_without_detail(client, other):
    run_id = other.new_run(metadata={"secret": "of the other tenant"})
    answer = client.post("/api/v1/runs", {"id": run_id})
    document = assert_problem(answer, 409)
    assert "tenant" not in answer.text.lower() and "secret" not in answer.text
    assert "last_seq" not in document


@pytest.mark.parametrize("bad", ["x", "", "123", "ZZZZZZZZ-0000-4000-8000-000000000000", 5, ["a"], {}])
def test_a_malformed_id_in_the_body_is_refused(client, bad):
    assert client.post("/api/v1/runs", {"id": bad}).status_code == 422


@pytest.mark.parametrize("field", ["nonsense", "Id", "last_seq", "status"])
def test_unknown_fields_are_named(client, field):
    document = assert_problem(client.post("/api/v1/runs", {field: 1}), 422)
    assert [e["pointer"] for e in document["errors"]] == [f"/{field}"]


def test_metadata_must_be_an_object(client):
    for bad in (1, "x", [], None):
        answer = client.post("/api/v1/runs", {"metadata": bad})
        assert answer.status_code == 422, (bad, answer.text)


@pytest.mark.parametrize("bad", ["x", "00000000-0000-0000-0000-00000000000", "%20", "00000000000000000000000000000000"])
def test_a_malformed_id_in_the_path_is_not_found(client, bad):
    for path in (f"/api/v1/runs/{bad}", f"/api/v1/runs/{bad}/events", f"/api/v1/runs/{bad}/stream"):
        assert_problem(client.get(path), 404, "not-found")


def test_unknown_runs_are_not_found(client):
    unknown = random_id()
    for path in ("", "/events", "/stream"):
        assert_problem(client.get(f"/api/v1/runs/{unknown}{path}"), 404, "not-found")
    assert_problem(client.post_events(unknown, {"type": "CUSTOM", "payload": {"name": "n", "value": 1}}), 404, "not-found")


@pytest.mark.requirement("R010")
def test_the_list_shows_new_runs_first_and_pages_by_cursor(client):
    made = [client.new_run() for _ in range(7)]
    seen, cursor = [], None
    for _ in range(3):
        page = client.get("/api/v1/runs", params={"limit": 3} | ({"cursor": cursor} if cursor else {})).json()
        assert len(page["runs"]) == 3
        seen += [run["id"] for run in page["runs"]]
        cursor = page["next_cursor"]
    assert seen[:7] == made[::-1]
    assert len(set(seen)) == len(seen)


def test_the_last_page_has_no_cursor(box, other):
    wanted = {other.new_run() for _ in range(3)}
    seen, cursor = [], None
    while True:
        page = other.get("/api/v1/runs", params={"limit": 2} | ({"cursor": cursor} if cursor else {})).json()
        seen += [run["id"] for run in page["runs"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert wanted <= set(seen) and len(seen) == len(set(seen))


@pytest.mark.parametrize("limit", ["0", "-1", "1001", "x", "1.5", "", "99999999999999999999"])
def test_limits_outside_their_range_are_refused(client, run_id, limit):
    assert_problem(client.get("/api/v1/runs", params={"limit": limit}), 400)
    assert_problem(client.get(f"/api/v1/runs/{run_id}/events", params={"limit": limit}), 400)


@pytest.mark.parametrize("cursor", ["x", "AAAA", "%00", "0", "' or 1=1 --"])
def test_cursors_that_are_not_ours_are_refused(client, cursor):
    assert_problem(client.get("/api/v1/runs", params={"cursor": cursor}), 400, "invalid-cursor")


def test_a_cursor_of_another_tenant_shows_nothing_of_it(client, other):
    for _ in range(3):
        client.new_run()
    page = client.get("/api/v1/runs", params={"limit": 1}).json()
    mine = {run["id"] for run in client.get("/api/v1/runs", params={"limit": 1000}).json()["runs"]}
    answer = other.get("/api/v1/runs", params={"cursor": page["next_cursor"]})
    assert answer.status_code in (200, 400)
    if answer.status_code == 200:
        assert not mine & {run["id"] for run in answer.json()["runs"]}


@pytest.mark.requirement("R004", "R007")
@pytest.mark.parametrize(
    ("ending", "status"), [("RUN_FINISHED", "finished"), ("RUN_FAILED", "failed"), ("RUN_CANCELLED", "cancelled")]
)
def test_status_follows_the_log(client, ending, status):
    run_id = client.new_run()
    client.append(run_id, ending, {})
    run = client.run(run_id)
    assert run["status"] == status and run["last_seq"] == 2
    assert run["completed_at"] is None or TIME.match(run["completed_at"])
    assert run["completed_at"] is not None
