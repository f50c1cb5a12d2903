"""Jobs and queues as they are shown: pages, filters, one job, how queues stand, what is asked of them."""

import pytest
from harness.client import assert_problem, random_id
from harness.put_jobs import PutJobs
from harness.openapi import Document

DOCUMENT = Document()


@pytest.fixture
def put(box):
    jobs = PutJobs(box)
    yield jobs
    jobs.forget()


def ids(jobs) -> list:
    return [str(job.get("job_id") or job["id"]) for job in jobs]


def listed(put, query="", path="/api/v1/jobs") -> list:
    """All pages, two at a time, held against the document."""
    found, cursor = [], ""
    while cursor is not None:
        answer = put.client.get(f"{path}?limit=2&{query}{cursor}")
        assert answer.status_code == 200, answer.text
        assert not DOCUMENT.answer_faults(DOCUMENT.operations["listJobs"], answer)
        page = answer.json()
        found += page["jobs"]
        cursor = page["next_cursor"] and f"&cursor={page['next_cursor']}"
    return found


@pytest.mark.requirement("R063", "R065", "R066", "R067", "R068", "R069", "R081", "K12")
def test_a_job_is_shown_with_all_that_is_known_of_it(put):
    parents = [put.put("success", result={"n": 1}, finished_at="2026-11-20T10:00:01Z"), put.put()]
    job = put.put(
        "running", parents=parents, job_key="k1", artifact_kind="report", priority=7, on_dep_fail=1, concurrency_key="c",
        detached=True, payload={"text": "ä\n", "n": 9007199254740993}, progress={"percent": 50, "note": "half"},
        cancel_requested_at="2026-11-20T10:00:02Z",
    )  # fmt: skip
    answer = put.client.get(f"/api/v1/jobs/{job['job_id']}")
    assert answer.status_code == 200 and not DOCUMENT.answer_faults(DOCUMENT.operations["getJob"], answer)
    assert answer.json() == {
        "id": job["job_id"], "job_key": "k1", "job_type": "put", "artifact_kind": "report", "queue": "put", "run_id": put.run,
        "status": "running", "priority": 7, "attempts": 1, "max_attempts": 3, "payload": {"text": "ä\n", "n": 9007199254740993},
        "run_at": "2026-11-20T10:00:00.000000Z", "depends_on": ids(parents), "on_dep_fail": "fail", "concurrency_key": "c",
        "detached": True, "last_worker": "w1", "heartbeat_at": "2026-11-20T10:00:00.000000Z", "cancel_requested": True,
        "progress": {"percent": 50, "note": "half"}, "result": None, "error": None, "error_class": None,
        "created_at": "2026-11-20T10:00:00.000000Z", "updated_at": "2026-11-20T10:00:00.000000Z", "finished_at": None,
        "events": [], "attempts_made": [],
    }  # fmt: skip
    done = put.client.get(f"/api/v1/jobs/{parents[0]['job_id']}").json()
    assert (done["status"], done["result"], done["run_at"], done["depends_on"]) == ("success", {"n": 1}, None, [])
    dead = put.put("error", attempts=3, error={"error": "stuck_job_timeout", "attempts": 3}, error_class="retryable", last_worker="w9")
    dead = put.client.get(f"/api/v1/jobs/{dead['job_id']}").json()
    assert (dead["status"], dead["attempts"], dead["last_worker"], dead["error_class"]) == ("error", 3, "w9", "retryable")
    assert dead["error"] == {"error": "stuck_job_timeout", "attempts": 3}


@pytest.mark.requirement("R066", "R081", "K12")
def test_lists_and_their_filters(put):
    other_run = put.client.new_run()
    jobs = {
        "pending": put.put(queue="q1"), "running": put.put("running", queue="q2"), "success": put.put("success", queue="q1"),
        "error": put.put("error", queue="q2", job_type="t2"), "cancelled": put.put("cancelled", run_id=other_run),
        "error 2": put.put("error", queue="q1"), "pending 2": put.put(job_type="t2"),
    }  # fmt: skip
    names = list(reversed(jobs))

    def expect(query, *wanted):
        assert ids(listed(put, query)) == ids(jobs[name] for name in names if name in wanted), query

    expect("", *names)
    expect("status=pending", "pending", "pending 2")
    expect("status=running", "running")
    expect("status=pending,running", "pending", "pending 2", "running")
    expect("status=error", "error", "error 2")
    expect("status=success", "success")
    expect("status=success&status=cancelled", "success", "cancelled")
    expect("status=error,pending", "error", "error 2", "pending", "pending 2")
    expect("queue=q1", "pending", "success", "error 2")
    expect("queue=q1&status=error", "error 2")
    expect("queue=q1&status=pending", "pending")
    expect("job_type=t2", "error", "pending 2")
    expect("job_type=t2&status=error&queue=q1")
    expect(f"run_id={other_run}", "cancelled")
    expect(f"run_id={other_run}&status=error")
    expect(f"job_key={jobs['success']['job_key'].replace(' ', '%20')}", "success")
    expect("job_key=nobody")
    expect("queue=nobody")
    assert ids(listed(put, path=f"/api/v1/runs/{other_run}/jobs")) == ids([jobs["cancelled"]])
    assert ids(listed(put, "status=running", path=f"/api/v1/runs/{put.run}/jobs")) == ids([jobs["running"]])


def test_what_a_list_refuses(put):
    put.put(), put.put(), put.put()
    ask = put.client.get
    for query in ("status=done", "status=", "status=pending,", "queue=", "queue=%00", "queue=%ff", "queue=" + "x" * 256, "job_type=%c3",
                  "job_key=" + "x" * 513, "run_id=x", "run_id=", "limit=0"):  # fmt: skip
        assert_problem(ask(f"/api/v1/jobs?{query}"), 400, "invalid-parameter")
    cursor = ask("/api/v1/jobs?limit=1").json()["next_cursor"]
    assert ask(f"/api/v1/jobs?limit=2&cursor={cursor}").status_code == 200
    for query in (f"status=pending&cursor={cursor}", f"queue=put&cursor={cursor}", "cursor=x"):
        assert_problem(ask(f"/api/v1/jobs?{query}"), 400, "invalid-cursor")
    of_runs = ask(f"/api/v1/runs?limit=1&cursor={cursor}")
    assert_problem(of_runs, 400, "invalid-cursor")


def test_a_run_without_jobs_and_one_that_is_not_there(put):
    empty = put.client.new_run()
    assert put.client.get(f"/api/v1/runs/{empty}/jobs").json() == {"jobs": [], "next_cursor": None}
    for run_id in (random_id(), "x"):
        assert_problem(put.client.get(f"/api/v1/runs/{run_id}/jobs"), 404, "not-found")
    for job_id in (random_id(), "x"):
        assert_problem(put.client.get(f"/api/v1/jobs/{job_id}"), 404, "not-found")


@pytest.mark.requirement("I15")
def test_jobs_of_another_tenant_are_not_there(put, client):
    job = put.put("error")
    assert_problem(client.get(f"/api/v1/jobs/{job['job_id']}"), 404, "not-found")
    assert_problem(client.get(f"/api/v1/runs/{put.run}/jobs"), 404, "not-found")
    assert job["job_id"] not in ids(client.get("/api/v1/jobs?limit=1000").json()["jobs"])
    assert client.get(f"/api/v1/jobs?run_id={put.run}").json()["jobs"] == []
    assert "put" not in [queue["queue"] for queue in client.get("/api/v1/queues").json()["queues"]]
    assert client.get("/api/v1/queues/put").json()["dead"] == 0


def test_pages_of_large_jobs_are_short(put):
    large = {"x": "y" * 65000}
    jobs = [put.put("success", payload=large, result=large) for _ in range(40)]
    page = put.client.get("/api/v1/jobs").json()
    assert 30 <= len(page["jobs"]) < 40 and page["next_cursor"]
    rest = put.client.get(f"/api/v1/jobs?cursor={page['next_cursor']}").json()
    assert ids(page["jobs"] + rest["jobs"]) == ids(reversed(jobs)) and rest["next_cursor"] is None


# What follows is counted from the rows that are there, so a page could have a long way to go.
MANY = """
with new as (select p.position, p.seq from run_events p where p.run_id = %(run)s and p.seq > 1),
     records as (insert into job_records (id, job_id, tenant_id, run_id, job_key, job_type, queue, status, max_attempts, payload,
                                          created_at, updated_at, enqueue_seq)
                 select position, gen_random_uuid(), %(tenant)s, %(run)s, 'many ' || position, 'put',
                        case when seq = 2 then 'rare' else 'often' end, 'error', 1, '{}', now(), now(), 1 from new returning id)
insert into job_dead (tenant_id, id, died_at) select %(tenant)s, id, now() from records returning id
"""


def test_a_page_looks_at_a_bounded_number_of_rows(put):
    run_id = put.client.new_run()
    for _ in range(11):
        put.client.append_many(run_id, [{"type": "CUSTOM", "payload": {"name": "n", "value": 1}}] * 1000)
    with put.database.connect() as connection:
        rows = connection.execute(MANY, {"run": run_id, "tenant": put.tenant}).fetchall()
    put.numbers += [row[0] for row in rows]
    for query in ("queue=rare", "queue=rare&status=error", f"queue=rare&run_id={run_id}"):
        first = put.client.get(f"/api/v1/jobs?{query}").json()
        assert first["jobs"] == [] and first["next_cursor"], query
        second = put.client.get(f"/api/v1/jobs?{query}&cursor={first['next_cursor']}").json()
        assert [job["queue"] for job in second["jobs"]] == ["rare"] and second["next_cursor"] is None, query
    assert put.client.post("/api/v1/jobs/retry", {"status": "error"}).json() == {"count": 10000, "exact": False}
    assert put.client.post("/api/v1/jobs/retry", {"status": "error", "queue": "rare"}).json() == {"count": 1, "exact": True}
    queues = put.client.get("/api/v1/queues").json()
    assert queues["exact"] is False and queues["queues"][0]["dead"] == 10000


# ---- queues ----

NO_RULES = {"paused": False, "concurrency": None, "key_concurrency": 1, "rate_per_minute": None, "rate_burst": 1}
EMPTY = {"waiting": 0, "due": 0, "running": 0, "dead": 0, "oldest_age_ms": None}


def test_how_queues_stand(put):
    assert put.client.get("/api/v1/queues").json() == {"queues": [], "paused": False, "paused_job_types": [], "exact": True}
    put.put(queue="b"), put.put(queue="b", run_at="2100-01-01T00:00:00Z"), put.put(queue="b", deps_left=1)
    put.put("running", queue="b"), put.put("error", queue="b"), put.put("success", queue="b"), put.put("error", queue="a")
    answer = put.client.get("/api/v1/queues")
    assert not DOCUMENT.answer_faults(DOCUMENT.operations["listQueues"], answer)
    a, b = answer.json()["queues"]
    assert a == {"queue": "a"} | NO_RULES | EMPTY | {"dead": 1}
    assert b.pop("oldest_age_ms") > 0
    assert b == {"queue": "b"} | NO_RULES | {"waiting": 3, "due": 1, "running": 1, "dead": 1}
    assert put.client.get("/api/v1/queues/a").json() == a
    assert put.client.get("/api/v1/queues/never%20used").json() == {"queue": "never used"} | NO_RULES | EMPTY


def audit(put) -> list:
    entries = put.client.get("/api/v1/audit").json()["entries"]
    return [(e["action"], e["object_id"], e["before"], e["after"]) for e in entries]


def test_what_is_asked_of_a_queue(put):
    def ask(body):
        answer = put.client.request("PUT", "/api/v1/queues/a%2Fb%20%C3%A4", json=body)
        assert answer.status_code == 200 and not DOCUMENT.answer_faults(DOCUMENT.operations["setQueue"], answer)
        found = answer.json()
        assert found["queue"] == "a/b ä"
        return {name: found[name] for name in NO_RULES}

    assert ask({}) == NO_RULES
    assert ask({"paused": True}) == NO_RULES | {"paused": True}
    limits = {"concurrency": 5, "key_concurrency": 2, "rate_per_minute": 60, "rate_burst": 10}
    assert ask(limits) == limits | {"paused": True}
    assert ask({"paused": False, "rate_burst": None, "key_concurrency": None}) == limits | {"paused": False, "rate_burst": 1, "key_concurrency": 1}
    before = len(audit(put))
    assert ask({"paused": False}) == limits | {"paused": False, "rate_burst": 1, "key_concurrency": 1}
    assert len(audit(put)) == before, "nothing has changed"
    assert [q["queue"] for q in put.client.get("/api/v1/queues").json()["queues"]] == ["a/b ä"]
    for _ in range(2):
        answer = put.client.request("DELETE", "/api/v1/queues/a%2Fb%20%C3%A4")
        assert answer.status_code == 200 and answer.json() == {"queue": "a/b ä"} | NO_RULES | EMPTY
    assert put.client.get("/api/v1/queues").json()["queues"] == []
    newest = audit(put)[0]
    assert newest == ("queue.reset", "a/b ä", limits | {"paused": False, "rate_burst": 1, "key_concurrency": 1}, None)
    assert audit(put)[-2][0] == "queue.set" and audit(put)[-2][3] == NO_RULES | {"paused": True}


def test_what_a_queue_refuses(put):
    ask = lambda name, body: put.client.request("PUT", f"/api/v1/queues/{name}", json=body)  # noqa: E731
    for body in ({"paused": 1}, {"paused": None}, {"concurrency": 0}, {"concurrency": -1}, {"concurrency": 1000001}, {"rate_burst": 1.5},
                 {"key_concurrency": "1"}):  # fmt: skip
        document = assert_problem(ask("q", body), 422, "invalid-payload")
        assert document["errors"][0]["pointer"] == f"/{next(iter(body))}"
    assert_problem(ask("q", {"nope": 1}), 422, "unknown-field")
    for name in ("x" * 256, "%FF", "%C3"):
        for method in ("GET", "PUT", "DELETE"):
            assert_problem(put.client.request(method, f"/api/v1/queues/{name}"), 404, "not-found")
        assert_problem(put.client.request("PUT", f"/api/v1/job-types/{name}/pause"), 404, "not-found")


def test_pauses(put):
    def paused():
        found = put.client.get("/api/v1/queues").json()
        return found["paused"], found["paused_job_types"]

    for _ in range(2):
        assert put.client.request("PUT", "/api/v1/job-types/a%2Fb/pause").json() == {"job_type": "a/b", "paused": True}
        assert put.client.request("PUT", "/api/v1/jobs/pause").json() == {"paused": True}
    assert paused() == (True, ["a/b"])
    for _ in range(2):
        assert put.client.request("DELETE", "/api/v1/jobs/pause").json() == {"paused": False}
    assert paused() == (False, ["a/b"])
    assert put.client.request("DELETE", "/api/v1/job-types/a%2Fb/pause").json() == {"job_type": "a/b", "paused": False}
    assert paused() == (False, [])
    assert [entry[:2] for entry in audit(put)] == [("jobs.resume", "a/b"), ("jobs.resume", ""), ("jobs.pause", ""), ("jobs.pause", "a/b")]
