"""Settings from outside: sources, refusals, secrets, the example file, and what a reload takes over."""

import json
import os
import re
import subprocess

import pytest

from harness.paths import ROOT, bin_dir


def plain_environment() -> dict:
    hidden = ("DATABASE_URL", "REDIS_URL")
    return {name: value for name, value in os.environ.items() if name not in hidden and not name.startswith("SIGNALBOX_")}


def signalbox(*arguments, environment=None, pass_fds=()):
    return subprocess.run(
        [bin_dir() / "signalbox", *map(str, arguments)], env=plain_environment() | (environment or {}), pass_fds=pass_fds,
        capture_output=True, text=True, timeout=30)


def values(*arguments, environment=None) -> dict:
    done = signalbox("settings", "--json", *arguments, environment=environment)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture
def config(tmp_path):
    def write(text):
        path = tmp_path / "signalbox.conf"
        path.write_text(text)
        return path

    return write


def test_later_sources_win(config):
    path = config("api { count = 3 }\nstreamer { count = 4 }\n")
    found = values("--config", path, environment={"SIGNALBOX_API_COUNT": "5"})
    assert (found["api.count"]["value"], found["api.count"]["from"]) == ("5", "environment")
    assert (found["streamer.count"]["value"], found["streamer.count"]["from"]) == ("4", "file")
    assert (found["exporter.count"]["value"], found["exporter.count"]["from"]) == ("1", "default")


def test_up_refuses_wrong_settings_before_it_touches_anything(config, tmp_path):
    place = tmp_path / "place"
    wrong = [
        ((), {"SIGNALBOX_NO_SUCH": "1"}, "SIGNALBOX_NO_SUCH"),
        ((), {"SIGNALBOX_API_COUNT": "many"}, "SIGNALBOX_API_COUNT"),
        ((), {"SIGNALBOX_INSTANCE_RUN_DIR": "/tmp"}, "instance.run_dir"),
        (("--listen", "8080"), {}, "HOST:PORT"),
        (("--config", config("http { idle = 1 }\n")), {}, "idle"),
        (("--config", tmp_path / "absent.conf"), {}, "absent.conf"),
        ((), {"REDIS_URL": "rediss://cache.example"}, "TLS"),
        ((), {"SIGNALBOX_TRACE_OTLP_URL": "localhost:4318"}, "trace.otlp_url must begin with http://"),
        ((), {"DATABASE_URL": "mysql://db.example/app?ssl=1"}, "database.url must begin with postgresql://"),
    ]
    for arguments, environment, told in wrong:
        done = signalbox("up", "--dir", place, *arguments, environment=environment)
        assert done.returncode == 1 and told in done.stderr, (arguments, environment, done.stderr)
    assert not place.exists()


def test_secrets_are_never_shown():
    secret = {"DATABASE_URL": "postgresql://app:hunter2@db.example/app", "SIGNALBOX_AUTH_PEPPER": "ab" * 32}
    for form in ((), ("--json",)):
        done = signalbox("settings", *form, environment=secret)
        assert done.returncode == 0
        assert "hunter2" not in done.stdout and "abab" not in done.stdout and "(secret)" in done.stdout


def test_the_example_file_is_current_and_says_every_setting(config):
    example = signalbox("settings", "--example").stdout
    assert (ROOT / "ops" / "config" / "signalbox.conf").read_text() == example, "run 'make config'"
    active = re.sub(r"(?m)^    # (\w+ = )", r"    \1", example)
    found = values("--config", config(active))
    assert {row["from"] for row in found.values()} == {"file"}
    assert all(row["value"] == row["default"] for row in found.values())


def test_every_command_has_help():
    overview = signalbox("--help").stdout
    for command in ("up", "status", "restart", "stop", "reload", "migrate", "settings"):
        assert re.search(rf"^  {command} +\w", overview, re.M), command
        done = signalbox(command, "--help")
        assert done.returncode == 0 and done.stdout.startswith(f"usage: signalbox {command}")


class Running:
    """What a supervisor would hold: the flat table of a running server in a descriptor."""

    def __init__(self, **changed):
        with open(ROOT / "actors" / "runtime" / "base" / "settings.def", encoding="utf-8") as table:
            rows = re.findall(r'^SETTING\(\w+, "([\w.]+)", \w+, "([^"]*)"', table.read(), re.M)
        self.table = dict(rows) | {name.replace("__", "."): value for name, value in changed.items()}

    def reload(self, **environment):
        descriptor = os.memfd_create("settings", 0)
        os.write(descriptor, "".join(f"{key}={value}\n" for key, value in self.table.items()).encode())
        try:
            done = signalbox("settings", "--for-reload", environment={"SIGNALBOX_SETTINGS_FD": str(descriptor)} | environment,
                             pass_fds=(descriptor,))
        finally:
            os.close(descriptor)
        return done, dict(line.split("=", 1) for line in done.stdout.splitlines())


EMBEDDED = {
    "instance__dir": "/somewhere", "instance__uid": "7", "database__embedded": "true", "redis__embedded": "true",
    "database__url": "host='/somewhere/run' dbname=signalbox", "redis__url": "unix:/somewhere/run/redis.sock",
    "auth__pepper": "cd" * 32, "auth__first_key": "0011:22",
}


def test_a_reload_reads_again_and_keeps_what_up_worked_out(config):
    path = config("http { idle_ms = 1234 }\n")
    running = Running(instance__config_file=str(path), api__count="9", **EMBEDDED)
    done, table = running.reload(SIGNALBOX_STREAMER_COUNT="5")
    assert done.returncode == 0, done.stderr
    expected = running.table | {"http.idle_ms": "1234", "streamer.count": "5", "api.count": "2"}
    assert table == expected


def test_a_reload_keeps_secrets_that_only_the_environment_of_up_had(config):
    path = config("database { url = \"postgresql://file.example\" }\nauth { pepper = \"" + "ab" * 32 + "\" }\n")
    running = Running(instance__config_file=str(path), instance__kept="database.url", database__set_role="true",
                      redis__embedded="true", redis__url="unix:/somewhere/redis.sock", database__url="postgresql://environment.example", auth__pepper="cd" * 32)
    done, table = running.reload()
    assert done.returncode == 0, done.stderr
    assert table["database.url"] == "postgresql://environment.example"
    assert table["auth.pepper"] == "ab" * 32


def test_a_reload_with_a_wrong_file_prints_no_table(config):
    running = Running(instance__config_file=str(config("http { idle_ms = 0 }\n")), **EMBEDDED)
    done, _ = running.reload()
    assert done.returncode == 78 and "http.idle_ms" in done.stderr and done.stdout == ""


@pytest.mark.parametrize("service, url", [("database", "postgresql://db.example"), ("redis", "redis://cache.example")])
def test_a_reload_cannot_leave_the_embedded_services(config, service, url):
    to_given = Running(instance__config_file=str(config(f'{service} {{ url = "{url}" }}\n')), **EMBEDDED)
    done, _ = to_given.reload()
    assert done.returncode == 78 and f"{service}.url" in done.stderr
    to_embedded = Running(**EMBEDDED | {f"{service}__embedded": "false", f"{service}__url": url})
    done, _ = to_embedded.reload()
    assert done.returncode == 78 and f"{service}.url" in done.stderr
