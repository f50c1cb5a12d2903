"""Every SQL statement of the actors prepares against the migrated schema, as the role that will run it, and may run."""

import os
import re
import subprocess

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


@pytest.mark.parametrize("store", STORES)
def test_statements_prepare_and_are_granted(box, store):
    role = store.split("/")[1].replace("-", "_")
    found = statements_of(store)
    assert found, f"{store} holds no statement"
    with box.database().connect(role) as connection:
        for statement in found:
            explain(connection, statement)
