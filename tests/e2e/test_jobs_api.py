"""Jobs over HTTP: queued once whatever is repeated, waiting for each other, cancelled, tried again one by one and by the hundred."""

import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest
from harness.client import assert_problem, random_id
from harness.jobs import Jobs
from harness.keys import make_key, make_tenant
from harness.openapi import Document
from harness.waiting import wait_until

DOCUMENT = Document()
# Nobody takes jobs of this type; a queue of its own keeps them out of the sight of others.
MINE = {"job_type": "of the api", "queue": "of the api"}


def enqueue(client, run_id, *jobs, status=201, batch=False):
    """The answer's jobs. One that stands alone goes without a list."""
    body = {"jobs": [MINE | job for job in jobs]} if batch or len(jobs) != 1 else MINE | jobs[0]
    answer = client.post(f"/api/v1/runs/{run_id}/jobs", body)
    assert answer.status_code == status, answer.text
    assert not DOCUMENT.answer_faults(DOCUMENT.operations["enqueueJobs"], answer)
    return answer.json()["jobs"] if "jobs" in body else answer.json()


def get(client, job_id) -> dict:
    answer = client.get(f"/api/v1/jobs/{job_id}")
    assert answer.status_code == 200, answer.text
    assert not DOCUMENT.answer_faults(DOCUMENT.operations["getJob"], answer)
    return answer.json()


def types(client, run_id) -> list:
    return [kind for _, kind, _ in client.log(run_id)]


class Worker:
    """Claims and reports of a tenant, over the bus."""

    def __init__(self, box, client):
        self.jobs = Jobs(box, client.get("/api/v1/session").json()["tenant_id"])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.jobs.close()

    def fail(self, job_id, kind="fatal", reason="broken"):
        return self.jobs.fail(job_id, self.jobs.claim(job_id), kind=kind, reason=reason)

    def complete(self, job_id, result=None):
        return self.jobs.complete(job_id, self.jobs.claim(job_id), result)


@pytest.fixture
def worker(box, client):
    with Worker(box, client) as worker:
        yield worker


# ---- queueing ----


@pytest.mark.requirement("R063", "R064", "R065", "R070", "K12")
def test_a_job_is_queued_and_shown(client, run_id):
    asked = {"artifact_kind": "report", "payload": {"text": "ä"}, "priority": -7, "max_attempts": 9, "run_at": "2100-01-01T00:00:00Z",
             "concurrency_key": "c", "on_dep_fail": "continue"}  # fmt: skip
    made = enqueue(client, run_id, asked)
    assert made == {"id": made["id"], "job_key": f"{run_id}:of the api:report", "status": "pending"}
    assert uuid.UUID(made["id"]).version == 7
    job = get(client, made["id"])
    assert job | made | MINE | asked | {"run_at": "2100-01-01T00:00:00.000000Z", "run_id": run_id, "attempts": 0, "detached": False,
                                        "depends_on": [], "last_worker": None, "finished_at": None} == job  # fmt: skip
    assert [(e["seq"], e["type"]) for e in job["events"]] == [(2, "JOB_QUEUED")] and job["attempts_made"] == []
    assert types(client, run_id) == ["RUN_STARTED", "JOB_QUEUED"]
    plain = get(client, enqueue(client, run_id, {"job_key": random_id()})["id"])
    assert (plain["payload"], plain["priority"], plain["max_attempts"], plain["on_dep_fail"]) == ({}, 0, 3, "cancel")
    other = client.post(f"/api/v1/runs/{run_id}/jobs", {"job_type": "of the api", "job_key": random_id(), "payload": [1, None],
                                                        "run_at": "2100-01-01T00:00:00Z"}).json()  # fmt: skip
    assert get(client, other["id"])["queue"] == "default" and get(client, other["id"])["payload"] == [1, None]


@pytest.mark.requirement("R064", "R070", "R071", "K11", "K13")
def test_the_same_key_is_the_same_job_in_every_state(client, run_id, worker):
    made = enqueue(client, run_id, {"artifact_kind": "a", "payload": {"n": 1}})

    def again():
        return enqueue(client, run_id, {"artifact_kind": "a", "payload": {"n": 2}}, status=200)

    def stored():
        return {name: value for name, value in get(client, made["id"]).items() if name not in ("events", "attempts_made")}

    assert again() == stored() and stored()["payload"] == {"n": 1} and stored()["status"] == "pending"
    token = worker.jobs.claim(made["id"])
    assert again() == stored() and stored()["status"] == "running"
    worker.jobs.complete(made["id"], token, {"pages": 7})
    assert again() == stored() and (stored()["status"], stored()["result"]) == ("success", {"pages": 7})
    client.finish(run_id)
    assert again() == stored(), "also when its run has ended"
    assert types(client, run_id).count("JOB_QUEUED") == 1
    # Elsewhere the same text is another key.
    other_run = client.new_run()
    assert enqueue(client, other_run, {"artifact_kind": "a"})["id"] != made["id"]
    key = random_id()
    assert enqueue(client, run_id := client.new_run(), {"job_key": key})["id"] == enqueue(client, other_run, {"job_key": key}, status=200)["id"]


@pytest.mark.requirement("R071", "K13")
def test_a_hundred_at_once_make_one_job_and_one_event(box, client, run_id):
    def ask(_):
        answer = box.client().post(f"/api/v1/runs/{run_id}/jobs", MINE | {"job_key": f"once {run_id}"})
        assert answer.status_code in (200, 201), answer.text
        return answer.status_code, answer.json()["id"]

    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(ask, range(100)))
    assert len({job_id for _, job_id in answers}) == 1
    assert sorted(status for status, _ in answers) == [200] * 99 + [201]
    assert types(client, run_id) == ["RUN_STARTED", "JOB_QUEUED"]


def test_a_batch_is_answered_in_order(client, run_id):
    known = enqueue(client, run_id, {"artifact_kind": "1"})
    made = enqueue(client, run_id, *({"artifact_kind": str(n)} for n in range(4)))
    assert [job["job_key"] for job in made] == [f"{run_id}:of the api:{n}" for n in range(4)]
    assert made[1]["id"] == known["id"] and made[1]["run_id"] == run_id, "as it is stored"
    assert set(made[0]) == {"id", "job_key", "status"}
    again = enqueue(client, run_id, *({"artifact_kind": str(n)} for n in (3, 0)), status=200)
    assert [job["id"] for job in again] == [made[3]["id"], made[0]["id"]]
    twice = enqueue(client, run_id, {"job_key": f"t{run_id}"}, {"job_key": f"t{run_id}"})
    assert twice[0]["id"] == twice[1]["id"]
    assert enqueue(client, run_id, {"artifact_kind": "alone"}, batch=True)[0]["status"] == "pending"
    assert types(client, run_id).count("JOB_QUEUED") == 6


def test_a_thousand_at_once(client, run_id):
    jobs = [{"job_type": "of the api", "queue": "of the api", "job_key": f"{run_id} {n}", "payload": {"n": n}} for n in range(1000)]
    answer = client.post(f"/api/v1/runs/{run_id}/jobs", {"jobs": jobs})
    assert answer.status_code == 201 and [job["job_key"] for job in answer.json()["jobs"]] == [job["job_key"] for job in jobs]
    assert client.run(run_id)["last_seq"] == 1001
    document = assert_problem(client.post(f"/api/v1/runs/{run_id}/jobs", {"jobs": [*jobs, jobs[0]]}), 413, "too-large")
    assert document["errors"][0]["pointer"] == "/jobs"
    page = client.get(f"/api/v1/runs/{run_id}/jobs?limit=1000").json()
    assert [job["payload"]["n"] for job in page["jobs"]] == list(range(999, -1, -1)) and page["next_cursor"] is None
    client.finish(run_id)


# ---- parents ----


@pytest.mark.requirement("R082")
def test_jobs_wait_for_their_parents(client, run_id, worker):
    split, a, b, join = enqueue(
        client, run_id, {"artifact_kind": "split"},
        *({"artifact_kind": n, "depends_on": [f"{run_id}:of the api:split"]} for n in "ab"),
        {"job_key": f"join {run_id}", "depends_on": [f"{run_id}:of the api:a", f"{run_id}:of the api:b"]},
    )  # fmt: skip
    assert get(client, join["id"])["depends_on"] == [a["id"], b["id"]]
    assert worker.jobs.change(a["id"], "CLAIM", token=str(uuid.uuid4()))["outcome"] == "NOT_READY"
    for job in (split, a, b, join):
        worker.complete(job["id"])
        assert get(client, job["id"])["status"] == "success"
    by_id = enqueue(client, run_id, {"artifact_kind": "late", "depends_on": [split["id"], a["job_key"]]})
    assert get(client, by_id["id"])["depends_on"] == [split["id"], a["id"]]
    worker.complete(by_id["id"])


def test_parents_may_stand_behind_their_children_and_be_named_like_ids(client, run_id, worker):
    key = random_id()
    child, parent = enqueue(client, run_id, {"artifact_kind": "child", "depends_on": [key]}, {"job_key": key})
    assert get(client, child["id"])["depends_on"] == [parent["id"]]
    late = enqueue(client, run_id, {"artifact_kind": "late", "depends_on": [key, child["id"], child["job_key"]]})
    assert get(client, late["id"])["depends_on"] == [child["id"], parent["id"]]
    refused = client.post(f"/api/v1/runs/{run_id}/jobs", MINE | {"artifact_kind": "no", "depends_on": [key, random_id()]})
    assert_problem(refused, 422, "unknown-parent")
    for job in (parent, child, late):
        worker.complete(job["id"])


def test_what_parents_are_refused(client, run_id, other):
    theirs = enqueue(other, other.new_run(), {"job_key": random_id()})

    def refused(slug, *jobs, pointer):
        body = {"jobs": [MINE | job for job in jobs]} if len(jobs) > 1 else MINE | jobs[0]
        document = assert_problem(client.post(f"/api/v1/runs/{run_id}/jobs", body), 422, slug)
        assert document["errors"][0]["pointer"] == pointer

    for parent in (random_id(), "no such key", theirs["id"], theirs["job_key"]):
        refused("unknown-parent", {"artifact_kind": "x", "depends_on": [parent]}, pointer="/depends_on")
    refused("unknown-parent", {"artifact_kind": "x"}, {"artifact_kind": "y", "depends_on": [random_id()]}, pointer="/jobs")
    refused("invalid-payload", {"job_key": "self", "depends_on": ["self"]}, pointer="/depends_on")
    refused("invalid-payload", {"job_key": "ok"}, {"job_key": "a", "depends_on": ["b"]}, {"job_key": "b", "depends_on": ["ok", "c"]},
            {"job_key": "c", "depends_on": ["a"]}, pointer="/jobs/1/depends_on")  # fmt: skip
    refused("invalid-payload", {"artifact_kind": "x", "depends_on": ["a", ""]}, pointer="/depends_on/1")
    refused("invalid-payload", {"artifact_kind": "x"}, {"artifact_kind": "y", "depends_on": [1]}, pointer="/jobs/1/depends_on/0")
    assert types(client, run_id) == ["RUN_STARTED"], "all or none"


@pytest.mark.parametrize("rule, status", [("cancel", "cancelled"), ("fail", "error"), ("continue", "pending")])
def test_what_becomes_of_a_child_whose_parent_fails(client, run_id, worker, rule, status):
    parent, child = enqueue(client, run_id, {"job_key": f"p{run_id}"}, {"artifact_kind": "c", "depends_on": [f"p{run_id}"], "on_dep_fail": rule})
    worker.fail(parent["id"])
    if rule == "continue":
        worker.complete(child["id"])
        return
    worker.jobs.change(child["id"], "SKIP")  # as the owner of its shard does
    wait_until(lambda: get(client, child["id"])["status"] == status, f"the child to be {status}")


# ---- what is refused ----


def test_wrong_jobs_are_named(client, run_id):
    wrong = {
        "job_type": ["", "x" * 256, None], "artifact_kind": ["", "x" * 256], "job_key": ["", "x" * 513], "queue": ["", "ä" * 128],
        "priority": [-1001, 1001], "max_attempts": [0, 1001], "run_at": ["tomorrow"], "on_dep_fail": ["stop"], "detached": ["true"],
        "concurrency_key": ["", "x" * 256], "debounce_ms": [-1, 31622400001], "depends_on": ["x", {}],
    }  # fmt: skip
    for name, values in wrong.items():
        for value in values:
            document = assert_problem(client.post(f"/api/v1/runs/{run_id}/jobs", MINE | {name: value}), 422, "invalid-payload")
            assert document["errors"][0]["pointer"] == f"/{name}", (name, value)
    listed = [MINE, MINE | {"artifact_kind": "x", "queue": 7}]
    document = assert_problem(client.post(f"/api/v1/runs/{run_id}/jobs", {"jobs": listed}), 422, "invalid-payload")
    assert document["errors"][0]["pointer"] == "/jobs/1/queue"
    for body, pointer in (({"jobs": []}, "/jobs"), ({"jobs": [1]}, "/jobs/0"), ({"jobs": {}}, "/jobs")):
        document = assert_problem(client.post(f"/api/v1/runs/{run_id}/jobs", body), 422, "invalid-payload")
        assert document["errors"][0]["pointer"] == pointer
    document = assert_problem(client.post(f"/api/v1/runs/{run_id}/jobs", {"jobs": [MINE | {"nope": 1}]}), 422, "unknown-field")
    assert document["errors"][0]["pointer"] == "/jobs/0/nope"
    large = MINE | {"payload": {"x": "y" * 65536}}
    document = assert_problem(client.post(f"/api/v1/runs/{run_id}/jobs", large), 413, "too-large")
    assert document["errors"][0]["pointer"] == "/payload"
    colon = MINE | {"job_type": "a:b"}
    document = assert_problem(client.post(f"/api/v1/runs/{run_id}/jobs", colon), 422, "invalid-payload")
    assert document["errors"][0]["pointer"] == "/job_type"
    assert enqueue(client, run_id, {"job_type": "a:b", "job_key": random_id()})["status"] == "pending"
    assert client.run(run_id)["last_seq"] == 2


@pytest.mark.requirement("K44")
def test_runs_that_take_no_jobs(client, other):
    ended = client.new_run()
    client.finish(ended)
    answer = client.post(f"/api/v1/runs/{ended}/jobs", MINE)
    assert_problem(answer, 409, "run-closed")
    late = client.new_run(delay_ms=86_400_000)
    assert_problem(client.post(f"/api/v1/runs/{late}/jobs", MINE), 409, "run-pending")
    for run_id in (random_id(), other.new_run()):
        assert_problem(client.post(f"/api/v1/runs/{run_id}/jobs", MINE), 404, "not-found")


@pytest.mark.requirement("K44")
def test_a_detached_job_lives_in_a_run_of_its_own(client, run_id, worker):
    made = enqueue(client, run_id, {"artifact_kind": "long", "detached": True})
    job = get(client, made["id"])
    child = client.run(job["run_id"])
    assert job["detached"] and child["id"] != run_id and child["parent_run_id"] == run_id and child["status"] == "running"
    assert made["job_key"] == f"{run_id}:of the api:long"
    client.finish(run_id)
    assert get(client, made["id"])["status"] == "pending" and types(client, run_id) == ["RUN_STARTED", "RUN_FINISHED"]
    after = enqueue(client, run_id, {"artifact_kind": "after the end", "detached": True})
    worker.complete(made["id"]), worker.complete(after["id"])
    assert types(client, child["id"]) == ["RUN_STARTED", "JOB_QUEUED", "JOB_STARTED", "JOB_COMPLETED", "RUN_FINISHED"]


@pytest.mark.requirement("K44")
def test_attached_jobs_end_with_their_run(client, run_id):
    made = enqueue(client, run_id, {"artifact_kind": "a"})
    client.finish(run_id)
    assert get(client, made["id"])["status"] == "cancelled"
    assert types(client, run_id) == ["RUN_STARTED", "JOB_QUEUED", "JOB_CANCELLED", "RUN_FINISHED"]


def test_debounce_puts_off_a_job_that_has_not_begun(client, run_id, worker):
    first = enqueue(client, run_id, {"artifact_kind": "d", "payload": {"n": 1}, "debounce_ms": 60_000})
    due = get(client, first["id"])["run_at"]
    again = enqueue(client, run_id, {"artifact_kind": "d", "payload": {"n": 2}, "debounce_ms": 3_600_000}, status=200)
    assert again["id"] == first["id"] and again["payload"] == {"n": 2} and again["run_at"] > due
    assert types(client, run_id).count("JOB_QUEUED") == 1


# ---- cancel and retry ----


def change(client, job_id, verb, **body):
    answer = client.post(f"/api/v1/jobs/{job_id}/{verb}", body)
    if answer.status_code == 200:
        assert not DOCUMENT.answer_faults(DOCUMENT.operations[f"{verb}Job"], answer)
    return answer


def test_cancel(client, run_id, worker):
    waiting = enqueue(client, run_id, {"artifact_kind": "waiting"})
    for _ in range(2):
        answer = change(client, waiting["id"], "cancel", reason="not needed")
        assert answer.status_code == 200 and answer.json()["status"] == "cancelled"
    assert types(client, run_id) == ["RUN_STARTED", "JOB_QUEUED", "JOB_CANCELLED"]
    assert get(client, waiting["id"])["events"][1]["payload"]["reason"] == "not needed"
    running = enqueue(client, run_id, {"artifact_kind": "running"})
    token = worker.jobs.claim(running["id"])
    for _ in range(2):
        answer = change(client, running["id"], "cancel").json()
        assert (answer["status"], answer["cancel_requested"]) == ("running", True)
    worker.jobs.complete(running["id"], token, {"half": True})
    ended = get(client, running["id"])
    assert (ended["status"], ended["result"]) == ("cancelled", {"half": True}), "too late to be a success"
    done = enqueue(client, run_id, {"artifact_kind": "done"})
    worker.complete(done["id"])
    assert_problem(change(client, done["id"], "cancel"), 409, "job-ended")


def test_retry(client, run_id, worker):
    made = enqueue(client, run_id, {"artifact_kind": "r", "max_attempts": 1})
    worker.fail(made["id"], kind="retryable", reason="no luck")
    dead = get(client, made["id"])
    assert (dead["status"], dead["attempts"], dead["error_class"]) == ("error", 1, "retryable")
    assert dead["error"]["error"] == "no luck" and dead["error"]["job_id"] == made["id"] and dead["error"]["remediation"]
    (attempt,) = dead["attempts_made"]
    assert (attempt["attempt"], attempt["worker"], attempt["ended_by"], attempt["reason"]) == (1, "w1", "JOB_FAILED", "no luck")
    assert [e["type"] for e in dead["events"]] == ["JOB_QUEUED", "JOB_STARTED", "JOB_FAILED"]
    for _ in range(2):
        answer = change(client, made["id"], "retry", reason="mended")
        assert answer.status_code == 200 and answer.json()["status"] == "pending" and answer.json()["error"] is None
    worker.complete(made["id"])
    assert_problem(change(client, made["id"], "retry"), 409, "job-ended")
    assert len(get(client, made["id"])["attempts_made"]) == 2


@pytest.mark.requirement("K44")
def test_retry_after_the_end_of_the_run_goes_on_in_a_child(client, run_id, worker):
    made = enqueue(client, run_id, {"artifact_kind": "r"})
    worker.fail(made["id"])
    client.finish(run_id)
    job = change(client, made["id"], "retry").json()
    assert job["status"] == "pending" and job["run_id"] != run_id and client.run(job["run_id"])["parent_run_id"] == run_id
    worker.complete(made["id"])
    assert [e["type"] for e in get(client, made["id"])["events"]] == ["JOB_QUEUED", "JOB_STARTED", "JOB_COMPLETED"]
    assert types(client, run_id)[-1] == "RUN_FINISHED" and client.run(job["run_id"])["status"] == "finished"


def test_what_cannot_be_changed(client, other, run_id):
    theirs = enqueue(other, other.new_run(), {"job_key": random_id()})
    made = enqueue(client, run_id, {"artifact_kind": "a"})
    for verb in ("cancel", "retry"):
        for job_id in (random_id(), "x", theirs["id"]):
            assert_problem(change(client, job_id, verb), 404, "not-found")
        for body, slug in (({"reason": 1}, "invalid-payload"), ({"reason": "x" * 501}, "invalid-payload"), ({"nope": 1}, "unknown-field")):
            assert_problem(change(client, made["id"], verb, **body), 422, slug)
    assert get(other, theirs["id"])["status"] == "pending"


def test_retry_of_many_counts_first(box):
    client = box.client(make_tenant(box, "many dead"))
    run_id = client.new_run()
    made = enqueue(client, run_id, *({"artifact_kind": str(n), "queue": "a" if n < 3 else "b"} for n in range(8)))
    with Worker(box, client) as worker:
        for job in made[:7]:
            worker.fail(job["id"])

    def ask(**body):
        answer = client.post("/api/v1/jobs/retry", {"status": "error"} | body)
        assert not DOCUMENT.answer_faults(DOCUMENT.operations["retryJobs"], answer)
        return answer

    assert ask().json() == ask(dry_run=True, confirm_count=3).json() == {"count": 7, "exact": True}
    assert ask(queue="a").json()["count"] == 3 and ask(job_type="x").json()["count"] == 0
    assert ask(run_id=run_id, queue="b").json()["count"] == 4 and ask(run_id=random_id()).json()["count"] == 0
    document = assert_problem(ask(queue="a", confirm_count=4), 409, "count-changed")
    assert document["count"] == 3
    assert ask(queue="a", confirm_count=3).json() == {"retried": 3, "refused": 0, "remaining": 0, "next_cursor": None}
    assert ask(dry_run=False).json() == {"retried": 4, "refused": 0, "remaining": 0, "next_cursor": None}
    assert ask().json()["count"] == 0 and ask(confirm_count=0).json()["retried"] == 0
    assert {job["status"] for job in client.get("/api/v1/jobs").json()["jobs"]} == {"pending"}
    entries = [e for e in client.get("/api/v1/audit").json()["entries"] if e["action"] == "jobs.retry"]
    assert [(e["object_id"], e["after"]["count"]) for e in entries] == [("", 0), ("", 4), ("a", 3)]
    for body in ({"status": "success"}, {"status": None}, {"queue": ""}, {"run_id": "x"}, {"dry_run": 1}, {"confirm_count": -1}, {"cursor": 1}):
        assert_problem(ask(**body), 422, "invalid-payload")
    assert_problem(ask(cursor="x"), 400, "invalid-cursor")


@pytest.mark.requirement("R172")
def test_what_each_scope_may(box, client, run_id):
    reader, writer = (box.client(make_key(box, scopes=[scope])) for scope in ("read", "append"))
    made = enqueue(writer, run_id, {"artifact_kind": "s"})
    assert reader.get(f"/api/v1/jobs/{made['id']}").status_code == 200
    assert reader.get("/api/v1/queues").status_code == 200
    assert_problem(writer.get(f"/api/v1/jobs/{made['id']}"), 403)
    assert_problem(reader.post(f"/api/v1/jobs/{made['id']}/cancel"), 403)
    assert_problem(writer.request("PUT", "/api/v1/queues/x", json={"paused": True}), 403)
    assert change(writer, made["id"], "cancel").status_code == 200
