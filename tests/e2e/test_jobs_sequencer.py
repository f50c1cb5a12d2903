"""Jobs as the sequencer keeps them, asked straight over the bus: every change decided once, events and rows together."""

import uuid

import pytest
from harness.commander import CUSTOM, encode
from harness.jobs import Heard, Jobs, change, new_job
from harness.tenant import Tenant


@pytest.fixture
def bus(box):
    with Jobs(box) as bus:
        yield bus


def kinds(box, run) -> list:
    return [kind for _, kind, _ in box.database().events(run)]


def row(box, job, columns="status, attempts, enqueue_seq, finish_seq") -> tuple:
    return box.database().rows(f"select {columns} from jobs where id = %s", job)[0]


def test_a_job_is_queued_claimed_and_completed(box, bus):
    run = bus.create()
    with Heard(box) as heard:
        queued = bus.enqueue(run, type="report", payload='{"n": 1}')
        assert queued | {"job": 0} == {"job": 0, "outcome": "OK", "status": "pending", "attempt": 0, "run": run, "seq": 2}
        job = queued["job"]
        assert row(box, job) == ("pending", 0, 2, None)
        token = bus.claim(job, worker="w7")
        assert row(box, job) == ("running", 1, 2, None)
        done = bus.complete(job, token, {"pages": 7})
        assert done | {"job": 0} == {"job": 0, "outcome": "OK", "status": "success", "attempt": 1, "run": run, "seq": 4}
        assert row(box, job, "status, attempts, finish_seq, result::text, last_worker") == (
            "success", 1, 4, '{"pages": 7}', "w7")  # fmt: skip
        heard.until(lambda h: [j["state"] for j in h.jobs()] == ["WAITING", "RUNNING", "ENDED"], "three states")
        assert heard.jobs()[0]["shard"] == box.database().value("select job_shard(%s, 'default')", bus.tenant)
        counters = [frame["counter"] for _, frame in heard.frames]
        assert counters == list(range(counters[0], counters[0] + len(counters)))
        heard.until(lambda h: h.hint["jobs"] == h.frames[-1][1]["counter"], "the counter in a hint")
    assert kinds(box, run) == ["RUN_STARTED", "JOB_QUEUED", "JOB_STARTED", "JOB_COMPLETED"]
    assert box.database().value("select count(*) from job_open where job_id = %s", job) == 0


def open_row(box, job, columns):
    found = box.database().rows(f"select {columns} from job_open where job_id = %s", job)
    return found[0] if found else None


def test_a_known_key_is_that_job(box, bus):
    run = bus.create()
    first = new_job(key=f"{run}:report")
    assert bus.enqueue_many(run, [first])[0]["outcome"] == "OK"
    assert bus.enqueue_many(run, [first])[0]["outcome"] == "OK", "this very command again"
    again = bus.enqueue_many(run, [new_job(key=f"{run}:report"), new_job(key=f"{run}:other"), new_job(key=f"{run}:other")])
    assert [answer["outcome"] for answer in again] == ["EXISTS", "OK", "EXISTS"]
    assert again[0]["job"] == first["job"] and again[1]["job"] == again[2]["job"]
    token = bus.claim(first["job"])
    bus.complete(first["job"], token)
    bus.finish(run)
    late = bus.enqueue_many(run, [new_job(key=f"{run}:report")])[0]
    assert late["outcome"] == "EXISTS" and late["status"] == "success", "also after the end of the run"
    assert kinds(box, run).count("JOB_QUEUED") == 2
    with Jobs(box, tenant=None) as other:
        assert other.enqueue_many(bus.create(), [new_job(key=f"{run}:report")])[0]["outcome"] == "EXISTS"


def test_only_the_live_claim_is_listened_to(box, bus):
    run = bus.create()
    job = bus.enqueue(run)["job"]
    stale = bus.claim(job)
    assert bus.change(job, "CLAIM", token=str(uuid.uuid4()))["outcome"] == "NOT_READY"
    assert bus.change(job, "CLAIM", token=stale)["outcome"] == "OK", "the same claim again"
    assert bus.change(job, "RELEASE", token=stale) | {"job": 0, "run": 0} == {
        "job": 0, "outcome": "OK", "status": "pending", "attempt": 0, "run": 0, "seq": 0}  # fmt: skip
    assert bus.change(job, "RELEASE", token=stale)["outcome"] == "OK", "the same report again"
    live = bus.claim(job)
    for what in ("COMPLETE", "FAIL", "RELEASE", "PROGRESS", "EXPIRE"):
        assert bus.change(job, what, token=stale)["outcome"] == "LEASE_LOST", what
    before = kinds(box, run)
    assert bus.complete(job, live, 1)["outcome"] == "OK"
    assert bus.complete(job, live, 1) | {"job": 0, "run": 0} == {
        "job": 0, "outcome": "OK", "status": "success", "attempt": 1, "run": 0, "seq": 0}  # fmt: skip
    assert bus.complete(job, stale)["outcome"] == "LEASE_LOST"
    assert bus.fail(job, live)["outcome"] == "LEASE_LOST"
    assert bus.change(job, "PROGRESS", token=live)["outcome"] == "ENDED"
    assert kinds(box, run) == [*before, "JOB_COMPLETED"]
    assert before[1:] == ["JOB_QUEUED", "JOB_STARTED", "JOB_STARTED"]


def test_attempts_are_counted_until_none_is_left(box, bus):
    run = bus.create()
    job = bus.enqueue(run, max_attempts=2)["job"]
    assert bus.fail(job, bus.claim(job), kind="rate_limited", retry_ms=1)["attempt"] == 0
    token = bus.claim(job, worker="w1")
    told = bus.fail(job, token, reason="no answer", retry_ms=1)
    assert (told["status"], told["attempt"]) == ("pending", 1)
    assert bus.fail(job, token, reason="no answer")["outcome"] == "OK", "the same report again"
    assert open_row(box, job, "attempts, last_error, claim") == (1, "no answer", 2)
    bus.change(job, "RELEASE", token=bus.claim(job))
    told = bus.fail(job, bus.claim(job, worker="w9"), reason="still none")
    assert (told["status"], told["attempt"]) == ("error", 2)
    status, error = row(box, job, "status, error")
    assert status == "error" and error | {"remediation": 0} == {
        "error": "still none", "job_id": job, "attempts": 2, "last_worker": "w9", "remediation": 0}  # fmt: skip
    assert box.database().value("select count(*) from job_dead d join job_records r using (id) where r.job_id = %s", job) == 1
    assert kinds(box, run)[1:] == ["JOB_QUEUED", "JOB_STARTED", "JOB_RETRYING", "JOB_STARTED", "JOB_RETRYING", "JOB_STARTED",
                                   "JOB_STARTED", "JOB_FAILED"]  # fmt: skip


def test_a_fatal_failure_ends_at_once_and_a_retry_begins_anew(box, bus):
    run = bus.create()
    job = bus.enqueue(run)["job"]
    assert bus.fail(job, bus.claim(job), kind="fatal", reason="bad input")["status"] == "error"
    assert row(box, job, "error_class, error->>'error'") == ("fatal", "bad input")
    again = str(uuid.uuid4())
    assert bus.change(job, "RETRY", token=again)["status"] == "pending"
    assert bus.change(job, "RETRY", token=again)["outcome"] == "OK", "the same request again"
    assert bus.change(job, "RETRY", token=str(uuid.uuid4()))["outcome"] == "ENDED"
    assert row(box, job, "status, attempts, error, finish_seq") == ("pending", 0, None, None)
    assert box.database().value("select count(*) from job_dead d join job_records r using (id) where r.job_id = %s", job) == 0
    bus.complete(job, bus.claim(job))
    assert bus.change(job, "RETRY")["outcome"] == "ENDED"
    assert kinds(box, run)[1:] == ["JOB_QUEUED", "JOB_STARTED", "JOB_FAILED", "JOB_QUEUED", "JOB_STARTED", "JOB_COMPLETED"]


def test_a_retry_that_is_asked_again_is_not_done_again(box, bus):
    """Its answer was lost, and meanwhile the job has failed once more: that is what it came to."""
    run = bus.create()
    job = bus.enqueue(run)["job"]
    bus.fail(job, bus.claim(job), kind="fatal")
    asked = bus.send_changes(change(job, "RETRY", token=str(uuid.uuid4())))
    assert bus.answer(asked)["jobs"][0][1] == 0
    bus.fail(job, bus.claim(job), kind="fatal")
    before = kinds(box, run)
    bus.send_again(asked)
    assert bus.answer(asked)["jobs"][0][1:3] == [0, 4], "OK, and in error"
    assert kinds(box, run) == before
    assert bus.change(job, "RETRY")["status"] == "pending", "another request is another matter"


def test_a_lease_that_is_over_costs_an_attempt_but_not_before_it_was_taken_up(box, bus):
    run = bus.create()
    job = bus.enqueue(run, max_attempts=1)["job"]
    assert bus.change(job, "EXPIRE", token=bus.claim(job), kind="rate_limited")["attempt"] == 0
    token = bus.claim(job, worker="w3")
    assert bus.change(job, "EXPIRE", token=token)["status"] == "error"
    assert bus.complete(job, token)["outcome"] == "LEASE_LOST"
    error = row(box, job, "error")[0]
    assert (error["error"], error["attempts"], error["last_worker"]) == ("stuck_job_timeout", 1, "w3") and error["remediation"]
    assert kinds(box, run)[1:] == ["JOB_QUEUED", "JOB_STARTED", "JOB_STARTED", "JOB_FAILED"]


def test_cancel_waiting_running_and_late(box, bus):
    run = bus.create()
    waiting, running, killed = (bus.enqueue(run)["job"] for _ in range(3))
    assert bus.change(waiting, "CANCEL", reason="enough")["status"] == "cancelled"
    assert bus.change(waiting, "CANCEL")["outcome"] == "OK" and bus.change(waiting, "CLAIM", token=run)["outcome"] == "NOT_READY"
    token, other = bus.claim(running), bus.claim(killed)
    assert bus.change(killed, "KILL")["outcome"] == "NOT_READY"
    assert [bus.change(job, "CANCEL")["status"] for job in (running, killed, killed)] == ["running"] * 3
    assert open_row(box, running, "cancel_requested_at is not null") == (True,)
    told = bus.complete(running, token, {"half": True})
    assert told["status"] == "cancelled" and bus.complete(running, token, {"half": True})["outcome"] == "OK"
    assert row(box, running, "status, partial, result::text") == ("cancelled", True, '{"half": true}')
    assert bus.change(killed, "KILL")["status"] == "cancelled"
    assert bus.complete(killed, other)["outcome"] == "LEASE_LOST"
    assert "JOB_COMPLETED" not in kinds(box, run) and kinds(box, run).count("JOB_CANCELLED") == 3


def test_events_of_a_worker_are_written_with_its_end(box, bus):
    run = bus.create()
    job = bus.enqueue(run)["job"]
    token = bus.claim(job)
    for kind, payload in ((2, {}), (21, {}), (36, {"job_id": "x", "job_type": "y"}), (99, {})):
        assert bus.complete(job, token, events=[(kind, payload)])["outcome"] == "REFUSED", kind
    assert kinds(box, run)[-1] == "JOB_STARTED"
    assert bus.change(job, "PROGRESS", token=token, percent=40, reason="half")["outcome"] == "OK"
    assert bus.complete(job, token, events=[(17, {"name": "a", "value": 1}), (17, {"name": "b", "value": 2})])["seq"] == 7
    assert kinds(box, run)[3:] == ["JOB_PROGRESS", "CUSTOM", "CUSTOM", "JOB_COMPLETED"]
    assert bus.complete(job, token, events=[(17, {"name": "a", "value": 1})])["outcome"] == "OK"
    assert len(kinds(box, run)) == 7


def test_children_wait_for_all_their_parents(box, bus):
    run = bus.create()
    jobs = [new_job(key=f"{run}:{name}", on_dep_fail=rule)
            for name, rule in (("a", "cancel"), ("b", "cancel"), ("c", "cancel"), ("d", "continue"), ("e", "fail"))]  # fmt: skip
    parents = [(2, f"{run}:a"), (2, jobs[1]["job"]), (3, f"{run}:a"), (3, f"{run}:b"), (4, f"{run}:b"), (4, f"{run}:b")]
    a, b, c, d, e = (answer["job"] for answer in bus.enqueue_many(run, jobs, parents))
    assert [open_row(box, job, "deps_left")[0] for job in (a, b, c, d, e)] == [0, 0, 2, 2, 1]
    assert bus.change(c, "CLAIM", token=run)["outcome"] == "NOT_READY"
    with Heard(box) as heard:
        bus.complete(a, bus.claim(a))
        assert [open_row(box, job, "deps_left")[0] for job in (c, d)] == [1, 1]
        assert bus.change(c, "SKIP")["outcome"] == "NOT_READY"
        bus.fail(b, bus.claim(b), kind="fatal")
        heard.until(lambda h: {(j["job"], j["state"]) for j in h.jobs()} >= {
            (c, "BLOCKED"), (c, "SKIPPED"), (d, "BLOCKED"), (d, "WAITING"), (e, "SKIPPED")}, "what becomes of the children")  # fmt: skip
    # A job-runner may have said so already: it is OK again.
    assert open_row(box, d, "deps_left, dep_failed") == (0, False)
    assert bus.change(c, "CLAIM", token=run)["outcome"] == "NOT_READY"
    assert [bus.change(job, "SKIP")["status"] for job in (c, e)] == ["cancelled", "error"]
    bus.complete(d, bus.claim(d))
    late = bus.enqueue_many(run, [new_job(), new_job(on_dep_fail="continue")], [(0, b), (1, b), (0, a)])
    assert bus.change(late[0]["job"], "SKIP")["status"] == "cancelled"
    assert open_row(box, late[1]["job"], "deps_left, dep_failed") == (0, False)
    parent = bus.enqueue(run)["job"]
    waiting = bus.enqueue_many(run, [new_job()], [(0, parent)])[0]["job"]
    bus.change(waiting, "CANCEL")
    told = bus.change_many(change(waiting, "RETRY"), change(waiting, "CLAIM", token=run))
    assert [answer["outcome"] for answer in told] == ["OK", "NOT_READY"], "begun again, it still waits"
    assert open_row(box, waiting, "deps_left") == (1,)
    bus.complete(parent, bus.claim(parent))
    bus.complete(waiting, bus.claim(waiting))
    unknown = bus.enqueue_many(run, [new_job(), new_job()], [(1, "nobody")])
    assert [answer["outcome"] for answer in unknown] == ["NO_PARENT"] * 2
    ring = [new_job(key="r1"), new_job(key="r2")]
    assert bus.do("ENQUEUE_JOBS", run=run, jobs=ring, parents=[{"index": 0, "key": "r2"}, {"index": 1, "key": "r1"}])[
        "outcome"] == "REFUSED"  # fmt: skip


def test_a_child_that_begins_again_as_its_parent_fails_does_not_run(box, bus):
    """In one batch: the statement tells the child that it makes, too."""
    run = bus.create()
    parent = bus.enqueue(run)["job"]
    jobs = [new_job(), new_job(on_dep_fail="fail"), new_job(on_dep_fail="continue")]
    children = [answer["job"] for answer in bus.enqueue_many(run, jobs, [(n, parent) for n in range(3)])]
    bus.change_many(*(change(child, "CANCEL") for child in children))
    fails = change(parent, "FAIL", token=bus.claim(parent), kind="fatal")
    told = bus.change_many(*(change(child, "RETRY") for child in children), fails)
    assert [answer["outcome"] for answer in told] == ["OK"] * 4
    # A job-runner may have said so already: it is OK again.
    assert [bus.change(child, "CLAIM", token=run)["outcome"] for child in children[:2]] == ["NOT_READY"] * 2
    assert [bus.change(child, "SKIP")["status"] for child in children[:2]] == ["cancelled", "error"]
    assert bus.complete(children[2], bus.claim(children[2]))["outcome"] == "OK"


def test_the_end_of_a_run_ends_its_jobs_first(box, bus):
    run = bus.create()
    waiting, running = (bus.enqueue(run)["job"] for _ in range(2))
    token = bus.claim(running)
    assert bus.finish(run)["first_seq"] == 7
    assert kinds(box, run)[3:] == ["JOB_STARTED", "JOB_CANCELLED", "JOB_CANCELLED", "RUN_FINISHED"]
    assert bus.complete(running, token)["outcome"] == "LEASE_LOST"
    assert bus.do("ENQUEUE_JOBS", run=run, jobs=[new_job()])["outcome"] == "RUN_CLOSED"
    told = bus.change(waiting, "RETRY")
    assert told["status"] == "pending" and told["run"] != run and told["seq"] == 2, "in a run of its own"
    bus.complete(waiting, bus.claim(waiting))
    assert kinds(box, told["run"]) == ["RUN_STARTED", "JOB_QUEUED", "JOB_STARTED", "JOB_COMPLETED", "RUN_FINISHED"]
    assert box.database().rows("select status::text, parent_run_id::text from runs where run_id = %s", told["run"]) == [
        ("finished", run)]  # fmt: skip


def test_a_run_that_another_rolls_back_takes_its_jobs_along(box, bus):
    thread = str(uuid.uuid4())
    run = bus.create(thread=thread)
    bus.enqueue_many(run, [new_job(), new_job()])
    bus.create(thread=thread, strategy=4)
    assert kinds(box, run)[3:] == ["JOB_CANCELLED", "JOB_CANCELLED", "RUN_CANCELLED"]


def test_a_cancelled_run_cancels_what_waits_and_tells_what_runs(box, bus):
    run = bus.create()
    waiting, running = (bus.enqueue(run)["job"] for _ in range(2))
    token = bus.claim(running)
    bus.do("CANCEL_RUN", run=run, actor="me", payload="{}")
    assert kinds(box, run)[4:] == ["JOB_CANCELLED", "RUN_CANCEL_REQUESTED"]
    assert row(box, waiting, "status") == ("cancelled",)
    assert open_row(box, running, "cancel_requested_at is not null") == (True,)
    assert bus.do("ENQUEUE_JOBS", run=run, jobs=[new_job()])["outcome"] == "RUN_CLOSED"
    assert bus.complete(running, token)["status"] == "cancelled"
    assert kinds(box, run)[-1] == "JOB_CANCELLED"


def test_nothing_begins_again_in_a_run_that_is_being_cancelled(box, bus):
    """Nobody could claim it. When the run has ended it goes on in a run of its own."""
    run = bus.create()
    job, other = (bus.enqueue(run)["job"] for _ in range(2))
    bus.fail(job, bus.claim(job), kind="fatal")
    bus.claim(other)
    bus.do("CANCEL_RUN", run=run, actor="me", payload="{}")
    before = kinds(box, run)
    assert bus.change(job, "RETRY")["outcome"] == "RUN_CLOSED"
    told = box.client().post(f"/api/v1/jobs/{job}/retry", {})
    assert (told.status_code, told.json()["type"]) == (409, "/problems/run-closed")
    assert row(box, job, "status") == ("error",) and kinds(box, run) == before
    bus.append(run, events=[{"type": 4, "payload": "{}", "subject": ""}])
    told = bus.change(job, "RETRY")
    assert told["status"] == "pending" and told["run"] != run
    assert bus.complete(job, bus.claim(job))["status"] == "success"


def test_a_run_of_a_job_that_waits_is_cancelled_at_once(box, bus):
    """Nobody works in it: there is nothing to wait for until the deadline."""
    waiting, running, appended = (bus.enqueue(None, child=str(uuid.uuid4())) for _ in range(3))
    more = bus.enqueue(waiting["run"])["job"]
    token, other = bus.claim(running["job"]), bus.claim(more)
    told = [bus.do("CANCEL_RUN", run=job["run"], actor="me", payload="{}") for job in (waiting, running)]
    assert [answer["status"] for answer in told] == [6, 3], "cancelled, and cancelling"
    assert kinds(box, waiting["run"])[2:] == ["JOB_QUEUED", "JOB_STARTED", "JOB_CANCELLED", "RUN_CANCEL_REQUESTED", "JOB_CANCELLED",
                                              "RUN_CANCELLED"]  # fmt: skip
    ended = "select status::text, wake_at, completed_at is not null from runs where run_id = %s"
    assert box.database().rows(ended, waiting["run"]) == [("cancelled", None, True)]
    assert bus.complete(more, other)["outcome"] == "LEASE_LOST"
    assert bus.complete(running["job"], token)["status"] == "cancelled"
    assert kinds(box, running["run"])[3:] == ["RUN_CANCEL_REQUESTED", "JOB_CANCELLED", "RUN_CANCELLED"]
    by_append = bus.append(appended["run"], events=[{"type": 21, "payload": "{}", "subject": ""}])
    assert (by_append["first_seq"], by_append["last_seq"], by_append["status"]) == (4, 4, 6)
    assert kinds(box, appended["run"])[2:] == ["JOB_CANCELLED", "RUN_CANCEL_REQUESTED", "RUN_CANCELLED"]
    again = bus.do("CANCEL_RUN", run=waiting["run"], actor="me", payload="{}")
    assert (again["outcome"], again["duplicate"]) == ("OK", True)


def test_a_detached_job_has_a_run_of_its_own(box, bus):
    run = bus.create()
    bus.finish(run)
    ends = {}
    for name in ("success", "error", "cancelled"):
        child = str(uuid.uuid4())
        told = bus.enqueue(run, child=child, max_attempts=1)
        assert (told["run"], told["seq"]) == (child, 2)
        job = told["job"]
        if name == "cancelled":
            bus.change(job, "CANCEL")
        elif name == "error":
            bus.fail(job, bus.claim(job))
        else:
            bus.complete(job, bus.claim(job))
        ends[name] = kinds(box, child)[-2:]
    assert ends == {"success": ["JOB_COMPLETED", "RUN_FINISHED"], "error": ["JOB_FAILED", "RUN_FAILED"],
                    "cancelled": ["JOB_CANCELLED", "RUN_CANCELLED"]}  # fmt: skip
    alone = bus.enqueue(None, child=str(uuid.uuid4()))
    assert alone["outcome"] == "OK" and bus.do("ENQUEUE_JOBS", run=bytes(16), jobs=[new_job()])["outcome"] == "REFUSED"
    bus.finish(alone["run"])
    assert kinds(box, alone["run"])[-2:] == ["JOB_CANCELLED", "RUN_FINISHED"]


def test_a_job_that_is_asked_for_again_waits_again(box, bus):
    run = bus.create()
    key = f"{run}:index"
    first = bus.enqueue(run, key=key, payload='{"n":1}', debounce_ms=60000)
    before = open_row(box, first["job"], "run_at")
    assert bus.enqueue(run, key=key, payload='{"n":2}')["outcome"] == "EXISTS"
    assert (row(box, first["job"], "payload::text"), open_row(box, first["job"], "run_at")) == (('{"n":1}',), before)
    assert bus.enqueue(run, key=key, payload='{"n":3}', debounce_ms=60000)["outcome"] == "EXISTS"
    assert row(box, first["job"], "payload::text") == ('{"n":3}',) and open_row(box, first["job"], "run_at") > before
    assert bus.change(first["job"], "CLAIM", token=run)["outcome"] == "NOT_READY", "not its time"
    assert kinds(box, run) == ["RUN_STARTED", "JOB_QUEUED"]


def test_changes_of_one_job_in_one_batch_are_one(box, bus):
    run = bus.create()
    job = bus.enqueue(run, max_attempts=2)["job"]
    one, two = str(uuid.uuid4()), str(uuid.uuid4())
    story = [change(job, "CLAIM", token=one), change(job, "FAIL", token=one, retry_ms=1, reason="x"),
             change(job, "CLAIM", token=two), change(job, "CANCEL"), change(job, "COMPLETE", token=two), change(job, "RETRY"),
             change(job, "CLAIM", token=one), change(job, "COMPLETE", token=one, result="1"),
             change("0" * 8 + "-0000-4000-8000-" + "0" * 12, "CLAIM", token=one)]  # fmt: skip
    told = bus.change_many(*story)
    assert [(answer["outcome"], answer["status"]) for answer in told] == [
        ("OK", "running"), ("OK", "pending"), ("OK", "running"), ("OK", "running"), ("OK", "cancelled"), ("OK", "pending"),
        ("OK", "running"), ("OK", "success"), ("NOT_FOUND", None)]  # fmt: skip
    assert kinds(box, run)[2:] == ["JOB_STARTED", "JOB_RETRYING", "JOB_STARTED", "JOB_CANCELLED", "JOB_QUEUED", "JOB_STARTED",
                                   "JOB_COMPLETED"]  # fmt: skip
    assert row(box, job, "status, result::text, attempts") == ("success", "1", 1)


def test_events_of_jobs_count_as_usage(box, bus):
    used = "select events, bytes from tenant_usage where tenant_id = %s order by day desc limit 1"
    before = box.database().rows(used, bus.tenant)[0]
    run = bus.create()
    job = bus.enqueue(run)["job"]
    bus.complete(job, bus.claim(job))
    after = box.database().rows(used, bus.tenant)[0]
    stored = box.database().value("select sum(octet_length(payload::text)) from run_events where run_id = %s", run)
    assert (after[0] - before[0], after[1] - before[1]) == (4, stored)


def test_events_of_an_end_are_judged_by_the_quota(box):
    """Like those of an append; the end itself is let through, and what had been done is only told."""
    box.allow_error("connection|terminat|database|postgres")
    with Tenant(box, events=6) as tenant, Jobs(box, tenant.id) as bus:
        box.database().execute("select pg_terminate_backend(backend_pid) from shards", role="sequencer")  # limits are read anew
        run = bus.create()
        job = bus.enqueue(run)["job"]
        token = bus.claim(job)

        def complete(count, token=token):
            events = [{"index": 0, "type": CUSTOM, "payload": '{"name":"a","value":1}'}] * count
            return bus.answer(bus.send_changes(change(job, "COMPLETE", token=token), events=events))

        told = complete(4)
        assert (told["outcome"], told["quota"], told["quota_limit"], told["quota_used"]) == ("QUOTA", 2, 6, 3)
        body = {"token": token, "events": [{"type": "CUSTOM", "payload": {"name": "a", "value": 1}}] * 4}
        refused = box.client(tenant.key).post(f"/api/v1/jobs/{job}/complete", body)
        assert (refused.status_code, refused.json()["type"]) == (429, "/problems/quota-exceeded")
        assert kinds(box, run)[-1] == "JOB_STARTED"
        assert complete(4, token=run)["jobs"][0][1] == 3, "LEASE_LOST, whatever comes with it"
        assert complete(3)["jobs"][0][1] == 0 and complete(3)["jobs"][0][1] == 0
        assert kinds(box, run)[3:] == ["CUSTOM"] * 3 + ["JOB_COMPLETED"]
        tenant.check_usage()


def test_notes_of_runners_are_passed_on_as_they_are(box, bus):
    run = str(uuid.uuid4())
    with Heard(box, b"N") as heard:
        bus.socket.send(encode("JOB_NOTE", 0, {"tenant": bus.tenant, "run": run, "payload": '{"job_id":"j","percent":7}'}))
        heard.until(lambda h: h.frames, "the note")
    assert heard.frames[0] == ("JOB_NOTE", {"tenant": uuid.UUID(str(bus.tenant)).bytes, "run": uuid.UUID(run).bytes,
                                            "payload": '{"job_id":"j","percent":7}'})  # fmt: skip


BROKEN = [
    ("update job_open set deps_left = 2 where job_id = %s", "update job_open set deps_left = 0 where job_id = %s", "waits for 2"),
    ("update job_records set status = 'success' where job_id = %s", "update job_records set status = 'pending' where job_id = %s",
     "the log says JOB_QUEUED"),
    ("update job_records set enqueue_seq = 1 where job_id = %s", "update job_records set enqueue_seq = 2 where job_id = %s",
     "is not queued there"),
    ("update job_open set run_id = gen_random_uuid() where job_id = %s",
     "update job_open o set run_id = r.run_id from job_records r where r.id = o.id and o.job_id = %s", "is open in run"),
]  # fmt: skip


def test_verify_holds_jobs_against_the_log(box, bus):
    run = bus.create()
    job = bus.enqueue(run)["job"]
    assert "0 violations" in box.command("verify", run).stdout
    for wrong, right, said in BROKEN:
        box.database().execute(wrong, job)
        result = box.command("verify", run, check=False)
        box.database().execute(right, job)
        assert result.returncode == 1 and said in result.stdout, (said, result.stdout)
    assert "0 violations" in box.command("verify", run).stdout


def test_a_poisoned_change_stops_no_other(box, bus):
    run = bus.create()
    one, two = (answer["job"] for answer in bus.enqueue_many(run, [new_job(), new_job()]))
    first, second = bus.claim(one), bus.claim(two)
    told = bus.change_many(change(one, "COMPLETE", token=first, result='{"a":'), change(two, "COMPLETE", token=second, result="1"),
                           change(one, "FAIL", token=first, reason="x" * 5000))  # fmt: skip
    assert [answer["outcome"] for answer in told] == ["REFUSED", "OK", "REFUSED"]
    assert bus.do("ENQUEUE_JOBS", run=run, jobs=[new_job(payload="{")])["outcome"] == "REFUSED"
    assert bus.do("ENQUEUE_JOBS", run=run, jobs=[new_job(key="")])["outcome"] == "REFUSED"
    assert bus.complete(one, first)["outcome"] == "OK"


def test_a_text_that_is_none_stops_no_other(box, bus):
    """Bytes that are no UTF-8 would be refused by the database with all that goes with them, and can be no key to look for."""
    run = bus.create()
    one, two = (answer["job"] for answer in bus.enqueue_many(run, [new_job(), new_job()]))
    first, second, none = str(uuid.uuid4()), str(uuid.uuid4()), "w\udcff"
    told = bus.change_many(change(one, "CLAIM", token=first, worker=none), change(one, "CLAIM", token=first),
                           change(two, "CLAIM", token=second), change(two, "FAIL", token=second, reason=none),
                           change(one, "PROGRESS", token=first, reason="\udced\udca0\udc80"), change(one, "COMPLETE", token=first,
                                                                                                  result='"\udcff"'))  # fmt: skip
    assert [answer["outcome"] for answer in told] == ["REFUSED", "OK", "OK", "REFUSED", "REFUSED", "REFUSED"]
    for wrong in ("key", "type", "queue", "artifact_kind", "concurrency_key"):
        assert bus.do("ENQUEUE_JOBS", run=run, jobs=[new_job(**{wrong: none})])["outcome"] == "REFUSED", wrong
    named = {"jobs": [new_job()], "parents": [{"index": 0, "key": none}]}
    assert bus.do("ENQUEUE_JOBS", run=run, **named)["outcome"] == "REFUSED"
    assert [bus.complete(job, token)["outcome"] for job, token in ((one, first), (two, second))] == ["OK", "OK"]


def test_jobs_of_others_are_not_there(box, bus):
    run = bus.create()
    job = bus.enqueue(run)["job"]
    with Jobs(box, tenant=uuid.uuid4()) as other:
        assert other.change(job, "CANCEL")["outcome"] == "NOT_FOUND"
        assert other.do("ENQUEUE_JOBS", run=run, jobs=[new_job()])["outcome"] == "NOT_FOUND"
    assert bus.change_many(change(job, "CLAIM", token=run), tenant=bytes(16))[0]["outcome"] == "OK", "a runner's: any tenant"
