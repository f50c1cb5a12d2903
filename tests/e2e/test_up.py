"""What `signalbox up` prepares before it becomes the supervisor; a stand-in writes down what it was given."""

import os
import pwd
import shutil
import signal
import stat
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

from harness.paths import bin_dir

STAND_IN = """#!/bin/sh
cat /proc/self/fd/$2 >"$SB_STAND_IN.table"
env >"$SB_STAND_IN.environment"
"""
AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


class Installation:
    """The real command line beside a supervisor that only takes notes."""

    def __init__(self, folder: Path):
        self.folder, self.dir = folder, folder / "place"
        self.bin = folder / "bin"
        self.notes = folder / "notes"
        self.bin.mkdir()
        shutil.copy(bin_dir() / "signalbox", self.bin)
        (self.bin / "signalbox-supervisor").write_text(STAND_IN)
        (self.bin / "signalbox-supervisor").chmod(0o755)

    def start(self, *arguments, **environment):
        hidden = ("DATABASE_URL", "REDIS_URL")
        kept = {n: v for n, v in os.environ.items() if n not in hidden and not n.startswith("SIGNALBOX_")}
        return subprocess.Popen(
            [self.bin / "signalbox", "up", "--dir", self.dir, *arguments], cwd="/", stderr=subprocess.PIPE, text=True,
            env=kept | {"SB_STAND_IN": str(self.notes)} | environment)

    def up(self, *arguments, code=0, **environment) -> dict:
        """The flat table that the supervisor was given."""
        process = self.start(*arguments, **environment)
        _, self.stderr = process.communicate(timeout=60)
        assert process.returncode == code, self.stderr
        if code != 0:
            return {}
        return dict(line.split("=", 1) for line in Path(f"{self.notes}.table").read_text().splitlines())

    def environment(self) -> dict:
        return dict(line.split("=", 1) for line in Path(f"{self.notes}.environment").read_text().splitlines() if "=" in line)

    def location(self) -> dict:
        return dict(line.split("=", 1) for line in (self.dir / "location").read_text().splitlines())

    def remove(self):
        for line in ("data_dir", "run_dir") if (self.dir / "location").exists() else ():
            shutil.rmtree(self.location()[line], ignore_errors=True)
        shutil.rmtree(self.folder)


@pytest.fixture
def installation():
    """In a folder that every user can reach."""
    folder = Path(tempfile.mkdtemp(prefix="sbup-"))
    folder.chmod(0o755)
    try:
        own = Installation(folder)
    except OSError:
        shutil.rmtree(folder)
        raise
    yield own
    own.remove()


def mode(path) -> int:
    return stat.S_IMODE(os.stat(path).st_mode)


GIVEN = {"DATABASE_URL": "postgresql://app:hunter2@db.example/app", "REDIS_URL": "redis://:hunter3@cache.example"}


def test_a_first_start_makes_everything_private(installation):
    table = installation.up("--listen", "127.0.0.1:0")
    key = installation.dir / "api-key"
    assert mode(key) == 0o600 and key.stat().st_uid == os.geteuid()
    assert key.read_text().startswith("sbx_") and key.read_text().count("\n") == 1
    for name in ("instance.data_dir", "instance.run_dir", "instance.dir"):
        assert mode(table[name]) == 0o700, name
    owner = int(table["instance.uid"])
    assert os.stat(table["instance.data_dir"]).st_uid == owner and os.stat(table["instance.run_dir"]).st_uid == owner
    if os.geteuid() == 0:
        assert owner != 0
    data = Path(table["instance.data_dir"])
    assert (data / "postgres" / "PG_VERSION").exists() and (data / "redis").is_dir()
    assert mode(data / "auth-pepper") == 0o400
    assert installation.location()["run_dir"] == table["instance.run_dir"]
    assert table["database.embedded"] == table["redis.embedded"] == "true"
    assert table["database.url"] == f"host='{table['instance.run_dir']}' dbname=signalbox"
    assert table["server.listen"] == "127.0.0.1:0"


def test_a_second_start_keeps_key_and_secrets(installation):
    first = installation.up()
    key = (installation.dir / "api-key").read_bytes()
    second = installation.up()
    assert second == first and (installation.dir / "api-key").read_bytes() == key


def test_a_removed_key_file_gives_a_new_key(installation):
    first = installation.up(**GIVEN)
    (installation.dir / "api-key").unlink()
    second = installation.up(**GIVEN)
    assert second["auth.first_key"] != first["auth.first_key"] and second["auth.pepper"] == first["auth.pepper"]


def test_a_damaged_key_file_is_not_replaced(installation):
    installation.up(**GIVEN)
    (installation.dir / "api-key").write_text("not a key\n")
    installation.up(code=1, **GIVEN)
    assert "api-key" in installation.stderr
    assert (installation.dir / "api-key").read_text() == "not a key\n"


def test_secrets_go_through_the_table_only(installation):
    table = installation.up("--listen", "127.0.0.1:0", SIGNALBOX_AUTH_PEPPER="ab" * 32, SIGNALBOX_API_COUNT="3", **GIVEN)
    assert table["database.url"] == GIVEN["DATABASE_URL"] and table["redis.url"] == GIVEN["REDIS_URL"]
    assert table["database.embedded"] == "false" and table["database.set_role"] == "true"
    assert sorted(table["instance.kept"].split(",")) == ["auth.pepper", "database.url", "redis.url"]
    environment = installation.environment()
    assert "hunter" not in str(environment) and "abab" not in str(environment)
    # A reload reads the environment again: what is no secret is still there, flags included.
    assert environment["SIGNALBOX_API_COUNT"] == "3" and environment["SIGNALBOX_SERVER_LISTEN"] == "127.0.0.1:0"
    assert not (Path(table["instance.data_dir"]) / "postgres").exists()


def test_socket_paths_stay_short(installation):
    installation.dir = installation.folder / ("d" * 60) / ("e" * 60)
    table = installation.up(**GIVEN)
    assert len(table["instance.run_dir"]) + len("/.s.PGSQL.5432") < 107
    assert table["instance.data_dir"].startswith(str(installation.dir))
    os.rmdir(table["instance.run_dir"])


@AS_ROOT
def test_a_folder_that_the_services_cannot_reach(installation):
    closed = installation.folder / "closed"
    closed.mkdir(mode=0o700)
    installation.dir = closed / "place"
    table = installation.up(**GIVEN)
    for name in ("instance.data_dir", "instance.run_dir"):
        assert not table[name].startswith(str(closed))
        assert os.stat(table[name]).st_uid == int(table["instance.uid"]) and mode(table[name]) == 0o700
    assert table["instance.data_dir"] in installation.stderr and table["instance.run_dir"] in installation.stderr
    assert mode(installation.dir / "api-key") == 0o600
    again = installation.up(**GIVEN)
    assert again["instance.data_dir"] == table["instance.data_dir"]
    # A DIR that is removed takes its identity along: a new one does not find the old data.
    shutil.rmtree(installation.dir)
    fresh = installation.up(**GIVEN)
    assert fresh["instance.data_dir"] != table["instance.data_dir"]
    shutil.rmtree(table["instance.data_dir"])


@AS_ROOT
def test_somebody_elses_folder_is_left_as_it_is(installation):
    installation.dir.mkdir()
    (installation.dir / "theirs").write_text("x")
    other = pwd.getpwnam("nobody")
    os.chown(installation.dir, other.pw_uid, other.pw_gid)
    installation.dir.chmod(0o755)
    table = installation.up(**GIVEN)
    status = installation.dir.stat()
    assert (status.st_uid, stat.S_IMODE(status.st_mode)) == (other.pw_uid, 0o755)
    assert table["instance.data_dir"] == str(installation.dir / "data")


def test_killed_at_any_moment_the_next_start_completes(installation):
    for delay in (0.0, 0.005, 0.02, 0.06, 0.15, 0.3, 0.4, 0.5):
        process = installation.start()
        # The moment of the kill is what is varied; nothing is waited for.
        time.sleep(delay)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    table = installation.up()
    data = Path(table["instance.data_dir"])
    assert (data / "postgres" / "signalbox.conf").exists()
    assert not list(data.glob("postgres.unfinished*"))
    assert "include 'signalbox.conf'" in (data / "postgres" / "postgresql.conf").read_text()


def test_starts_at_once_take_turns(installation):
    processes = [installation.start() for _ in range(4)]
    results = [(process.communicate(timeout=60)[1], process.returncode) for process in processes]
    assert [code for _, code in results] == [0] * 4, results
    assert (installation.dir / "api-key").read_text().count("sbx_") == 1


def test_a_file_in_the_way_is_told(installation):
    installation.dir.write_text("")
    installation.up(code=1)
    assert str(installation.dir) in installation.stderr


def test_without_postgres_the_way_out_is_told(installation):
    installation.up(code=1, SIGNALBOX_DATABASE_BIN_DIR="/nonexistent")
    assert "/nonexistent/initdb" in installation.stderr and "DATABASE_URL" in installation.stderr
