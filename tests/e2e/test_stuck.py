"""Batches that the database refuses, but not for their data: one command that cannot be done costs its neighbours a delay and
nothing else; a database that can write nothing is waited for, and said to be so."""

import threading
import uuid

import pytest
from harness.bus import Bus
from harness.client import custom
from harness.metrics import parse, total
from harness.waiting import wait_until

POISON = ("CUSTOM", {"name": "poison", "value": 1})
CUSTOM = ("CUSTOM", custom(1)["payload"])
REFUSED = r"batch refused|writes are blocked|fails again|fails alone|refuses what is due|fork refused"


@pytest.fixture(autouse=True)
def announced(box):
    box.allow_error(REFUSED)
    box.allow_error("no room")


@pytest.fixture
def bus(box):
    with Bus(box) as bus:
        yield bus


class Trigger:
    """While it is there, events that match are refused with an SQLSTATE, each as often as one likes."""

    def __init__(self, box, sqlstate, condition):
        self.database = box.database()
        self.database.execute("create or replace function refuse() returns trigger language plpgsql as"
                              f" $$begin raise exception 'no room' using errcode = '{sqlstate}'; end$$")  # fmt: skip
        self.database.execute(
            f"create trigger refuse before insert on run_events for each row when ({condition}) execute function refuse()"
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.database.execute("drop trigger if exists refuse on run_events")


def metric(box, name) -> float:
    return total(box.client().get("/metrics", auth=False).text, f"signalbox_{name}")


def sequencer_healthy(box) -> bool:
    samples = parse(box.client().get("/metrics", auth=False).text)
    return [1] == [v for name, labels, v in samples if name == "signalbox_actor_healthy" and labels["actor"] == "sequencer-1"]


@pytest.mark.parametrize("sqlstate", ["SB002", "57014", "XX000"])
def test_a_command_that_cannot_be_done_is_refused_alone(box, bus, sqlstate):
    """In the middle of others, of its own sender and of another: each of them is done once, in order."""
    run, other = bus.create()["run"], bus.create()["run"]
    failed = metric(box, "batches_failed_total")
    answers = {}

    def neighbour():
        with Bus(box) as second:
            answers["other"] = second.all_at_once(*[lambda b: b.append(other, CUSTOM)] * 8)

    with Trigger(box, sqlstate, "new.payload->>'name' = 'poison'"):
        thread = threading.Thread(target=neighbour)
        thread.start()
        mixed = [CUSTOM, CUSTOM, POISON, CUSTOM, POISON, CUSTOM]
        mine = bus.all_at_once(*[lambda b, event=event: b.append(run, event) for event in mixed])
        thread.join()
    assert [answer["outcome"] for answer in mine] == ["OK", "OK", "REFUSED", "OK", "REFUSED", "OK"]
    assert [answer["outcome"] for answer in answers["other"]] == ["OK"] * 8
    assert len(box.database().events(run)) == 5 and len(box.database().events(other)) == 9
    assert metric(box, "batches_failed_total") - failed >= 3
    assert bus.append(run, POISON)["outcome"] == "OK"


def test_a_database_that_is_full_is_waited_for(box, bus):
    """No command is to blame: none is refused, it is said what blocks, and then all go through once."""
    run = bus.create()["run"]
    answers = []

    def append():
        with Bus(box) as second:
            answers.extend(second.all_at_once(*[lambda b: b.append(run, CUSTOM)] * 4))

    with Trigger(box, "53100", "new.event_type = 'CUSTOM'"):
        thread = threading.Thread(target=append)
        thread.start()
        wait_until(lambda: metric(box, "writes_blocked") == 1, "it to be said")
        wait_until(lambda: not sequencer_healthy(box), "the sequencer to say that it misses something")
        assert answers == []
        wait_until(lambda: any("writes are blocked" in line and "53100" in line for line in box.log.lines()), "the reason")
    thread.join()
    assert [answer["outcome"] for answer in answers] == ["OK"] * 4
    assert len(box.database().events(run)) == 5
    assert metric(box, "writes_blocked") == 0
    wait_until(lambda: sequencer_healthy(box), "all to be well again")


def test_what_is_due_and_cannot_be_done_holds_up_nobody(box, bus):
    """The sequencer's own command: the run is left alone for a while, and the others go on without failures."""
    with Trigger(box, "SB002", "new.event_type = 'RUN_FAILED'"):
        bus.create(liveness_ms=150)
        wait_until(lambda: any("refuses what is due" in line for line in box.log.lines()), "it to be given up")
        failed = metric(box, "batches_failed_total")
        for _ in range(5):
            assert bus.append(bus.create()["run"], CUSTOM)["outcome"] == "OK"
        delayed = bus.create(start_at_us=1, run=uuid.uuid4())["run"]
        assert len(box.database().events(delayed)) == 1
        assert metric(box, "batches_failed_total") == failed
