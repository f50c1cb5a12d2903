"""The key set of an issuer of JWTs: fetched by the job-runner's child, kept in the database, never lost to a bad answer."""

import json

import pytest
from harness.keys import first_tenant
from harness.origin import Origin
from harness.processes import Process, family
from harness.tokens import AUDIENCE, ISSUER, Provider
from harness.waiting import wait_until

KEYS = {"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": "a", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}


def reply(body, status=200):
    return b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n" % (status, len(body)) + body


def settings(origin, **more):
    return {
        "auth.jwks_url": f"http://127.0.0.1:{origin.port}/keys", "auth.jwks_refresh_ms": 1000, "egress.http": "true",
        "egress.allow": "127.0.0.0/8", "egress.ports": origin.port,
        "auth.jwt_issuer": ISSUER, "auth.jwt_audience": AUDIENCE,
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
        newer = {"keys": [KEYS["keys"][0] | {"kid": "c"}]}
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


@pytest.mark.requirement("R172")
def test_tokens_are_judged_by_the_fetched_keys(own_box):
    """The provider changes its keys; nobody restarts or reloads anything."""
    first, second = Provider(), Provider()
    with Origin(reply(first.jwks().encode())) as origin:
        box = own_box(settings(origin) | {"auth.cache_ms": 500})
        tenant = first_tenant(box)

        def status(provider):
            return box.client(provider.token(tenant)).get("/api/v1/runs").status_code

        wait_until(lambda: {status(first) for _ in range(8)} == {200}, "every api to know the keys")
        assert status(second) == 401
        # Whoever can fetch the set could sign with a secret in it.
        assert box.client(first.token(tenant, kid="shared")).get("/api/v1/runs").status_code == 401
        bad = [{"kty": "RSA", "kid": "weak", "n": "AQAB", "e": "AQAB"}, {"kty": "EC", "kid": "ed"}]
        origin.reply = reply(json.dumps({"keys": bad + json.loads(second.jwks())["keys"]}).encode())
        wait_until(lambda: {status(second) for _ in range(8)} == {200}, "the newer keys")
        wait_until(lambda: {status(first) for _ in range(8)} == {401}, "the older keys to be forgotten")
        assert "fetched keys for tokens are left out" in box.log.tail(400)  # one weak key costs only itself
        box.allow_error("fetched keys for tokens are not taken")
        origin.reply = reply(b'{"keys":[{"kty":"RSA"}]}')
        wait_until(lambda: "are not taken" in box.log.tail(400), "the unusable set to be refused")
        assert status(second) == 200
