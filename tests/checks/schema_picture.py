#!/usr/bin/python3
"""migrations/schema.sql is what a database looks like after all migrations.

schema_picture.py SIGNALBOX          writes it
schema_picture.py SIGNALBOX --check  fails when it is not what the migrations make
"""

import difflib
import os
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from harness.postgres import Postgres  # noqa: E402

PICTURE = Path(__file__).resolve().parents[2] / "migrations" / "schema.sql"
HEAD = "-- The schema after all migrations, for reading. Made by 'make schema'; the migrations are the truth.\n\n"


def draw(program) -> str:
    with Postgres() as postgres:
        postgres.execute("create database picture")
        environment = {name: value for name, value in os.environ.items() if not name.startswith("SIGNALBOX_")}
        environment["DATABASE_URL"] = postgres.dsn("picture")
        done = subprocess.run([program, "migrate", "up"], env=environment, capture_output=True, text=True)
        if done.returncode != 0:
            sys.exit(f"migrate up failed: {done.stderr}")
        return HEAD + postgres.dump("picture")


def main():
    drawn = draw(sys.argv[1])
    if sys.argv[2:] != ["--check"]:
        PICTURE.write_text(drawn)
        return
    committed = PICTURE.read_text() if PICTURE.exists() else ""
    if drawn != committed:
        sys.stdout.writelines(difflib.unified_diff(
            committed.splitlines(True), drawn.splitlines(True), "migrations/schema.sql", "after the migrations"))
        sys.exit("migrations/schema.sql is stale: run 'make schema'")


main()
