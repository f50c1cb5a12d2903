"""Who may do what: keys, scopes, tenants, revocation, expiry."""

import pytest
from harness.client import assert_problem, custom, random_id
from harness.keys import make_key, make_text, make_tenant, revoke
from harness.raw import RawConnection
from harness.sse import StreamEnded
from harness.waiting import wait_until

ROUTES = [
    ("GET", "/api/v1/runs"), ("POST", "/api/v1/runs"), ("GET", "/api/v1/runs/{run}"),
    ("GET", "/api/v1/runs/{run}/events"), ("POST", "/api/v1/runs/{run}/events"), ("GET", "/api/v1/runs/{run}/stream"),
]  # fmt: skip
WRITES = [route for route in ROUTES if route[0] == "POST"]


def call(client, route, run_id, **options):
    method, path = route
    content = None
    if method == "POST":
        content = '{"type":"CUSTOM","payload":{"name":"n","value":1}}' if "{run}" in path else "{}"
    return client.request(method, path.format(run=run_id), content=content, **options)


@pytest.mark.requirement("R172")
@pytest.mark.parametrize("route", ROUTES, ids="{0[0]} {0[1]}".format)
def test_no_route_works_without_a_key(client, run_id, route):
    answer = call(client, route, run_id, auth=False)
    assert_problem(answer, 401, "unauthenticated")
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert client.run(run_id)["last_seq"] == 1


def wrong_keys(key):
    return {
        "empty": "", "word": "x", "too long": key + "0", "cut": key[:-1], "upper case": key.upper(),
        "checksum": key[:-1] + ("0" if key[-1] != "0" else "1"), "made up": make_text()[0],
        "secret": make_text()[0].replace(make_text()[0].split("_")[1], key.split("_")[1]),
        "inner space": key[:9] + " " + key[9:], "huge": "sbx_" + "0" * 6000, "spaces": f" {key}", "two": f"{key}, {key}",
    }  # fmt: skip


def status_with(box, authorization, path="/api/v1/runs"):
    """The answer to exactly this header value."""
    with RawConnection(box.address) as raw:
        raw.send(f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: {authorization}\r\n\r\n".encode())
        return raw.read_head()[0]


@pytest.mark.requirement("R172")
def test_wrong_keys_are_unauthenticated(box, client, run_id):
    for name, key in wrong_keys(client.key).items():
        for path in ("/api/v1/runs", f"/api/v1/runs/{run_id}/stream"):
            assert status_with(box, f"Bearer {key}", path) in ((401, 200) if name == "spaces" else (401,)), name


@pytest.mark.parametrize("scheme", ["Basic ", "Token ", "", "Bearer", "Bearer:", "Bearer=", "Digest "])
def test_other_schemes_are_unauthenticated(box, client, scheme):
    assert status_with(box, scheme + client.key) == 401


def test_a_key_in_the_query_is_no_key(client, run_id):
    for name in ("key", "api_key", "access_token", "authorization", "token"):
        answer = client.get(f"/api/v1/runs?{name}={client.key}", auth=False)
        assert answer.status_code == 401


def test_two_authorization_headers_are_refused(box, client):
    with RawConnection(box.address) as raw:
        head = f"GET /api/v1/runs HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {client.key}\r\n"
        raw.send((head + f"Authorization: Bearer {client.key}\r\n\r\n").encode())
        assert raw.read_head()[0] in (400, 401)


@pytest.mark.requirement("I15")
@pytest.mark.parametrize("route", [r for r in ROUTES if "{run}" in r[1]], ids="{0[0]} {0[1]}".format)
def test_another_tenants_run_does_not_exist(client, other, run_id, route):
    theirs, unknown = call(other, route, run_id), call(other, route, random_id())
    assert_problem(theirs, 404, "not-found")
    assert theirs.json().keys() == unknown.json().keys()
    assert theirs.json()["title"] == unknown.json()["title"]
    assert client.run(run_id)["last_seq"] == 1


@pytest.mark.requirement("I15")
def test_lists_show_only_the_own_tenant(client, other):
    mine, theirs = client.new_run(), other.new_run()
    listed = {run["id"] for run in client.get("/api/v1/runs", params={"limit": 1000}).json()["runs"]}
    assert mine in listed and theirs not in listed


def test_a_key_without_scopes_may_do_nothing(box, client, run_id):
    weak = box.client(make_key(box, scopes=[]))
    for route in ROUTES:
        assert_problem(call(weak, route, run_id), 403, "forbidden")
    assert client.run(run_id)["last_seq"] == 1


def test_the_key_file_is_private_and_its_key_works(box, client):
    path = box.dir / "api-key"
    assert path.stat().st_mode & 0o777 == 0o600
    assert len(path.read_text().splitlines()) == 1
    assert client.get("/api/v1/runs").status_code == 200


def test_keys_are_not_stored_in_the_clear(box, client):
    stored = box.database().rows("select public_id, hash, name from api_keys")
    secret = client.key.split("_")[2]
    assert all(secret not in repr(row) and secret not in bytes(row[1]).hex() for row in stored)


@pytest.mark.slow
def test_a_revoked_key_ends_within_ten_seconds_with_its_streams(box, client, run_id):
    key = make_key(box)
    revoked = box.client(key)
    assert revoked.get("/api/v1/runs").status_code == 200
    with box.stream(run_id, key=key) as stream, box.stream(run_id) as kept:
        assert stream.take(1)[0][1] == "RUN_STARTED"
        assert kept.take(1)[0][1] == "RUN_STARTED"
        revoke(box, key)
        wait_until(lambda: revoked.get("/api/v1/runs").status_code == 401, "the revocation", 10)
        with pytest.raises(StreamEnded) as end:
            while True:
                stream.next_frame(10)
        assert not end.value.tidy
        client.append(run_id, "CUSTOM", custom(1)["payload"])
        assert kept.next_event(5).seq == 2


@pytest.mark.slow
def test_a_key_ends_at_its_expiry(box, client):
    brief = box.client(make_key(box, lasts_s=3))
    assert brief.get("/api/v1/runs").status_code == 200
    wait_until(lambda: brief.get("/api/v1/runs").status_code == 401, "the expiry", 13)
    assert_problem(box.client(make_key(box, lasts_s=-1)).get("/api/v1/runs"), 401, "unauthenticated")


def test_tenants_do_not_see_each_others_streams(box, client):
    first, second = make_tenant(box, "one"), make_tenant(box, "two")
    one, two = box.client(first), box.client(second)
    run_one, run_two = one.new_run(), two.new_run()
    with box.stream(run_one, key=first) as s1, box.stream(run_two, key=second) as s2:
        for n in range(20):
            one.append(run_one, "CUSTOM", custom(f"one {n}")["payload"])
            two.append(run_two, "CUSTOM", custom(f"two {n}")["payload"])
        assert all("one" in payload for _, _, payload in s1.take(21)[1:])
        assert all("two" in payload for _, _, payload in s2.take(21)[1:])
    with box.stream(run_one, key=second) as stream:
        assert stream.status == 404


@pytest.mark.parametrize("path", ["/health", "/ready"])
@pytest.mark.requirement("R167")
def test_health_and_ready_are_open(client, path):
    answer = client.get(path, auth=False)
    assert answer.status_code == 200
    assert client.key not in answer.text


@pytest.mark.requirement("R163", "R172")
def test_metrics_ask_for_a_key_unless_the_listener_is_on_loopback(own_box):
    """A listener on every address is not a loopback one, even for callers from this machine: a proxy may be one."""
    box = own_box(started=False)
    box.listen = "0.0.0.0:0"
    box.launch()
    box.wait_ready()
    client = box.client()
    for path in ("/health", "/ready"):
        assert client.get(path, auth=False).status_code == 200
    answer = client.get("/metrics", auth=False)
    assert_problem(answer, 401, "unauthenticated")
    assert_problem(box.client(make_key(box, scopes=["read", "append"])).get("/metrics"), 403, "forbidden")
    assert box.client(make_key(box, scopes=["admin"])).get("/metrics").status_code == 200
