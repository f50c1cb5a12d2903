"""Every SQL statement of the actors prepares against the migrated schema, as the role that will run it, and may run."""

import os
import re
import subprocess

import psycopg
import pytest

from harness.paths import ROOT

STORES = sorted(path.relative_to(ROOT).as_posix() for pattern in ("store*.c", "projections/*.c")
                for path in (ROOT / "actors").glob(f"*/{pattern}"))
LITERALS = re.compile(r'"(?:\\.|[^"\\\n])*"(?:\s*"(?:\\.|[^"\\\n])*")*')
STATEMENT = re.compile(r"\s*(?:select|insert|update|delete|with|merge)\s", re.I)
FLAGS = ["-D_GNU_SOURCE", "-I.", "-Iactors", "-E", "-P"]
LIBRARIES = ["libevent_core", "libpq", "jansson"]


def statements_of(store):
    """SQL texts of one store, macros expanded by the preprocessor."""
    library_flags = subprocess.run(["pkg-config", "--cflags", *LIBRARIES], capture_output=True, text=True, check=True)
    expanded = subprocess.run([os.environ.get("CC", "gcc"), *FLAGS, *library_flags.stdout.split(), store], cwd=ROOT,
                              capture_output=True, text=True, check=True).stdout
    texts = ["".join(re.findall(r'"((?:\\.|[^"\\\n])*)"', match[0])) for match in LITERALS.finditer(expanded)]
    return [text.replace('\\"', '"').replace("\\n", "\n") for text in texts if STATEMENT.match(text)]


def explain(connection, statement):
    """Prepares the statement and lets PostgreSQL plan it and check the rights, without running it."""
    connection.execute("prepare looked_at as " + statement)
    count = max(map(int, re.findall(r"\$(\d+)", statement)), default=0)
    arguments = f"({', '.join(['null'] * count)})" if count else ""
    connection.execute(f"explain execute looked_at{arguments}")
    connection.execute("deallocate looked_at")


@pytest.mark.requirement("R044")
def test_commands_that_left_nothing_are_looked_up_in_time(box):
    """A window of refused commands, re-asked after a restart, on a run of 200,000 events: no index finds them, and the
    shard stands still until the answer is here (statement_timeout is 5 s)."""
    statement = next(text for text in statements_of("actors/sequencer/store.c") if "as k (run, origin, no)" in text)
    settings = re.search(r'session_settings\[\] =\s*((?:"[^"]*"\s*)+);', (ROOT / "actors/sequencer/sequencer.c").read_text())[1]
    with box.database().connect(autocommit=False) as connection:
        for name, value in re.findall(r"-c (\w+)=(\w+)", settings):
            connection.execute(f"set local {name} = '{value}'")
        connection.execute("set local statement_timeout = '30s'")
        run_id = connection.execute("select gen_random_uuid()").fetchone()[0]
        connection.execute("""insert into run_events (tenant_id, run_id, seq, position, event_type, payload, ts, origin, command_no)
            select gen_random_uuid(), %s, n, n, 'CUSTOM', '{}', now(), 7, n from generate_series(1, 200000) n""", [run_id])  # fmt: skip
        connection.execute("insert into run_heads values (%s, gen_random_uuid(), 200000)", [run_id])
        connection.execute("set local statement_timeout = '5s'")
        connection.execute("prepare recover as " + statement)
        asked = ([run_id] * 258, [8] * 256 + [7, 7], list(range(1, 257)) + [11, 199990])
        cursor = psycopg.ClientCursor(connection)  # EXECUTE takes no parameters of the protocol
        found = cursor.execute("execute recover (%s::uuid[], %s::bigint[], %s::bigint[])", asked).fetchall()
        # It may say more than was asked: the sequencer looks for its own (run, origin, number).
        assert {(7, 11), (7, 199990)} <= {(row[1], row[2]) for row in found} and {row[1] for row in found} == {7}
        assert all(row[2] == row[3] for row in found)
        connection.rollback()


@pytest.mark.parametrize("store", STORES)
def test_statements_prepare_and_are_granted(box, store):
    role = {"runtime": "job-runner"}.get(store.split("/")[1], store.split("/")[1]).replace("-", "_")
    found = statements_of(store)
    assert found, f"{store} holds no statement"
    with box.database().connect(role) as connection:
        for statement in found:
            explain(connection, statement)
