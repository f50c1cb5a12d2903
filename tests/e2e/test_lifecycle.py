"""Cancellation, questions and their answers, as commands to the sequencer: the bus, the log, the tables."""

import uuid

import pytest
from harness.bus import Bus
from harness.client import assert_problem, custom
from harness.metrics import total

CUSTOM = ("CUSTOM", custom(1)["payload"])


def needed(name, **more):
    return ("CLARIFICATION_NEEDED", {"clarification_id": name, "question": f"what of {name}?", **more})


def answered(name):
    return ("CLARIFICATION_ANSWERED", {"clarification_id": name, "response": "yes"})


@pytest.fixture
def bus(box):
    with Bus(box) as bus:
        yield bus


@pytest.fixture
def run(bus):
    return bus.create()["run"]


def types(box, run) -> list:
    return [row[1] for row in box.database().events(run)]


def stored(box, run) -> tuple:
    """What the table says of the run, and what follows from its log."""
    row = box.database().rows("select status::text, started_at, completed_at from runs where run_id = %s", run)[0]
    assert row == box.database().rows("select status::text, started_at, completed_at from project_run(%s)", run)[0]
    kept = box.database().rows("select * from run_questions where run_id = %s order by asked_seq", run)
    assert kept == box.database().rows("select * from project_questions(%s) order by asked_seq", run)
    return row[0], sum(question[-1] is None for question in kept)


# ---- cancel ------------------------------------------------------------------------------------------------------------

@pytest.mark.requirement("R089", "R091")
def test_a_cancelled_run_is_asked_once_and_goes_on_until_its_end(box, bus, run):
    first = bus.cancel(run, {"by": "somebody", "reason": "enough"})
    assert (first["outcome"], first["status"], first["cancel_requested"], first["last_seq"]) == ("OK", "cancelling", True, 2)
    again = bus.cancel(run)
    assert (again["outcome"], again["status"], again["last_seq"]) == ("OK", "cancelling", 2)
    assert stored(box, run) == ("cancelling", 0)
    told = bus.append(run, CUSTOM)
    assert (told["outcome"], told["cancel_requested"], told["status"]) == ("OK", True, "cancelling")
    assert bus.append(run, ("RUN_CANCELLED", {}))["status"] == "cancelled"
    assert bus.cancel(run)["status"] == "cancelled"
    assert types(box, run) == ["RUN_STARTED", "RUN_CANCEL_REQUESTED", "CUSTOM", "RUN_CANCELLED"]
    assert stored(box, run) == ("cancelled", 0)
    assert box.database().value("select wake_at from runs where run_id = %s", run) is None


@pytest.mark.requirement("R089")
@pytest.mark.parametrize("end, status", [("RUN_FINISHED", "finished"), ("RUN_FAILED", "failed")])
def test_a_run_that_has_ended_cannot_be_cancelled(box, bus, run, end, status):
    bus.append(run, (end, {}))
    assert (bus.cancel(run)["outcome"], bus.cancel(run)["status"]) == ("RUN_CLOSED", status)
    assert types(box, run) == ["RUN_STARTED", end]


@pytest.mark.requirement("R089")
def test_a_cancelled_run_may_still_end_otherwise(box, bus, run):
    bus.cancel(run)
    assert bus.append(run, ("RUN_FINISHED", {}))["status"] == "finished"
    assert stored(box, run) == ("finished", 0)


def test_commands_on_runs_that_are_not_there(bus):
    nobody = uuid.uuid4()
    for answer in (bus.cancel(nobody), bus.resume(nobody, "q", 1), bus.touch(nobody)):
        assert (answer["outcome"], answer["last_seq"]) == ("NOT_FOUND", 0)


@pytest.mark.requirement("I10")
def test_another_tenants_run_is_not_there(box, run):
    database = box.database()
    other = uuid.uuid4()
    database.execute("insert into tenants values (%s, 'other')", other)
    with Bus(box, other) as stranger:
        for answer in (stranger.cancel(run), stranger.resume(run, "q", 1), stranger.touch(run), stranger.append(run, CUSTOM)):
            assert (answer["outcome"], answer["last_seq"], answer["status"]) == ("NOT_FOUND", 0, "pending")
    assert types(box, run) == ["RUN_STARTED"]


def test_a_sign_of_life_tells_the_status(box, bus, run):
    assert (bus.touch(run)["outcome"], bus.touch(run)["status"]) == ("OK", "running")
    bus.cancel(run)
    assert bus.touch(run)["cancel_requested"]
    bus.append(run, ("RUN_FINISHED", {}))
    assert (bus.touch(run)["outcome"], bus.touch(run)["status"]) == ("OK", "finished")
    assert len(types(box, run)) == 3


# ---- questions ---------------------------------------------------------------------------------------------------------

@pytest.mark.requirement("R097", "R099")
def test_a_question_interrupts_until_it_is_answered(box, bus, run):
    assert bus.append(run, needed("q1"))["status"] == "interrupted"
    assert stored(box, run) == ("interrupted", 1)
    first = bus.resume(run, "q1", {"go": "on"})
    assert (first["outcome"], first["status"], first["first_seq"], first["last_seq"]) == ("OK", "running", 3, 3)
    again = bus.resume(run, "q1", {"go": "on"})
    assert again == first | {"duplicate": True}
    assert bus.resume(run, "q1", "something else")["outcome"] == "KEY_MISMATCH"
    assert types(box, run) == ["RUN_STARTED", "CLARIFICATION_NEEDED", "CLARIFICATION_ANSWERED"]
    assert stored(box, run) == ("running", 0)


@pytest.mark.requirement("R097")
def test_several_questions_all_want_an_answer(box, bus, run):
    bus.append(run, needed("q1"), CUSTOM, needed("q2"))
    assert stored(box, run) == ("interrupted", 2)
    assert bus.resume(run, "q2", 2)["status"] == "interrupted"
    assert bus.resume(run, "q3", 2)["outcome"] == "WRONG_CLARIFICATION"
    assert bus.resume(run, "", 2)["outcome"] == "WRONG_CLARIFICATION"
    assert bus.append(run, answered("q1"))["status"] == "running"
    assert bus.append(run, answered("q1"))["outcome"] == "WRONG_CLARIFICATION"
    assert bus.resume(run, "q1", 1)["outcome"] == "NOT_INTERRUPTED"
    assert stored(box, run) == ("running", 0)


def test_at_most_sixteen_questions_are_open_and_no_id_is_used_twice(box, bus, run):
    assert bus.append(run, *[needed(f"q{n}") for n in range(16)])["outcome"] == "OK"
    assert bus.append(run, needed("q16"))["outcome"] == "WRONG_CLARIFICATION"
    assert bus.append(run, needed("q3"))["outcome"] == "QUESTION_ASKED"
    bus.resume(run, "q3", 1)
    assert bus.append(run, needed("q3"))["outcome"] == "QUESTION_ASKED"  # its answer stands for ever
    assert bus.append(run, needed("q16"))["outcome"] == "OK"
    assert bus.append(run, needed("x" * 1021))["outcome"] == "REFUSED"
    assert stored(box, run) == ("interrupted", 16)


def test_a_question_asked_again_never_reaches_the_database(box, bus, run):
    """However soon after the first time, also within one append: nobody's batch is split for it."""
    def splits():
        return total(box.client().get("/metrics", auth=False).text, "signalbox_batch_splits_total")

    before = splits()
    assert bus.append(run, needed("q"), answered("q"), needed("q"))["outcome"] == "QUESTION_ASKED"
    names = ["q", "q1", "q", "q3", "q", "q5"]
    answers = bus.all_at_once(*[lambda bus, name=name: bus.append(run, needed(name), answered(name)) for name in names])
    assert [answer["outcome"] for answer in answers] == ["OK", "OK", "QUESTION_ASKED", "OK", "QUESTION_ASKED", "OK"]
    assert bus.append(run, needed("new"), needed("q"))["outcome"] == "QUESTION_ASKED"
    assert bus.append(run, needed("new"))["outcome"] == "OK"
    assert stored(box, run) == ("interrupted", 1)
    problem = box.client().post_events(run, {"type": "CLARIFICATION_NEEDED", "payload": needed("q")[1]})
    assert_problem(problem, 409, "clarification-mismatch")
    assert splits() == before


def test_all_or_nothing_with_questions(box, bus, run):
    assert bus.append(run, needed("q1"), answered("q1"), needed("q2"), answered("q1"))["outcome"] == "WRONG_CLARIFICATION"
    assert types(box, run) == ["RUN_STARTED"]
    assert bus.append(run, needed("q1"), answered("q1"), needed("q2"))["status"] == "interrupted"
    assert stored(box, run) == ("interrupted", 1)
    assert bus.append(run, needed("q3", expires_at="soon"))["outcome"] == "REFUSED"
    assert stored(box, run) == ("interrupted", 1)


@pytest.mark.requirement("R099")
def test_an_interruption_without_a_question(box, bus, run):
    assert bus.resume(run, "", 1)["outcome"] == "NOT_INTERRUPTED"
    assert bus.append(run, ("RUN_RESUMED", {}))["outcome"] == "NOT_INTERRUPTED"
    for answer in (1, 1, 2):
        assert bus.append(run, ("RUN_INTERRUPTED", {}))["status"] == "interrupted"
        first = bus.resume(run, "", answer)
        assert (first["outcome"], first["status"]) == ("OK", "running")
        assert (bus.resume(run, "", answer)["outcome"], bus.resume(run, "", 99)["outcome"]) == ("OK", "NOT_INTERRUPTED")
    assert types(box, run) == ["RUN_STARTED"] + ["RUN_INTERRUPTED", "RUN_RESUMED"] * 3
    assert stored(box, run) == ("running", 0)


def test_an_answer_that_could_not_be_stored_was_not_given(own_box):
    """The database refuses it: nothing in memory says that the run went on with it."""
    box = own_box()
    database = box.database()
    with Bus(box) as bus:
        run = bus.create()["run"]
        bus.append(run, ("RUN_INTERRUPTED", {}))
        database.execute("create function no() returns trigger language plpgsql as"
                         " $$begin raise exception 'no' using errcode = '22000'; end$$")  # fmt: skip
        database.execute("create trigger no before insert on run_events for each row"
                         " when (new.event_type = 'RUN_RESUMED') execute function no()")  # fmt: skip
        assert bus.resume(run, "", "go on")["outcome"] == "REFUSED"
        database.execute("drop trigger no on run_events")
        bus.cancel(run)
        assert bus.resume(run, "", "go on")["outcome"] == "NOT_INTERRUPTED"
        assert types(box, run) == ["RUN_STARTED", "RUN_INTERRUPTED", "RUN_CANCEL_REQUESTED"]


@pytest.mark.requirement("R099")
def test_an_answer_to_no_question_is_known_to_the_next_sequencer(own_box):
    """Given again after its death: the same answer changes nothing, another is refused, and each interruption has its own."""
    with Bus(box := own_box()) as bus:
        runs = [bus.create()["run"] for _ in range(3)]
        for run in runs:
            bus.append(run, ("RUN_INTERRUPTED", {}))
            assert bus.resume(run, "", "go on")["status"] == "running"
        bus.append(runs[1], ("RUN_INTERRUPTED", {}))
        bus.append(runs[2], ("RUN_FINISHED", {}))
        box.command("restart", "sequencer", timeout=60)
        again = bus.resume(runs[0], "", "go on")
        assert (again["outcome"], again["status"], again["duplicate"]) == ("OK", "running", True)
        assert bus.resume(runs[0], "", "stop")["outcome"] == "NOT_INTERRUPTED"
        box.command("restart", "sequencer", timeout=60)
        assert bus.resume(runs[0], "", "stop")["outcome"] == "NOT_INTERRUPTED"
        assert bus.resume(runs[0], "", "go on")["outcome"] == "OK"
        assert types(box, runs[0]) == ["RUN_STARTED", "RUN_INTERRUPTED", "RUN_RESUMED"]
        # The same words for the next interruption are a new answer.
        assert bus.resume(runs[1], "", "go on")["duplicate"] is False
        assert types(box, runs[1])[-2:] == ["RUN_INTERRUPTED", "RUN_RESUMED"]
        assert bus.resume(runs[2], "", "go on")["outcome"] == "RUN_CLOSED"


def test_a_run_that_goes_on_without_the_answer_still_takes_it(box, bus, run):
    bus.append(run, needed("q"))
    assert bus.append(run, ("RUN_RESUMED", {}))["status"] == "running"
    assert stored(box, run) == ("running", 1)
    assert bus.resume(run, "q", 1)["status"] == "running"
    assert stored(box, run) == ("running", 0)


@pytest.mark.requirement("R089", "R097")
def test_a_cancelled_run_is_not_interrupted_any_more(box, bus, run):
    bus.append(run, needed("q"))
    assert bus.cancel(run)["status"] == "cancelling"
    assert bus.resume(run, "q", 1)["outcome"] == "NOT_INTERRUPTED"
    assert bus.append(run, needed("p"), ("RUN_INTERRUPTED", {}))["status"] == "cancelling"
    assert bus.append(run, answered("q"), answered("p"))["status"] == "cancelling"
    assert stored(box, run) == ("cancelling", 0)


def test_what_only_the_server_writes(box, bus, run):
    for kind in ("RUN_STARTED", "JOB_QUEUED"):
        assert bus.append(run, (kind, {"job_id": "j"}))["outcome"] == "REFUSED"
    assert types(box, run) == ["RUN_STARTED"]


@pytest.mark.requirement("R097")
def test_what_is_open_outlives_the_sequencer(own_box):
    box = own_box()
    with Bus(box) as bus:
        run, other = bus.create()["run"], bus.create()["run"]
        bus.append(run, needed("q1"), needed("q2"))
        bus.append(other, ("RUN_INTERRUPTED", {}))
        box.kill_and_wait("sequencer-1")
        assert bus.resume(run, "q3", 1)["outcome"] == "WRONG_CLARIFICATION"
        assert bus.resume(run, "q1", 1)["status"] == "interrupted"
        box.kill_and_wait("sequencer-1")
        assert bus.resume(run, "q1", 1)["duplicate"] is True
        assert bus.resume(run, "q1", 2)["outcome"] == "KEY_MISMATCH"
        assert bus.resume(run, "q2", 2)["status"] == "running"
        assert bus.touch(other)["status"] == "interrupted"
        assert bus.cancel(other)["status"] == "cancelling"
        box.command("verify")


# ---- the tables -------------------------------------------------------------------------------------------------------

NEXT = {  # (event, questions left): status after it, from each status in order; what is missing cannot happen
    ("RUN_STARTED", 0): {"pending": "running"},
    ("RUN_FINISHED", 1): {"running": "finished", "interrupted": "finished", "cancelling": "finished"},
    ("RUN_FAILED", 0): {"running": "failed", "interrupted": "failed", "cancelling": "failed"},
    ("RUN_CANCELLED", 0): {"pending": "cancelled", "running": "cancelled", "interrupted": "cancelled",
                           "cancelling": "cancelled"},
    ("RUN_INTERRUPTED", 0): {"running": "interrupted", "interrupted": "interrupted", "cancelling": "cancelling"},
    ("RUN_RESUMED", 2): {"interrupted": "running"},
    ("RUN_CANCEL_REQUESTED", 0): {"running": "cancelling", "interrupted": "cancelling", "cancelling": "cancelling"},
    ("CLARIFICATION_NEEDED", 1): {"running": "interrupted", "interrupted": "interrupted", "cancelling": "cancelling"},
    ("CLARIFICATION_ANSWERED", 1): {"running": "running", "interrupted": "interrupted", "cancelling": "cancelling"},
    ("CLARIFICATION_ANSWERED", 0): {"running": "running", "interrupted": "running", "cancelling": "cancelling"},
    ("CUSTOM", 0): {"running": "running", "interrupted": "interrupted", "cancelling": "cancelling"},
}  # fmt: skip


def test_the_database_has_the_same_table_of_statuses(box):
    """tests/unit/sequencer/status_test.c holds it against the sequencer's own."""
    for (event, left), after in NEXT.items():
        got = dict(box.database().rows(
            "select s::text, run_status_next(s, %s::run_event_type, %s)::text from unnest(enum_range(null::run_status)) s",
            event, left))  # fmt: skip
        assert {status: then for status, then in got.items() if then is not None} == after, event


def test_verify_sees_what_does_not_follow_from_the_log(own_box):
    box = own_box()
    database = box.database()
    with Bus(box) as bus:
        run = bus.create()["run"]
        bus.append(run, needed("q1"), needed("q2"))
        bus.resume(run, "q1", 1)
    box.command("verify")
    for wrong, right, check in (
        ("update runs set status = 'running' where run_id = %s", "update runs set status = 'interrupted' where run_id = %s",
         "status"),
        ("update runs set started_at = null where run_id = %s", "update runs set started_at = created_at where run_id = %s",
         "status"),
        ("update run_questions set answered_seq = null where run_id = %s and clarification_id = 'q1'",
         "update run_questions set answered_seq = 4 where run_id = %s and clarification_id = 'q1'", "questions"),
        ("update run_questions set run_id = gen_random_uuid() where clarification_id = 'q2' and run_id = %s",
         "update run_questions set run_id = %s where clarification_id = 'q2'", "questions"),
        ("update runs set wake_at = now() + interval '1 hour', completed_at = now() where run_id = %s",
         "update runs set wake_at = null, completed_at = null where run_id = %s", "timers"),
        ("update run_events set event_type = 'RUN_RESUMED' where seq = 2 and run_id = %s",
         "update run_events set event_type = 'CLARIFICATION_NEEDED' where seq = 2 and run_id = %s", "status"),
    ):  # fmt: skip
        database.execute(wrong, run)
        result = box.command("verify", check=False)
        assert result.returncode == 1 and f"[{check}]" in result.stdout, (wrong, result.stdout)
        database.execute(right, run)
        box.command("verify")
