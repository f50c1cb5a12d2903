"""One installation of our own to measure: started fresh, asked, accounted for, stopped."""

import contextlib
import http.client
import json
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.request

import psycopg
import psycopg.conninfo

CLOCK_TICKS = os.sysconf("SC_CLK_TCK")


class System:
    """`signalbox up` in a directory of its own; the deaths we cause on purpose do not count against it."""

    def __init__(self, build, extra_environment=None, config=None):
        """config: text of a settings file, which configure() replaces."""
        self.build = pathlib.Path(build).resolve()
        self.directory = tempfile.mkdtemp(prefix="signalbox-bench-")
        self.directory_served = os.path.join(self.directory, "var")
        environment = dict(os.environ, SIGNALBOX_RESTART_EARLY_DEATHS="1000000",
                           SIGNALBOX_RESTART_LATE_DEATHS="1000000", SIGNALBOX_RESTART_TOTAL_DEATHS="1000000",
                           # It reads the whole log, once an hour and a minute after the start: in the midst of one round.
                           SIGNALBOX_JOBS_RECONCILE="false")
        for name in ("DATABASE_URL", "REDIS_URL"):
            environment.pop(name, None)
        environment.update(extra_environment or {})
        self.log = open(os.path.join(self.directory, "log"), "wb")
        command = [self.build / "bin/signalbox", "up", "--dir", self.directory_served, "--listen", "127.0.0.1:0"]
        if config is not None:
            self.config = pathlib.Path(self.directory) / "signalbox.conf"
            self.config.write_text(config, encoding="utf-8")
            command += ["--config", self.config]
        self.process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log, env=environment)
        self.wait_ready()

    def ask(self, *arguments):
        return subprocess.run([self.build / "bin/signalbox", *arguments, "--dir", self.directory_served, "--json"],
                              capture_output=True, text=True)

    def status(self):
        answer = self.ask("status")
        return json.loads(answer.stdout) if answer.returncode == 0 else None

    def wait_ready(self):
        until = time.monotonic() + 120
        while time.monotonic() < until:
            status = self.status()
            if status and status["actors"] and all(a["state"] == "ready" and a["healthy"] for a in status["actors"]):
                self.address = status["listen"]
                self.key_file = os.path.join(self.directory_served, "api-key")
                self.key = open(self.key_file).read().strip()
                self.run_directory = status["run_dir"]
                return
            if self.process.poll() is not None:
                break
            time.sleep(0.1)
        raise SystemExit("the installation did not become ready; its log: " + self.log.name)

    def stop(self):
        self.ask("stop")
        try:
            self.process.wait(timeout=100)
        except subprocess.TimeoutExpired:
            self.process.kill()
        shutil.rmtree(self.directory, ignore_errors=True)

    def configure(self, text):
        """Another settings file from now on, for what can change while it runs."""
        self.config.write_text(text, encoding="utf-8")
        answer = self.ask("reload")
        if answer.returncode != 0:
            raise SystemExit("reload: " + (answer.stderr or answer.stdout).strip())

    def database(self):
        return psycopg.connect(self.dsn(), autocommit=True)

    def checkpoint(self):
        """Every cell begins with the same distance to the next one."""
        dsn = psycopg.conninfo.make_conninfo(self.dsn(), user="postgres")
        with psycopg.connect(dsn, autocommit=True) as database:
            database.execute("checkpoint")

    def dsn(self):
        """As the superuser of the private server: the last user named wins."""
        return self.status()["database"]["dsn"] + " user=postgres"

    def post(self, connection, path, body, headers=None, key=None):
        connection.request("POST", path, json.dumps(body),
                           {"Authorization": "Bearer " + (key or self.key), "Content-Type": "application/json", **(headers or {})})
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read() or b"{}")

    def make_runs(self, count, key=None):
        """Creates runs, of the first tenant or of the key's; returns the path of a file with their ids."""
        host, port = self.address.rsplit(":", 1)
        connection = http.client.HTTPConnection(host, int(port))
        handle, path = tempfile.mkstemp(dir=self.directory, suffix=".runs")
        with os.fdopen(handle, "w") as file:
            for _ in range(count):
                status, run = self.post(connection, "/api/v1/runs", {}, key=key)
                assert status == 201, (status, run)
                file.write(run["id"] + "\n")
        return path

    def metric(self, name):
        """Over all actors."""
        with urllib.request.urlopen(f"http://{self.address}/metrics", timeout=10) as answer:
            lines = answer.read().decode().splitlines()
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(f"signalbox_{name}{{"))

    def tenant(self, database):
        return str(database.execute("select tenant_id from tenants order by created_at limit 1").fetchone()[0])

    def pids(self):
        """Name -> process ids: each actor kind, the supervisor, PostgreSQL with its backends, Redis."""
        status = self.status()
        groups = {"supervisor": [status["supervisor"]["pid"]]}
        for actor in status["actors"]:
            groups.setdefault(actor["actor"], []).append(actor["pid"])
        for service in status["services"]:
            groups[service["name"]] = [service["pid"], *children(service["pid"])]
        return groups

    def pid_of(self, actor):
        return next(a["pid"] for a in self.status()["actors"] if a["actor"] == actor)


def children(pid):
    found = []
    with contextlib.suppress(OSError):
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/children") as file:
                found += [int(child) for child in file.read().split()]
    return found


def descendants(pid):
    found = []
    for child in children(pid):
        found += [child, *descendants(child)]
    return found


def cpu_seconds(pid):
    """User and system time of a process, and of its children that have ended."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            fields = file.read().rsplit(")", 1)[1].split()
    except OSError:
        return 0.0
    return sum(int(field) for field in fields[11:15]) / CLOCK_TICKS


def run_seconds(pid):
    """Time on a processor of all threads alive, to the nanosecond; clock ticks are too coarse for short measurements."""
    total = 0
    with contextlib.suppress(OSError):
        for task in os.listdir(f"/proc/{pid}/task"):
            with contextlib.suppress(OSError), open(f"/proc/{pid}/task/{task}/schedstat") as file:
                total += int(file.read().split()[0])
    return total / 1e9


def pss_bytes(pid):
    with contextlib.suppress(OSError), open(f"/proc/{pid}/smaps_rollup") as file:
        for line in file:
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0


class Cpu:
    """CPU time per group of processes between two moments."""

    def __init__(self, system):
        self.system = system
        self.before = self.now()

    def now(self):
        return {name: sum(map(cpu_seconds, pids)) for name, pids in self.system.pids().items()}

    def used(self):
        after = self.now()
        return {name: round(after[name] - self.before.get(name, 0.0), 3) for name in after}


def kill(pid):
    os.kill(pid, signal.SIGKILL)
