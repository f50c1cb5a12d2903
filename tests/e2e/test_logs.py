"""
What the log says of a request, from process to process, and what it never says.

The harness looks for the api keys of every server in its log when it is closed (server.secrets).
"""

import re
import secrets

import pytest
from harness.client import custom
from harness.keys import make_key, make_text
from harness.postgres import Postgres
from harness.raw import RawConnection
from harness.waiting import wait_until

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = "b7ad6b7169203331"
HEX = re.compile(r"^[0-9a-f]{32}$")


@pytest.fixture
def talkative(own_box):
    return own_box({"log.level": "debug"})


def lines(box, message, **wanted) -> list:
    return [r for r in box.log.records() if r["message"] == message and all(r.get(k) == v for k, v in wanted.items())]


def first_line(box, message, **wanted) -> dict:
    return wait_until(lambda: (lines(box, message, **wanted) or [None])[0], f"a line {message!r} with {wanted}")


@pytest.mark.requirement("R154", "R164", "R165")
def test_one_trace_id_from_the_request_to_the_bus(talkative):
    """The caller's traceparent stands in the lines of the api and of the sequencer, with all that is known."""
    client = talkative.client()
    run = client.new_run()
    tenant = first_line(talkative, "appended", run_id=run)["tenant_id"]
    answer = client.post(f"/api/v1/runs/{run}/events", {"events": [custom(1), custom(2)]},
                         headers={"traceparent": f"00-{TRACE}-{PARENT}-01"})  # fmt: skip
    assert answer.status_code == 201
    answered = first_line(talkative, "request answered", trace_id=TRACE)
    assert answered["actor"].startswith("api-") and answered["request"] > 0 and answered["status"] == 201
    assert answered["run_id"] == run and answered["tenant_id"] == tenant
    assert answered["route"] == "/api/v1/runs/{}/events"
    published = first_line(talkative, "events published", trace_id=TRACE)
    assert published["run_id"] == run and published["tenant_id"] == tenant and published["first_seq"] == 2
    appended = lines(talkative, "appended", trace_id=TRACE)
    assert [(r["run_id"], r["seq"], r["actor"], r["tenant_id"]) for r in appended] == [
        (run, 2, "sequencer-1", tenant), (run, 3, "sequencer-1", tenant),
    ]  # fmt: skip


@pytest.mark.requirement("R154")
def test_a_request_without_a_trace_begins_one(talkative):
    client = talkative.client()
    runs = [client.new_run() for _ in range(3)]
    ids = []
    for run in runs:
        made = first_line(talkative, "request answered", run_id=run, route="/api/v1/runs")["trace_id"]
        assert HEX.match(made) and first_line(talkative, "appended", run_id=run)["trace_id"] == made
        ids.append(made)
    assert len(set(ids)) == 3


@pytest.mark.requirement("R154")
def test_a_malformed_trace_is_not_taken_over(talkative):
    client = talkative.client()
    bad = [f"00-{TRACE.upper()}-{PARENT}-01", f"ff-{TRACE}-{PARENT}-01", f"00-{TRACE}-{'0' * 16}-01",
           f"00-{TRACE}-{PARENT}-01-x", f"00-{TRACE}-{PARENT}", "x" * 5000]  # fmt: skip
    for text in bad:
        assert client.get("/api/v1/runs", headers={"traceparent": text}).status_code == 200
    with RawConnection(talkative.address) as raw:  # two of them are none
        one = f"traceparent: 00-{TRACE}-{PARENT}-01\r\n"
        raw.send(f"GET /api/v1/runs HTTP/1.1\r\nHost: x\r\n{one}{one}Authorization: Bearer {client.key}\r\n\r\n".encode())
        assert raw.read_head()[0] == 200
    answered = wait_until(lambda: (found := lines(talkative, "request answered", route="/api/v1/runs"))
                          and len(found) >= len(bad) + 1 and found, "the lines")  # fmt: skip
    assert all(HEX.match(r["trace_id"]) and r["trace_id"] != TRACE for r in answered)


def test_refusals_are_told_with_their_request(box):
    trace = secrets.token_hex(16)
    box.client(make_text()[0]).get("/api/v1/runs", headers={"traceparent": f"00-{trace}-{PARENT}-00"})
    record = first_line(box, "request not authenticated", trace_id=trace)
    assert record["level"] == "info" and record["route"] == "/api/v1/runs" and record["request"] > 0


CANARY = "canary" + secrets.token_hex(6)


def plant(box):
    """Canaries wherever a client may write something."""
    client = box.client()
    run = client.new_run(metadata={"m": f"{CANARY}-metadata"})
    jwt = f"eyJhbGciOiJIUzI1NiJ9.{CANARY}.c2ln"
    for headers in (
        {"Authorization": f"Bearer {jwt}"}, {"Authorization": f"Basic {CANARY}"}, {"Cookie": f"s={CANARY}"},
        {"X-Api-Key": CANARY}, {"traceparent": CANARY}, {"Last-Event-ID": CANARY}, {"User-Agent": CANARY},
        {"X-Line": f"a\x1b[31m{CANARY}"},
    ):  # fmt: skip
        sent = {"Authorization": f"Bearer {client.key}"} | headers
        with RawConnection(box.address) as raw:
            fields = "".join(f"{name}: {value}\r\n" for name, value in sent.items())
            raw.send(f"GET /api/v1/runs?x={CANARY} HTTP/1.1\r\nHost: {CANARY}\r\n{fields}\r\n".encode("latin-1"))
            raw.read_head()
    client.get(f"/api/v1/runs/{CANARY}")
    client.get(f"/{CANARY}/%1b%5b31m")
    client.request("BREW", f"/{CANARY}")
    client.append(run, "CUSTOM", custom(f"{CANARY}-payload")["payload"], key=f"{CANARY}-key")
    client.append(run, "CUSTOM", custom(f"{CANARY}-payload")["payload"], key=f"{CANARY}-key")
    client.post_events(run, custom(f"{CANARY}-other"), key=f"{CANARY}-key")
    client.post_events(run, text='{"type":"' + CANARY + '"')
    client.post_events(run, {"type": CANARY, CANARY: 1})
    with box.stream(run, query=f"after_seq=0&x={CANARY}") as stream:
        stream.take(2)
    client.finish(run)


@pytest.mark.requirement("R170")
def test_nothing_of_a_client_is_in_the_log(talkative):
    plant(talkative)
    for key in (make_key(talkative), make_text()[0], f"sbx_{CANARY}"):
        talkative.client(key).get(f"/api/v1/runs?key={key}")
    for name in ("sequencer-1", "api-1", "streamer-1"):
        talkative.kill_and_wait(name)
    plant(talkative)
    talkative.command("reload")
    talkative.verify()
    talkative.stop()
    written = talkative.log.text(whole=True)
    assert CANARY not in written, [line for line in written.splitlines() if CANARY in line][:3]
    assert not [c for c in written if ord(c) < 0x20 and c != "\n" or 0x7F <= ord(c) < 0xA0]
    assert talkative.secrets() and not [s for s in talkative.secrets() if s in written]
    assert len(written.splitlines()) > 100


@pytest.mark.requirement("R170")
def test_the_password_of_the_database_is_in_no_log(own_box):
    """Neither when it serves nor while the database is away."""
    password = f"{CANARY}-password"
    with Postgres(durable=True) as postgres:
        postgres.execute(f"create role app login createrole password '{password}'")
        postgres.execute("create database app owner app")
        url = f"{postgres.dsn('app', 'app')} password={password}"
        box = own_box({"log.level": "debug"}, environment={"DATABASE_URL": url})
        box.client().new_run()
        assert password not in box.command("status", "--json").stdout
        postgres.execute("alter role app nologin")
        postgres.execute("select pg_terminate_backend(pid) from pg_stat_activity where usename = 'app'")
        wait_until(lambda: box.client().get("/ready", auth=False).status_code == 503, "the database to be missed")
        postgres.execute("alter role app login")
        box.all_healthy()
        box.stop()
        assert password not in box.log.text(whole=True)


@pytest.mark.requirement("R170")
def test_what_the_database_refuses_is_not_written_out(talkative):
    """PostgreSQL's own lines name the error and not the row."""
    database = talkative.database()
    with pytest.raises(Exception, match="null value"):
        database.execute("insert into tenants (tenant_id, name) values (gen_random_uuid(), null)")
    wait_until(lambda: [r for r in talkative.log.records() if "null value" in str(r)], "the line of PostgreSQL")
    talkative.allow_error("null value")
    assert not [r for r in talkative.log.records() if "Failing row" in str(r)]
