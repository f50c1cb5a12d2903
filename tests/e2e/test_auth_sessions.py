"""Browser sessions: the cookie, its end, and requests that no page of ours has sent."""

import re

import pytest
from harness.client import assert_problem
from harness.keys import make_key, make_tenant, revoke
from harness.sse import SseStream, StreamEnded
from harness.waiting import wait_until

NAME = "__Host-signalbox-session"


class Browser:
    """Sends the cookie and what a browser adds by itself."""

    def __init__(self, box, key, login=True):
        self.box, self.http = box, box.client(key)
        self.cookie = self.token = None
        if login:
            self.answer = self.http.post("/api/v1/session", {})
            assert self.answer.status_code == 201, self.answer.text
            self.cookie = re.match(rf"{NAME}=([^;]+)", self.answer.headers["set-cookie"])[1]
            self.token = self.answer.json()["csrf_token"]

    def headers(self, **changed) -> dict:
        """Those of a page of ours; None takes one away."""
        found = {"Cookie": f"{NAME}={self.cookie}", "Origin": self.box.url, "Sec-Fetch-Site": "same-origin",
                 "X-CSRF-Token": self.token, "Content-Type": "application/json"}  # fmt: skip
        found |= {name.replace("_", "-"): value for name, value in changed.items()}
        return {name: value for name, value in found.items() if value is not None}

    def request(self, method, path, content=None, **changed):
        return self.http.request(method, path, auth=False, content=content, headers=self.headers(**changed))


@pytest.fixture
def browser(box):
    return Browser(box, make_key(box))


@pytest.mark.requirement("R172")
def test_a_session_opens_what_its_key_opens(box, browser):
    cookie = browser.answer.headers["set-cookie"]
    for rule in ("Path=/", "Secure", "HttpOnly", "SameSite=Strict"):
        assert rule in cookie.split("; ")
    assert "Domain" not in cookie and browser.answer.headers["cache-control"] == "no-store"
    assert browser.cookie not in browser.answer.text
    who = browser.request("GET", "/api/v1/session").json()
    assert who["kind"] == "session" and who["csrf_token"] == browser.token
    made = browser.request("POST", "/api/v1/runs", "{}")
    assert made.status_code == 201
    assert browser.request("GET", f"/api/v1/runs/{made.json()['id']}").status_code == 200
    assert re.fullmatch(r"session:[0-9a-f]{16}", box.database().value(
        "select created_by from runs where run_id = %s", made.json()["id"]))  # fmt: skip
    weak = Browser(box, make_key(box, scopes=["read"]))
    assert_problem(weak.request("POST", "/api/v1/runs", "{}"), 403, "forbidden")
    stored = box.database().rows("select public_id, hash from sessions")
    assert all(browser.cookie.split("_")[2] not in repr(row) for row in stored)


def foreign(box) -> list:
    """What a page of somebody else's can make a browser send, by the header that gives it away."""
    return [
        {"Origin": "https://evil.example"}, {"Origin": "null"}, {"Origin": ""}, {"Origin": box.url + ".evil.example"},
        {"Origin": box.url.replace("http://", "http://evil.")}, {"Origin": box.url + "@evil.example"},
        {"Origin": box.url.replace("http://", "ftp://")}, {"Origin": box.url.rpartition(":")[0]},
        {"Origin": None, "Sec_Fetch_Site": "cross-site"}, {"Origin": None, "Sec_Fetch_Site": "same-site"},
        {"Origin": None, "Sec_Fetch_Site": "none"}, {"Origin": None, "Sec_Fetch_Site": None},
    ]  # fmt: skip


WRITES = [("POST", "/api/v1/runs", "{}"), ("POST", "/api/v1/keys", "{}"), ("DELETE", "/api/v1/session", None)]


@pytest.mark.requirement("R172")
@pytest.mark.parametrize("write", WRITES, ids="{0[0]} {0[1]}".format)
def test_nothing_changes_on_the_word_of_another_page(box, browser, write):
    other = Browser(box, make_key(box))
    before = browser.request("GET", "/api/v1/runs?limit=1").text
    for headers in foreign(box):
        assert_problem(browser.request(*write, **headers), 403, "cross-site-request")
    for token in (None, "", "0" * 64, other.token, browser.token.upper(), browser.token + "0", browser.token[:-1]):
        assert_problem(browser.request(*write, X_CSRF_Token=token), 403, "cross-site-request")
    if write[2] is not None:
        for kind in (None, "text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "application/jsonp"):
            assert_problem(browser.request(*write, Content_Type=kind), 415, "unsupported-media-type")
    assert browser.request("GET", "/api/v1/runs?limit=1").text == before
    assert browser.request("GET", "/api/v1/session").status_code == 200


def test_other_pages_cannot_read_either(box, browser):
    run_id = box.client().new_run()
    for path in ("/api/v1/runs", "/api/v1/session", f"/api/v1/runs/{run_id}/stream"):
        for headers in ({"Origin": "https://evil.example"}, {"Origin": None, "Sec_Fetch_Site": "cross-site"}):
            assert_problem(browser.request("GET", path, **headers), 403, "cross-site-request")
    # An address that was typed has neither; so has an old browser.
    assert browser.request("GET", "/api/v1/runs", Origin=None, Sec_Fetch_Site="none").status_code == 200
    assert browser.request("GET", "/api/v1/runs", Origin=None, Sec_Fetch_Site=None).status_code == 200
    answer = browser.request("GET", "/api/v1/runs", Origin="https://evil.example")
    assert "access-control-allow-origin" not in answer.headers


def test_a_session_has_an_end(box, browser):
    """Every api process refuses it at once after the logout; another session goes on."""
    other = Browser(box, browser.http.key)
    left = browser.request("DELETE", "/api/v1/session")
    assert left.status_code == 204 and "Max-Age=0" in left.headers["set-cookie"]
    for _ in range(20):
        assert_problem(browser.request("GET", "/api/v1/runs"), 401, "unauthenticated")
    assert_problem(browser.request("POST", "/api/v1/runs", "{}"), 401, "unauthenticated")
    assert other.request("GET", "/api/v1/runs").status_code == 200


def test_a_session_is_made_and_never_taken(box, browser):
    """Fixation: the secret is the server's choice at every login."""
    again = browser.http.post("/api/v1/session", {}, headers={"Cookie": f"{NAME}={browser.cookie}"})
    assert again.status_code == 201 and browser.cookie not in again.headers["set-cookie"]
    chosen = "sbs_" + "0" * 16 + "_" + "0" * 64 + "_00000000"
    answer = browser.http.post("/api/v1/session", {}, headers={"Cookie": f"{NAME}={chosen}"})
    assert chosen not in answer.headers["set-cookie"]
    assert_problem(browser.request("POST", "/api/v1/session", "{}"), 403, "forbidden")
    assert_problem(browser.http.post("/api/v1/session", {"id": "x"}), 422, "unknown-field")


def test_cookies_that_are_no_session(box, browser):
    key, good = browser.http.key, browser.cookie
    wrong = {"empty": "", "key": key, "key as session": key.replace("sbx_", "sbs_"), "cut": good[:-1], "long": good + "0",
             "upper": good.upper(), "quoted": f'"{good}"'}  # fmt: skip
    for name, value in wrong.items():
        assert browser.request("GET", "/api/v1/runs", Cookie=f"{NAME}={value}").status_code == 401, name
    for cookie in (f"{NAME}={good}; {NAME}={good}", f"signalbox-session={good}", f"{NAME.lower()}={good}", f"x{NAME}={good}"):
        assert browser.request("GET", "/api/v1/runs", Cookie=cookie).status_code == 401, cookie
    assert browser.request("GET", "/api/v1/runs", Cookie=f"a=b; {NAME}={good} ; c=d").status_code == 200
    # The secret of a session is no key.
    assert browser.http.get("/api/v1/runs", auth=False, headers={"Authorization": f"Bearer {good}"}).status_code == 401


def test_authorization_decides_alone(box, browser):
    """A cookie beside it changes nothing, and never helps a wrong key."""
    cookie = {"Cookie": f"{NAME}={browser.cookie}"}
    wrong = cookie | {"Authorization": f"Bearer {browser.http.key[:-1]}x"}
    assert browser.http.get("/api/v1/runs", auth=False, headers=wrong).status_code == 401
    assert browser.http.get("/api/v1/runs", headers={"Cookie": f"{NAME}=x"}).status_code == 200
    assert browser.http.get("/api/v1/session", headers=cookie).json()["kind"] == "key"
    assert browser.http.post("/api/v1/runs", {}, headers=cookie | {"Origin": "https://evil.example"}).status_code == 201


def test_sessions_stay_within_their_tenant(box, browser):
    theirs = Browser(box, make_tenant(box, "of sessions"))
    run_id = browser.request("POST", "/api/v1/runs", "{}").json()["id"]
    for path in (f"/api/v1/runs/{run_id}", f"/api/v1/runs/{run_id}/events", f"/api/v1/runs/{run_id}/stream"):
        assert_problem(theirs.request("GET", path), 404, "not-found")


@pytest.mark.slow
def test_sessions_and_their_streams_end_with_the_key_and_with_the_logout(box):
    key = make_key(box)
    first, second = Browser(box, key), Browser(box, make_key(box))
    run_id = box.client().new_run()
    path = f"/api/v1/runs/{run_id}/stream"
    with SseStream(box.address, path, None, first.headers()) as one, SseStream(box.address, path, None, second.headers()) as two:
        assert one.take(1)[0][1] == two.take(1)[0][1] == "RUN_STARTED"
        revoke(box, key)
        assert second.request("DELETE", "/api/v1/session").status_code == 204
        wait_until(lambda: first.request("GET", "/api/v1/runs").status_code == 401, "the end of the session", 10)
        for stream in (one, two):
            with pytest.raises(StreamEnded):
                while True:
                    stream.next_frame(10)


def test_a_session_expires(own_box):
    box = own_box({"auth.session_ms": 1500, "auth.origins": "https://console.example, http://other.example:8080"})
    browser = Browser(box, box.api_key)
    assert browser.request("GET", "/api/v1/runs").status_code == 200
    for origin, status in (("https://console.example", 201), ("http://other.example:8080", 201), ("https://console.example:1", 403),
                           ("http://console.example", 403), ("https://console", 403)):  # fmt: skip
        assert browser.request("POST", "/api/v1/runs", "{}", Origin=origin).status_code == status, origin
    wait_until(lambda: browser.request("GET", "/api/v1/runs").status_code == 401, "the end", 5)
