"""
Every route against every way to come without the right: generated from actors/api/routes.c. A route without a row in ROWS
fails the first test.
"""

import re

import pytest
from harness.client import random_id
from harness.keys import make_key, make_tenant, revoke
from harness.paths import ROOT
from harness.raw import RawConnection

EVENT = '{"type":"CUSTOM","payload":{"name":"n","value":1}}'
TOKEN = '{"token":"00000000-0000-4000-8000-000000000001"}'
# What a worker says of a claim: with this token there is none.
WORDS = [f"POST /api/v1/jobs/{{}}/{word}" for word in ("heartbeat", "progress", "complete", "fail", "release")]
# Route -> (scopes of which one is enough; none: open to all, body, whose id stands in the path).
ROWS = {
    "POST /api/v1/runs": ("append", "{}", None),
    "GET /api/v1/runs": ("read", None, None),
    "POST /api/v1/runs/cancel": ("append", '{"filter":{"status":"interrupted"}}', None),
    "GET /api/v1/runs/{}": ("read", None, "run"),
    "POST /api/v1/runs/{}/cancel": ("append", "{}", "run"),
    "POST /api/v1/runs/{}/resume": ("append", '{"response":1}', "run"),
    "POST /api/v1/runs/{}/fork": ("append", '{"seq":1}', "run"),
    "POST /api/v1/runs/{}/heartbeat": ("append", "{}", "run"),
    "POST /api/v1/runs/{}/events": ("append", EVENT, "run"),
    "GET /api/v1/runs/{}/events": ("read", None, "run"),
    "GET /api/v1/runs/{}/stream": ("read", None, "run"),
    "POST /api/v1/jobs/claim": ("append", "{}", None),
    "POST /api/v1/jobs/{}/heartbeat": ("append", TOKEN, "job"),
    "POST /api/v1/jobs/{}/progress": ("append", TOKEN, "job"),
    "POST /api/v1/jobs/{}/complete": ("append", TOKEN, "job"),
    "POST /api/v1/jobs/{}/fail": ("append", TOKEN[:-1] + ',"error":"e"}', "job"),
    "POST /api/v1/jobs/{}/release": ("append", TOKEN, "job"),
    "POST /api/v1/runs/{}/jobs": ("append", '{"job_type":"of the matrix","job_key":"of the matrix","queue":"of the matrix"}', "run"),
    "GET /api/v1/runs/{}/jobs": ("read", None, "run"),
    "GET /api/v1/jobs": ("read", None, None),
    "POST /api/v1/jobs/retry": ("append", '{"status":"error"}', None),
    "PUT /api/v1/jobs/pause": ("admin", None, None),
    "DELETE /api/v1/jobs/pause": ("admin", None, None),
    "GET /api/v1/jobs/{}": ("read", None, "job"),
    "POST /api/v1/jobs/{}/cancel": ("append", "{}", "job"),
    "POST /api/v1/jobs/{}/retry": ("append", "{}", "job"),
    "GET /api/v1/queues": ("read", None, None),
    "GET /api/v1/queues/{}": ("read", None, "thread"),
    "PUT /api/v1/queues/{}": ("admin", "{}", "thread"),
    "DELETE /api/v1/queues/{}": ("admin", None, "thread"),
    "PUT /api/v1/job-types/{}/pause": ("admin", None, "thread"),
    "DELETE /api/v1/job-types/{}/pause": ("admin", None, "thread"),
    "GET /api/v1/schedules": ("read", None, None),
    "GET /api/v1/schedules/{}": ("read", None, "schedule"),
    "PUT /api/v1/schedules/{}": ("admin", '{"spec":"@daily","job_type":"of the matrix","enabled":false}', "thread"),
    "DELETE /api/v1/schedules/{}": ("admin", None, "schedule"),
    "GET /api/v1/threads/{}/stream": ("read", None, "thread"),
    "GET /api/v1/threads/{}/chat": ("read", None, "thread"),
    "GET /api/v1/stream": ("read", None, None),
    "POST /api/v1/agui/{}": ("append", '{"threadId":"matrix","runId":"matrix","messages":[]}', "thread"),
    "GET /api/v1/agui/{}/runs/{}": ("read", None, "run"),
    "POST /api/v1/ai-sdk/chat": ("append", '{"id":"matrix","message":{"id":"m","role":"user"}}', None),
    "GET /api/v1/ai-sdk/chat/{}/stream": ("read", None, "thread"),
    "POST /api/v1/ai-sdk/chat/{}/stop": ("append", "{}", "thread"),
    "GET /api/v1/ws": ("read", None, None),
    "GET /api/v1/keys": ("admin", None, None),
    "POST /api/v1/keys": ("admin", "{}", None),
    "DELETE /api/v1/keys/{}": ("admin", None, "key"),
    "GET /api/v1/tenants": ("admin", None, None),
    "POST /api/v1/tenants": ("operator", '{"name":"of the matrix"}', None),
    "GET /api/v1/tenants/{}": ("admin", None, "tenant"),
    "GET /api/v1/tenants/{}/quota": ("admin", None, "tenant"),
    "PUT /api/v1/tenants/{}/quota": ("operator", "{}", "tenant"),
    "GET /api/v1/audit": ("admin", None, None),
    "POST /api/v1/session": ("read append admin operator", "{}", None),
    "GET /api/v1/session": ("read append admin operator", None, None),
    "DELETE /api/v1/session": ("read append admin operator", None, None),
    "GET /health": ("", None, None),
    "GET /ready": ("", None, None),
    "GET /metrics": ("", None, None),  # on a loopback listener; test_auth.py has the other one
    "GET /problems/{}": ("", None, "slug"),
}
# What is asked there is a handshake; its answer to a HEAD is that it is a WebSocket.
SOCKET = "/api/v1/ws"
HANDSHAKE = ["Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg=="]
CLOSED = [route for route, (scopes, _, _) in ROWS.items() if scopes]
SCOPES = ["read", "append", "admin", "operator"]


def routes() -> list:
    text = (ROOT / "actors/api/routes.c").read_text()
    table = text[text.index("struct route routes[]") :]
    return [f"{method} {path}" for method, path in re.findall(r'\(?"(GET|POST|PUT|DELETE|PATCH)",\s*"([^"]+)"', table)]


THERE = [route for route in ROWS if route in routes()]
CLOSED_HERE = [route for route in CLOSED if route in THERE]


@pytest.mark.requirement("R172")
def test_every_route_has_a_row():
    assert sorted(set(routes()) - set(ROWS)) == [], "give the new routes a row in ROWS"


class World:
    """One tenant's things, and keys of every kind."""

    def __init__(self, box):
        self.box, self.mine = box, box.client()
        self.ids = {
            "run": self.mine.new_run(), "thread": random_id(), "slug": "not-found",
            "key": self.mine.post("/api/v1/keys", {"scopes": []}).json()["id"],
            "tenant": self.mine.get("/api/v1/session").json()["tenant_id"],
        }  # fmt: skip
        self.ids["thread"] = random_id()
        self.mine.new_run(thread_id=self.ids["thread"])
        self.ids["job"] = self.job()
        self.ids["schedule"] = self.schedule()
        self.revoked, self.expired = make_key(box), make_key(box, lasts_s=-1)
        revoke(box, self.revoked)
        self.other = make_tenant(box, "of the matrix")

    def job(self) -> str:
        """One that nobody takes."""
        body = {"job_type": "of the matrix", "job_key": random_id(), "queue": "of the matrix"}
        return self.mine.post(f"/api/v1/runs/{self.ids['run']}/jobs", body).json()["id"]

    def schedule(self) -> str:
        """One that rests."""
        body = {"spec": "@daily", "job_type": "of the matrix", "enabled": False}
        assert self.mine.request("PUT", "/api/v1/schedules/of-the-matrix", json=body).status_code in (200, 201)
        return "of-the-matrix"

    def ask(self, method, path, *headers, body=None) -> int:
        """Status of exactly this request."""
        content = (body or "").encode()
        lines = [f"{method} {path} HTTP/1.1", "Host: x", *(HANDSHAKE if SOCKET in path else ["Connection: close"]), *headers]
        if body is not None:
            lines += [f"Content-Length: {len(content)}", "Content-Type: application/json"]
        with RawConnection(self.box.address) as raw:
            raw.send(("\r\n".join(lines) + "\r\n\r\n").encode() + content)
            return raw.read_head()[0]

    def route(self, route, *headers, key=None, method=None, path=None) -> int:
        _, body, whose = ROWS[route]
        own_method, own_path = route.split(" ")
        headers = [f"Authorization: Bearer {key}", *headers] if key else headers
        filled = (path or own_path).replace("{}", self.ids.get(whose, ""))
        return self.ask(method or own_method, filled, *headers, body=body if (method or own_method) == own_method else None)


@pytest.fixture(scope="module")
def world(shared_server):
    return World(shared_server)


@pytest.fixture(autouse=True)
def clean(box):
    """Each test ends with the harness's checks."""


@pytest.mark.requirement("R172")
@pytest.mark.parametrize("route", CLOSED_HERE)
def test_without_a_good_key_there_is_nothing(world, route):
    good = world.mine.key
    _, path = route.split(" ")
    signs = "&" if "?" in path else "?"
    attacks = {
        "none": world.route(route),
        "wrong": world.route(route, key=good[:-1] + ("0" if good[-1] != "0" else "1")),
        "expired": world.route(route, key=world.expired),
        "revoked": world.route(route, key=world.revoked),
        "basic": world.route(route, f"Authorization: Basic {good}"),
        "two": world.route(route, f"Authorization: Bearer {good}", f"Authorization: Bearer {good}"),
        "first of two": world.route(route, f"Authorization: Bearer {world.revoked}", f"Authorization: Bearer {good}"),
        "other header": world.route(route, f"X-Api-Key: {good}", f"X-Authorization: Bearer {good}", f"Proxy-Authorization: Bearer {good}"),
        "cookie": world.route(route, f"Cookie: __Host-signalbox-session={good}; Authorization=Bearer {good}"),
        "wrong key and cookie": world.route(route, f"Cookie: __Host-signalbox-session={good}", key=world.revoked),
        "unsigned token": world.route(route, key="eyJhbGciOiJub25lIn0.eyJzdWIiOiJhIn0."),
        "token": world.route(route, key="eyJhbGciOiJub25lIn0.eyJzdWIiOiJhIn0.AAAA"),
    }  # fmt: skip
    for name in ("key", "api_key", "access_token", "token", "authorization", "bearer"):
        attacks[f"query {name}"] = world.route(route, path=f"{path}{signs}{name}={good}")
    for headers in (["X-Forwarded-For: 127.0.0.1", "X-Real-IP: 127.0.0.1", "Forwarded: for=127.0.0.1"],
                    ["X-Original-URL: /health", "X-Rewrite-URL: /health"], ["X-Forwarded-Host: localhost", "X-Forwarded-Proto: https"],
                    ["X-HTTP-Method-Override: GET", "X-Method-Override: GET"], ["X-Forwarded-User: admin", "X-Remote-User: admin", "Remote-User: admin"],
                    ["X-Tenant-Id: " + world.ids["tenant"]]):  # fmt: skip
        attacks[headers[0]] = world.route(route, *headers)
    assert {name: status for name, status in attacks.items() if status != 401} == {}


@pytest.mark.requirement("R172")
@pytest.mark.parametrize("route", CLOSED_HERE)
def test_other_scopes_are_not_enough(world, route):
    enough = ROWS[route][0].split(" ")
    if route not in world.__dict__.setdefault("weak", {}):
        lacking = [scope for scope in SCOPES if scope not in enough]
        world.weak[route] = make_key(world.box, scopes=lacking)
    assert world.route(route, key=world.weak[route]) == 403
    assert world.route(route, key=make_key(world.box, scopes=[])) == 403


@pytest.mark.requirement("R172")
@pytest.mark.parametrize("route", ["POST /api/v1/agui/{}", "POST /api/v1/ai-sdk/chat"])
def test_what_is_answered_with_a_run_needs_read_too(world, route):
    """Else a key that may only write could read any run, by naming it."""
    assert world.route(route, key=make_key(world.box, scopes=["append"])) == 403
    assert world.route(route, key=make_key(world.box, scopes=["append", "read"])) == 200


@pytest.mark.requirement("I15")
@pytest.mark.parametrize("route", [route for route in CLOSED_HERE if ROWS[route][2] not in (None, "thread") and ROWS[route][0] != "operator"])
def test_of_another_tenant_is_as_if_it_were_not_there(world, route):
    assert world.route(route, key=world.other) == 404
    there, ids = world.ids, {whose: random_id() for whose in world.ids}
    try:
        world.ids = ids
        assert world.route(route, key=world.other) == 404
    finally:
        world.ids = there


@pytest.mark.parametrize("route", THERE)
def test_other_methods_do_nothing(world, route):
    method, path = route.split(" ")
    # A path may also be that of one thing, as cancel could be the id of a run.
    fits = [found.split(" ") for found in routes()]
    own = {m for m, p in fits if p == path or (p.endswith("/{}") and p[:-3] == path.rpartition("/")[0])}
    for other in ("POST", "PUT", "PATCH", "DELETE", "OPTIONS"):
        if other not in own:
            assert world.route(route, method=other, key=world.mine.key) == 405, other
    for unknown in ("BREW", "get", "TRACE", "CONNECT", "PROPFIND"):
        assert world.route(route, method=unknown, key=world.mine.key) in (400, 501), unknown
    if method == "GET":
        head = (426,) if path == SOCKET else (200, 204)
        assert world.route(route, method="HEAD", key=world.mine.key) in head
        if route in CLOSED:
            assert world.route(route, method="HEAD") == 401
            assert world.route(route, method="HEAD", key=world.revoked) == 401
            # An override is not looked at: it stays a read.
            for name in ("X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"):
                before = world.mine.get("/api/v1/keys?limit=1000").text
                assert world.route(route, f"{name}: DELETE", key=world.mine.key) in (*head, 101)
                assert world.mine.get("/api/v1/keys?limit=1000").text == before
    elif "GET" not in own:
        assert world.route(route, method="HEAD", key=world.mine.key) == 405


# They end with any text a client likes.
FREE_END = {"POST /api/v1/agui/{}", *(f"{method} /api/v1/{what}/{{}}" for method in ("GET", "PUT", "DELETE") for what in ("queues", "schedules"))}


def spellings(path) -> list:
    """Other ways to write a path, none of which may reach the route."""
    last = path.rindex("/") + 1
    return [
        path + "/", path + "//", "/" + path, path.replace("/", "//"), path[:last] + "./" + path[last:],
        path[:last] + "%2e/" + path[last:], path[:last] + "x/../" + path[last:], path[:last] + "x/%2e%2e/" + path[last:],
        path[:last] + "x%2f..%2f" + path[last:], path[: last - 1] + "%2f" + path[last:], path[: last - 1] + "%5c" + path[last:],
        path.upper(), path + ";x", path + ";x=1", path + "%00", path + "%20", path + ".json", path + "%3f", path + "%23",
        path[:last] + ";/" + path[last:], "/health/../" + path.lstrip("/"), "/health/..;/" + path.lstrip("/"), path + "%0a",
    ]  # fmt: skip


@pytest.mark.parametrize("route", CLOSED_HERE)
def test_other_spellings_lead_nowhere(world, route):
    method, path = route.split(" ")
    for spelling in spellings(path):
        if spelling.replace("{}", "id") == path.replace("{}", "id"):
            continue
        if route in FREE_END and re.fullmatch(path.replace("{}", "[^/]+"), spelling):
            continue  # another name, as good as any
        for key in (None, world.mine.key):
            assert world.route(route, path=spelling, key=key) in (400, 401, 404, 405), (spelling, key)


@pytest.mark.parametrize("route", THERE)
def test_the_right_key_opens_it(world, route):
    """The rows above would also pass on a server that refuses everything."""
    if route == "DELETE /api/v1/keys/{}":
        world.ids["key"] = world.mine.post("/api/v1/keys", {"scopes": []}).json()["id"]
    if route in ("POST /api/v1/runs/{}/cancel", "POST /api/v1/runs/{}/resume"):
        world.ids["run"] = world.mine.new_run()
    if route == "POST /api/v1/jobs/{}/cancel":
        world.ids["job"] = world.job()
    world.schedule()
    status = world.route(route, key=world.mine.key)
    if route == "PUT /api/v1/jobs/pause":
        assert world.route("DELETE /api/v1/jobs/pause", key=world.mine.key) == 200  # others have jobs here, too
    expected = {"DELETE /api/v1/session": (404,), "POST /api/v1/runs/{}/resume": (409,), f"GET {SOCKET}": (101,), **dict.fromkeys(WORDS, (409,))}.get(route, (200, 201, 202, 204))
    assert status in expected, status


@pytest.mark.requirement("I15")
def test_ids_and_cursors_of_another_tenant_are_worth_nothing(world):
    """Guessing, resuming where another left off, another's idempotency key."""
    theirs, run_id = world.box.client(world.other), world.mine.new_run()
    key = "shared-" + random_id()
    mine = world.mine.create_run(key=key)["id"]
    assert theirs.create_run(key=key)["id"] != mine
    for n in range(3):
        world.mine.append(run_id, "CUSTOM", {"name": "n", "value": n})
    with RawConnection(world.box.address) as raw:
        raw.send((f"GET /api/v1/runs/{run_id}/stream HTTP/1.1\r\nHost: x\r\nLast-Event-ID: 2\r\n"
                  f"Authorization: Bearer {world.other}\r\n\r\n").encode())  # fmt: skip
        assert raw.read_head()[0] == 404
    for _ in range(2):
        world.mine.new_run()
    cursor = world.mine.get("/api/v1/runs?limit=1").json()["next_cursor"]
    assert theirs.get(f"/api/v1/runs?limit=1&cursor={cursor}").status_code == 400
    taken = theirs.post("/api/v1/runs", {"id": run_id})
    assert taken.status_code == 409 and set(taken.json()) <= {"type", "title", "status", "detail"}
