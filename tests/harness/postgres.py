"""A throw-away PostgreSQL without Signalbox around it: for migrations and for `DATABASE_URL`.

Trusts everybody who reaches its socket directory; nothing of it survives.
"""

import contextlib
import os
import pwd
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import psycopg

BIN = Path(os.environ.get("SIGNALBOX_TEST_POSTGRES_BIN", "/usr/lib/postgresql/15/bin"))
STARTED_WITHIN_S = 30


def _unprivileged() -> dict:
    """PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return {}
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            entry = pwd.getpwnam(name)
            return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
    raise RuntimeError("no unprivileged user to run PostgreSQL as")


class Postgres:
    """Use as a context manager. durable: with fsync, as a server of Signalbox demands it."""

    def __init__(self, durable=False):
        self.durable = durable
        self.folder = Path(tempfile.mkdtemp(prefix="sbpg-"))
        self.user = _unprivileged()
        self.process = None
        if self.user:
            os.chown(self.folder, self.user["user"], self.user["group"])

    def __enter__(self):
        try:
            self._make()
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _make(self):
        subprocess.run(
            [BIN / "initdb", "-D", self.folder / "data", "-U", "postgres", "-A", "trust", "--no-sync", "--locale=C",
             "--encoding=UTF8"],
            cwd="/", check=True, capture_output=True, **self.user,
        )

    def start(self):
        with open(self.folder / "log", "ab") as log:
            self.process = subprocess.Popen(
                [BIN / "postgres", "-D", self.folder / "data", "-k", self.folder, "-c", "listen_addresses=",
                 "-c", f"fsync={'on' if self.durable else 'off'}"],
                cwd="/", stdout=log, stderr=log, **self.user,
            )
        deadline = time.monotonic() + STARTED_WITHIN_S
        while True:
            try:
                psycopg.connect(self.dsn()).close()
                return
            except psycopg.OperationalError:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    raise
            # A connect is the only sign of readiness; between two tries there is nothing to wait on.
            time.sleep(0.02)

    def stop(self):
        if self.process is not None:
            self.process.send_signal(2)
            self.process.wait(timeout=30)
            self.process = None

    def dsn(self, database="postgres", user="postgres") -> str:
        return f"host={self.folder} dbname={database} user={user}"

    def connect(self, database="postgres", user="postgres"):
        return psycopg.connect(self.dsn(database, user), autocommit=True)

    def execute(self, statement, database="postgres", user="postgres"):
        with self.connect(database, user) as connection:
            connection.execute(statement)

    def dump(self, database) -> str:
        """The schema as pg_dump writes it, without what depends on the day or the machine."""
        out = subprocess.run(
            [BIN / "pg_dump", "--schema-only", "--no-comments", self.dsn(database)],
            check=True, capture_output=True, text=True,
        ).stdout
        return normalised(out)


def normalised(dump: str) -> str:
    """Without comments, session settings, psql's own commands and runs of empty lines. A function's body stays as it is."""
    kept = []
    quoted = False
    for line in dump.splitlines():
        if not quoted and (line.startswith(("--", "SET ", "\\", "SELECT pg_catalog.set_config")) or not line.strip()):
            continue
        if line.count("$$") % 2 == 1:
            quoted = not quoted
        if not quoted and line.endswith(";"):
            line += "\n"
        kept.append((line if quoted else line.expandtabs(4)).rstrip(" "))
    return "\n".join(kept).rstrip("\n") + "\n"
