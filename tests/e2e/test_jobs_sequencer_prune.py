"""PRUNE among other commands: what has gone does not come back from memory, whatever was being looked up meanwhile, and a step that
the database breaks off is tried again."""

import time
import uuid

import pytest
from harness.jobs import Jobs, change, new_job
from harness.keys import make_tenant
from harness.waiting import wait_until

@pytest.fixture
def tenant(box):
    make_tenant(box, "prunes")
    return box.database().value("select tenant_id from tenants order by created_at desc limit 1")


@pytest.fixture
def bus(box, tenant):
    with Jobs(box, tenant) as bus:
        yield bus


def send_prune(bus, **fields) -> int:
    """Everything of the tenant that has ended."""
    later = int(time.time() + 3600) * 1_000_000
    fields = {"what": 1, "success_before": later, "error_before": later, "max": 1000} | fields
    return bus.send("PRUNE", run=bytes(16), actor="test", object="test", **fields)


def ended_job(bus, run, **fields) -> str:
    job = bus.enqueue(run, **fields)["job"]
    assert bus.fail(job, bus.claim(job), kind="fatal")["status"] == "error"
    return job


def end_connection(box):
    """The sequencer forgets all it has in memory."""
    box.allow_error("connection|terminat|database|postgres")
    box.database().execute("select pg_terminate_backend(backend_pid) from shards", role="sequencer")


class Gate:
    """Statements of the sequencer stop at it while the block runs, once `put` has placed it."""

    WAITS = """create function test_waits{key}() returns boolean language plpgsql set lock_timeout = 0 as
        $$ begin perform pg_advisory_xact_lock_shared({key}); return true; end $$"""

    def __init__(self, box, key, put, take):
        self.box, self.key, self.put, self.take = box, key, put, take

    def __enter__(self):
        self.connection = self.box.database().connect()
        self.connection.execute(self.WAITS.format(key=self.key))
        self.connection.execute(self.put)
        self.connection.execute(f"select pg_advisory_lock({self.key})")
        return self

    def __exit__(self, *_):
        self.connection.execute(f"select pg_advisory_unlock({self.key})")
        self.connection.execute(self.take)
        self.connection.execute(f"drop function test_waits{self.key} cascade")
        self.connection.close()

    def reached(self):
        count = f"select count(*) from pg_locks where locktype = 'advisory' and objid = {self.key} and not granted"
        wait_until(lambda: self.box.database().value(count) == 1, "the sequencer to stop at the gate")


def before_the_audit(box) -> Gate:
    """A step of pruning has done all but its audit. A trigger's function returns a trigger: this one is called by a condition."""
    put = """create function test_passes() returns trigger language plpgsql as $$ begin return new; end $$;
             create trigger test_gate before insert on audit_log for each row
                 when (new.action like '%.pruned' and test_waits4711()) execute function test_passes()"""
    return Gate(box, 4711, put, "drop trigger test_gate on audit_log; drop function test_passes")


def after_the_look(box, job) -> Gate:
    """Who looks for the job has seen it as it is, and has no answer yet."""
    put = f"""create policy test_gate on job_records as restrictive for select to signalbox_sequencer
                  using (job_id <> '{job}' or test_waits4712())"""
    return Gate(box, 4712, put, "drop policy test_gate on job_records")


def test_an_answer_from_before_a_step_brings_nothing_back(box, bus, tenant):
    run = bus.create()
    job = ended_job(bus, run)
    end_connection(box)
    bus.append(run)
    failed = box.metric("batches_failed_total")
    with Jobs(box, tenant) as other:
        with after_the_look(box, job) as look:
            with before_the_audit(box) as step:
                pruned = send_prune(bus)
                step.reached()
                asked = other.send_changes(change(job, "RETRY", token=str(uuid.uuid4())))
                look.reached()
            assert bus.answer(pruned)["first_seq"] == 1
        assert other.answer(asked)["jobs"][0][1] == 2, "NOT_FOUND"
    assert box.metric("batches_failed_total") == failed, "nobody believed in it"


def test_a_key_that_was_looked_up_before_a_step_is_looked_up_again(box, bus):
    """Looked for, made, ended and pruned while a command waited: what it saw then does not count."""
    run, key, job, token = bus.create(), uuid.uuid4().hex, str(uuid.uuid4()), str(uuid.uuid4())
    ended_job(bus, run)
    looked = ("select count(*) from pg_stat_activity where usename = 'signalbox_sequencer' and state = 'idle'"
              " and query_start > %s and query like '%%from job_pruned%%'")  # fmt: skip
    with before_the_audit(box) as step:
        steps = [send_prune(bus)]
        step.reached()
        since = box.database().value("select clock_timestamp()")
        made = bus.send("ENQUEUE_JOBS", run=run, jobs=[new_job(job=job, key=key)])
        bus.send_changes(change(job, "CLAIM", token=token))
        done = bus.send_changes(change(job, "COMPLETE", token=token))
        steps.append(send_prune(bus))
        again = bus.send("ENQUEUE_JOBS", run=run, jobs=[new_job(key=key)])
        wait_until(lambda: box.database().value(looked, since, role="sequencer"), "the keys to be looked up")
    assert [bus.answer(step)["first_seq"] for step in steps] == [1, 1]
    assert [bus.answer(number)["jobs"][0][1] for number in (made, done)] == [0, 0]
    told = bus.answer(again)["jobs"][0]
    assert (told[0], told[1]) == (uuid.UUID(job).bytes, 1), "EXISTS: a key is one job's for ever"
    assert box.database().value("select count(*) from job_records where job_key = %s", key) == 0


def test_a_step_that_is_broken_off_is_tried_again(box, bus):
    box.allow_error("prune|canceling|connection|terminat|database|postgres")
    job = ended_job(bus, bus.create())
    with before_the_audit(box) as gate:
        step = send_prune(bus)
        gate.reached()
        box.database().execute("select pg_cancel_backend(backend_pid) from shards", role="sequencer")
    told = bus.answer(step)
    assert (told["outcome"], told["first_seq"]) == ("OK", 1)
    assert box.database().value("select count(*) from job_records where job_id = %s", job) == 0
