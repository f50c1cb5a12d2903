"""
Fixtures of every black-box test.

    box        a running Signalbox shared by the tests of one worker; a test must leave it as it found it
    own_box    a factory of Signalboxes that belong to one test, which may break them
    client     the shared box's client        run_id   a fresh run on it
    other      client of a second tenant on the shared box
    make_lone(kind, **settings)        a streamer without the rest around it (harness/lone_streamer.py, lone_feeds.py)
    node_client(script, *arguments)    what tests/clients/SCRIPT prints as JSON (harness/node.py)
"""

import os
import subprocess

import pytest

from harness import node
from harness.keys import make_tenant
from harness.paths import bin_dir
from harness.postgres import Postgres
from harness.server import Server

SHARED_SETTINGS = {"stream.ping_ms": 400}


@pytest.fixture(scope="session")
def shared_server():
    server = Server(SHARED_SETTINGS)
    try:
        server.start()
        yield server
        server.begin()
    finally:
        server.close()


@pytest.fixture
def box(shared_server):
    shared_server.begin()
    yield shared_server
    shared_server.verify()


@pytest.fixture
def own_box(request):
    """own_box(settings, faults=…) starts one; all are checked, stopped and removed after the test."""
    made = []

    def start(settings=None, started=True, **options):
        server = Server(settings, **options)
        made.append(server)
        return server.start() if started else server

    yield start
    problems = []
    for server in made:
        try:
            server.close()
        except AssertionError as error:
            problems.append(str(error))
    assert not problems, "\n".join(problems)


@pytest.fixture
def client(box):
    return box.client()


@pytest.fixture
def run_id(client):
    return client.new_run()


@pytest.fixture(scope="session")
def other_key(shared_server):
    return make_tenant(shared_server, "another tenant")


@pytest.fixture
def other(box, other_key):
    return box.client(other_key)


@pytest.fixture
def node_client():
    """node_client("x.mjs", …) runs a program of tests/clients to its end; node_client.start(…) only starts it."""
    missing = node.missing()
    if missing:
        pytest.skip(missing)
    clients = node.Clients()
    yield clients
    clients.close()


@pytest.fixture(scope="session")
def lone_postgres():
    """A PostgreSQL with the newest schema in the database `signalbox`, for streamers without the rest around them."""
    with Postgres() as postgres:
        postgres.execute("create database signalbox")
        environment = {name: value for name, value in os.environ.items() if not name.startswith("SIGNALBOX_")}
        environment["DATABASE_URL"] = postgres.dsn("signalbox")
        subprocess.run([bin_dir() / "signalbox", "migrate", "up"], env=environment, cwd="/", check=True, capture_output=True)
        yield postgres


@pytest.fixture
def make_lone(lone_postgres):
    made = []

    def make(kind, **settings):
        made.append(kind(lone_postgres, "signalbox", **settings))
        return made[-1]

    yield make
    for stage in made:
        stage.__exit__()
