"""Row-level security and grants, attacked by direct SQL as each role; and that queries of many tenants do not mix."""

import uuid
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from harness.client import custom
from harness.database import ROLES
from harness.keys import first_tenant, make_tenant, stored_hash

GUARDED = ("api", "streamer")
RUN_TABLES = ("runs", "run_heads", "run_events")
REFUSED = psycopg.errors.InsufficientPrivilege  # also what a policy's check raises


class Two:
    """Two tenants with a run each, a key each, a session of the first."""

    def __init__(self, box):
        self.database = box.database()
        self.mine, self.theirs = box.client(make_tenant(box, "mine")), box.client(make_tenant(box, "theirs"))
        self.runs, self.tenants = [], []
        for client in (self.mine, self.theirs):
            run_id = client.new_run()
            client.append(run_id, "CUSTOM", custom("secret")["payload"])
            client.post("/api/v1/session", {})
            self.runs.append(run_id)
            self.tenants.append(client.get("/api/v1/session").json()["tenant_id"])

    def connect(self, role, tenant=0, operator=False):
        """A connection as the actor has it within one of its queries; tenant None: without saying whose."""
        connection = self.database.connect(role)
        if tenant is not None:
            mine = self.tenants[tenant]
            connection.execute("select set_config('signalbox.tenant', %s, false), set_config('signalbox.tenants', %s, false),"
                               " set_config('signalbox.operator', %s, false)", [mine, "{%s}" % mine, "on" if operator else ""])  # fmt: skip
        return connection


@pytest.fixture(scope="module")
def two(shared_server):
    return Two(shared_server)


@pytest.fixture(autouse=True)
def clean(box):
    """Each test ends with the harness's checks."""


def tables_of_tenants(database) -> list:
    return [row[0] for row in database.rows(
        "select c.relname from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attname = 'tenant_id'"
        " where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p') order by 1")]  # fmt: skip


def readable(database, role) -> list:
    return [table for table in tables_of_tenants(database) if database.value(
        "select has_any_column_privilege(%s, %s::regclass, 'select')", f"signalbox_{role}", table)]  # fmt: skip


@pytest.mark.requirement("I15", "R172")
def test_every_table_of_a_tenant_is_guarded(two):
    """A new table with a tenant_id has to say who sees what of it."""
    open_tables = [table for table in tables_of_tenants(two.database)
                   if not two.database.value("select relrowsecurity from pg_class where oid = %s::regclass", table)]  # fmt: skip
    assert open_tables == []
    assert two.database.value("select count(*) from pg_roles where rolname like 'signalbox_%%' and rolname <> 'signalbox_owner'"
                              " and (rolbypassrls or rolsuper)") == 0  # fmt: skip
    for role in ROLES:
        for table in readable(two.database, role):
            policies = two.database.value("select count(*) from pg_policies where tablename = %s and %s = any (roles)",
                                          table, f"signalbox_{role}")  # fmt: skip
            assert policies > 0, f"{role} may read {table} and sees nothing of it: a policy is missing"


@pytest.mark.requirement("I15")
@pytest.mark.parametrize("role", GUARDED)
def test_who_does_not_say_whose_rows_sees_none(two, role):
    with two.connect(role, tenant=None) as connection:
        for table in readable(two.database, role):
            assert connection.execute(f"select count(*) from {table}").fetchone()[0] == 0, table
        for view in ("run_events_jsonb", *(["tenant_runs"] if role == "api" else [])):
            assert connection.execute(f"select count(*) from {view}").fetchone()[0] == 0, view


@pytest.mark.requirement("I15")
@pytest.mark.parametrize("role", GUARDED)
def test_who_says_one_tenant_sees_no_other(two, role):
    with two.connect(role) as connection:
        for table in readable(two.database, role):
            found = {str(row[0]) for row in connection.execute(f"select distinct tenant_id from {table}")}
            assert found <= {two.tenants[0]}, table
        for table in RUN_TABLES + ("run_events_jsonb",):
            asked = f"select count(*) from {table} where run_id = %s"
            assert connection.execute(asked, [two.runs[0]]).fetchone()[0] > 0, table
            assert connection.execute(asked, [two.runs[1]]).fetchone()[0] == 0, table
        # Not even through what a query does on the way: nothing of ours is run on a row before the policy.
        connection.execute("create function pg_temp.spy(id uuid) returns boolean language plpgsql cost 0.0001 as"
                           " $$ begin raise notice '%', id; return true; end $$")  # fmt: skip
        seen = []
        connection.add_notice_handler(lambda notice: seen.append(notice.message_primary))
        connection.execute("select count(*) from runs where pg_temp.spy(run_id)")
        connection.execute("select count(*) from run_heads where pg_temp.spy(run_id)")
        assert two.runs[0] in seen and two.runs[1] not in seen


@pytest.mark.parametrize("role", GUARDED)
def test_a_setting_that_is_no_tenant_opens_nothing(two, role):
    for value in ("", " ", "x", "%", "' or true --", str(uuid.uuid4()), str(uuid.UUID(int=0))):
        with two.connect(role) as connection:
            connection.execute("select set_config('signalbox.tenant', %s, false)", [value])
            try:
                assert connection.execute("select count(*) from runs").fetchone()[0] == 0, value
            except psycopg.errors.InvalidTextRepresentation:
                pass


@pytest.mark.parametrize("role", ROLES)
def test_no_role_takes_the_guard_away(two, role):
    attacks = [
        "alter table runs disable row level security", "alter table runs no force row level security",
        "drop policy runs_of_tenant on runs", "create policy mine on runs using (true)", "alter role current_user bypassrls",
        "set role signalbox_owner", "set session authorization signalbox_owner", "grant signalbox_owner to current_user",
        "alter function current_tenant() owner to current_user", "create or replace function is_operator() returns boolean language sql as 'select true'",
        "alter view tenant_runs owner to current_user", "create view public.all_runs as select * from runs",
        "update installation set single_user = true", "select single_user from installation",
        "select usename, passwd from pg_shadow", "copy runs to program 'cat'",
    ]  # fmt: skip
    for attack in attacks:
        with pytest.raises(psycopg.Error):
            two.database.execute(attack, role=role)
    if role in GUARDED:
        with two.connect(role) as connection, pytest.raises(REFUSED):
            connection.execute("set row_security = off")
            connection.execute("select count(*) from runs")


@pytest.mark.parametrize("role", [role for role in ROLES if role != "api"])
def test_identity_is_the_apis_to_write(two, role):
    hash_ = stored_hash("x")
    for attack in (
        "insert into tenants (tenant_id, name) values (gen_random_uuid(), 'x')", "update tenants set name = 'x'", "delete from tenants",
        f"insert into api_keys (key_id, tenant_id, public_id, hash, scopes) values (gen_random_uuid(), '{two.tenants[0]}', '{'a' * 16}', '\\x{hash_.hex()}', '{{read}}')",
        "update api_keys set revoked_at = now()", "delete from api_keys", "select hash from api_keys", "update sessions set ended_at = null",
        "select hash from sessions", "delete from sessions", "select * from audit_log", "insert into audit_log (audit_id) values (gen_random_uuid())",
        "select * from find_api_key('x')", "select * from find_session('x')", f"select set_tenant_quota('{two.tenants[0]}', 0, 0, 0, 0)",
    ):  # fmt: skip
        with pytest.raises(REFUSED):
            two.database.execute(attack, role=role)


@pytest.mark.requirement("R172")
def test_what_the_api_may_not_write_itself(two):
    """A hole in the api is a hole in one tenant at most, as long as its queries say whose they are."""
    mine, theirs = two.tenants
    key = f"(gen_random_uuid(), '%s', '{'b' * 16}', '\\x{stored_hash('y').hex()}', '{{read}}')"
    insert = "insert into api_keys (key_id, tenant_id, public_id, hash, scopes) values "
    attacks = [
        insert + key % theirs, "insert into tenants (tenant_id, name) values (gen_random_uuid(), 'x')",
        "update api_keys set scopes = '{admin,operator}'", "update api_keys set hash = hash", "update api_keys set tenant_id = tenant_id",
        "update api_keys set expires_at = null", "update api_keys set revoked_at = null", "delete from api_keys", "select hash from api_keys",
        "update tenants set name = 'x'", "delete from tenants", "select hash from sessions", "update sessions set expires_at = 'infinity'",
        "update sessions set scopes = '{operator}'", "update sessions set ended_at = null",
        f"insert into audit_log (audit_id, tenant_id, actor, action) values (gen_random_uuid(), '{theirs}', 'x', 'x')",
        "update audit_log set actor = 'x'", "delete from audit_log", "update tenant_quotas set runs_per_day = 0", "delete from tenant_usage",
        "insert into runs (run_id, tenant_id, status, created_at) values (gen_random_uuid(), gen_random_uuid(), 'running', now())",
        "update runs set status = 'nonsense'", "update run_heads set last_seq = 7",
        f"select set_tenant_quota('{theirs}', 0, 0, 0, 0)", f"select set_tenant_quota('{mine}', 0, 0, 0, 0)",
    ]  # fmt: skip
    for attack in attacks:
        with two.connect("api") as connection, pytest.raises((REFUSED, psycopg.errors.InvalidTextRepresentation)):
            connection.execute(attack)
    with two.connect("api") as connection:
        assert connection.execute("update api_keys set revoked_at = now() where tenant_id = %s", [theirs]).rowcount == 0
        assert connection.execute("update sessions set ended_at = now() where tenant_id = %s", [theirs]).rowcount == 0
        assert connection.execute("delete from sessions where tenant_id = %s", [theirs]).rowcount == 0
        # Nobody's key is revived: an update sees only those that are not revoked.
        connection.execute(insert + key % mine)
        ended = "update api_keys set revoked_at = %s where public_id = %s"
        assert connection.execute(ended, ["2026-01-01Z", "b" * 16]).rowcount == 1
        assert connection.execute(ended, [None, "b" * 16]).rowcount == 0
        assert connection.execute(ended, ["infinity", "b" * 16]).rowcount == 0
        connection.execute("begin")
    assert two.theirs.get("/api/v1/runs").status_code == 200


def test_scopes_are_words_that_the_database_knows(two):
    for scopes in ("{root}", "{read,READ}", "{''}", "{read,null}"):
        with pytest.raises(psycopg.errors.CheckViolation):
            two.database.execute("update api_keys set scopes = %s where tenant_id = %s", scopes, two.tenants[0])


def test_an_operators_view_is_that_of_identity_only(two):
    with two.connect("api", operator=True) as connection:
        for table in ("tenants", "api_keys", "audit_log"):
            found = {str(row[0]) for row in connection.execute(f"select distinct tenant_id from {table}")}
            assert set(two.tenants) <= found, table
        for table in RUN_TABLES + ("sessions",):
            found = {str(row[0]) for row in connection.execute(f"select distinct tenant_id from {table}")}
            assert found <= {two.tenants[0]}, table


@pytest.mark.requirement("I15")
def test_queries_of_many_tenants_side_by_side_do_not_mix(box, two):
    """Every api process has one connection, on which each query says anew whose rows it sees."""
    clients = [two.mine, two.theirs]
    runs = [{client.new_run() for _ in range(5)} | {run_id} for client, run_id in zip(clients, two.runs)]

    def ask(turn):
        who = turn % 2
        client = box.client(clients[who].key)
        listed = {run["id"] for run in client.get("/api/v1/runs?limit=1000").json()["runs"]}
        assert runs[who] <= listed and not listed & runs[1 - who]
        assert client.page(two.runs[who]).json()["last_seq"] == 2
        assert client.get(f"/api/v1/runs/{two.runs[1 - who]}/events").status_code == 404
        assert client.get(f"/api/v1/runs/{two.runs[1 - who]}/stream").status_code == 404
        assert {key["tenant_id"] for key in client.get("/api/v1/keys").json()["keys"]} == {two.tenants[who]}

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(ask, range(120)))


@pytest.mark.requirement("I15")
def test_streams_of_many_tenants_are_read_with_one_question(box, two):
    """Readers of six tenants on both streamers catch up from the table, each with its own tenant's events alone."""
    tenants = [make_tenant(box, f"reader {n}") for n in range(6)]
    runs = []
    for n, key in enumerate(tenants):
        client = box.client(key)
        runs.append(client.new_run())
        client.append_many(runs[n], [custom(f"of {n}") for _ in range(300)])
    for _ in range(2):
        for n, key in enumerate(tenants):
            with box.stream(runs[n], key=key) as stream:
                events = stream.take(301)
                assert [event[0] for event in events] == list(range(1, 302))
                assert all(f'"of {n}"' in event[2] for event in events[1:])
            with box.stream(runs[n], key=tenants[(n + 1) % 6]) as stream:
                assert stream.status == 404


def test_the_first_tenant_is_one_of_many(box, two):
    assert str(first_tenant(box)) not in two.tenants
