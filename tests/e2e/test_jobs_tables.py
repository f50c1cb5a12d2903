"""What the database itself holds about jobs: who may write them, what it verifies, and how it finds them."""

import re
import uuid

import psycopg
import pytest
from e2e.test_statements import statements_of
from harness.database import ROLES
from harness.jobs import Jobs, new_job
from harness.paths import ROOT

SETTINGS = re.search(r'session_settings\[\] =\s*((?:"[^"]*"\s*)+);', (ROOT / "actors/sequencer/sequencer.c").read_text())[1]
TABLES = ("job_records", "job_open", "job_deps", "job_dead")


@pytest.fixture
def bus(box):
    with Jobs(box) as bus:
        yield bus


class AppendJobs:
    """Arguments of append_jobs: of a batch that does nothing, which tests then fill."""

    def __init__(self, database):
        self.database = database
        text = database.value("select pg_get_function_identity_arguments('append_jobs'::regproc)")
        self.types = [tuple(argument.split(" ", 1)) for argument in text.split(", ")]
        epoch, position = database.rows("select epoch, position from shards join shard_positions using (shard)")[0]
        self.arguments = {name: [] for name, _ in self.types} | {
            "p_shard": 0, "p_epoch": epoch, "p_position": position, "p_after": None, "p_ts": "2026-01-01Z"}  # fmt: skip

    def sql(self) -> str:
        return "select id from append_jobs(" + ", ".join(f"%({name})s::{kind}" for name, kind in self.types) + ")"

    def run(self, role="sequencer", **changed):
        with self.database.connect(role) as connection:
            return connection.execute(self.sql(), self.arguments | changed).fetchall()

    def refused(self, sqlstate, **changed):
        with pytest.raises(psycopg.Error) as error:
            self.run(**changed)
        assert error.value.sqlstate == sqlstate, str(error.value)


def deleted(job, claim, token) -> dict:
    return {"d_id": [job], "d_claim": [claim], "d_token": [token]}


def updated(job, claim, token, made=False) -> dict:
    return {"u_id": [job], "u_made": [made], "u_old_claim": [claim], "u_old_token": [token], "u_run_at": ["2026-01-01Z"],
            "u_attempts": [0], "u_claim": [claim + 1], "u_token": [None], "u_worker": [None], "u_lease_ms": [None],
            "u_cancel": [False], "u_last_token": [None], "u_error": [None]}  # fmt: skip


@pytest.mark.requirement("I10", "I12")
def test_a_batch_that_believes_something_else_changes_nothing(box, bus):
    job = bus.enqueue(bus.create())["job"]
    token = bus.claim(job)
    database = box.database()
    kept = "select o, r from job_open o join job_records r using (id) where o.job_id = %s"
    before = database.rows(kept, job)
    number = database.value("select id from job_open where job_id = %s", job)
    call = AppendJobs(database)
    call.refused("SB001", p_epoch=call.arguments["p_epoch"] - 1, **deleted(number, 1, token))
    for claim, held in ((0, token), (2, token), (1, None), (1, uuid.uuid4())):
        call.refused("SB002", **deleted(number, claim, held))
        call.refused("SB002", **updated(number, claim, held))
    call.refused("SB002", **deleted(-1, 1, token))
    call.refused("SB002", **updated(-1, 0, None, made=True))
    call.refused("23505", **updated(number, 1, token, made=True))
    record = {name: [None] for name in call.arguments if name.startswith("r_")}
    call.refused("SB002", **(record | {"r_id": [number], "r_status": [3]}))  # an end without its event
    call.refused("SB002", **(record | {"r_id": [-1]}))
    assert database.rows(kept, job) == before
    for role in ROLES:
        if role != "sequencer":
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                call.run(role)


def fill(connection, count) -> tuple:
    """So many jobs and as many that have ended, each the parent of the next. Returns (tenant, run)."""
    tenant = connection.execute("select tenant_id from tenants limit 1").fetchone()[0]
    run = uuid.uuid4()
    connection.execute("""insert into job_records (id, job_id, tenant_id, run_id, job_key, job_type, queue, max_attempts, status,
            payload, created_at, updated_at, enqueue_seq) select 1000000 + n, gen_random_uuid(), %s,
            case when n <= 5 then %s else gen_random_uuid() end, 'plan:' || n, 't', 'q', 3,
            case when n %% 2 = 0 then 'success' else 'pending' end::job_status, '{}', now(), now(), 1
        from generate_series(1, %s) n""", [tenant, run, 2 * count])  # fmt: skip
    connection.execute("""insert into job_open (id, job_id, tenant_id, run_id, queue, job_type, shard, priority, run_at, deps_left)
        select id, job_id, tenant_id, run_id, queue, job_type, 0, 0, now(), 1 from job_records
         where job_key like 'plan:%%' and status = 'pending'""")
    connection.execute("insert into job_deps select id, id + 2 from job_open where id > 1000000")
    return tenant, run


@pytest.fixture
def filled(box):
    """A connection of the owner with the sequencer's settings, in a transaction that is rolled back, among 40,000 jobs."""
    with box.database().connect(autocommit=False) as connection:
        tenant, run = fill(connection, 20000)
        for name, value in re.findall(r"-c (\w+)=(\w+)", SETTINGS):
            connection.execute(f"set local {name} = '{value}'")
        yield connection, tenant, run
        connection.rollback()


def looks(connection) -> dict:
    """{table: (scans of the whole, rows found by an index)} in this transaction."""
    return {name: (scans, found) for name, scans, found in connection.execute(
        "select relname, seq_scan, coalesce(idx_tup_fetch, 0) from pg_stat_xact_user_tables where relname = any(%s)", [list(TABLES)])}  # fmt: skip


@pytest.mark.requirement("K33")
def test_a_batch_touches_the_rows_it_names_and_no_others(box, filled):
    connection, _, run = filled
    call = AppendJobs(box.database())
    ids = [1000001 + 2 * n for n in range(0, 100, 2)]
    many = len(ids)
    d = {"f_id": ids, "f_ok": [True] * many, "d_id": ids, "d_claim": [0] * many, "d_token": [None] * many}
    r = {name: [None] * many for name in call.arguments if name.startswith("r_")}
    r |= {"r_id": ids, "r_status": [3] * many, "r_finished": [7] * many, "r_partial": [False] * many}
    others = [id + 1000 for id in ids]
    u = {name: value * many for name, value in updated(0, 0, None).items()} | {"u_id": others}
    before = looks(connection)
    children = connection.execute(call.sql(), call.arguments | d | r | u).fetchall()
    after = looks(connection)
    assert sorted(row[0] for row in children) == [id + 2 for id in ids]
    for table in TABLES:
        scans, found = (now - then for now, then in zip(after.get(table, (0, 0)), before.get(table, (0, 0))))
        assert scans == 0, f"{table} was scanned"
        assert found <= 12 * many, f"{found} rows of {table} for {many} jobs"


@pytest.mark.requirement("K33")
@pytest.mark.parametrize("part", ["job_id = any($1::uuid[])", "j.run_id = any", "from job_pruned"])
def test_jobs_are_found_without_a_scan_or_a_sort(box, filled, part):
    connection, tenant, run = filled
    statement = next(text for text in statements_of("actors/sequencer/store.c")
                     if part in text and ("job_memory" in text or "job_pruned" in text))  # fmt: skip
    connection.execute("prepare looked_at as " + statement)
    count = max(map(int, re.findall(r"\$(\d+)", statement)))
    plan = "\n".join(row[0] for row in connection.execute(f"explain execute looked_at({', '.join(['null'] * count)})"))
    connection.execute("deallocate looked_at")
    assert not re.search(r"Seq Scan on (job|run)", plan), plan
    assert "Sort" not in plan, plan
