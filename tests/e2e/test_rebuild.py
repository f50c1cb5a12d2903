"""`signalbox rebuild`: the tables that follow from the log are what the log says, and one that is not is named."""

import json
import threading

import pytest
from harness.client import custom, random_id
from harness.waiting import wait_until

pytestmark = pytest.mark.any_database


def rebuild(box, code=0):
    """(differences, sum)"""
    result = box.command("rebuild", "--json", check=False, timeout=90)
    assert result.returncode == code, (result.returncode, result.stdout, result.stderr)
    *differences, total = [json.loads(line) for line in result.stdout.splitlines()]
    assert total["differences"] == len(differences)
    return differences, total


@pytest.mark.requirement("R032")
def test_a_worked_log_rebuilds_identically(box, client):
    ends = ["RUN_FINISHED", "RUN_FAILED", "RUN_CANCELLED", None]
    for number in range(12):
        run_id = client.new_run()
        client.append_many(run_id, [custom(n) for n in range(number)] or [custom(0)])
        if ends[number % 4]:
            client.append(run_id, ends[number % 4], {})
    _, total = rebuild(box)
    database = box.database()
    assert total["runs"] == database.value("select count(*) from runs")
    assert total["events"] == database.value("select count(*) from run_events") >= 12
    assert "0 differences" in box.command("rebuild").stdout


def needed(question, **more):
    return {"type": "CLARIFICATION_NEEDED", "payload": {"clarification_id": question, "question": "?"} | more}


def answered(question):
    return {"type": "CLARIFICATION_ANSWERED", "payload": {"clarification_id": question, "response": "x"}}


LIVES = [
    ("running", []),
    ("interrupted", [needed("a")]),
    ("interrupted", [needed("a"), needed("b", expires_at="2126-01-01T00:00:00.000000Z"), answered("a")]),
    ("running", [needed("a"), needed("b"), answered("b"), answered("a")]),
    ("interrupted", [needed("a"), answered("a"), needed("b")]),
    ("interrupted", [{"type": "RUN_INTERRUPTED", "payload": {}}]),
    ("running", [{"type": "RUN_INTERRUPTED", "payload": {}}, {"type": "RUN_RESUMED", "payload": {}}]),
    ("cancelling", [needed("a"), {"type": "RUN_CANCEL_REQUESTED", "payload": {"by": "test"}}]),
    ("cancelled", [{"type": "RUN_CANCEL_REQUESTED", "payload": {"by": "test"}}, {"type": "RUN_CANCELLED", "payload": {}}]),
    ("failed", [needed("a"), {"type": "RUN_FAILED", "payload": {}}]),
]


@pytest.mark.requirement("R029")
def test_every_status_and_every_question_is_rebuilt(own_box):
    box = own_box()
    client = box.client()
    for status, events in LIVES:
        run_id = client.new_run()
        if events:
            client.append_many(run_id, events)
        assert client.run(run_id)["status"] == status, events
    rebuild(box)
    database = box.database()
    assert database.value("select count(*) from run_questions") == 9
    run_id = database.value("select run_id from run_questions where clarification_id = 'b' and expires_at is not null")
    database.execute("update run_questions set answered_seq = 5 where run_id = %s and clarification_id = 'b'", run_id)
    differences, _ = rebuild(box, code=1)
    assert [(d["table"], d["run_id"]) for d in differences] == [("run_questions", str(run_id))]
    assert "question b: answered_seq is 5, the log says empty" in differences[0]["detail"]
    database.execute("delete from run_questions where run_id = %s and clarification_id = 'b'", run_id)
    assert "question b: the row is missing" in rebuild(box, code=1)[0][0]["detail"]


def test_producers_are_rebuilt(own_box):
    box = own_box()
    client = box.client()
    run_id = client.new_run()
    names = ["plain", "with 7 3", "a/b?c=1"]
    for name in names:
        for epoch, seq in ((0, 0), (0, 1), (3, 0), (3, 1), (3, 2)):
            headers = {"Producer-Id": name, "Producer-Epoch": str(epoch), "Producer-Seq": str(seq)}
            answer = client.post(f"/api/v1/runs/{run_id}/events", custom(seq), headers=headers)
            assert answer.status_code == 201, answer.text
    rebuild(box)
    database = box.database()
    found = database.rows("select producer_id, epoch, last_seq from run_producers order by 1")
    assert found == [(name, 3, 2) for name in sorted(names)]
    database.execute("update run_producers set last_seq = 1 where producer_id = 'plain'")
    differences, _ = rebuild(box, code=1)
    assert [(d["table"], d["detail"]) for d in differences] == [
        ("run_producers", "producer plain: last_seq is 1, the log says 2")
    ]
    database.execute("delete from run_producers where producer_id = 'plain'")
    assert "producer plain: the row is missing" in rebuild(box, code=1)[0][0]["detail"]


def test_forks_are_rebuilt(box, client):
    run_id = client.new_run()
    headers = {"Producer-Id": "p", "Producer-Epoch": "0", "Producer-Seq": "0"}
    assert client.post(f"/api/v1/runs/{run_id}/events", custom(1), headers=headers).status_code == 201
    client.append_many(run_id, [needed("a"), answered("a"), needed("b")], key="k")
    client.finish(run_id)
    for seq in (1, 2, 3, 4, 5):
        answer = client.post(f"/api/v1/runs/{run_id}/fork", {"seq": seq})
        assert answer.status_code == 201, answer.text
        client.append(answer.json()["id"], "CUSTOM", custom(2)["payload"])
    rebuild(box)


CORRUPTIONS = {
    "status": ("update runs set status = 'failed' where run_id = %s", "runs", "status is failed, the log says finished"),
    "started_at": ("update runs set started_at = started_at - interval '1 microsecond' where run_id = %s", "runs",
                   "started_at is"),
    "completed_at": ("update runs set completed_at = null where run_id = %s", "runs", "completed_at is empty"),
    "last_seq": ("update run_heads set last_seq = 4 where run_id = %s", "run_heads", "last_seq is 4, the log says 3"),
    "closed": ("update run_heads set closed = false where run_id = %s", "run_heads", "closed is false, the log says true"),
    "row": ("delete from run_heads where run_id = %s", "run_heads", "the row is missing"),
}  # fmt: skip


def test_a_row_changed_by_hand_is_named(own_box):
    """As the owner, who alone can; each change is taken back before the next."""
    box = own_box()
    client = box.client()
    good, bad = client.new_run(), client.new_run()
    for run_id in (good, bad):
        client.append(run_id, "CUSTOM", custom(1)["payload"])
    client.finish(bad)
    box.drained()
    with box.database().connect(autocommit=True) as owner:
        for name, (statement, table, words) in CORRUPTIONS.items():
            for kept in ("runs", "run_heads"):
                owner.execute(f"create table kept_{kept} as select * from {kept} where run_id = %s", [bad])
            owner.execute(statement, [bad])
            differences, _ = rebuild(box, code=1)
            found = [d for d in differences if d["run_id"] == bad and d["table"] == table and words in d["detail"]]
            assert len(found) == 1 and len(differences) == 1, (name, differences)
            assert bad in box.command("rebuild", check=False).stdout
            with owner.transaction():
                owner.execute("delete from run_heads where run_id = %s", [bad])
                owner.execute("insert into run_heads select * from kept_run_heads")
                owner.execute("update runs r set (status, started_at, completed_at) ="
                              " (select k.status, k.started_at, k.completed_at from kept_runs k) where run_id = %s", [bad])
            owner.execute("drop table kept_runs, kept_run_heads")
            rebuild(box)


def test_it_runs_beside_writers_without_stopping_them(box, client):
    stop, appended, wrong = threading.Event(), [], []

    def grows_during(work):
        before = len(appended)
        work()
        return len(appended) > before

    def write():
        try:
            while not stop.is_set():
                run_id = client.new_run()
                client.append_many(run_id, [custom(n) for n in range(20)])
                client.finish(run_id)
                appended.append(run_id)
        except AssertionError as error:
            wrong.append(error)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        wait_until(lambda: grows_during(lambda: rebuild(box)), "runs that end while one rebuild works", 60)
    finally:
        stop.set()
        writer.join()
    assert not wrong


def test_more_runs_than_one_part(own_box):
    """Parts are 5,000 runs: a fault in each of the first, the middle and the last one is found."""
    box = own_box()
    client = box.client()
    client.new_run()
    box.drained()
    with box.database().connect() as owner:
        owner.execute(
            "with made as (insert into runs (run_id, tenant_id, status, created_at, started_at)"
            "  select gen_random_uuid(), tenant_id, 'running', now(), now() from runs, generate_series(1, 12000)"
            "  returning run_id, tenant_id, started_at),"
            " heads as (insert into run_heads select run_id, tenant_id, 1, false from made)"
            " insert into run_events (tenant_id, run_id, seq, position, event_type, payload, ts)"
            " select tenant_id, run_id, 1, 1 + row_number() over (), 'RUN_STARTED', '{}', started_at from made")
        _, total = rebuild(box)
        assert total["runs"] == 12001
        victims = [str(row[0]) for row in owner.execute(
            "select run_id from (select run_id, row_number() over (order by run_id) as n from runs) r"
            " where n in (1, 5000, 5001, 7000, 12001)")]
        owner.execute("update runs set status = 'interrupted' where run_id = any(%s::uuid[])", [victims])
        differences, _ = rebuild(box, code=1)
        assert sorted(d["run_id"] for d in differences) == sorted(victims)
        owner.execute("update runs set status = 'running'")
        owner.execute("update shard_positions set position = (select max(position) from run_events)")


def test_exit_codes(box, own_box):
    assert own_box(started=False).command("rebuild", check=False).returncode == 3
    assert box.command("rebuild", random_id(), check=False).returncode == 2
