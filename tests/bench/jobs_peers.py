"""Other job queues beside ours, from npm: installed here when a bench needs them, run on the same PostgreSQL and Redis.

Each cell is a process of its own (peers/run.mjs), on the Node.js that the peers ask for, which is installed with them."""

import contextlib
import json
import os
import pathlib
import platform
import shutil
import subprocess

import redis

FOLDER = pathlib.Path(__file__).resolve().parent / "peers"
INSTALL_SECONDS, CELL_SECONDS = 300, 120
DATABASE, REDIS_DATABASE = "bench_peers", 1
# As the tables show them.
NAMES = {"graphile": "graphile-worker", "graphile-tuned": "graphile-worker tuned", "boss": "pg-boss", "boss-batch": "pg-boss by 100",
         "bullmq": "BullMQ on Redis", "bullmq-postgres": "BullMQ on PostgreSQL"}  # fmt: skip


def install():
    """Why there are no peers; empty when they are there. Exactly what the lock file says."""
    lock, installed = FOLDER / "package-lock.json", FOLDER / "node_modules/.installed"
    if installed.exists() and installed.read_bytes() == lock.read_bytes():
        return ""
    if shutil.which("npm") is None:
        return "there is no npm"
    command = ["npm", "ci", "--prefix", FOLDER, "--ignore-scripts", "--no-update-notifier", "--loglevel=error", "--fetch-retries=1"]
    print("    installing: the peers of tests/bench/peers", flush=True)
    with contextlib.suppress(subprocess.TimeoutExpired):
        if subprocess.run(command, stdin=subprocess.DEVNULL, timeout=INSTALL_SECONDS).returncode == 0:
            shutil.copyfile(lock, installed)
            return ""
    return "npm could not install them"


class Peers:
    """They work in a database and a Redis database of their own, in the servers of `system`."""

    def __init__(self, system, report):
        self.missing = install()
        if not self.missing and not os.access(self.node(), os.X_OK):
            self.missing = f"no Node.js for {platform.machine()} came with them"
        if self.missing:
            report.note(f"other queues are not measured: {self.missing}")
            return
        self.socket = os.path.join(system.run_directory, "redis.sock")
        with system.database() as database:
            database.execute(f"drop database if exists {DATABASE} with (force)")
            database.execute(f"create database {DATABASE}")
        with redis.Redis(unix_socket_path=self.socket) as server:
            server.config_set("appendonly", "yes")
            server.config_set("appendfsync", "everysec")
        self.options = {"postgres": {"host": system.run_directory, "user": "postgres", "database": DATABASE},
                        "redis": {"path": self.socket, "db": REDIS_DATABASE}}

    @staticmethod
    def node():
        machine = {"x86_64": "x64", "aarch64": "arm64"}.get(platform.machine(), "none")
        return FOLDER / f"node_modules/node-linux-{machine}/bin/node"

    def __bool__(self):
        return not self.missing

    def cell(self, peer, cell, **more):
        """One measurement; see peers/run.mjs."""
        options = json.dumps(self.options | {"peer": peer, "cell": cell} | more)
        answer = subprocess.run([self.node(), FOLDER / "run.mjs", options], capture_output=True, text=True, timeout=CELL_SECONDS)
        if answer.returncode != 0:
            raise SystemExit(f"{NAMES[peer]}, {cell}: {answer.stderr.strip()[-2000:]}")
        return json.loads(answer.stdout.splitlines()[-1])
