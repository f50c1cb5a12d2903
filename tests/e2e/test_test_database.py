"""`TEST_DATABASE_URL`: marked tests run on the PostgreSQL it names, in databases of their own, and leave nothing behind."""

import os
import subprocess
import sys

import pytest
from harness import given
from harness.paths import ROOT
from harness.postgres import Postgres

SOME = ["tests/e2e/test_append.py", "tests/e2e/test_rebuild.py"]
CHOICE = "expected_seq or exit_codes or worked_log"


@pytest.mark.requirement("R230")
def test_marked_tests_run_on_a_given_postgresql():
    with Postgres(durable=True) as postgres:
        postgres.execute("create role tester login createdb createrole")
        before = databases(postgres)
        result = run_tests(postgres.dsn("postgres", "tester"), *SOME, "-k", CHOICE)
        assert result.returncode == 0, result.stdout + result.stderr
        assert " passed" in result.stdout and " skipped" not in result.stdout.splitlines()[-1]
        assert databases(postgres) == before
        roles = postgres.connect().execute("select count(*) from pg_roles where rolname like 'signalbox%'").fetchone()[0]
        assert roles >= 6, "the tests did not use this server"


@pytest.mark.requirement("R230")
def test_tests_that_need_their_own_postgresql_are_skipped():
    result = run_tests("host=/nowhere dbname=postgres", "tests/e2e/test_services.py")
    assert result.returncode == 0 and "passed" not in result.stdout and "needs a PostgreSQL of its own" in result.stdout


def run_tests(url, *arguments):
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", *arguments], cwd=ROOT, capture_output=True, text=True,
        timeout=150, env=os.environ | {"TEST_DATABASE_URL": url},
    )  # fmt: skip


def databases(postgres) -> list:
    with postgres.connect() as connection:
        return connection.execute("select datname from pg_database order by 1").fetchall()


def test_without_the_variable_nothing_is_given(monkeypatch):
    monkeypatch.delenv("TEST_DATABASE_URL", raising=False)
    assert given.url() is None
