"""The built-in kinds of jobs: what each does, what it must not do, and that a second time changes nothing."""

import json
import uuid

import pytest
from harness.client import random_id
from harness.keys import first_tenant, make_tenant
from harness.origin import Origin
from harness.server import Server
from harness.waiting import wait_until

ENDED = ("success", "error", "cancelled")
SECRET = "tok-5f1d8e-very-secret"
TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.fixture(scope="module")
def origin():
    with Origin() as origin:
        yield origin


@pytest.fixture(scope="module")
def server(origin):
    server = Server({"egress.http": "true", "egress.allow": "127.0.0.0/8", "egress.ports": origin.port,
                     "jobs.retry_base_ms": 20, "jobs.poll_ms": 500})  # fmt: skip
    try:
        server.start()
        yield server
        server.begin()
    finally:
        server.close()


@pytest.fixture
def box(server):
    server.begin()
    yield server
    server.verify()


@pytest.fixture
def url(origin):
    return f"http://127.0.0.1:{origin.port}/hook?a=b"


def reply(status, body=b"", headers=""):
    return f"HTTP/1.1 {status} X\r\n{headers}Content-Length: {len(body)}\r\n\r\n".encode() + body


def queue(client, kind, payload, run_id=None, **fields) -> str:
    body = {"job_type": kind, "job_key": random_id(), "payload": payload} | fields
    answer = client.post(f"/api/v1/runs/{run_id or client.new_run()}/jobs", body, headers={"traceparent": TRACEPARENT})
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


def show(client, job_id) -> dict:
    return client.get(f"/api/v1/jobs/{job_id}").json()


def ended(client, job_id) -> dict:
    return wait_until(lambda: (job := show(client, job_id))["status"] in ENDED and job, "the end of the job")


def run(client, kind, payload, **fields) -> dict:
    return ended(client, queue(client, kind, payload, **fields))


def call(client, origin, answer, payload, **fields) -> dict:
    origin.reply, origin.requests = answer, []
    return run(client, "http_request", payload, **fields)


# ---- noop ----


@pytest.mark.requirement("R088", "K33")
def test_noop_ends_as_it_is_told(client, run_id):
    job = run(client, "noop", {"warn": True, "progress": 40}, run_id=run_id)
    assert (job["status"], job["result"], job["attempts"]) == ("success", {}, 1)
    log = client.log(run_id)
    kinds = [kind for _, kind, _ in log]
    # What it wrote is in the commit of its end, before it.
    assert kinds.index("WARNING") == kinds.index("JOB_COMPLETED") - 1
    again = run(client, "noop", {"fail": 2, "retry_ms": 1})
    assert (again["status"], again["attempts"]) == ("success", 3)
    spent = run(client, "noop", {"fail": 9, "retry_ms": 1}, max_attempts=2)
    assert (spent["status"], spent["attempts"], spent["error"]["error"]) == ("error", 2, "as told")
    fatal = run(client, "noop", {"fail": 1, "class": "fatal"})
    assert (fatal["status"], fatal["attempts"], fatal["error_class"]) == ("error", 1, "fatal")
    bad = run(client, "noop", {"sleep_ms": "long"})
    assert bad["status"] == "error" and "sleep_ms" in bad["error"]["error"]


def test_a_job_that_is_cancelled_stops(client):
    job_id = queue(client, "noop", {"sleep_ms": 600000})
    wait_until(lambda: show(client, job_id)["status"] == "running", "it to run")
    assert client.post(f"/api/v1/jobs/{job_id}/cancel").status_code == 200
    assert ended(client, job_id)["status"] == "cancelled"


def test_a_planned_restart_gives_the_job_back(client, box):
    job_id = queue(client, "noop", {"sleep_ms": 1500})
    wait_until(lambda: show(client, job_id)["status"] == "running", "it to run")
    box.command("restart", "job-runner-1")
    job = ended(client, job_id)
    assert (job["status"], job["attempts"]) == ("success", 1)  # the one that was given back costs nothing


# ---- http_request ----


@pytest.mark.requirement("R088", "K33")
def test_a_url_is_called(client, box, origin, url):
    payload = {"method": "POST", "url": url, "json": {"a": [1, "ä"]}, "headers": {"Authorization": f"Bearer {SECRET}"}}
    job = call(client, origin, reply(201, b"h\xc3\xa9", 'ETag: "x"\r\nSet-Cookie: c=1\r\n'), payload)
    assert job["status"] == "success", job
    assert job["result"] == {"status": 201, "headers": {"content-length": "3", "etag": '"x"'}, "body": "hé"}
    head, _, body = origin.requests[0].partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    assert lines[0] == "POST /hook?a=b HTTP/1.1" and json.loads(body) == {"a": [1, "ä"]}
    sent = dict(line.lower().split(": ", 1) for line in lines[1:])
    assert sent["authorization"] == f"bearer {SECRET}" and sent["content-type"] == "application/json"
    assert len(sent["idempotency-key"]) == 64
    assert sent["traceparent"].startswith("00-4bf92f3577b34da6a3ce929d0e0e4736-") and TRACEPARENT not in sent.values()
    assert SECRET not in box.log.path.read_text()


@pytest.mark.requirement("R088")
def test_every_attempt_carries_the_same_key_and_no_other_job_does(client, origin, url):
    job = call(client, origin, reply(500), {"url": url}, max_attempts=3)
    assert (job["status"], job["attempts"], job["error"]["error"]) == ("error", 3, "status 500")
    keys = {line for request in origin.requests for line in request.split(b"\r\n") if line.startswith(b"Idempotency-Key")}
    assert len(origin.requests) == 3 and len(keys) == 1
    call(client, origin, reply(204), {"url": url})
    assert keys.pop() not in origin.requests[0].split(b"\r\n")


def test_what_is_not_text_comes_as_base64(client, origin, url):
    assert call(client, origin, reply(200, b"\x00\xff"), {"url": url})["result"]["body_base64"] == "AP8="


@pytest.mark.parametrize(
    "status, headers, payload, said",
    [(404, "", {}, "status 404"), (302, "Location: http://127.0.0.1:1/\r\n", {}, "status 302: redirects are not followed"),
     (400, "", {"expect_status": [404]}, "status 400"), (200, "", {"expect_status": 404}, "status 200")],
)  # fmt: skip
def test_an_answer_that_no_repetition_changes_is_fatal(client, origin, url, status, headers, payload, said):
    job = call(client, origin, reply(status, headers=headers), {"url": url} | payload)
    assert (job["status"], job["error_class"], job["error"]["error"]) == ("error", "fatal", said)
    assert len(origin.requests) == 1


def test_an_expected_status_is_a_success(client, origin, url):
    assert call(client, origin, reply(404), {"url": url, "expect_status": [200, 404]})["result"]["status"] == 404


@pytest.mark.parametrize("status", [429, 503])
def test_a_callee_that_asks_for_a_pause_gets_it_and_no_attempt_is_spent(client, origin, url, status):
    origin.reply = reply(status, headers="Retry-After: 1\r\n")
    origin.requests = []
    job_id = queue(client, "http_request", {"url": url}, max_attempts=1)
    wait_until(lambda: origin.requests, "the first request")
    origin.reply = reply(200)
    job = ended(client, job_id)
    assert (job["status"], job["attempts"]) == ("success", 1) and len(origin.requests) == 2
    made = [e for e in job["events"] if e["type"] in ("JOB_STARTED", "JOB_RETRYING")]
    assert [e["type"] for e in made] == ["JOB_STARTED", "JOB_RETRYING", "JOB_STARTED"]


@pytest.mark.requirement("R169")
@pytest.mark.parametrize("host", ["10.0.0.1", "169.254.169.254", "[::1]", "192.168.1.1"])
def test_a_private_address_is_refused(client, origin, host):
    job = run(client, "http_request", {"url": f"http://{host}:{origin.port}/"})
    assert (job["status"], job["error_class"], job["attempts"]) == ("error", "fatal", 1)
    assert job["error"]["error"].startswith("refused: ")


@pytest.mark.requirement("R169")
@pytest.mark.parametrize(
    "payload",
    [{"headers": {"a": "b\r\nX-Evil: 1"}}, {"headers": {"a\r\nX-Evil": "1"}}, {"headers": {"Host": "inside"}},
     {"headers": {"Transfer-Encoding": "chunked"}}, {"headers": {"Idempotency-Key": "mine"}}, {"method": "GET / HTTP/1.1\r\nX-Evil: 1"},
     {"url": "http://127.0.0.1/\r\nX-Evil: 1"}, {"url": "file:///etc/passwd"}, {"url": 1}],
    ids=["value", "name", "host", "framing", "key", "method", "url", "scheme", "type"],
)  # fmt: skip
def test_no_payload_makes_another_request_than_the_one_it_names(client, origin, url, payload):
    job = call(client, origin, reply(200), {"url": url} | payload)
    assert (job["status"], job["error_class"]) == ("error", "fatal") and origin.requests == []
    assert "Evil" not in job["error"]["error"]


# ---- retention ----


def age(box, days=10, runs=(), jobs=()):
    """As if they had been made and had ended so many days ago."""
    past = f"interval '{days} days'"
    database = box.database()
    database.execute(f"update job_records set created_at = created_at - {past}, finished_at = finished_at - {past}"
                     " where job_id = any(%s)", list(jobs))  # fmt: skip
    database.execute(f"update runs set created_at = created_at - {past}, completed_at = completed_at - {past}"
                     " where run_id = any(%s)", list(runs))  # fmt: skip


@pytest.mark.requirement("R088", "K33")
def test_retention_prunes_what_the_policy_says_and_keeps_the_keys(client, box):
    """Young ones, unfinished ones and another tenant's stay; a pruned key is known for ever."""
    other = box.client(make_tenant(box, "keeps all"))
    run_id = client.new_run()
    good, bad, young = (run(client, "noop", payload, run_id=run_id) for payload in ({}, {"fail": 1, "class": "fatal"}, {}))
    theirs = run(other, "noop", {})
    waiting = queue(client, "noop", {}, run_id=run_id, run_at="2100-01-01T00:00:00Z")
    age(box, jobs=[good["id"], bad["id"], theirs["id"], waiting])
    policy = {"success_days": 5, "error_days": 20}
    assert run(client, "retention", policy | {"dry_run": True})["result"] == {"jobs": 1, "runs": 0, "events": 0, "dry_run": True}
    assert show(client, good["id"])["status"] == "success"
    assert run(client, "retention", policy)["result"]["jobs"] == 1
    assert client.get(f"/api/v1/jobs/{good['id']}").status_code == 404
    assert [show(client, job["id"])["status"] for job in (bad, young)] == ["error", "success"]
    assert show(client, waiting)["status"] == "pending" and show(other, theirs["id"])["status"] == "success"
    kept = box.database().rows("select job_key, job_id::text, status::text from job_pruned where job_id = %s", good["id"])
    assert kept == [(good["job_key"], good["id"], "success")]
    again = client.post(f"/api/v1/runs/{run_id}/jobs", {"job_type": "noop", "job_key": good["job_key"], "payload": {}})
    assert (again.status_code, again.json()["id"], again.json()["status"]) == (200, good["id"], "success")
    assert run(client, "retention", policy)["result"]["jobs"] == 0
    assert run(client, "retention", {"error_days": 5})["result"]["jobs"] == 1
    assert client.get(f"/api/v1/jobs/{bad['id']}").status_code == 404
    number = box.database().value("select count(*) from job_dead d where not exists (select from job_records r where r.id = d.id)")
    assert number == 0
    audit = box.database().rows("select actor, after->>'jobs' from audit_log where action = 'jobs.pruned' and tenant_id = %s"
                                " order by at", first_tenant(box))  # fmt: skip
    assert audit == [("job retention", "1"), ("job retention", "1")]
    client.post(f"/api/v1/jobs/{waiting}/cancel")


def violations(box) -> list:
    lines = [json.loads(line) for line in box.command("verify", "--json", check=False).stdout.splitlines()]
    return [line for line in lines if "check" in line]


@pytest.mark.requirement("R088")
def test_a_run_is_pruned_whole_and_what_is_left_adds_up(box):
    client = box.client(make_tenant(box, "prunes runs"))
    tenant = client.get("/api/v1/session").json()["tenant_id"]
    ended_run, open_run, young = (client.new_run() for _ in range(3))
    job = run(client, "noop", {"warn": True}, run_id=ended_run)
    for run_id in (ended_run, young):
        client.finish(run_id)
    age(box, runs=[ended_run, open_run], jobs=[job["id"]])
    done = run(client, "retention", {"runs_days": 5}, run_id=young, detached=True)["result"]
    assert done == {"jobs": 0, "runs": 1, "events": 6, "dry_run": False}
    assert client.get(f"/api/v1/runs/{ended_run}").status_code == 404
    assert client.get(f"/api/v1/runs/{ended_run}/events").status_code == 404
    assert client.run(open_run)["status"] == "running" and client.run(young)["status"] == "finished"
    database = box.database()
    tables = ("runs", "run_heads", "run_events", "run_questions", "run_producers", "job_records")
    left = {table: database.value(f"select count(*) from {table} where run_id = %s", ended_run) for table in tables}
    assert left == dict.fromkeys(tables, 0)
    # The sequencer's memory has heard of it.
    assert client.post_events(ended_run, {"type": "RUN_FINISHED", "payload": {}}).status_code == 404
    # The day of its making was moved behind the sequencer's back; what remains of the usage is what was pruned and what is there.
    age(box, days=-10, runs=[open_run])
    database.execute("insert into tenant_usage select tenant_id, day, runs, 0, 0, 0 from log_pruned where tenant_id = %s and runs > 0", tenant)
    database.execute("update tenant_usage set runs = runs - 1 where tenant_id = %s and events > 0", tenant)
    assert violations(box) == []
    database.execute("update log_pruned set events = events + 1 where tenant_id = %s and events > 0", tenant)
    assert [line["check"] for line in violations(box)] == ["usage"]
    database.execute("update log_pruned set events = events - 1 where tenant_id = %s and events > 0", tenant)


def test_a_policy_without_days_is_none(client):
    for payload in ({}, {"success_days": 0}, {"dry_run": True}, {"runs_days": "5"}):
        job = run(client, "retention", payload)
        assert (job["status"], job["error_class"]) == ("error", "fatal"), payload


# ---- reconcile ----


@pytest.mark.requirement("R123", "R088", "K33")
def test_reconcile_finds_what_does_not_fit_and_repairs_nothing(client, box):
    """Its own tenant's only; `all` looks at everybody's, and names nobody."""
    other = box.client(make_tenant(box, "another"))
    mine, theirs = client.new_run(), other.new_run()
    job = run(client, "noop", {}, run_id=mine)
    clean = run(client, "reconcile", {})["result"]
    assert (clean["violations"], clean["complete"]) == ([], True) and clean["checked"] >= 2
    database = box.database()
    before = box.metric("reconcile_violations_total")
    box.allow_error("an invariant of the database is broken")
    try:
        database.execute("update run_heads set last_seq = last_seq + 1 where run_id = any(%s)", [mine, theirs])
        database.execute("update job_records set finish_seq = finish_seq + 7 where job_id = %s", job["id"])
        found = run(client, "reconcile", {})["result"]
        assert {(v["check"], v["run_id"]) for v in found["violations"]} >= {("heads", mine), ("jobs", mine)}
        assert theirs not in json.dumps(found) and job["id"] in json.dumps(found)
        assert {v["run_id"] for v in run(other, "reconcile", {})["result"]["violations"]} == {theirs}
        everything = run(other, "reconcile", {"all": True})["result"]
        assert [v["check"] for v in everything["violations"]].count("heads") == 2
        assert not {mine, theirs} & set(json.dumps(everything).split('"'))
        assert database.value("select last_seq from run_heads where run_id = %s", theirs) == 2  # as broken as before
        assert "an invariant of the database is broken" in box.log.tail(200)
        wait_until(lambda: box.metric("reconcile_violations_total") >= before + 5, "the metric")
    finally:
        database.execute("update run_heads set last_seq = last_seq - 1 where run_id = any(%s)", [mine, theirs])
        database.execute("update job_records set finish_seq = finish_seq - 7 where job_id = %s", job["id"])
    assert run(client, "reconcile", {"all": True})["result"]["violations"] == []


@pytest.mark.requirement("R123")
def test_the_server_reconciles_by_itself(own_box):
    """Without a run or a job of anybody's."""
    box = own_box({"jobs.reconcile_ms": 300})
    run_id = box.client().new_run()
    wait_until(lambda: '"violations_total\\":0' in box.log.tail(50), "a clean result in the log")
    assert box.database().value("select count(*) from job_records") == 0 and len(box.client().log(run_id)) == 1
    box.allow_error("an invariant of the database is broken")
    box.database().execute("update run_heads set closed = true where run_id = %s", run_id)
    wait_until(lambda: run_id in "".join(line for line in box.log.tail(50).splitlines() if "an invariant" in line), "the error")
    box.database().execute("update run_heads set closed = false where run_id = %s", run_id)


def test_reconcile_is_bounded(client):
    runs = [client.new_run() for _ in range(3)]
    result = run(client, "reconcile", {"runs_max": 2}, run_id=runs[0])["result"]
    assert (result["checked"], result["complete"]) == (2, False)


@pytest.mark.requirement("R123")
def test_reconcile_goes_on_where_it_was_stopped(client, box):
    """Another attempt begins at the progress of the one before."""
    for _ in range(4):
        client.new_run()
    reached = {"after": str(uuid.UUID(int=0)), "at": 1, "runs": 7, "violations": 0}
    paused = "/api/v1/job-types/reconcile/pause"
    assert client.request("PUT", paused).status_code == 200
    try:
        job_id = queue(client, "reconcile", {})
        box.database().execute("update job_open set progress = %s::json where job_id = %s",
                               json.dumps({"percent": -1, "note": json.dumps(reached)}), job_id)  # fmt: skip
    finally:
        assert client.request("DELETE", paused).status_code == 200
    result = ended(client, job_id)["result"]
    assert (result["checked"], result["complete"]) == (7, True)  # no run is older than that
