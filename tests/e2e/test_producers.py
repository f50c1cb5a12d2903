"""Idempotent producers: numbers of appends within an epoch, judged by the sequencer, kept with the stored append."""

import random
import signal
import uuid

import psycopg
import pytest
from harness.commander import CUSTOM, Commander, event
from harness.paths import fault_bin_dir
from harness.processes import Process
from harness.waiting import WaitTimeout, wait_until

needs_faults = pytest.mark.skipif(
    not (fault_bin_dir() / "signalbox-sequencer").exists(), reason="needs a build with fault points"
)


@pytest.fixture
def commander(box):
    with Commander(box) as one:
        yield one


def seqs(answer) -> tuple:
    return answer["outcome"], answer["first_seq"], answer["last_seq"], answer["duplicate"]


def standing(box, run_id, producer="p") -> tuple:
    rows = box.database().rows(
        "select epoch, last_seq from run_producers where run_id = %s and producer_id = %s", run_id, producer
    )
    return rows[0] if rows else None


def test_a_number_is_stored_once_and_answered_as_the_first_time(box, commander):
    run = commander.create()
    assert seqs(commander.produce(run, 0)) == ("OK", 2, 2, False)
    assert seqs(commander.produce(run, 1, events=[event(CUSTOM)] * 3)) == ("OK", 3, 5, False)
    assert seqs(commander.produce(run, 2)) == ("OK", 6, 6, False)
    assert seqs(commander.produce(run, 0, payload='{"another":"body"}')) == ("OK", 2, 2, True)
    assert seqs(commander.produce(run, 1)) == ("OK", 3, 5, True)
    assert seqs(commander.produce(run, 2)) == ("OK", 6, 6, True)
    assert len(box.database().events(run)) == 6
    assert standing(box, run) == (0, 2)


def test_an_unknown_producer_begins_with_number_0(box, commander):
    run = commander.create()
    for epoch in (0, 3):
        gap = commander.produce(run, 4, epoch=epoch)
        assert (gap["outcome"], gap["expected"]) == ("PRODUCER_GAP", 0)
    assert standing(box, run) is None
    assert seqs(commander.produce(run, 0, epoch=3)) == ("OK", 2, 2, False)
    assert standing(box, run) == (3, 0)


def test_gaps_name_the_number_that_comes_next(box, commander):
    run = commander.create()
    commander.produce(run, 0)
    for number in (2, 3, 2**53 - 1):
        gap = commander.produce(run, number)
        assert (gap["outcome"], gap["expected"]) == ("PRODUCER_GAP", 1)
    assert seqs(commander.produce(run, 1)) == ("OK", 3, 3, False)


def test_a_newer_epoch_fences_the_older_one(box, commander):
    run = commander.create()
    commander.produce(run, 0, epoch=1)
    commander.produce(run, 1, epoch=1)
    assert commander.produce(run, 2, epoch=2)["outcome"] == "PRODUCER_EPOCH"
    assert seqs(commander.produce(run, 0, epoch=2)) == ("OK", 4, 4, False)
    assert seqs(commander.produce(run, 0, epoch=2)) == ("OK", 4, 4, True)
    for number in (0, 1, 2):
        fenced = commander.produce(run, number, epoch=1)
        assert (fenced["outcome"], fenced["expected"]) == ("PRODUCER_FENCED", 2)
    assert commander.produce(run, 1, epoch=2)["outcome"] == "OK"


def test_producers_of_a_run_do_not_know_each_other(box, commander):
    run, other = commander.create(), commander.create()
    for producer in ("a", "b", "A", "a\\", " "):
        assert commander.produce(run, 0, producer)["duplicate"] is False
        assert commander.produce(run, 1, producer)["outcome"] == "OK"
    assert commander.produce(other, 0, "a")["first_seq"] == 2
    assert commander.produce(run, 0, "a\x7f")["outcome"] == "REFUSED"
    assert commander.produce(run, 0, "é")["outcome"] == "REFUSED"
    assert commander.produce(run, 0, "x" * 255)["outcome"] == "OK"
    assert commander.produce(run, 0, "x" * 256)["outcome"] == "REFUSED"
    assert commander.produce(run, 2**53, "a")["outcome"] == "REFUSED"
    # Ids and numbers cannot be mistaken for each other in the implicit key.
    assert commander.produce(run, 0, "p", 11)["duplicate"] is False
    assert commander.produce(run, 0, "p1", 1)["duplicate"] is False


def test_after_the_end_duplicates_are_answered_and_nothing_else(box, commander):
    run = commander.create()
    commander.produce(run, 0)
    ended = commander.produce(run, 1, events=[event(CUSTOM), event(2)])
    assert seqs(ended) == ("OK", 3, 4, False)
    assert seqs(commander.produce(run, 1)) == ("OK", 3, 4, True)
    assert seqs(commander.produce(run, 0)) == ("OK", 2, 2, True)
    for number, epoch in ((2, 0), (3, 0), (0, 1), (7, 1)):
        assert commander.produce(run, number, epoch=epoch)["outcome"] == "RUN_CLOSED"
    assert commander.produce(run, 0, "new")["outcome"] == "RUN_CLOSED"


def test_a_refused_append_moves_nothing(box, commander):
    run = commander.create()
    assert commander.produce(run, 0, expected_seq=7)["outcome"] == "SEQ_CONFLICT"
    assert commander.produce(run, 0, events=[event(CUSTOM, "{")])["outcome"] == "REFUSED"
    assert standing(box, run) is None
    assert commander.produce(run, 0, expected_seq=1)["first_seq"] == 2
    # A duplicate is found before expected_seq is looked at.
    assert seqs(commander.produce(run, 0, expected_seq=1)) == ("OK", 2, 2, True)
    assert commander.produce(run, 1, events=[event(CUSTOM, "{")])["outcome"] == "REFUSED"
    assert standing(box, run) == (0, 0)
    assert commander.produce(run, 1)["first_seq"] == 3


def test_no_such_run(box, commander):
    assert commander.produce(uuid.uuid4(), 0)["outcome"] == "NOT_FOUND"
    run = commander.create()
    commander.produce(run, 0)
    with Commander(box, uuid.uuid4()) as stranger:
        for number in (0, 1, 5):
            assert stranger.produce(run, number)["outcome"] == "NOT_FOUND"
    assert commander.produce(run, 1)["first_seq"] == 3


def test_pipelined_appends_and_their_duplicates_share_batches(box, commander):
    """Two producers, each number sent twice, gaps among them, without waiting for an answer."""
    run = commander.create()
    sent = []
    for number in range(200):
        for producer in ("a", "b"):
            first = commander.send_produced(run, number, producer)
            again = commander.send_produced(run, number, producer)
            gap = commander.send_produced(run, number + 2, producer)
            sent.append((number, first, again, gap))
    for number, first, again, gap in sent:
        first, again, gap = commander.answer(first), commander.answer(again), commander.answer(gap)
        assert first["outcome"] == "OK" and not first["duplicate"]
        assert seqs(again) == ("OK", first["first_seq"], first["last_seq"], True)
        assert (gap["outcome"], gap["expected"]) == ("PRODUCER_GAP", number + 1)
    assert len(box.database().events(run)) == 401
    assert standing(box, run, "a") == standing(box, run, "b") == (0, 199)


def test_a_poisoned_batch_is_split_and_every_producer_goes_on(box, commander):
    """The poison is one producer's append in the middle: what that producer sent behind it is a gap."""
    run = commander.create()
    before, behind, others = [], [], []
    for number in range(40):
        payload = "{" if number == 20 else "{}"
        sent = commander.send_produced(run, number, "poisoned", events=[event(CUSTOM, payload)])
        (before if number < 20 else behind).append(sent)
        others.append(commander.send_produced(run, number, "other"))
    assert all(commander.answer(n)["outcome"] == "OK" for n in before + others)
    outcomes = [commander.answer(n) for n in behind]
    assert [o["outcome"] for o in outcomes] == ["REFUSED"] + ["PRODUCER_GAP"] * 19
    assert {o["expected"] for o in outcomes[1:]} == {20}
    assert standing(box, run, "poisoned") == (0, 19) and standing(box, run, "other") == (0, 39)
    assert commander.produce(run, 20, "poisoned")["outcome"] == "OK"


def test_an_append_in_order_asks_the_table_for_nothing(own_box):
    """With the reading connection's backend frozen, known producers go on; only a new one has to wait."""
    box = own_box()
    with Commander(box) as commander:
        run = commander.create()
        commander.produce(run, 0)
        reader = box.database().value(
            "select pid from pg_stat_activity where usename = 'signalbox_sequencer' and pid not in"
            " (select backend_pid from shards)"
        )
        frozen = Process.of(reader)
        frozen.signal(signal.SIGSTOP)
        try:
            for number in range(1, 30):
                assert seqs(commander.produce(run, number)) == ("OK", number + 2, number + 2, False)
            assert commander.produce(run, 40)["outcome"] == "PRODUCER_GAP"
            assert commander.produce(run, 28)["duplicate"]
            waiting = commander.send_produced(run, 0, "new")
            with pytest.raises(WaitTimeout):
                commander.answer(waiting, 1)
        finally:
            frozen.signal(signal.SIGCONT)
        assert commander.answer(waiting)["outcome"] == "OK"


def test_memory_is_bounded_and_the_table_knows_the_rest(own_box):
    """More producers than are kept in memory: each is found again in the table."""
    box = own_box({"sequencer.producers_cached": 16, "sequencer.queue": 16, "sequencer.batch_rows": 1})
    with Commander(box) as commander:
        run = commander.create()
        names = [f"p{n}" for n in range(120)]
        for number in (0, 1):
            for name in names:
                assert commander.produce(run, number, name)["outcome"] == "OK"
        for name in names:
            answer = commander.produce(run, 0, name)
            assert answer["outcome"] == "OK" and answer["duplicate"], (name, answer)
        assert len(box.database().events(run)) == 241


def test_a_restart_forgets_nothing(own_box):
    box = own_box()
    with Commander(box) as commander:
        run = commander.create()
        for number in range(3):
            commander.produce(run, number, epoch=1)
        box.kill_and_wait("sequencer-1")
        assert seqs(commander.produce(run, 1, epoch=1)) == ("OK", 3, 3, True)
        assert commander.produce(run, 5, epoch=1)["expected"] == 3
        assert commander.produce(run, 0, epoch=0)["expected"] == 1
        assert seqs(commander.produce(run, 3, epoch=1)) == ("OK", 5, 5, False)


POINTS = ["sequencer_after_receive", "sequencer_before_commit", "sequencer_after_send", "sequencer_after_commit",
          "sequencer_half_answered", "sequencer_after_ack", "sequencer_after_publish"]  # fmt: skip


@needs_faults
@pytest.mark.requirement("R044", "I9")
def test_a_death_between_any_two_steps_stores_each_number_once(own_box):
    """The sender asks again under the same command number, and a second one sends the same append anew."""
    box = own_box({"restart.late_deaths": 1000, "restart.total_deaths": 10000}, faults=True)
    with Commander(box) as commander, Commander(box) as second:
        run = commander.create()
        for number, point in enumerate(POINTS):
            generation = box.settled("sequencer-1")["generation"]
            box.allow_restart("sequencer-1")
            box.faults.order(point, "kill")
            got = commander.produce(run, number)
            assert (got["outcome"], got["first_seq"], got["last_seq"]) == ("OK", number + 2, number + 2)
            box.faults.obeyed(point)
            box.actor_ready("sequencer-1", generation)
            assert seqs(second.produce(run, number)) == ("OK", number + 2, number + 2, True)
        assert standing(box, run) == (0, len(POINTS) - 1)
        assert len(box.database().events(run)) == len(POINTS) + 1


@needs_faults
@pytest.mark.requirement("I9")
def test_an_outcome_that_stays_unknown_is_found_in_the_table(own_box):
    """The sequencer's session is cut while it commits: either way, the number is stored once."""
    box = own_box({"restart.late_deaths": 1000, "restart.total_deaths": 10000}, faults=True)
    box.allow_error("connection|terminat|database|postgres")
    with Commander(box) as commander:
        run = commander.create()
        for number in range(6):
            box.faults.order("sequencer_after_send", "sleep 300")
            sent = commander.send_produced(run, number)
            commander.until(lambda: not box.faults.pending("sequencer_after_send"), "the append to be sent")
            box.database().execute("select pg_terminate_backend(backend_pid) from shards", role="sequencer")
            got = commander.answer(sent, 20)
            assert (got["outcome"], got["first_seq"]) == ("OK", number + 2)
            assert seqs(commander.produce(run, number)) == ("OK", number + 2, number + 2, True)


def test_a_fenced_sequencer_moves_no_producer(own_box):
    box = own_box()
    with Commander(box) as commander:
        run = commander.create()
        commander.produce(run, 0)
        box.allow_error("epoch|fenced")
        box.allow_restart("sequencer-1", None)
        before = box.actor("sequencer-1")
        host = box.database().value("select host from shards where shard = 0")
        box.database().execute("select acquire_epoch(0, 'thief', %s, 5000, null)", host, role="sequencer")
        got = commander.produce(run, 1)
        assert (got["outcome"], got["first_seq"]) == ("OK", 3)
        box.actor_ready("sequencer-1", before["generation"])
        assert standing(box, run) == (0, 1) and len(box.database().events(run)) == 3


def test_random_sends_follow_the_rules(box, commander):
    """Against a model in twenty lines, pipelined, with fixed seed."""
    dice = random.Random(7)
    run = commander.create()
    model, head, wanted = {}, 1, []
    for _ in range(1500):
        name, epoch = dice.choice("abc"), dice.choice((0, 0, 0, 1, 2))
        known = model.get(name)
        number = dice.choice((0, known["last"] + 1, known["last"] + 1, known["last"], known["last"] + 2)) if known else dice.choice((0, 0, 1))  # fmt: skip
        if known and known["epoch"] == epoch and dice.random() < 0.7:
            number = known["last"] + 1
        sent = commander.send_produced(run, number, name, epoch)
        if known is None:
            want = ("OK", head + 1) if number == 0 else ("PRODUCER_GAP", 0)
        elif epoch < known["epoch"]:
            want = ("PRODUCER_FENCED", known["epoch"])
        elif epoch > known["epoch"]:
            want = ("OK", head + 1) if number == 0 else ("PRODUCER_EPOCH", 0)
        elif number <= known["last"]:
            want = ("OK", known["seqs"][number])
        else:
            want = ("OK", head + 1) if number == known["last"] + 1 else ("PRODUCER_GAP", known["last"] + 1)
        if want == ("OK", head + 1):
            head += 1
            if known is None or epoch > known["epoch"]:
                known = model[name] = {"epoch": epoch, "last": 0, "seqs": {}}
            known["last"] = number
            known["seqs"][number] = head
        wanted.append((sent, want))
    for sent, want in wanted:
        got = commander.answer(sent)
        assert (got["outcome"], got["first_seq"] if want[0] == "OK" else got["expected"]) == want
    for name, known in model.items():
        assert standing(box, run, name) == (known["epoch"], known["last"])
    wait_until(lambda: len(box.database().events(run)) == head, "the log")


# ---- direct SQL ----


class Move:
    """Arguments of record_producers: one correct move behind number 1 of producer p, which tests then bend."""

    def __init__(self, box, run):
        self.database = box.database()
        epoch, tenant = self.database.rows("select epoch, tenant_id from shards, run_heads where run_id = %s", run)[0]
        self.arguments = {"epoch": epoch, "run": [run], "tenant": [tenant], "id": ["p"], "old_epoch": [0], "old_seq": [0],
                          "new_epoch": [0], "new_seq": [1]}  # fmt: skip

    def call(self, role="sequencer", **changed):
        with self.database.connect(role) as connection:
            connection.execute(
                "select record_producers(0, %(epoch)s, %(run)s::uuid[], %(tenant)s::uuid[], %(id)s::text[],"
                " %(old_epoch)s::bigint[], %(old_seq)s::bigint[], %(new_epoch)s::bigint[], %(new_seq)s::bigint[])",
                self.arguments | changed,
            )


@pytest.fixture
def produced(box, commander):
    """A run where producer p stands at number 0 of epoch 0, unmoved by the attack."""
    run = commander.create()
    commander.produce(run, 0)
    yield run
    assert standing(box, run) == (0, 0)
    assert commander.produce(run, 1)["first_seq"] == len(box.database().events(run))


@pytest.mark.requirement("I10")
@pytest.mark.parametrize("role", ["api", "sequencer", "streamer", "job_runner", "exporter"])
@pytest.mark.parametrize(
    "statement",
    [
        "update run_producers set last_seq = 9",
        "delete from run_producers",
        "insert into run_producers values (gen_random_uuid(), 'x', gen_random_uuid(), 0, 0)",
        "truncate run_producers",
        "update tenant_usage set events = 0",
        "delete from tenant_usage",
        "insert into tenant_usage select tenant_id, now(), 0, 0, 0, 0 from tenants",
        "update tenant_quotas set events_per_day = 0",
        "delete from tenant_quotas",
    ],
)
def test_no_role_writes_producers_usage_or_quotas(box, role, statement):
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        box.database().execute(statement, role=role)


@pytest.mark.requirement("I10")
@pytest.mark.parametrize("role", ["api", "streamer", "job_runner", "exporter"])
def test_only_the_sequencer_moves_producers_and_usage(box, produced, role):
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        Move(box, produced).call(role)
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        box.database().execute("select record_usage(0, 0, current_date, '{}', '{}', '{}', '{}', '{}')", role=role)
    if role != "api":
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            box.database().execute("select set_tenant_quota(gen_random_uuid(), 0, 0, 0, 0)", role=role)


@pytest.mark.requirement("I10")
@pytest.mark.parametrize(
    "changed",
    [
        {},  # the log has no number 1
        {"new_seq": [0]},
        {"new_seq": [2]},
        {"new_seq": [-1]},
        {"new_seq": [None]},
        {"new_epoch": [1], "new_seq": [0]},
        {"new_epoch": [-1], "new_seq": [0]},
        {"old_seq": [1], "new_seq": [2]},
        {"old_epoch": [None]},
        {"old_epoch": [None], "old_seq": [None], "new_seq": [0]},  # it is known
        {"id": ["q"], "old_epoch": [None], "old_seq": [None], "new_seq": [0]},  # it never appended
        {"id": [None]},
        {"old_seq": [], "new_seq": []},
        {"tenant": ["00000000-0000-0000-0000-000000000001"]},
    ],
)
def test_the_database_believes_no_move_that_the_log_does_not_show(box, produced, changed):
    with pytest.raises(psycopg.Error) as error:
        Move(box, produced).call(**changed)
    assert error.value.sqlstate == "SB002"


@pytest.mark.requirement("I10")
def test_an_old_epoch_moves_no_producer(box, produced):
    move = Move(box, produced)
    for distance in (-1, 1):
        with pytest.raises(psycopg.Error) as error:
            move.call(epoch=move.arguments["epoch"] + distance)
        assert error.value.sqlstate == "SB001"
