"""`signalbox migrate`: every migration down and up again, its bookkeeping, and databases of others."""

import json
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from harness.paths import ROOT, bin_dir
from harness.postgres import Postgres

RUN = "3f0e8a52-6c1d-4c7e-9a53-0c9f3f6c1b11"
VERSIONS = len(list((ROOT / "migrations").glob("*.up.sql")))


@pytest.fixture(scope="module")
def postgres():
    with Postgres() as running:
        yield running


class Migrated:
    """One database and the runner for it."""

    def __init__(self, postgres, name, user="postgres"):
        self.postgres, self.name, self.user = postgres, name, user

    def run(self, *arguments):
        environment = {name: value for name, value in os.environ.items() if not name.startswith("SIGNALBOX_")}
        environment["DATABASE_URL"] = self.postgres.dsn(self.name, self.user)
        return subprocess.run(
            [bin_dir() / "signalbox", "migrate", *arguments], env=environment, cwd="/", capture_output=True, text=True,
            timeout=60,
        )

    def must(self, *arguments) -> str:
        done = self.run(*arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def states(self) -> list:
        return [row["state"] for row in json.loads(self.must("status", "--json"))["migrations"]]

    def dump(self) -> str:
        return self.postgres.dump(self.name)

    def value(self, query):
        with self.postgres.connect(self.name) as connection:
            return connection.execute(query).fetchone()[0]


@pytest.fixture
def database(postgres, request):
    name = re.sub(r"\W", "_", request.node.name)[:60].lower()
    postgres.execute(f'create database "{name}"')
    yield Migrated(postgres, name)
    postgres.execute(f'drop database "{name}" with (force)')


@pytest.mark.requirement("R191")
def test_every_migration_goes_down_and_up_again(database):
    database.must("up")
    whole = database.dump()
    for count in range(1, VERSIONS + 1):
        assert len(database.must("down", str(count)).splitlines()) == count
        assert database.states() == ["applied"] * (VERSIONS - count) + ["pending"] * count
        below = database.dump()
        database.must("up")
        assert database.dump() == whole
        database.must("down", str(count))
        assert database.dump() == below, f"the last {count} leave something behind"
        database.must("up")


def test_after_all_down_only_the_bookkeeping_is_left(database):
    database.must("up")
    database.must("down", str(VERSIONS))
    tables = "select string_agg(relname, ',') from pg_class where relnamespace = 'public'::regnamespace and relkind in ('r','v','S')"
    assert database.value(tables) == "schema_migrations"
    assert database.value("select count(*) from pg_proc where pronamespace = 'public'::regnamespace") == 0
    enums = "select count(*) from pg_type where typnamespace = 'public'::regnamespace and typtype = 'e'"
    assert database.value(enums) == 0


def event(kind, seq):
    return f"""insert into run_events (tenant_id, run_id, seq, position, event_type, payload, ts)
               values ('{RUN}', '{RUN}', {seq}, {seq}, '{kind}', '{{"a": 1}}', now())"""


def down_below(database, version):
    """Takes back every migration from `version` up."""
    return database.run("down", str(VERSIONS - version + 1))


def test_events_of_the_older_types_outlive_the_newer_ones(database):
    database.must("up")
    database.postgres.execute(f"insert into tenants (tenant_id, name) values ('{RUN}', 'somebody')", database.name)
    for seq, kind in enumerate(("RUN_STARTED", "CUSTOM"), 1):
        database.postgres.execute(event(kind, seq), database.name)
    done = down_below(database, 4)
    assert done.returncode == 0, done.stderr
    log = "select string_agg(seq || event_type::text || payload::text, ' ' order by seq) from run_events"
    kept = '1RUN_STARTED{"a": 1} 2CUSTOM{"a": 1}'
    assert database.value(log) == kept
    database.must("up")
    assert database.value(log) == kept
    assert database.value("select (event_types())[45]::text") == "WARNING"


def test_the_newer_types_stay_while_events_have_them(database):
    database.must("up")
    database.postgres.execute(event("WARNING", 1), database.name)
    done = down_below(database, 4)
    assert done.returncode == 1 and "0004" in done.stderr and "WARNING" in done.stderr
    assert database.states()[:4] == ["applied"] * 4
    assert database.value("select event_type::text from run_events") == "WARNING"


@pytest.mark.requirement("R106", "R181")
def test_the_types_are_those_of_the_contracts(database):
    """migrations and contracts/generated/types.sql make the same enum and the same domain."""
    database.must("up")
    wanted = (ROOT / "contracts/generated/types.sql").read_text()
    with database.postgres.connect(database.name) as connection:
        connection.execute("create schema wanted; set search_path = wanted")
        connection.execute(wanted)
        enum = "select enum_range(null::{}.run_event_type)::text"
        assert connection.execute(enum.format("public")).fetchone() == connection.execute(enum.format("wanted")).fetchone()
        checks = connection.execute("""select n.nspname, pg_get_constraintdef(c.oid) from pg_constraint c
            join pg_namespace n on n.oid = c.connamespace where c.conname = 'entity_type_known'""").fetchall()
        found = dict(checks)
        assert found["public"] == found["wanted"] and "web_page" in found["public"]
        for refused in ("web_source", "website", "WEB_PAGE", ""):
            with pytest.raises(psycopg.errors.CheckViolation), connection.transaction():
                connection.execute("select %s::public.entity_type", [refused])


@pytest.mark.requirement("R192")
def test_the_picture_of_the_schema_is_current():
    script = ROOT / "tests" / "checks" / "schema_picture.py"
    done = subprocess.run([sys.executable, script, bin_dir() / "signalbox", "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_down_takes_back_one(database):
    database.must("up")
    assert database.must("down").startswith(f"down {VERSIONS:04d}_")
    assert database.states().count("pending") == 1


def test_up_twice_does_nothing_the_second_time(database):
    assert len(database.must("up").splitlines()) == VERSIONS
    assert database.must("up") == "nothing to do\n"
    assert database.must("up", "--json") == ""


def test_a_dry_run_changes_nothing(database):
    before = database.dump()
    planned = database.must("up", "--dry-run").splitlines()
    assert len(planned) == VERSIONS and all(line.endswith("(dry run)") for line in planned)
    assert database.dump() == before
    database.must("up")
    whole = database.dump()
    assert len(database.must("down", "2", "--dry-run").splitlines()) == 2
    assert database.dump() == whole


def test_a_changed_file_is_refused(database):
    database.must("up")
    database.postgres.execute("update schema_migrations set checksum = repeat('0', 64) where version = 2", database.name)
    assert database.states()[1] == "changed"
    for direction in ("up", "down"):
        done = database.run(direction)
        assert done.returncode == 1 and "0002" in done.stderr and "changed" in done.stderr


def test_a_newer_database_is_refused(database):
    database.must("up")
    database.postgres.execute(
        "insert into schema_migrations values (9000, 'from_tomorrow', repeat('0', 64), now())", database.name)
    assert database.states()[-1] == "unknown"
    done = database.run("up")
    assert done.returncode == 1 and "9000_from_tomorrow" in done.stderr


def test_a_migration_is_whole_or_absent(database):
    database.must("up")
    database.must("down", str(VERSIONS))
    database.postgres.execute("create table run_heads (in_the_way int)", database.name)
    done = database.run("up")
    assert done.returncode == 1 and "0002_runs" in done.stderr
    assert database.states() == ["applied"] + ["pending"] * (VERSIONS - 1)
    assert database.value("select to_regtype('run_status') is null")
    database.postgres.execute("drop table run_heads", database.name)
    database.must("up")
    assert database.states() == ["applied"] * VERSIONS


def test_two_runners_at_once_share_the_work(database):
    with ThreadPoolExecutor(4) as pool:
        outputs = list(pool.map(lambda _: database.run("up"), range(4)))
    assert [done.returncode for done in outputs] == [0] * 4, [done.stderr for done in outputs]
    lines = [line for done in outputs for line in done.stdout.splitlines() if line.startswith("up ")]
    assert len(lines) == VERSIONS and len(set(lines)) == VERSIONS


@pytest.mark.parametrize("arguments", [[], ["sideways"], ["up", "3"], ["down", "0"], ["down", "x"], ["up", "--wrong"]])
def test_wrong_use(database, arguments):
    assert database.run(*arguments).returncode == 2


def test_without_a_server_there_is_nothing_to_migrate(tmp_path):
    environment = {name: value for name, value in os.environ.items() if name != "DATABASE_URL"}
    done = subprocess.run(
        [bin_dir() / "signalbox", "migrate", "status", "--dir", tmp_path / "none"], env=environment, capture_output=True,
        text=True)
    assert done.returncode == 3 and "no server" in done.stderr


def test_a_user_who_may_create_roles_is_enough():
    with Postgres() as postgres:
        postgres.execute("create role app login createrole")
        postgres.execute("create database app owner app")
        database = Migrated(postgres, "app", "app")
        database.must("up")
        assert database.states() == ["applied"] * VERSIONS
        # Whoever the URL names can become each role, which is how the actors work.
        with postgres.connect("app", "app") as connection:
            for role in ("owner", "api", "sequencer", "streamer", "job_runner", "exporter"):
                connection.execute(f"set role signalbox_{role}")
                connection.execute("reset role")
        database.must("down", str(VERSIONS))
        database.must("up")


def test_without_that_right_the_administrator_is_told_what_to_run():
    with Postgres() as postgres:
        postgres.execute("create role app login")
        postgres.execute("create database app")
        database = Migrated(postgres, "app", "app")
        done = database.run("up")
        assert done.returncode == 1
        assert "administrator" in done.stderr
        statements = [line for line in done.stderr.splitlines() if line.endswith(";")]
        assert statements
        assert "schema_migrations" not in database.dump()
        with postgres.connect("app") as administrator:
            for statement in statements:
                administrator.execute(statement)
        database.must("up")
        assert database.states() == ["applied"] * VERSIONS


def test_the_roles_cannot_touch_the_bookkeeping(database):
    database.must("up")
    for role in ("api", "sequencer", "streamer", "job_runner", "exporter"):
        with database.postgres.connect(database.name, f"signalbox_{role}") as connection:
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute("delete from schema_migrations")
