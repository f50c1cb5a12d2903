"""The key set of an issuer of JWTs: fetched by the job-runner's child, kept in the database, never lost to a bad answer."""

import json

import pytest
from harness.origin import Origin
from harness.processes import Process, family
from harness.waiting import wait_until

KEYS = {"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": "a", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}


def reply(body, status=200):
    return b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n" % (status, len(body)) + body


def settings(origin, **more):
    return {
        "auth.jwks_url": f"http://127.0.0.1:{origin.port}/keys", "auth.jwks_refresh_ms": 1000, "egress.http": "true",
        "egress.allow": "127.0.0.0/8", "egress.ports": origin.port,
    } | more  # fmt: skip


def stored(box):
    rows = box.database().rows("select body::text from jwks_documents")
    return json.loads(rows[0][0]) if rows else None


@pytest.mark.requirement("R172")
def test_the_key_set_is_fetched_kept_and_renewed(own_box):
    with Origin(reply(json.dumps(KEYS).encode())) as origin:
        box = own_box(settings(origin))
        wait_until(lambda: stored(box) == KEYS, "the keys to be stored")
        for bad in (reply(b"{}"), reply(b"[1]"), reply(b"no json"), reply(b"{}", 500), reply(b'{"keys":[' + b"1," * 40_000 + b"1]}")):
            origin.reply, before = bad, origin.connections
            wait_until(lambda before=before: origin.connections >= before + 2, "two more tries")
            assert stored(box) == KEYS
        newer = {"keys": [KEYS["keys"][0] | {"kid": "b"}]}
        origin.reply = reply(json.dumps(newer).encode())
        wait_until(lambda: stored(box) == newer, "the newer keys")


def test_a_killed_fetcher_is_started_again_and_costs_nobody_else(own_box):
    with Origin(reply(json.dumps(KEYS).encode())) as origin:
        box = own_box(settings(origin))
        wait_until(lambda: stored(box) == KEYS, "the keys to be stored")
        runner = box.process_of("job-runner-1")
        [child] = [p for p in family(runner.pid) if p.pid != runner.pid]
        assert Process.of(child.pid).kill()
        newer = {"keys": []}
        origin.reply = reply(json.dumps(newer).encode())
        wait_until(lambda: stored(box) == newer, "the newer keys, by another fetcher")
        after = box.settled("job-runner-1")
        [child] = [p for p in family(runner.pid) if p.pid != runner.pid]
        assert box.kill("job-runner-1")["pid"] == after["pid"]
        child.wait_gone(5)  # it does not outlive its parent


def test_a_private_address_is_not_asked(own_box):
    with Origin(reply(b"{}")) as origin:
        box = own_box(settings(origin) | {"egress.allow": ""})
        wait_until(lambda: "could not be fetched" in box.log.tail(200), "the refusal in the log")
        assert origin.connections == 0 and stored(box) is None
