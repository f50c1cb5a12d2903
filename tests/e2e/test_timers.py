"""What happens to runs by itself: delayed and queued starts, forced ends, expired questions, agents that fell silent."""

import json
import threading
import time
import uuid
from datetime import datetime, timedelta, timezone

import pytest
from harness.bus import Bus
from harness.client import custom
from harness.server import Server
from harness.waiting import stays_true, wait_until

CUSTOM = ("CUSTOM", custom(1)["payload"])


@pytest.fixture(scope="module")
def timer_box():
    server = Server({"runs.cancel_deadline_ms": 400, "runs.timer_ms": 200, "restart.late_deaths": 1000,
                     "restart.early_deaths": 1000, "restart.total_deaths": 10000})  # fmt: skip
    try:
        server.start()
        yield server
        server.command("verify")
        server.begin()
    finally:
        server.close()


@pytest.fixture
def box(timer_box):
    timer_box.begin()
    yield timer_box
    timer_box.verify()


@pytest.fixture
def bus(box):
    with Bus(box) as bus:
        yield bus


def in_us(milliseconds) -> int:
    return int((time.time() + milliseconds / 1000) * 1e6)


def log(box, run) -> list:
    return [(kind, json.loads(payload)) for _, kind, payload in box.database().events(run)]


def kinds(box, run) -> list:
    return [kind for kind, _ in log(box, run)]


def status(box, run) -> str:
    row = box.database().rows("select status::text, started_at, completed_at from runs where run_id = %s", run)[0]
    assert row == box.database().rows("select status::text, started_at, completed_at from project_run(%s)", run)[0]
    return row[0]


def becomes(box, run, wanted, timeout=10):
    wait_until(lambda: status(box, run) == wanted, f"the run to be {wanted}", timeout)


def needed(name, **more):
    return ("CLARIFICATION_NEEDED", {"clarification_id": name, "question": f"what of {name}?", **more})


# ---- deadlines ---------------------------------------------------------------------------------------------------------

@pytest.mark.requirement("R090", "R094")
def test_a_cancelled_run_that_does_not_end_is_ended(box, bus):
    run = bus.create()["run"]
    bus.append(run, ("TASK_COMPLETED", {"task_id": "t1"}), CUSTOM, ("TASK_COMPLETED", {"task_id": "t2"}),
               ("ARTIFACT_CREATED", {"artifact_id": "a1", "entity_type": "report"}))  # fmt: skip
    begin = time.monotonic()
    bus.cancel(run)
    becomes(box, run, "cancelled")
    assert time.monotonic() - begin >= 0.4
    assert log(box, run)[-2:] == [
        ("RUN_CANCEL_REQUESTED", {"by": "test"}),
        ("RUN_CANCELLED", {"reason": "deadline", "completed_tasks": ["t1", "t2"], "partial_artifacts": ["a1"]}),
    ]
    assert bus.append(run, CUSTOM)["outcome"] == "RUN_CLOSED"
    assert bus.cancel(run)["status"] == "cancelled"


@pytest.mark.requirement("R094")
def test_a_forced_end_knows_what_was_done_until_the_last_moment(box, bus):
    """Events come while the deadline passes: nothing that stands before the end is missing in it."""
    run = bus.create()["run"]
    bus.cancel(run)
    n = 0
    while bus.append(run, ("TASK_COMPLETED", {"task_id": f"t{n}"}))["outcome"] == "OK":
        n += 1
    events = log(box, run)
    done = [payload["task_id"] for kind, payload in events if kind == "TASK_COMPLETED"]
    assert len(done) == n and events[-1][0] == "RUN_CANCELLED"
    listed = events[-1][1]["completed_tasks"]
    assert listed == done[: len(listed)] and (n > 1000 or len(listed) >= n * 0.5)


@pytest.mark.requirement("R097")
def test_a_question_nobody_answers_fails_the_run(box, bus):
    run, other = bus.create()["run"], bus.create()["run"]
    soon = (datetime.now(timezone.utc) + timedelta(milliseconds=700)).isoformat().replace("+00:00", "Z")
    bus.append(run, needed("never"), needed("soon", expires_at=soon))
    bus.append(other, needed("soon", expires_at=soon), needed("never"))
    assert bus.resume(other, "soon", 1)["status"] == "interrupted"
    becomes(box, run, "failed")
    assert log(box, run)[-1] == ("RUN_FAILED", {"reason": "clarification_expired", "clarification_id": "soon"})
    assert bus.resume(run, "soon", 1)["outcome"] == "RUN_CLOSED"
    assert status(box, other) == "interrupted"


@pytest.mark.requirement("R097")
def test_an_expiry_of_a_run_that_went_on_does_nothing(box, bus):
    run = bus.create()["run"]
    past = "2020-01-01T00:00:00Z"
    bus.append(run, needed("q", expires_at=past), ("RUN_RESUMED", {}))
    stays_true(lambda: status(box, run) == "running", 0.5, "the run goes on")
    bus.append(run, ("RUN_INTERRUPTED", {}))
    becomes(box, run, "failed")


@pytest.mark.requirement("R090")
def test_an_agent_without_a_sign_of_life_fails_its_run(box, bus):
    silent, lively, free = (bus.create(liveness_ms=ms)["run"] for ms in (600, 600, 0))
    for _ in range(8):
        wait_until(lambda end=time.monotonic() + 0.2: time.monotonic() > end, "a fifth of a second")
        assert bus.touch(lively)["outcome"] == "OK"
    becomes(box, silent, "failed")
    assert log(box, silent)[-1] == ("RUN_FAILED", {"reason": "liveness_expired"})
    assert (status(box, lively), status(box, free)) == ("running", "running")
    becomes(box, lively, "failed")
    assert kinds(box, lively) == ["RUN_STARTED", "RUN_FAILED"]


@pytest.mark.requirement("R090")
def test_events_are_signs_of_life_and_waiting_for_a_person_is_no_silence(box, bus):
    writing, asking = (bus.create(liveness_ms=600)["run"] for _ in range(2))
    bus.append(asking, needed("q"))
    for _ in range(8):
        wait_until(lambda end=time.monotonic() + 0.2: time.monotonic() > end, "a fifth of a second")
        assert bus.append(writing, CUSTOM)["outcome"] == "OK"
    assert (status(box, writing), status(box, asking)) == ("running", "interrupted")
    bus.resume(asking, "q", 1)
    becomes(box, asking, "failed")
    becomes(box, writing, "failed")


# ---- delayed starts ----------------------------------------------------------------------------------------------------

@pytest.mark.requirement("R010")
def test_a_delayed_run_starts_at_its_time(box, bus):
    key = str(uuid.uuid4())
    first = bus.create(start_at_us=in_us(700), key=key, body="b", liveness_ms=100_000)
    run = first["run"]
    assert (first["outcome"], first["status"], first["last_seq"]) == ("OK", "pending", 0)
    again = bus.create(start_at_us=in_us(900), key=key, body="b")
    assert (again["run"], again["status"], again["duplicate"]) == (run, "pending", True)
    assert bus.create(key=key, body="other")["outcome"] == "KEY_MISMATCH"
    assert bus.create(run=run)["outcome"] == "EXISTS"
    for answer in (bus.append(run, CUSTOM), bus.resume(run, "q", 1)):
        assert (answer["outcome"], answer["status"]) == ("RUN_PENDING", "pending")
    assert bus.touch(run)["status"] == "pending"
    becomes(box, run, "running")
    assert kinds(box, run) == ["RUN_STARTED"]
    assert bus.append(run, CUSTOM)["first_seq"] == 2
    start, started = box.database().rows("select start_at, started_at from runs where run_id = %s", run)[0]
    assert timedelta(0) <= started - start < timedelta(seconds=2)


@pytest.mark.requirement("R010", "R089")
def test_a_run_cancelled_before_its_start_never_starts(box, bus):
    run = bus.create(start_at_us=in_us(400))["run"]
    first = bus.cancel(run)
    assert (first["outcome"], first["status"], first["last_seq"]) == ("OK", "cancelled", 1)
    assert bus.cancel(run)["status"] == "cancelled"
    stays_true(lambda: kinds(box, run) == ["RUN_CANCELLED"], 0.8, "it is not started")
    assert status(box, run) == "cancelled"
    assert bus.append(run, CUSTOM)["outcome"] == "RUN_CLOSED"


def test_a_start_in_the_past_is_a_start_now(bus):
    assert bus.create(start_at_us=in_us(-1000))["status"] == "running"


# ---- threads and keys ----------------------------------------------------------------------------------------------------

@pytest.mark.requirement("R010")
def test_runs_of_a_thread_are_refused_while_another_has_not_ended(box, bus):
    thread = uuid.uuid4()
    first = bus.create(thread=thread, strategy="reject")
    assert (first["outcome"], first["status"]) == ("OK", "running")
    assert bus.create(thread=thread, strategy="reject")["outcome"] == "THREAD_BUSY"
    assert bus.create(thread=thread)["status"] == "running"  # side by side
    assert bus.create(thread=uuid.uuid4(), strategy="reject")["outcome"] == "OK"
    assert bus.create(strategy="reject")["outcome"] == "OK"  # no thread
    for run, in box.database().rows("select run_id from runs where thread_id = %s", thread):
        bus.append(run, ("RUN_FINISHED", {}))
    assert bus.create(thread=thread, strategy="reject")["outcome"] == "OK"


@pytest.mark.requirement("R010")
def test_queued_runs_start_one_after_the_other_in_order(box, bus):
    thread = uuid.uuid4()
    runs = [bus.create(thread=thread, strategy="enqueue")["run"] for _ in range(5)]
    assert [status(box, run) for run in runs] == ["running"] + ["pending"] * 4
    bus.cancel(runs[2])
    assert status(box, runs[2]) == "cancelled"
    for before, after in ((0, 1), (1, 3), (3, 4)):
        assert status(box, runs[after]) == "pending"
        bus.append(runs[before], ("RUN_FINISHED", {}))
        becomes(box, runs[after], "running")
    assert kinds(box, runs[4]) == ["RUN_STARTED"]


@pytest.mark.requirement("R010", "R089")
def test_a_later_run_interrupts_those_before_it(box, bus):
    thread = uuid.uuid4()
    running, waiting = bus.create(thread=thread)["run"], bus.create(thread=thread, start_at_us=in_us(60_000))["run"]
    asking = bus.create(thread=thread)["run"]
    bus.append(asking, needed("q"))
    last = bus.create(thread=thread, strategy="interrupt")
    assert (last["outcome"], last["status"]) == ("OK", "pending")
    assert [status(box, run) for run in (running, waiting, asking)] == ["cancelling", "cancelled", "cancelling"]
    bus.append(running, ("RUN_CANCELLED", {}))
    becomes(box, last["run"], "running")  # the other was ended by its deadline
    assert status(box, asking) == "cancelled"


@pytest.mark.requirement("R010")
def test_a_later_run_rolls_those_before_it_back(box, bus):
    thread = uuid.uuid4()
    runs = [bus.create(thread=thread)["run"] for _ in range(2)]
    last = bus.create(thread=thread, strategy="rollback")
    assert (last["status"], last["first_seq"], last["last_seq"]) == ("running", 1, 1)
    assert [kinds(box, run) for run in runs] == [["RUN_STARTED", "RUN_CANCELLED"]] * 2
    assert bus.create(thread=thread, strategy="reject")["outcome"] == "THREAD_BUSY"
    assert bus.append(runs[0], CUSTOM)["outcome"] == "RUN_CLOSED"


@pytest.mark.requirement("R010")
def test_a_concurrency_key_lets_so_many_run_at_once(box, bus):
    group = str(uuid.uuid4())
    runs = [bus.create(group=group, limit=2)["run"] for _ in range(6)]
    assert [status(box, run) for run in runs] == ["running"] * 2 + ["pending"] * 4
    assert bus.create(group=group + "x", limit=2)["status"] == "running"
    for n in range(4):
        bus.append(runs[n], ("RUN_FAILED", {}))
        becomes(box, runs[n + 2], "running")
        assert [status(box, run) for run in runs].count("running") == 2
    with Bus(box) as other:
        other.append(runs[4], ("RUN_FINISHED", {}))
    assert status(box, runs[5]) == "running"


@pytest.mark.requirement("R010", "R036")
def test_many_creators_of_one_key_keep_its_limit_and_its_order(box):
    """Whatever ends whenever: never more than three at once, and they start in the order of their creation."""
    group, limit, each, creators = str(uuid.uuid4()), 3, 20, 3

    def create_and_finish():
        with Bus(box) as bus:
            mine = [bus.create(group=group, limit=limit)["run"] for _ in range(each)]
            while mine:
                for run in list(mine):
                    if bus.touch(run)["status"] == "running":
                        bus.append(run, ("RUN_FINISHED", {}))
                        mine.remove(run)

    threads = [threading.Thread(target=create_and_finish) for _ in range(creators)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    events = box.database().rows(
        "select e.event_type::text, r.created_at from runs r join run_events e using (run_id)"
        " where r.concurrency_key = %s order by e.position", group)  # fmt: skip
    assert len(events) == 2 * each * creators
    running, most, starts = 0, 0, []
    for kind, created_at in events:
        running += 1 if kind == "RUN_STARTED" else -1
        most = max(most, running)
        starts += [created_at] if kind == "RUN_STARTED" else []
    assert most == limit and starts == sorted(starts)


@pytest.mark.requirement("R010")
def test_a_delayed_run_waits_for_its_turn_when_its_time_has_come(box, bus):
    thread = uuid.uuid4()
    first = bus.create(thread=thread)["run"]
    delayed = bus.create(thread=thread, strategy="enqueue", start_at_us=in_us(300))["run"]
    wait_until(lambda: box.database().value("select wake_at is null from runs where run_id = %s", delayed), "it to be queued")
    assert status(box, delayed) == "pending"
    bus.append(first, ("RUN_FINISHED", {}))
    becomes(box, delayed, "running")


@pytest.mark.requirement("R010")
def test_a_delayed_run_keeps_its_place_in_the_queue_of_its_thread(box, bus):
    """In order of creation, whatever the clock says: an answer that was put off is not overtaken, unless it is called off."""
    thread = uuid.uuid4()
    first = bus.create(thread=thread)["run"]
    delayed = bus.create(thread=thread, start_at_us=in_us(3600_000))["run"]
    behind = bus.create(thread=thread, strategy="enqueue")["run"]
    beside = bus.create(thread=thread)["run"]
    bus.append(first, ("RUN_FINISHED", {}))
    assert status(box, beside) == "running"
    stays_true(lambda: status(box, behind) == "pending", 0.5, "it waits for the delayed one")
    bus.cancel(delayed)
    becomes(box, behind, "running")


@pytest.mark.requirement("R010", "R044")
def test_what_waits_outlives_the_sequencer(box, bus):
    thread = uuid.uuid4()
    runs = [bus.create(thread=thread, strategy="enqueue")["run"] for _ in range(3)]
    delayed = bus.create(start_at_us=in_us(1500))["run"]
    cancelled = bus.create()["run"]
    box.settled("sequencer-1")
    bus.cancel(cancelled)
    before = box.kill("sequencer-1")
    box.actor_ready("sequencer-1", before["generation"])
    becomes(box, cancelled, "cancelled")
    becomes(box, delayed, "running")
    bus.append(runs[0], ("RUN_FINISHED", {}))
    becomes(box, runs[1], "running")
    assert status(box, runs[2]) == "pending"


def test_those_who_wait_long_hide_nobody(own_box):
    """A thousand of one key have to wait; what can start behind them does, though nothing that ends tells of it."""
    box = own_box({"runs.timer_ms": 100})
    database = box.database()
    with Bus(box) as bus:
        bus.create(group="full", limit=1)
        first = bus.create(group="full", limit=1)["run"]
        columns = "tenant_id, status, created_at, multitask_strategy, concurrency_key, concurrency_limit, start_payload"
        for table, values in (("runs", columns), ("run_heads", "tenant_id, last_seq")):
            database.execute(
                f"insert into {table} (run_id, {values}) select md5(n::text)::uuid, {values}"
                f" from {table}, generate_series(1, 2500) n where run_id = %s", first)
        holder = bus.create(group="other", limit=1)["run"]
        waiting = bus.create(group="other", limit=1)["run"]
        assert database.value("select status::text from runs where run_id = %s", waiting) == "pending"
        database.execute("update runs set concurrency_key = null, concurrency_limit = null where run_id = %s", holder)
        started = "select status = 'running' from runs where run_id = %s"
        wait_until(lambda: database.value(started, waiting), what="the run behind the thousand to start", timeout=30)
        assert database.value("select count(*) from runs where concurrency_key = 'full' and status <> 'pending'") == 1
