"""
A whole Signalbox of its own: `signalbox up` in a fresh folder, on a free port, with its private PostgreSQL and Redis.

verify() is what every test ends with: no actor died that the test did not announce, no ERROR line, no crash or
sanitizer report, every run's log dense, and no bus message that only the safety timer found.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

from harness import given, paths
from harness.client import Client
from harness.database import Database
from harness.faults import Faults
from harness.keys import PEPPER
from harness.logs import LogFile
from harness.metrics import total
from harness.processes import Process, family
from harness.sse import Follower, SseStream
from harness.waiting import WaitTimeout, wait_until



# What PostgreSQL says of clients that were killed, and at an orderly stop; deaths of clients are counted elsewhere.
ORDERLY = re.compile(
    r"FATAL:  (terminating connection due to administrator command|connection to client lost|the database system is )"
)
# A test run that is killed takes its servers along: they are told to stop when the thread that started them ends.
WITH_US = ["setpriv", "--pdeathsig", "TERM"] if shutil.which("setpriv") else []
SETTLED_MS = 1100  # a death within the first second counts as an early one, and the next start waits


class CommandFailed(AssertionError):
    def __init__(self, command, result):
        super().__init__(f"{command}: exit {result.returncode}\n{result.stdout}{result.stderr}")
        self.code = result.returncode


class Server:
    def __init__(self, settings=None, faults=False, environment=None, reachable=True, config=None,
                 pepper=PEPPER):  # fmt: skip
        """settings: {"stream.ping_ms": 300}. faults: use a build with fault points. reachable: whether the folder is
        open to the user the services run as. config: text of a settings file."""
        self.bin = paths.fault_bin_dir() if faults else paths.bin_dir()
        self.home = Path(tempfile.mkdtemp(prefix="sbt-"))
        os.chmod(self.home, 0o755 if reachable else 0o700)
        self.dir = self.home / "d"
        self.log = LogFile(self.home / "log")
        self.settings = ({"auth.pepper": pepper} if pepper else {}) | (settings or {})
        self.environment = dict(environment or {})
        self.given = None  # a database made on TEST_DATABASE_URL
        if given.url() and "DATABASE_URL" not in self.environment:
            self.given = given.create()
            self.environment["DATABASE_URL"] = given.dsn(self.given)
        self.faults = Faults(self.home / "faults") if faults else None
        self.config = None
        if config is not None:
            self.config = self.home / "signalbox.conf"
            self.config.write_text(config, encoding="utf-8")
        self.process = None
        self.listen = None
        self.known = {}  # pid -> Process, everything of ours that was ever seen
        self._base = {}
        self._allowed_errors, self._allowed_restarts, self._allow_gaps = [], {}, False
        self._keys, self._database = {}, None

    # Life.

    def start(self, timeout=60.0):
        """Starts it and returns when every actor is ready and /ready says so."""
        self.launch()
        self.wait_ready(timeout)
        self.begin()
        return self

    def launch(self, *arguments):
        command = [*WITH_US, str(self.bin / "signalbox"), "up", "--dir", str(self.dir)]
        command += ["--listen", self.listen or "127.0.0.1:0"]
        if self.config is not None:
            command += ["--config", str(self.config)]
        with open(self.log.path, "ab") as log:
            self.process = subprocess.Popen(
                [*command, *arguments], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env=self.env(), start_new_session=True,
            )  # fmt: skip
        return self.process

    def env(self) -> dict:
        env = {k: v for k, v in os.environ.items() if not k.startswith(("SIGNALBOX_", "DATABASE_", "REDIS_", "PG"))}
        for name, value in self.settings.items():
            env["SIGNALBOX_" + name.upper().replace(".", "_")] = str(value)
        if self.faults is not None:
            env["SB_FAULT_DIR"] = str(self.faults.directory)
        env.setdefault("ASAN_OPTIONS", "abort_on_error=0:detect_leaks=1:exitcode=99")
        env.setdefault("UBSAN_OPTIONS", "print_stacktrace=1:exitcode=99")
        return env | self.environment

    def wait_ready(self, timeout=60.0):
        def ready():
            if self.process.poll() is not None:
                raise WaitTimeout(f"`up` ended with {self.process.returncode}:\n{self.output()}")
            status = self.status()
            self.listen = status["listen"]
            return all_ready(status) and self.http_ready()

        try:
            wait_until(ready, "a ready server", timeout)
        except WaitTimeout as error:
            raise WaitTimeout(f"{error}\n{self.output()}") from None

    def http_ready(self) -> bool:
        return self.client().get("/ready", auth=False).status_code == 200

    def output(self) -> str:
        return f"--- log\n{self.log.tail(40)}"

    def stop(self, timeout=60.0) -> int:
        """A clean stop. Returns `up`'s exit code, None when it was not running; what is left behind is an error."""
        if self.process is None or self.process.poll() is not None:
            return None
        self.remember()
        self.command("stop", check=False, timeout=timeout * paths.patience())
        try:
            code = self.process.wait(timeout * paths.patience())
        except subprocess.TimeoutExpired:
            self.kill_everything()
            raise AssertionError(f"did not stop within {timeout} s\n{self.output()}") from None
        left = [p for p in self.known.values() if p.alive()]
        self.kill_everything()
        assert not left, f"left running after the stop: {left}\n{self.output()}"
        return code

    def kill_everything(self):
        """SIGKILL, by pid, to everything this server is known to have started."""
        self.remember()
        for process in self.known.values():
            process.kill()
        if self.process is not None:
            for process in family(self.process.pid):
                process.kill()
            self.process.wait()
        for process in self.known.values():
            try:
                process.wait_gone(5)
            except WaitTimeout:
                pass

    def remove(self):
        """Removes every trace on the disk and in a given PostgreSQL."""
        for client in self._keys.values():
            client.close()
        if self.given is not None:
            given.drop(self.given)
        if os.environ.get("SIGNALBOX_TEST_KEEP"):
            return
        for folder in [*self.outside(), self.home]:
            shutil.rmtree(folder, ignore_errors=True)

    def outside(self) -> list:
        """Folders of this server that lie outside its home, because the services cannot reach it."""
        location = self.dir / "location"
        if not location.exists():
            return []
        named = dict(line.split("=", 1) for line in location.read_text().splitlines() if "=" in line)
        found = [Path(named[name]) for name in ("run_dir", "data_dir") if name in named]
        return [folder for folder in found if not folder.is_relative_to(self.home)]

    def remember(self):
        """Notes the pids of everything that runs now."""
        if self.process is None:
            return
        for process in family(self.process.pid):
            self.known[process.pid] = process
        try:
            status = self.status()
        except (CommandFailed, ValueError):
            return
        pids = [status["supervisor"]["pid"]]
        pids += [a["pid"] for a in status["actors"] + status["services"] if a.get("pid")]
        for pid in pids:
            for process in family(pid):
                self.known[process.pid] = process

    # Commands.

    def command(self, *arguments, check=True, timeout=60.0, text=True):
        command = [str(self.bin / "signalbox"), *map(str, arguments), "--dir", str(self.dir)]
        result = subprocess.run(
            command, capture_output=True, text=text, timeout=timeout, env=self.env(), stdin=subprocess.DEVNULL
        )
        if check and result.returncode != 0:
            raise CommandFailed(" ".join(command), result)
        return result

    def spawn(self, *arguments):
        """A command that runs beside the test (tail, replay)."""
        command = [str(self.bin / "signalbox"), *map(str, arguments), "--dir", str(self.dir)]
        return subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=self.env(), stdin=subprocess.DEVNULL
        )

    def spawn_on(self, terminal, *arguments):
        """The same with a terminal to read answers from."""
        command = [str(self.bin / "signalbox"), *map(str, arguments), "--dir", str(self.dir)]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=self.env(), stdin=terminal)

    def status(self) -> dict:
        return json.loads(self.command("status", "--json").stdout)

    def actors(self, kind=None) -> list:
        return [a for a in self.status()["actors"] if kind in (None, a["actor"], a["name"])]

    def actor(self, name) -> dict:
        found = [a for a in self.actors() if a["name"] == name]
        assert found, f"no actor {name}"
        return found[0]

    def service(self, name) -> dict:
        return next(s for s in self.status()["services"] if s["name"] == name)

    def process_of(self, name) -> Process:
        """The process that runs this actor, service, or "supervisor" now."""
        status = self.status()
        entries = {a["name"]: a for a in status["actors"] + status["services"]}
        entries["supervisor"] = status["supervisor"]
        return Process.of(entries[name]["pid"])

    # Waiting.

    def ready(self) -> bool:
        return all_ready(self.status())

    def actor_ready(self, name, after_generation=0, timeout=20.0) -> dict:
        """Until the actor is ready in a generation above `after_generation`."""

        def look():
            actor = self.actor(name)
            return actor["state"] == "ready" and actor["generation"] > after_generation and actor

        return wait_until(look, f"{name} to be ready after generation {after_generation}", timeout)

    def settled(self, name, timeout=20.0) -> dict:
        """Until the actor has been ready for so long that its death would be a late one: replaced at once."""

        def look():
            actor = self.actor(name)
            return actor["state"] == "ready" and actor["uptime_ms"] >= SETTLED_MS and actor

        return wait_until(look, f"{name} to have been ready for a second", timeout)

    def all_healthy(self, timeout=30.0):
        wait_until(
            lambda: all(a["state"] == "ready" and a["healthy"] for a in self.actors()) and self.http_ready(),
            "every actor to be ready and healthy", timeout,
        )  # fmt: skip

    def drained(self, timeout=10.0):
        """Until everything committed has been handed to the bus (R045)."""
        wait_until(lambda: self.database().undelivered() == 0, "the outbox to drain", timeout)

    def stream_complete(self, run_id, timeout=20.0, **how) -> list:
        """Follows a run to its end (R061)."""
        follower = Follower(self, run_id, **how)
        follower.start()
        try:
            return follower.wait_complete(timeout)
        finally:
            follower.stop()

    # Clients.

    @property
    def address(self) -> tuple:
        host, _, port = self.listen.rpartition(":")
        return host, int(port)

    @property
    def url(self) -> str:
        return f"http://{self.listen}"

    @property
    def api_key(self) -> str:
        return (self.dir / "api-key").read_text(encoding="ascii").strip()

    def client(self, key=None) -> Client:
        key = key or (self.api_key if (self.dir / "api-key").exists() else "")
        if key not in self._keys:
            self._keys[key] = Client(lambda: self.url, key)
        return self._keys[key]

    def stream(self, run_id, key=None, headers=None, query="", at="stream", **options) -> SseStream:
        path = f"/api/v1/runs/{run_id}/{at}" + (f"?{query}" if query else "")
        return SseStream(self.address, path, key or self.api_key, headers, **options)

    def database(self) -> Database:
        if self._database is None:
            told = self.status()["database"]
            self._database = Database(told["dsn"], told["owner_role"], self.given)
        return self._database

    def metrics(self) -> str:
        on_loopback = self.listen.startswith(("127.", "[::1]"))  # elsewhere it asks for a key
        answer = self.client().get("/metrics", auth=not on_loopback)
        assert answer.status_code == 200, answer.text
        return answer.text

    def metric(self, name) -> float:
        return total(self.metrics(), f"signalbox_{name}")

    # Breaking things.

    def kill(self, name, number=signal.SIGKILL, expected=True) -> dict:
        """Signals the process of an actor. Returns its status entry from before; its death is announced."""
        actor = self.actor(name)
        process = Process.of(actor["pid"])
        if expected:
            self.allow_restart(name)
        assert process is not None and process.signal(number), f"{name} was not there to be killed"
        return actor

    def kill_and_wait(self, name, timeout=20.0) -> dict:
        """kill -9 of a settled actor, then until the successor is ready."""
        self.settled(name)
        before = self.kill(name)
        return self.actor_ready(name, before["generation"], timeout)

    # What a test must announce.

    def allow_error(self, pattern):
        """ERROR lines whose message or text matches are part of the test."""
        self._allowed_errors.append(re.compile(pattern))

    def allow_restart(self, name, count=1):
        """count None: any number."""
        before = self._allowed_restarts.get(name, 0)
        self._allowed_restarts[name] = None if count is None or before is None else before + count

    def begin(self):
        """A test begins: what was before is not its fault."""
        self.log.mark()
        self._allowed_errors, self._allowed_restarts = [], {}
        self.reset_counters()

    def reset_counters(self):
        """The death counts start again (a new supervisor)."""
        self._base = {a["name"]: a["restarts"] for a in self.actors()}

    def verify(self):
        """Fails the test for anything it did not announce."""
        if self.process is None:
            return
        faults = [f"crash report: {line}" for line in self.log.crashes()]
        faults += [f"ERROR line: {json.dumps(r)}" for r in self.log.errors() if not self._is_allowed(r)]
        if self.process.poll() is None:
            self.all_healthy()
            faults += self._restart_faults()
            faults += self.database().faults()
            drains = self.metric("bus_safety_drains_total")
            if drains:
                faults.append(f"the safety timer found unread bus messages {drains:.0f} times")
        assert not faults, "\n".join(faults) + "\n" + self.log.tail(30)

    def _is_allowed(self, record) -> bool:
        text = json.dumps(record)
        if record.get("actor") == "postgres" and ORDERLY.search(text):
            return True
        return any(pattern.search(text) for pattern in self._allowed_errors)

    def _restart_faults(self) -> list:
        found = []
        for actor in self.actors():
            died = actor["restarts"] - self._base.get(actor["name"], 0)
            allowed = self._allowed_restarts.get(actor["name"], 0)
            if allowed is not None and died != allowed:
                found.append(f"{actor['name']}: {died} deaths, {allowed} were announced")
        return found

    def close(self):
        """verify, stop, remove; removes also when something is wrong."""
        try:
            self.verify()
            code = self.stop()
            assert code in (0, None), f"`up` ended with {code}\n{self.output()}"
            self._verify_after_stop()
        finally:
            self.kill_everything()
            self.remove()

    def secrets(self) -> list:
        """What must never be in a log: of the api keys that were used here, and the key of their hashes."""
        found = [key.split("_")[2] for key in self._keys if key.startswith("sbx_") and key.count("_") >= 3]
        return [*found, *([self.settings["auth.pepper"]] if self.settings.get("auth.pepper") else [])]

    def _verify_after_stop(self):
        """Leaks are reported when the processes end."""
        written = self.log.text(whole=True)
        faults = [f"a secret is in the log: {secret[:6]}…" for secret in self.secrets() if len(secret) > 8 and secret in written]
        faults += [f"crash report: {line}" for line in self.log.crashes()]
        faults += [f"ERROR line: {json.dumps(r)}" for r in self.log.errors() if not self._is_allowed(r)]
        assert not faults, "\n".join(faults)


def all_ready(status) -> bool:
    return all(a["state"] == "ready" and a["healthy"] for a in status["actors"]) and all(
        s["state"] == "ready" for s in status["services"]
    )


def wait_seconds(condition, timeout=10.0) -> float:
    """How long a condition took to become true."""
    begin = time.monotonic()
    wait_until(condition, timeout=timeout)
    return time.monotonic() - begin
