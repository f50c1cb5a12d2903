"""The database refuses everyone but the sequencer of the current epoch, whoever asks and how."""

import uuid

import psycopg
import pytest
from harness.client import custom
from harness.database import ROLES

READERS = [role for role in ROLES]
RUN_TABLES = ("runs", "run_heads", "run_events", "run_questions", "job_records", "job_open", "job_deps", "job_dead", "job_pruned")
SHARD_TABLES = ("shards", "shard_positions", "outbox_cursors", "origins")

def arguments_of(database) -> list:
    """[(name, type)] of append_batch as it is in the database."""
    text = database.value("select pg_get_function_identity_arguments('append_batch'::regproc)")
    return [tuple(argument.split(" ", 1)) for argument in text.split(", ")]


class Batch:
    """Arguments of append_batch: a correct batch of one event, which tests then bend."""

    def __init__(self, database, run_id, seqs=None, kinds=None):
        self.database = database
        self.types = arguments_of(database)
        epoch, position = database.rows("select epoch, position from shards join shard_positions using (shard)")[0]
        tenant, head = database.rows("select tenant_id, last_seq from run_heads where run_id = %s", run_id)[0]
        seqs = seqs or [head + 1]
        kinds = kinds or ["CUSTOM"] * len(seqs)
        none = [None] * len(seqs)
        self.kinds = database.value("select enum_range(null::run_event_type)::text[]")
        self.arguments = {name: [] for name, _ in self.types}
        self.arguments |= {
            "p_shard": 0, "p_epoch": epoch, "p_position": position, "p_cancel_ms": None,
            "h_run": [run_id], "h_tenant": [tenant], "h_old": [head], "h_new": [head + len(seqs)],
            "h_closed": [False], "e_head": [1] * len(seqs), "e_seq": seqs, "e_type": [self.number(kind) for kind in kinds],
            "e_payload": ['{"name":"attack","value":1}'] * len(seqs), "e_ts": ["2026-01-01Z"] * len(seqs),
            "e_actor": none, "e_key": none, "e_hash": none, "e_events": none, "e_origin": none, "e_no": none,
            "e_trace": none, "e_dedup": None,
        }  # fmt: skip

    def number(self, kind) -> int:
        """Event types travel as their 1-based place in the enum."""
        return self.kinds.index(kind) + 1

    def call(self) -> str:
        return ", ".join(f"%({name})s::{kind}" for name, kind in self.types)

    def run(self, role="sequencer", **changed):
        with self.database.connect(role) as connection:
            connection.execute(f"select append_batch({self.call()})", self.arguments | changed)


@pytest.fixture
def database(box):
    return box.database()


@pytest.fixture
def unchanged(client, run_id, database):
    """The run has two events before and after the attack."""
    client.append(run_id, "CUSTOM", custom(1)["payload"])
    before = database.events(run_id)
    yield run_id
    assert database.events(run_id) == before
    assert client.run(run_id)["last_seq"] == 2
    assert client.append(run_id, "CUSTOM", custom(2)["payload"])["first_seq"] == 3


INSERT = """insert into run_events (tenant_id, run_id, seq, position, event_type, payload, ts)
            select tenant_id, run_id, 3, 999999, 'CUSTOM', '{}', now() from run_heads where run_id = %s"""
WRITES = [
    INSERT,
    "update run_events set payload = '{}' where run_id = %s",
    "delete from run_events where run_id = %s",
    "update run_heads set last_seq = last_seq + 1 where run_id = %s",
    "update runs set status = 'failed' where run_id = %s",
    "delete from runs where run_id = %s",
    "update runs set wake_at = null where run_id = %s",
    "insert into run_questions values (%s, 'q', gen_random_uuid(), 3)",
    "update run_questions set answered_seq = 1 where run_id = %s",
    "update job_records set status = 'success' where run_id = %s",
    "update job_open set token = null where run_id = %s",
    "delete from job_open where run_id = %s",
    "insert into job_deps select 1, id from job_records where run_id = %s",
    "delete from job_dead where id in (select id from job_records where run_id = %s)",
    "insert into job_pruned select tenant_id, job_key, job_id, status from job_records where run_id = %s",
]


@pytest.mark.requirement("R028", "I10")
@pytest.mark.parametrize("role", READERS)
@pytest.mark.parametrize("statement", WRITES, ids=lambda s: " ".join(s.split()[:3]))
def test_no_role_writes_run_state(database, unchanged, role, statement):
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        database.execute(statement, unchanged, role=role)


@pytest.mark.parametrize("role", READERS)
@pytest.mark.parametrize("table", RUN_TABLES + SHARD_TABLES)
def test_no_role_truncates_copies_or_alters(database, role, table):
    for statement in (f"truncate {table}", f"drop table {table}", f"alter table {table} disable trigger all",
                      f"copy {table} from stdin", f"lock table {table} in exclusive mode"):  # fmt: skip
        with pytest.raises(psycopg.Error):
            database.execute(statement, role=role)


@pytest.mark.parametrize("role", READERS)
def test_no_role_writes_the_epoch_itself(database, role):
    for statement in ("update shards set epoch = epoch + 1", "update shard_positions set position = 0",
                      "update outbox_cursors set position = 0", "insert into origins values (1, 1, now())"):  # fmt: skip
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            database.execute(statement, role=role)


@pytest.mark.requirement("I10")
@pytest.mark.parametrize("role", [role for role in READERS if role != "sequencer"])
def test_only_the_sequencer_may_call_its_functions(database, unchanged, role):
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        Batch(database, unchanged).run(role)
    for call in ("acquire_epoch(0, 'x', 'x', 1000, null)", "reschedule_runs(0, 1, null, null, null)",
                 "apply_lifecycle(1, null, null, null, null, null, null)", "renew_lease(0, 1, 1000)", "advance_outbox(0, 1, 'bus', 0)"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            database.execute(f"select {call}", role=role)


def refused(batch, sqlstate, **changed):
    with pytest.raises(psycopg.Error) as error:
        batch.run(**changed)
    assert sqlstate is None or error.value.sqlstate == sqlstate, (error.value.sqlstate, str(error.value))


@pytest.mark.requirement("I10")
def test_a_trace_belongs_to_the_first_event_of_a_command(database, unchanged):
    refused(Batch(database, unchanged), "SB002", e_trace=[str(uuid.uuid4())])


@pytest.mark.requirement("I10")
@pytest.mark.parametrize("distance", [-1, 1, -1000])
def test_an_epoch_that_is_not_the_current_one_is_fenced(database, unchanged, distance):
    batch = Batch(database, unchanged)
    refused(batch, "SB001", p_epoch=batch.arguments["p_epoch"] + distance)
    with pytest.raises(psycopg.Error) as error:
        database.execute("select renew_lease(0, %s, 1000)", batch.arguments["p_epoch"] + distance, role="sequencer")
    assert error.value.sqlstate == "SB001"


@pytest.mark.requirement("R025", "R026", "I2")
def test_the_database_keeps_logs_dense_against_the_sequencer_itself(database, unchanged):
    """Last seq is 2. Whatever a wrong sequencer sends, holes and doubles do not get in."""
    for seqs in ([4], [2], [1], [0], [-1], [3, 5], [3, 3], [4, 5], [3, 4, 6]):
        refused(Batch(database, unchanged, seqs), None)
    batch = Batch(database, unchanged)
    for changed in ({"h_old": [1]}, {"h_old": [3]}, {"h_new": [2]}, {"h_new": [4]}, {"h_old": [1], "h_new": [2]},
                    {"h_run": [uuid.uuid4()]}, {"h_tenant": [uuid.uuid4()]}, {"e_head": [2]}, {"e_head": [0]},
                    {"h_run": [], "h_tenant": [], "h_old": [], "h_new": [], "h_closed": []},
                    {"e_seq": [], "e_head": [], "e_type": [], "e_payload": [], "e_ts": []}):  # fmt: skip
        refused(batch, None, **changed)


def test_positions_stay_dense(database, unchanged):
    batch = Batch(database, unchanged)
    for distance in (-1, 1, 100):
        refused(batch, "SB002", p_position=batch.arguments["p_position"] + distance)


@pytest.mark.requirement("I11")
def test_closed_runs_stay_closed(client, database):
    run_id = client.new_run()
    client.finish(run_id)
    refused(Batch(database, run_id), "SB002")
    refused(Batch(database, run_id, kinds=["RUN_FAILED"]), "SB002", h_closed=[True])
    assert client.run(run_id)["last_seq"] == 2


def test_endings_and_the_closed_mark_go_together(database, unchanged):
    refused(Batch(database, unchanged, kinds=["RUN_FINISHED"]), "SB002")
    refused(Batch(database, unchanged), "SB002", h_closed=[True])
    refused(Batch(database, unchanged, [3, 4], ["RUN_FINISHED", "CUSTOM"]), "SB002", h_closed=[True])


@pytest.mark.requirement("R019", "R004")
def test_values_outside_their_sets_are_refused(database, unchanged):
    batch = Batch(database, unchanged)
    for changed in ({"e_type": [0]}, {"e_type": [-1]}, {"e_type": [len(batch.kinds) + 1]}, {"e_type": [None]}, {"e_payload": ["{"]},
                    {"e_payload": [None]}):  # fmt: skip
        refused(batch, None, **changed)


@pytest.mark.requirement("R025", "I2")
def test_events_of_a_run_lie_in_the_order_of_their_seqs(database, unchanged):
    refused(Batch(database, unchanged, [4, 3]), "SB002")
    refused(Batch(database, unchanged, [3, 5, 4]), "SB002")


@pytest.mark.requirement("I10")
@pytest.mark.parametrize(
    "changed",
    [
        {"h_old": [2, 1], "h_new": [5, 0], "e_seq": [3, 5]},  # a head that goes back pays for a hole
        {"h_old": [2, 1], "h_new": [3, 1]},  # a head that does not move
        {"h_old": [2, 1], "h_new": [3, 1], "h_closed": [False, True]},  # closed without an event
        {"h_old": [2, 1, 9], "h_new": [5, 2, 8], "e_seq": [3, 5, 2], "e_head": [1, 1, 2]},
        {"h_old": [2, 1], "h_new": "[0:1]={3,2}"},
        {"h_run": "[0:1]", "h_old": [2, 1], "h_new": [3, 2]},
        {"h_old": [2, 1], "h_new": [3, 2], "h_closed": "[0:2]={t,f,f}"},
        {"h_old": [2, 1], "h_new": [3, 2], "h_closed": [None, False]},
        {"h_old": [2, 1], "h_new": [3, None]},
        {"h_old": [2, 1], "h_new": [3, 2], "e_head": "[0:2]={2,1,2}"},
        {"h_old": [2, 1], "h_new": [3, 2], "e_head": [1, None]},
        {"h_old": [2, 1], "h_new": [3, 2], "e_head": [[1], [2]]},
        {"h_old": [2, 1], "h_new": [3, 2], "e_seq": [3, None]},
    ],
)
def test_arrays_that_do_not_fit_each_other_are_refused(client, database, unchanged, changed):
    """Two runs, at seq 2 and 1, touched by one batch."""
    other = client.new_run()
    batch = Batch(database, unchanged, [3, 2])
    tenant = batch.arguments["h_tenant"][0]
    two = {"h_run": [unchanged, other], "h_tenant": [tenant, tenant], "h_closed": [False, False], "e_head": [1, 2]}
    if changed.get("h_run"):
        changed = changed | {"h_run": f"[0:1]={{{unchanged},{other}}}"}
    many = len(changed.get("e_seq", [3, 2]))
    per_event = {name: [batch.arguments[name][0]] * many for name in batch.arguments if name.startswith("e_") and batch.arguments[name]}
    refused(batch, "SB002", **(per_event | {"e_seq": [3, 2]} | two | changed))
    assert client.run(other)["last_seq"] == 1


def test_a_batch_without_events_is_refused(database, unchanged):
    nothing = {name: [] for name in ("e_head", "e_seq", "e_type", "e_payload", "e_ts", "e_actor", "e_key", "e_hash")}
    for closed in (True, False):
        refused(Batch(database, unchanged), "SB002", h_new=[2], h_closed=[closed], **nothing)
    refused(Batch(database, unchanged), "SB002", h_run=[], h_tenant=[], h_old=[], h_new=[], h_closed=[], **nothing)


@pytest.mark.requirement("R019")
def test_a_run_starts_with_run_started_and_only_there(database, unchanged):
    refused(Batch(database, unchanged, kinds=["RUN_STARTED"]), "SB002")
    batch = Batch(database, unchanged, [1])
    run_id = uuid.uuid4()
    tenant = batch.arguments["h_tenant"]
    created = {"c_run": [run_id], "c_tenant": tenant, "c_thread": [None], "c_parent": [None], "c_metadata": ["{}"],
               "c_by": [""], "c_ts": ["2026-01-01Z"], "c_key": [None], "c_hash": [None]}  # fmt: skip
    started = {"h_run": [run_id], "h_old": [0], "h_new": [1], "e_type": [1]}
    refused(batch, "SB002", **(created | started | {"e_type": [17]}))
    refused(batch, "SB002", **started)  # no such run
    refused(Batch(database, unchanged), "SB002", **created)  # no event for it
    assert database.rows("select run_id from runs where run_id = %s", run_id) == []


LIFECYCLE = ("RUN_INTERRUPTED", "RUN_RESUMED", "RUN_CANCEL_REQUESTED", "CLARIFICATION_NEEDED", "CLARIFICATION_ANSWERED")


@pytest.mark.requirement("I10")
@pytest.mark.parametrize("kind", LIFECYCLE)
def test_lifecycle_events_cannot_hide(database, unchanged, kind):
    """A batch that holds one must say so, or the status would not follow from the log."""
    refused(Batch(database, unchanged, kinds=[kind]), "SB002")
    refused(Batch(database, unchanged, [3, 4], ["CUSTOM", kind]), "SB002")


@pytest.mark.requirement("I10")
@pytest.mark.parametrize("kinds", [
    ["RUN_STARTED"], ["RUN_RESUMED"], ["RUN_INTERRUPTED", "RUN_RESUMED", "RUN_RESUMED"],
    ["RUN_CANCEL_REQUESTED", "RUN_RESUMED"], ["RUN_FINISHED", "RUN_CANCEL_REQUESTED"], ["RUN_FINISHED", "RUN_FAILED"],
])  # fmt: skip
def test_a_status_that_cannot_follow_is_refused(database, unchanged, kinds):
    seqs = list(range(3, 3 + len(kinds)))
    for closed in (False, True):
        refused(Batch(database, unchanged, seqs, kinds), "SB002", p_cancel_ms=1000, h_closed=[closed])


def test_only_open_questions_are_answered(client, database, unchanged):
    question = ['{"clarification_id":"q","question":"?"}']
    asked = {"p_cancel_ms": 1000, "e_payload": question}
    refused(Batch(database, unchanged, kinds=["CLARIFICATION_ANSWERED"]), "22023", **asked)
    refused(Batch(database, unchanged, kinds=["CLARIFICATION_NEEDED"]), "23502", p_cancel_ms=1000)  # no clarification_id
    twice = Batch(database, unchanged, [3, 4], ["CLARIFICATION_NEEDED"] * 2)
    refused(twice, "23505", p_cancel_ms=1000, e_payload=question * 2)


def created(batch, run_id, **more):
    return {"c_run": [run_id], "c_tenant": batch.arguments["h_tenant"], "c_thread": [None], "c_parent": [None],
            "c_metadata": ["{}"], "c_by": [""], "c_ts": ["2026-01-01Z"], "c_key": [None], "c_hash": [None]} | more  # fmt: skip


@pytest.fixture
def pending(database, unchanged):
    """A run that starts in a thousand years, made by direct SQL."""
    run_id = uuid.uuid4()
    nothing = {name: [] for name in ("h_run", "h_old", "h_new", "h_closed", "e_head", "e_seq", "e_type", "e_payload", "e_ts",
                                     "e_actor", "e_key", "e_hash", "e_events", "e_origin", "e_no")}  # fmt: skip
    batch = Batch(database, unchanged)
    refused(batch, "SB002", **(created(batch, run_id) | nothing))  # pending, and not said
    batch.run(p_cancel_ms=1000, **(created(batch, run_id, c_start=["3026-01-01Z"]) | nothing))
    yield run_id
    database.execute("delete from runs where run_id = %s", run_id)
    database.execute("delete from run_heads where run_id = %s", run_id)


@pytest.mark.requirement("I10")
def test_a_pending_run_only_starts_or_is_cancelled(database, unchanged, pending):
    def attack(seqs, kinds, sqlstate="SB002", **changed):
        refused(Batch(database, pending, seqs, kinds), sqlstate, **changed)

    for kind in ("CUSTOM", "RUN_FINISHED", "RUN_FAILED", "RUN_INTERRUPTED", "RUN_CANCEL_REQUESTED"):
        for closed in (False, True):
            attack([1], [kind], p_cancel_ms=1000, h_closed=[closed])
            attack([1], [kind], h_closed=[closed])
    attack([1], ["RUN_STARTED"])  # not said to be a lifecycle event
    attack([1], ["RUN_CANCELLED"], h_closed=[True])
    attack([1], ["RUN_CANCELLED"], p_cancel_ms=1000)  # and not closed
    attack([1, 2], ["RUN_CANCELLED", "CUSTOM"], p_cancel_ms=1000, h_closed=[True])
    attack([1, 2], ["RUN_STARTED", "RUN_STARTED"], p_cancel_ms=1000)
    other = uuid.uuid4()
    batch = Batch(database, pending, [1], ["RUN_STARTED"])
    refused(batch, "SB002", **created(batch, other))  # the start of one run for the creation of another
    assert database.rows("select status::text, last_seq from runs join run_heads using (run_id) where run_id = %s", pending) == [
        ("pending", 0)
    ]  # fmt: skip


@pytest.mark.requirement("I10")
def test_due_times_move_only_as_they_may(client, database, unchanged, pending):
    """A start can be taken out of the timers, a sign of life only put off; nothing else moves, and only from what it was."""
    epoch = database.value("select epoch from shards")
    start = "3026-01-01Z"

    def move(run, old, new, at=epoch):
        call = "select reschedule_runs(0, %s, array[%s]::uuid[], array[%s]::timestamptz[], array[%s]::timestamptz[])"
        database.execute(call, at, run, old, new, role="sequencer")
        return database.value("select wake_at from runs where run_id = %s", run)

    with pytest.raises(psycopg.Error) as error:
        move(pending, start, None, epoch - 1)
    assert error.value.sqlstate == "SB001"
    assert move(pending, "3026-01-02Z", None) is not None
    assert move(pending, start, "3026-01-03Z").year == 3026
    assert move(unchanged, start, None) is None and move(unchanged, None, start) is None
    assert move(pending, start, None) is None


def test_what_is_kept_of_a_command_is_complete(database, unchanged):
    """The sequencer answers a repeated command from these columns."""
    batch = Batch(database, unchanged)
    for changed in ({"e_origin": [7]}, {"e_no": [7]}, {"e_events": [1]}, {"e_origin": [7], "e_no": [7]},
                    {"e_key": ["k"], "e_events": [1], "e_origin": [7], "e_no": [7]}, {"e_hash": [b"x" * 32]},
                    {"e_key": ["k"], "e_hash": [b"x" * 32]}):  # fmt: skip
        refused(batch, "SB002", **changed)


def test_the_same_key_cannot_be_stored_twice(client, database, unchanged):
    run_id = client.new_run()
    client.append(run_id, "CUSTOM", custom(1)["payload"], key="taken")
    command = {"e_events": [1], "e_origin": [7], "e_no": [7]}
    refused(Batch(database, run_id), "23505", e_key=["taken"], e_hash=[b"x" * 32], **command)


@pytest.mark.requirement("I10", "I12")
def test_the_same_end_of_a_job_cannot_be_stored_twice(database, unchanged):
    refused(Batch(database, unchanged, [3, 4]), "23505", e_dedup=["job:1:1:completed"] * 2)
    refused(Batch(database, unchanged), "SB002", e_dedup=["job:1:1:completed"], e_type=[1])  # as without the key
    refused(Batch(database, unchanged), "SB002", e_dedup=["job:1:1:completed"], e_trace=[str(uuid.uuid4())])


def test_functions_do_not_run_with_the_callers_search_path(box, database, unchanged):
    """A definer function that looked names up in the caller's schemas could be led to other tables."""
    batch = Batch(database, unchanged)
    with database.connect("sequencer", autocommit=False) as connection:
        connection.execute("create temp table shards (shard integer, epoch bigint)")
        connection.execute("insert into shards values (0, 424242)")
        connection.execute("set local search_path = pg_temp, public")
        with pytest.raises(psycopg.Error) as error:
            connection.execute(f"select public.append_batch({batch.call()})", batch.arguments | {"p_epoch": 424242})
        assert error.value.sqlstate == "SB001"
        connection.rollback()


@pytest.mark.parametrize("role", READERS)
def test_roles_are_plain(database, role):
    row = database.rows(
        "select rolsuper, rolcreaterole, rolcreatedb, rolreplication, rolbypassrls from pg_roles where rolname = %s",
        f"signalbox_{role}",
    )[0]
    assert row == (False,) * 5
    assert database.value("select count(*) from pg_auth_members where member = %s::regrole", f"signalbox_{role}") == 0
    with pytest.raises(psycopg.Error):
        database.execute("create table intruder ()", role=role)
    for other in ("signalbox_owner", "signalbox_sequencer"):
        if other != f"signalbox_{role}":
            with pytest.raises(psycopg.Error):
                database.execute(f"set role {other}", role=role)


@pytest.mark.parametrize("role", [role for role in READERS if role not in ("api", "streamer")])
def test_api_keys_are_for_those_who_check_them(database, role):
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        database.rows("select hash from api_keys", role=role)


@pytest.mark.requirement("I10")
def test_a_takeover_waits_for_the_append_in_flight(own_box):
    """The epoch row is locked FOR SHARE inside the append: nobody gets a new epoch between its check and its commit."""
    box = own_box()
    client = box.client()
    run_id = client.new_run()
    database = box.database()
    batch = Batch(database, run_id)
    with database.connect("sequencer", autocommit=False) as writer, database.connect("sequencer") as taker:
        writer.execute(f"select append_batch({batch.call()})", batch.arguments)
        taker.execute("set lock_timeout = '300ms'")
        host = taker.execute("select host from shards where shard = 0").fetchone()[0]
        with pytest.raises(psycopg.errors.LockNotAvailable):
            taker.execute("select acquire_epoch(0, 'thief', %s, 5000, null)", [host])
        writer.rollback()
    assert client.append(run_id, "CUSTOM", custom(1)["payload"])["first_seq"] == 2


@pytest.mark.requirement("I10")
def test_a_stolen_epoch_fences_the_sequencer_and_service_goes_on(own_box):
    """Somebody takes the epoch by hand; the running sequencer must stop, its successor take over."""
    box = own_box()
    client = box.client()
    run_id = client.new_run()
    before = box.actor("sequencer-1")
    box.allow_error("epoch|fenced")
    box.allow_restart("sequencer-1", None)
    host = box.database().value("select host from shards where shard = 0")
    box.database().execute("select acquire_epoch(0, 'thief', %s, 5000, null)", host, role="sequencer")
    got = None
    for _ in range(20):
        answer = client.post_events(run_id, custom(1), key="k")
        if answer.status_code == 201:
            got = answer.json()
            break
        assert answer.status_code == 503, answer.text
    assert got is not None and got["first_seq"] == 2
    after = box.actor_ready("sequencer-1", before["generation"])
    assert after["pid"] != before["pid"]
    assert box.database().value("select owner from shards where shard = 0") != "thief"


@pytest.mark.requirement("I10")
def test_terminating_the_sequencers_session_loses_nothing(own_box):
    box = own_box()
    client = box.client()
    run_id = client.new_run()
    box.allow_error("connection|terminat|database|postgres")
    box.allow_restart("sequencer-1", None)
    for n in range(10):
        box.database().execute("select pg_terminate_backend(backend_pid) from shards", role="sequencer")
        for _ in range(20):
            answer = client.post_events(run_id, custom(n), key=f"k{n}")
            if answer.status_code == 201:
                break
            assert answer.status_code == 503, answer.text
        assert answer.json()["first_seq"] == n + 2
    assert len(client.log(run_id)) == 11
