"""POST /runs: every field, every wrong field, delayed starts, strategies, answers that stay the same."""

import re
from datetime import datetime, timedelta, timezone

import pytest
from harness.client import assert_problem, custom, idempotency, random_id
from harness.waiting import wait_until

FIELDS = ["id", "status", "thread_id", "parent_run_id", "metadata", "created_by", "deliverable_type", "start_at", "last_seq",
          "created_at", "started_at", "completed_at", "fork_seq"]  # fmt: skip


def later(seconds) -> str:
    return (datetime.now(timezone.utc) + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


@pytest.mark.requirement("R001", "R003", "R006", "R008", "R010")
def test_what_the_creator_says_is_shown_everywhere(client):
    parent, thread, run_id = client.new_run(), random_id(), random_id()
    said = {"id": run_id, "thread_id": thread, "parent_run_id": parent, "metadata": {"a": [1]}, "created_by": "Zoë \"Z\" ☃",
            "deliverable_type": "report"}  # fmt: skip
    run = client.create_run(**said)
    assert list(run) == FIELDS
    assert {name: run[name] for name in said} == said
    assert (run["status"], run["last_seq"], run["start_at"], run["completed_at"], run["fork_seq"]) == ("running", 1, None, None, None)
    assert run["started_at"] == run["created_at"]
    assert client.run(run_id) == run
    assert client.get("/api/v1/runs", params={"q": run_id}).json()["runs"] == [run]
    assert client.page(run_id).json()["events"][0]["payload"] == {name: said[name] for name in said if name != "id"}


@pytest.mark.requirement("R003")
def test_the_creator_is_the_key_unless_said_otherwise(box, client):
    public_id = box.api_key.split("_")[1]
    assert client.create_run()["created_by"] == f"key:{public_id}"
    assert client.create_run(created_by=None)["created_by"] == f"key:{public_id}"


def test_null_is_as_good_as_nothing(client):
    names = ["thread_id", "parent_run_id", "created_by", "deliverable_type", "start_at", "delay_ms", "multitask_strategy",
             "concurrency", "liveness_timeout_ms"]  # fmt: skip
    assert client.create_run(**dict.fromkeys(names))["status"] == "running"


WRONG = [
    ({"id": 1}, "/id"), ({"id": "00000000-0000-0000-0000-000000000000"}, "/id"), ({"id": None}, "/id"),
    ({"thread_id": "x"}, "/thread_id"), ({"thread_id": 1}, "/thread_id"), ({"parent_run_id": "x"}, "/parent_run_id"),
    ({"metadata": None}, "/metadata"), ({"metadata": []}, "/metadata"),
    ({"created_by": ""}, "/created_by"), ({"created_by": 1}, "/created_by"), ({"created_by": "x" * 256}, "/created_by"),
    ({"deliverable_type": ""}, "/deliverable_type"), ({"deliverable_type": ["x"]}, "/deliverable_type"),
    ({"start_at": "soon"}, "/start_at"), ({"start_at": 5}, "/start_at"), ({"start_at": "2026-13-01T00:00:00Z"}, "/start_at"),
    ({"start_at": "2026-11-20 09:00:00Z"}, "/start_at"), ({"start_at": ""}, "/start_at"),
    ({"delay_ms": -1}, "/delay_ms"), ({"delay_ms": "5"}, "/delay_ms"), ({"delay_ms": 1.5}, "/delay_ms"),
    ({"delay_ms": 366 * 86_400_000 + 1}, "/delay_ms"), ({"delay_ms": 1, "start_at": "2100-01-01T00:00:00Z"}, "/delay_ms"),
    ({"multitask_strategy": "queue"}, "/multitask_strategy"), ({"multitask_strategy": 1}, "/multitask_strategy"),
    ({"multitask_strategy": "reject"}, "/multitask_strategy"),
    ({"concurrency": 1}, "/concurrency"), ({"concurrency": {}}, "/concurrency/key"), ({"concurrency": {"key": "k"}}, "/concurrency/limit"),
    ({"concurrency": {"limit": 1}}, "/concurrency/key"), ({"concurrency": {"key": "", "limit": 1}}, "/concurrency/key"),
    ({"concurrency": {"key": "k", "limit": 0}}, "/concurrency/limit"), ({"concurrency": {"key": "k", "limit": "1"}}, "/concurrency/limit"),
    ({"concurrency": {"key": "k", "limit": 1, "more": 1}}, "/concurrency/more"),
    ({"liveness_timeout_ms": 0}, "/liveness_timeout_ms"), ({"liveness_timeout_ms": 99}, "/liveness_timeout_ms"),
    ({"liveness_timeout_ms": 31 * 86_400_000 + 1}, "/liveness_timeout_ms"), ({"liveness_timeout_ms": "1000"}, "/liveness_timeout_ms"),
]  # fmt: skip


@pytest.mark.parametrize(("body", "pointer"), WRONG)
def test_every_wrong_field_is_pointed_at(client, body, pointer):
    document = assert_problem(client.post("/api/v1/runs", body), 422)
    assert [error["pointer"] for error in document["errors"]] == [pointer]


def test_texts_are_measured_in_characters(client):
    assert client.create_run(created_by="☃" * 255)["created_by"] == "☃" * 255
    assert_problem(client.post("/api/v1/runs", {"created_by": "☃" * 256}), 422, "invalid-payload")


@pytest.mark.requirement("R010", "R012")
def test_a_delayed_run_is_pending_and_starts_by_itself(box, client):
    run = client.create_run(delay_ms=1500, metadata={"d": 1})
    assert (run["status"], run["last_seq"], run["started_at"]) == ("pending", 0, None)
    assert re.match(r"^\d{4}-.*Z$", run["start_at"]) and run["start_at"] > run["created_at"]
    assert client.page(run["id"]).json() == {"events": [], "last_seq": 0}
    assert_problem(client.post_events(run["id"], custom(1)), 409, "run-pending")
    assert client.get(f"/api/v1/runs/{run['id']}/events", params={"after_seq": 1}).status_code == 400
    with box.stream(run["id"]) as stream:
        started = stream.take(1)[0]
        assert started[:2] == (1, "RUN_STARTED")
        now = client.run(run["id"])
        assert now["status"] == "running" and now["started_at"] >= run["start_at"]
        client.finish(run["id"])
        assert stream.take(1)[0][1] == "RUN_FINISHED"


@pytest.mark.requirement("R010")
def test_a_time_that_has_passed_is_at_once(client):
    run = client.create_run(start_at="2020-01-01T00:00:00Z")
    assert (run["status"], run["last_seq"], run["start_at"]) == ("running", 1, None)


@pytest.mark.requirement("I9", "R010")
def test_the_answer_of_a_delayed_run_stays_the_same(client):
    key, body = random_id(), {"delay_ms": 700}
    first = client.post("/api/v1/runs", body, headers=idempotency(key))
    assert first.status_code == 201 and first.json()["status"] == "pending"
    run_id = first.json()["id"]
    wait_until(lambda: client.run(run_id)["status"] == "running", "the run to start")
    client.finish(run_id)
    again = client.post("/api/v1/runs", body, headers=idempotency(key))
    assert (again.status_code, again.text) == (201, first.text)


@pytest.mark.requirement("I9")
def test_the_answer_of_a_creation_stays_the_same_whatever_becomes_of_the_run(client):
    key = random_id()
    first = client.post("/api/v1/runs", {}, headers=idempotency(key))
    client.finish(first.json()["id"])
    again = client.post("/api/v1/runs", {}, headers=idempotency(key))
    assert (again.status_code, again.text) == (201, first.text)
    known = client.post("/api/v1/runs", {"id": first.json()["id"]})
    assert known.status_code == 200 and known.json()["status"] == "finished"


@pytest.mark.requirement("R010", "I15")
def test_a_pending_run_streams_nothing_and_ends_when_it_is_cancelled(box, client, other):
    run_id = client.create_run(start_at=later(3600))["id"]
    with box.stream(run_id) as stream:
        assert client.post(f"/api/v1/runs/{run_id}/cancel").json() == {"id": run_id, "status": "cancelled"}
        seq, kind, _ = stream.take(1)[0]
        assert (seq, kind) == (1, "RUN_CANCELLED")
    run = client.run(run_id)
    assert (run["status"], run["last_seq"], run["started_at"]) == ("cancelled", 1, None) and run["completed_at"]
    assert client.get(f"/api/v1/runs/{run_id}/stream", params={"after_seq": 1}).status_code == 204
    assert [e["type"] for e in client.page(run_id).json()["events"]] == ["RUN_CANCELLED"]
    assert_problem(client.post_events(run_id, custom(1)), 409, "run-closed")
