"""`signalbox prepare`, what the supervisor runs before the actors: roles, migrations, first tenant and key."""

import hashlib
import json
import os
import random
import re
import subprocess
import time

import pytest

from harness.paths import ROOT, bin_dir
from harness.postgres import Postgres
from harness.waiting import wait_until


@pytest.fixture(scope="module")
def postgres():
    with Postgres() as running:
        yield running


def defaults() -> dict:
    text = (ROOT / "actors" / "runtime" / "base" / "settings.def").read_text()
    return dict(re.findall(r'^SETTING\(\w+, "([\w.]+)", \w+, "([^"]*)"', text, re.M))


def start(key="", **changed):
    table = defaults() | {"auth.first_key": key} | {name.replace("__", "."): value for name, value in changed.items()}
    descriptor = os.memfd_create("settings", 0)
    os.write(descriptor, "".join(f"{name}={value}\n" for name, value in table.items()).encode())
    try:
        return subprocess.Popen(
            [bin_dir() / "signalbox", "prepare", "--settings-fd", str(descriptor)], pass_fds=(descriptor,), cwd="/",
            stderr=subprocess.PIPE, text=True)
    finally:
        os.close(descriptor)


def prepare(key="", **changed):
    """(exit code, log records)"""
    process = start(key, **changed)
    _, log = process.communicate(timeout=60)
    return process.returncode, [json.loads(line) for line in log.splitlines()]


def first_key(number: int, pepper="one") -> str:
    return f"{number:016x}:{hashlib.sha256(f'{number} {pepper}'.encode()).hexdigest()}"


class Prepared:
    def __init__(self, postgres, name, user="postgres"):
        self.postgres, self.name = postgres, name
        self.url = postgres.dsn(name, user)

    def run(self, key=""):
        return prepare(key, database__url=self.url, database__set_role="true")

    def rows(self, query):
        with self.postgres.connect(self.name) as connection:
            return connection.execute(query).fetchall()


@pytest.fixture
def database(postgres, request):
    name = re.sub(r"\W", "_", request.node.name)[:60].lower()
    postgres.execute(f'create database "{name}"')
    yield Prepared(postgres, name)
    postgres.execute(f'drop database "{name}" with (force)')


KEYS = "select public_id, encode(hash, 'hex'), scopes, t.name from api_keys join tenants t using (tenant_id) order by 1"


def test_the_first_start_makes_a_tenant_and_its_key(database):
    key = first_key(1)
    code, log = database.run(key)
    assert code == 0, log
    assert database.rows(KEYS) == [(*key.split(":"), ["read", "append", "admin", "operator"], "default")]
    assert key.split(":")[1] not in json.dumps(log)


def test_again_changes_nothing(database):
    assert database.run(first_key(1))[0] == 0
    before = database.rows(KEYS)
    assert database.run(first_key(1))[0] == 0
    assert database.rows(KEYS) == before


def test_another_installation_gets_a_key_of_the_same_tenant(database):
    assert database.run(first_key(1))[0] == 0
    assert database.run(first_key(2))[0] == 0
    assert len(database.rows(KEYS)) == 2 and len(database.rows("select from tenants")) == 1


def test_a_revoked_key_stays_revoked(database):
    assert database.run(first_key(1))[0] == 0
    database.postgres.execute("update api_keys set revoked_at = now()", database.name)
    assert database.run(first_key(1))[0] == 0
    assert database.rows("select revoked_at is null from api_keys") == [(False,)]


def test_another_pepper_is_noticed(database):
    assert database.run(first_key(1))[0] == 0
    code, log = database.run(first_key(1, pepper="two"))
    assert code == 78 and "auth.pepper" in log[-1]["message"]


def test_an_absent_database_is_worth_another_try(postgres):
    assert prepare(database__url=postgres.dsn("nowhere"))[0] == 75
    assert prepare(database__url="host=/nonexistent dbname=x")[0] == 75


def test_the_embedded_server_gets_its_database(postgres):
    code, log = prepare(first_key(1), database__embedded="true", database__url=f"host='{postgres.folder}' dbname=signalbox")
    assert code == 0, log
    owner = "select pg_get_userbyid(datdba), pg_encoding_to_char(encoding) from pg_database where datname = 'signalbox'"
    with postgres.connect("signalbox") as connection:
        assert connection.execute(owner).fetchone() == ("signalbox_owner", "UTF8")
        tables = connection.execute("select distinct tableowner from pg_tables where schemaname = 'public'").fetchall()
    assert tables == [("signalbox_owner",)]
    postgres.execute("drop database signalbox with (force)")


def test_a_user_without_rights_learns_the_statements():
    with Postgres() as postgres:
        postgres.execute("create role app login")
        postgres.execute("create database app")
        database = Prepared(postgres, "app", "app")
        code, log = database.run(first_key(1))
        assert code == 78
        statements = [record["statement"] for record in log if "statement" in record]
        assert statements
        for statement in statements:
            postgres.execute(statement, "app")
        assert database.run(first_key(1))[0] == 0
        assert len(database.rows(KEYS)) == 1


def test_killed_at_any_moment_the_next_one_completes(database):
    seed = random.randrange(1 << 30)
    chance = random.Random(seed)
    for _ in range(12):
        process = start(first_key(1), database__url=database.url, database__set_role="true")
        # The moment of the kill is what is varied; nothing is waited for.
        time.sleep(chance.uniform(0, 0.08))
        process.kill()
        process.communicate()
    code, log = database.run(first_key(1))
    assert code == 0, (seed, log)
    assert len(database.rows(KEYS)) == 1 and len(database.rows("select from tenants")) == 1, seed


def test_many_at_once_make_one_tenant(database):
    processes = [start(first_key(i), database__url=database.url, database__set_role="true") for i in range(4)]
    logs = [process.communicate(timeout=60)[1] for process in processes]
    assert [process.returncode for process in processes] == [0] * 4, logs
    assert len(database.rows(KEYS)) == 4 and len(database.rows("select from tenants")) == 1


class Shared:
    """A PostgreSQL of its own, where another start is held in the middle of its work on the roles of all databases."""

    def __init__(self, postgres):
        self.postgres = postgres
        postgres.execute("create role app login createrole")
        for name in ("one", "two"):
            postgres.execute(f"create database {name} owner app")

    def start(self, name):
        return start(first_key(1), database__url=self.postgres.dsn(name, "app"), database__set_role="true")

    def waits(self):
        with self.postgres.connect("postgres") as connection:
            return connection.execute("select from pg_stat_activity where wait_event_type = 'Lock'").rowcount > 0

    def overtaken(self, statement):
        """prepare of database two, with `statement` of another user committed while it waits for the same."""
        with self.postgres.connect("one") as other, other.transaction():
            other.execute(statement)
            process = self.start("two")
            wait_until(self.waits, what="prepare waits for the other")
        log = process.communicate(timeout=60)[1]
        assert process.returncode == 0, log


def test_starts_in_two_databases_of_one_server_do_not_trip_over_their_roles():
    with Postgres() as postgres:
        shared = Shared(postgres)
        shared.overtaken("create role signalbox_owner login")
        postgres.execute("revoke signalbox_api from app")
        shared.overtaken("grant signalbox_api to app")


def test_many_first_starts_at_once_on_one_server():
    with Postgres() as postgres:
        shared = Shared(postgres)
        processes = [shared.start(name) for name in ("one", "two") * 2]
        logs = [process.communicate(timeout=60)[1] for process in processes]
        assert [process.returncode for process in processes] == [0] * 4, logs
