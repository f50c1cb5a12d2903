"""Forks: a new run that begins with the first events of another."""

import hashlib
import json
import secrets
import uuid

import psycopg
import pytest
from harness.commander import CUSTOM, FINISHED, Commander, event
from harness.feeds import TENANT_FEED, open_feed, take, thread_feed, truth
from harness.paths import fault_bin_dir
from harness.waiting import wait_until
from harness.tenant import Tenant

needs_faults = pytest.mark.skipif(
    not (fault_bin_dir() / "signalbox-sequencer").exists(), reason="needs a build with fault points"
)
CANCEL_REQUESTED, NEEDED, ANSWERED = 21, 29, 30
COPIED = "seq, event_type::text, schema_version, payload::text, actor, ts, duration_ms"


@pytest.fixture
def commander(box):
    with Commander(box) as one:
        yield one


@pytest.fixture
def source(commander):
    """A run of ten events, with keys, a producer, actors and odd bytes."""
    run = commander.create(thread=uuid.uuid4())
    for number in range(3):
        commander.append(run, f'{{"n":{number}.0,  "é":"\\u0041 {"x" * number}"}}', key=f"k{number}", hash=bytes(32), actor="me")
    commander.append(run, events=[event(CUSTOM)] * 3)
    for number in range(3):
        commander.produce(run, number)
    return run


def send_fork(commander, source, seq, run=None, **fields) -> int:
    return commander.send("FORK_RUN", run=run or uuid.uuid4(), source=source, seq=seq, **fields)


def fork(commander, source, seq, run=None, **fields) -> dict:
    return commander.answer(send_fork(commander, source, seq, run, **fields))


def copied(box, run, seq) -> list:
    return box.database().rows(f"select {COPIED} from run_events where run_id = %s and seq <= %s order by seq", run, seq)


def told(answer) -> tuple:
    return answer["outcome"], answer["first_seq"], answer["last_seq"], answer["duplicate"]


def question(name, kind=NEEDED, **more) -> dict:
    return event(kind, json.dumps({"clarification_id": name, "question": "?", "response": 1} | more), subject=name)


@pytest.mark.requirement("R006")
@pytest.mark.parametrize("seq", [1, 4, 10])
def test_a_fork_begins_with_the_same_events(box, commander, source, seq):
    answer = fork(commander, source, seq, created_by="somebody")
    run = answer["run"]
    assert told(answer) == ("OK", 1, seq, False) and answer["status"] == 1
    database = box.database()
    assert copied(box, run, 1000) == copied(box, source, seq)
    assert database.rows(
        "select thread_id, metadata, deliverable_type, status, parent_run_id, fork_seq, created_by from runs where run_id = %s", run
    ) == [(*database.rows("select thread_id, metadata, deliverable_type, status from runs where run_id = %s", source)[0],
           uuid.UUID(source), seq, "somebody")]  # fmt: skip
    assert database.value("select count(idempotency_key) from run_events where run_id = %s", run) == 0
    assert database.value("select count(*) from run_producers where run_id = %s", run) == 0
    # Each goes its own way; keys and producers of the source mean nothing here.
    assert commander.append(run, key="k0", hash=bytes(32))["first_seq"] == seq + 1
    assert commander.produce(run, 0)["first_seq"] == seq + 2
    assert commander.append(source)["first_seq"] == 11
    assert commander.finish(run)["last_seq"] == seq + 3
    box.command("verify", run)


def test_what_cannot_be_taken_along(box, commander, source):
    for seq in (0, 11, 2**40, 2**63):
        answer = fork(commander, source, seq)
        assert (answer["outcome"], answer["last_seq"], answer["expected"]) == ("SEQ_BEYOND_HEAD", 10, 0), seq
    commander.finish(source)
    answer = fork(commander, source, 11)
    assert (answer["outcome"], answer["last_seq"]) == ("SEQ_BEYOND_HEAD", 10)
    answer = fork(commander, source, 10)
    assert told(answer) == ("OK", 1, 10, False) and answer["status"] == 1  # running, though the source has ended
    assert commander.append(answer["run"])["outcome"] == "OK"


def test_a_source_that_is_not_there(box, commander, source):
    assert fork(commander, uuid.uuid4(), 1)["outcome"] == "NOT_FOUND"
    run = uuid.uuid4()
    with Tenant(box) as stranger:
        answer = fork(stranger.commander, source, 1, run)
        assert (answer["outcome"], answer["last_seq"], answer["status"]) == ("NOT_FOUND", 0, 0)
        stranger.check_usage()
    assert box.database().rows("select 1 from runs where run_id = %s", run) == []


def test_a_known_id(box, commander, source):
    run = fork(commander, source, 3)["run"]
    again = fork(commander, source, 3, run)
    assert (again["outcome"], again["last_seq"], again["run"]) == ("EXISTS", 3, run)
    assert fork(commander, source, 3, source)["outcome"] == "EXISTS"
    assert commander.do("CREATE_RUN", run=run, metadata="{}", started="{}")["outcome"] == "EXISTS"
    with Tenant(box) as stranger:
        own = stranger.commander.create()
        answer = fork(stranger.commander, own, 1, run)
        assert (answer["outcome"], answer["last_seq"], answer["status"]) == ("ID_TAKEN", 0, 0)


@pytest.mark.requirement("I9")
def test_the_same_key_is_the_same_fork(box, commander, source):
    body = hashlib.sha256(b"body").digest()
    first = fork(commander, source, 3, key="fork", hash=body)
    assert told(first) == ("OK", 1, 3, False)
    commander.append(first["run"])
    again = fork(commander, source, 3, key="fork", hash=body)
    assert told(again) == ("OK", 1, 3, True) and again["run"] == first["run"]
    assert fork(commander, source, 3, key="fork", hash=bytes(32))["outcome"] == "KEY_MISMATCH"
    # The same body for another source, or the same key for a creation, is another request.
    assert fork(commander, first["run"], 3, key="fork", hash=body)["outcome"] == "KEY_MISMATCH"
    made = commander.do("CREATE_RUN", run=uuid.uuid4(), metadata="{}", started="{}", key="fork", hash=bytes(32))
    assert made["outcome"] == "KEY_MISMATCH"
    commander.do("CREATE_RUN", run=uuid.uuid4(), metadata="{}", started="{}", key="made", hash=body)
    assert fork(commander, source, 3, key="made", hash=body)["outcome"] == "KEY_MISMATCH"
    box.kill_and_wait("sequencer-1")
    assert told(fork(commander, source, 3, key="fork", hash=body)) == ("OK", 1, 3, True)


def test_the_status_is_that_of_the_events_taken_along(box, commander):
    run = commander.create()
    commander.append(run, events=[question("q1"), question("q2")])  # 2, 3
    commander.append(run, events=[question("q1", ANSWERED)])  # 4
    commander.append(run, events=[question("q2", ANSWERED)])  # 5
    commander.do("CANCEL_RUN", run=run, payload="{}")  # 6
    wanted = {1: "running", 2: "interrupted", 3: "interrupted", 4: "interrupted", 5: "running", 6: "cancelling"}
    for seq, status in wanted.items():
        forked = fork(commander, run, seq)["run"]
        assert box.database().value("select status::text from runs where run_id = %s", forked) == status, seq
        open_questions = box.database().rows(
            "select clarification_id from run_questions where run_id = %s and answered_seq is null order by 1", forked
        )
        assert open_questions == {2: [("q1",)], 3: [("q1",), ("q2",)], 4: [("q2",)]}.get(seq, [])
        if seq == 3:
            # The copy waits for answers of its own.
            assert commander.append(forked, events=[question("q3", ANSWERED)])["outcome"] == "WRONG_CLARIFICATION"
            for name in ("q1", "q2"):
                answer = commander.do("RESUME_RUN", run=forked, clarification=name, hash=bytes(32),
                                      payload=json.dumps({"clarification_id": name, "response": 1}))  # fmt: skip
                assert answer["outcome"] == "OK", answer
            assert answer["status"] == 1
    box.command("verify")


def test_a_fork_that_was_being_cancelled_is_ended_in_time(own_box):
    box = own_box({"runs.cancel_deadline_ms": 300})
    with Commander(box) as commander:
        run = commander.create()
        commander.do("CANCEL_RUN", run=run, payload="{}")
        forked = fork(commander, run, 2)["run"]
        wait_until(lambda: box.database().events(forked)[-1][1] == "RUN_CANCELLED", "the end of the fork", 10)
        box.command("verify")


def test_forks_of_forks(box, commander, source):
    run = source
    for seq in (10, 8, 3, 3):
        answer = fork(commander, run, seq)
        assert answer["outcome"] == "OK"
        assert copied(box, answer["run"], 99) == copied(box, source, seq)
        run = answer["run"]
    assert box.database().value("select fork_seq from runs where run_id = %s", run) == 3


def test_forks_stand_in_line_with_everything_else(box, commander, source):
    """Pipelined: what was sent before a fork is in it, what comes after finds the new run."""
    sent = []
    for number in range(20):
        head = 11 + number
        run = str(uuid.uuid4())
        sent.append((commander.send_append(source), head, head))
        sent.append((send_fork(commander, source, head + 1), None, head))
        sent.append((send_fork(commander, source, head, run), 1, head))
        sent.append((commander.send_append(run, key="k", hash=bytes(32)), head + 1, head + 1))
        sent.append((commander.send_append(run, key="k", hash=bytes(32)), head + 1, head + 1))
        sent.append((commander.send_produced(run, 0), head + 2, head + 2))
    for number, first, last in sent:
        answer = commander.answer(number)
        if first is None:
            assert (answer["outcome"], answer["last_seq"]) == ("SEQ_BEYOND_HEAD", last)
        else:
            assert (answer["outcome"], answer["first_seq"], answer["last_seq"]) == ("OK", first, last)


def test_readers_get_the_copied_events_and_what_follows(box, client):
    run = client.new_run()
    client.append(run, "CUSTOM", {"name": "test", "value": 1})
    with Commander(box) as commander:
        watched = client.new_run()
        with box.stream(watched) as other:
            assert other.next_event().seq == 1
            forked = fork(commander, run, 2)["run"]
            with box.stream(forked) as stream:
                assert [parts[0] for parts in stream.take(2)] == [1, 2]
                client.append(forked, "CUSTOM", {"name": "test", "value": 2})
                assert stream.next_event().seq == 3
            client.append(watched, "CUSTOM", {"name": "test", "value": 3})
            assert other.next_event().seq == 2
        shown = client.run(forked)
        assert shown["parent_run_id"] == run and shown["status"] == "running"
        box.drained()


def test_feeds_show_the_copied_events_in_their_place(box):
    """No frame carries them: they are read from the table, and what follows does not overtake them."""
    with Tenant(box) as tenant:
        thread = str(uuid.uuid4())
        run = tenant.commander.create(thread=thread)
        tenant.commander.append(run, events=[event(CUSTOM)] * 300)
        for path in (TENANT_FEED, thread_feed(thread)):
            runs = box.database().rows("select run_id::text from runs where tenant_id = %s", tenant.id)
            known = len(truth(box, [row[0] for row in runs]))
            with open_feed(box, path, tenant.key) as stream:
                take(stream, known)
                forked = fork(tenant.commander, run, 301)["run"]
                tenant.commander.append(forked)
                tenant.commander.append(run)
                found = [one for _, one in take(stream, 303)]
            assert found == truth(box, [*(row[0] for row in runs), forked])[-303:]


def test_usage_counts_the_run_and_not_the_copies(box):
    with Tenant(box) as tenant:
        run = tenant.commander.create()
        tenant.commander.append(run, events=[event(CUSTOM)] * 5)
        before = tenant.usage()
        forked = fork(tenant.commander, run, 6)["run"]
        assert tenant.usage() == (before[0] + 1, before[1], before[2], before[3] + 1)
        tenant.check_usage()
        tenant.commander.append(forked)
        tenant.commander.finish(forked)
        tenant.check_usage()


def test_a_fork_needs_room_for_a_run(own_box):
    box = own_box()
    with Tenant(box, concurrent=2, runs=3) as tenant:
        box.kill_and_wait("sequencer-1")
        run = tenant.commander.create()
        forked = fork(tenant.commander, run, 1, key="k", hash=bytes(32))
        assert forked["outcome"] == "OK"
        answer = fork(tenant.commander, run, 1)
        assert (answer["outcome"], answer["quota"], answer["quota_limit"], answer["quota_used"]) == ("QUOTA", 4, 2, 2)
        # What is no new run is answered as ever.
        assert fork(tenant.commander, run, 1, key="k", hash=bytes(32))["duplicate"]
        assert fork(tenant.commander, run, 7)["outcome"] == "SEQ_BEYOND_HEAD"
        assert fork(tenant.commander, uuid.uuid4(), 1)["outcome"] == "NOT_FOUND"
        tenant.commander.finish(forked["run"])
        assert fork(tenant.commander, run, 1)["outcome"] == "OK"
        tenant.commander.finish(run)
        assert fork(tenant.commander, run, 1)["quota"] == 1
        tenant.check_usage()


def test_what_a_fork_may_take_along_is_bounded(own_box):
    box = own_box({"runs.fork_events_max": 50, "runs.fork_bytes_max": 20000})
    with Commander(box) as commander:
        run = commander.create()
        for _ in range(6):
            commander.append(run, events=[event(CUSTOM)] * 10)
        answer = fork(commander, run, 51)
        assert (answer["outcome"], answer["last_seq"], answer["expected"]) == ("SEQ_BEYOND_HEAD", 50, 1)
        assert fork(commander, run, 50)["outcome"] == "OK"
        large = commander.create()
        for _ in range(5):
            commander.append(large, json.dumps({"text": secrets.token_hex(5000)}))
        answer = fork(commander, large, 6)
        assert answer["outcome"] == "SEQ_BEYOND_HEAD" and answer["expected"] == 1 and 1 <= answer["last_seq"] < 6
        assert fork(commander, large, answer["last_seq"])["outcome"] == "OK"


FORK_POINTS = ["sequencer_fork_before", "sequencer_fork_sent", "sequencer_fork_committed"]


@needs_faults
@pytest.mark.requirement("R044", "I9")
@pytest.mark.parametrize("key", ["", "k"], ids=["without key", "with key"])
def test_a_death_at_any_step_forks_once(own_box, key):
    box = own_box({"restart.late_deaths": 1000, "restart.total_deaths": 10000}, faults=True)
    hash_of = hashlib.sha256(b"body").digest() if key else b""
    with Tenant(box) as tenant:
        commander = tenant.commander
        source = commander.create()
        commander.append(source, events=[event(CUSTOM)] * 5)
        for number, point in enumerate(["sequencer_after_receive", *FORK_POINTS]):
            run, name = uuid.uuid4(), key and f"{key}{number}"
            generation = box.settled("sequencer-1")["generation"]
            box.allow_restart("sequencer-1")
            box.faults.order(point, "kill")
            answer = fork(commander, source, 4, run, key=name, hash=hash_of)
            assert (answer["outcome"], answer["first_seq"], answer["last_seq"], answer["run"]) == ("OK", 1, 4, str(run))
            box.faults.obeyed(point)
            box.actor_ready("sequencer-1", generation)
            assert commander.append(run)["first_seq"] == 5
            again = fork(commander, source, 4, run, key=name, hash=hash_of)
            assert told(again) == (("OK", 1, 4, True) if key else ("EXISTS", 0, 5, False))
            tenant.check_usage()
        assert box.database().value("select count(*) from runs where parent_run_id = %s", source) == 1 + len(FORK_POINTS)
        box.command("verify")


@needs_faults
@pytest.mark.requirement("I9")
def test_a_connection_lost_in_the_middle_of_a_fork(own_box):
    box = own_box({"restart.late_deaths": 1000, "restart.total_deaths": 10000}, faults=True)
    box.allow_error("connection|terminat|database|postgres")
    with Commander(box) as commander:
        source = commander.create()
        for _ in range(4):
            box.faults.order("sequencer_fork_sent", "sleep 300")
            sent = send_fork(commander, source, 1)
            commander.until(lambda: not box.faults.pending("sequencer_fork_sent"), "the fork to be sent")
            box.database().execute("select pg_terminate_backend(backend_pid) from shards", role="sequencer")
            answer = commander.answer(sent, 20)
            assert (answer["outcome"], answer["last_seq"]) == ("OK", 1)
        assert box.database().value("select count(*) from runs where parent_run_id = %s", source) == 4
        box.command("verify")


# ---- direct SQL ----


def by_hand(box, source, run=None, role="sequencer", **changed):
    database = box.database()
    epoch, position, tenant = database.rows(
        "select epoch, position, tenant_id from shards join shard_positions using (shard), run_heads where run_id = %s", source
    )[0]
    given = {"epoch": epoch, "position": position, "tenant": tenant, "run": run or uuid.uuid4(), "source": source, "seq": 3} | changed
    return database.rows(
        "select outcome, last_seq from fork_run(0, %s, %s, now(), 1000, %s, %s, %s, %s, '', null, null, 7, 7, true, 1, 100, 100000)",
        *given.values(), role=role,
    )  # fmt: skip


@pytest.mark.requirement("I10")
def test_forks_by_hand_obey_the_same_rules(box, commander, source):
    database = box.database()
    epoch, position = database.rows("select epoch, position from shards join shard_positions using (shard)")[0]
    for changed, state in (({"epoch": epoch - 1}, "SB001"), ({"epoch": epoch + 1}, "SB001"),
                           ({"position": position + 1}, "SB002"), ({"position": position - 1}, "SB002")):  # fmt: skip
        with pytest.raises(psycopg.Error) as error:
            by_hand(box, source, **changed)
        assert error.value.sqlstate == state
    assert by_hand(box, source, seq=11) == [("beyond", 10)]
    assert by_hand(box, source, seq=-1) == [("beyond", 10)]
    assert by_hand(box, source, tenant=uuid.uuid4()) == [("not_found", 0)]
    assert by_hand(box, source, source) == [("exists", 10)]
    for role in ("api", "streamer", "job_runner", "exporter"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            by_hand(box, source, role=role)
    assert commander.append(source)["first_seq"] == 11


def test_verify_finds_a_fork_that_is_not_its_source(own_box):
    box = own_box()
    with Commander(box) as commander:
        source = commander.create()
        commander.append(source, events=[event(CUSTOM)] * 3)
        run = fork(commander, source, 3)["run"]
        commander.produce(run, 0)
        box.command("verify")
        box.drained()
        database = box.database()
        for broken, repaired in (
            ("update run_events set payload = '{\"other\":1}' where run_id = %s and seq = 2",
             "update run_events set payload = '{}' where run_id = %s and seq = 2"),
            ("update run_producers set last_seq = 1 where run_id = %s", "update run_producers set last_seq = 0 where run_id = %s"),
        ):  # fmt: skip
            database.execute(broken, run)
            result = box.command("verify", check=False)
            assert result.returncode == 1 and run in result.stdout, result.stdout
            assert box.command("verify", run, check=False).returncode == 1
            assert box.command("verify", source, check=False).returncode == 0
            database.execute(repaired, run)
            box.command("verify")
        for column in ("runs", "events", "active_runs"):
            database.execute(f"update tenant_usage set {column} = {column} + 1")
            assert "usage" in box.command("verify", check=False).stdout
            database.execute(f"update tenant_usage set {column} = {column} - 1")
        box.command("verify")
