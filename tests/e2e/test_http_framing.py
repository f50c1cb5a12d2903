"""HTTP/1.1 framing, deadlines and limits of the server alone (tests/harness/http_echo.c): no database.

The table is in http_framing_cases.py; every case is sent whole, behind a good request, and split at every byte.
"""

import contextlib
import fcntl
import os
import pathlib
import random
import resource
import select
import signal
import socket
import subprocess
import time

import pytest

from e2e.http_framing_cases import CASES, HOST, chunked, get, post

ROOT = pathlib.Path(__file__).resolve().parents[2]
OUT = (ROOT / os.environ.get("SIGNALBOX_TEST_BIN", "build/bin")).parent
ASAN = OUT.name == "asan"
TIMEOUT_S = 60 if ASAN else 20
GOOD = get(b"/good")


def build():
    """The echo server of the build under test; make knows whether there is anything to do."""
    variant = OUT.name if OUT.name in ("fault", "asan") else "release"
    target = OUT.relative_to(ROOT) / "test" / "http_echo"
    OUT.mkdir(parents=True, exist_ok=True)
    with open(OUT / ".http_echo.lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        environment = {key: value for key, value in os.environ.items() if key not in ("MAKEFLAGS", "MFLAGS")}
        subprocess.run(["make", "-s", f"VARIANT={variant}", str(target)], cwd=ROOT, env=environment, check=True)
    return ROOT / target


class Echo:
    """One running echo server."""

    def __init__(self, *settings, descriptors=None):
        def limit():
            resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, descriptors))

        self.process = subprocess.Popen([build(), *settings], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                        preexec_fn=limit if descriptors else None)
        self.port = int(self.process.stdout.readline())

    def connect(self, **options):
        return Client(self.port, **options)

    def stop(self):
        """Drains it, once; what a sanitizer has to say shows in the exit code or in what is returned (stderr)."""
        if self.process.returncode is not None:
            return ""
        self.process.send_signal(signal.SIGTERM)
        out, err = self.process.communicate(timeout=TIMEOUT_S)
        assert self.process.returncode == 0 and out.startswith("drained"), (out, err)
        return err


@contextlib.contextmanager
def running(*settings, quiet=True, **options):
    echo = Echo(*settings, **options)
    try:
        yield echo
        err = echo.stop()
        assert not quiet or err == ""
    finally:
        echo.process.kill()
        echo.process.wait()


@pytest.fixture(scope="module", name="echo")
def fixture_echo():
    with running() as echo:
        yield echo


class Client:
    def __init__(self, port, receive_buffer=None):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.settimeout(TIMEOUT_S)
        self.socket.connect(("127.0.0.1", port))
        self.have = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def end(self):
        self.socket.shutdown(socket.SHUT_WR)

    def more(self):
        """False at the end."""
        data = self.socket.recv(1 << 16)
        self.have += data
        return data != b""

    def rest(self):
        while self.more():
            pass
        return self.have

    def answer(self, head=False):
        """Status, fields and body of the next answer; None at the end."""
        while b"\r\n\r\n" not in self.have:
            if not self.more():
                assert self.have == b"", "broken off inside an answer"
                return None
        text, self.have = self.have.split(b"\r\n\r\n", 1)
        first, *lines = text.decode("latin-1").split("\r\n")
        version, status, _ = first.split(" ", 2)
        assert version == "HTTP/1.1"
        fields = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
        length = 0 if head or status in ("100", "204") else int(fields["content-length"])
        while len(self.have) < length:
            assert self.more(), "broken off inside a body"
        body, self.have = self.have[:length], self.have[length:]
        return int(status), fields, body


def check_answers(client, case, before=()):
    """Reads what must come for `case`, then that nothing more comes or that the connection still works."""
    last = None
    for wanted in (*before, *case.answers):
        head = isinstance(wanted, str)
        last = client.answer(head)
        assert last is not None, f"no answer where {wanted} is due"
        assert last[0] == (200 if head else wanted), last
    if case.closes:
        assert client.rest() == b""
        assert last[1]["connection"] == "close"
    elif not case.answers or case.data.endswith(b"Ho"):
        client.end()
        assert client.rest() == b""
    else:
        assert "connection" not in last[1]
        client.send(get(b"/still-here"))
        assert client.answer()[1]["x-path"] == "/still-here"
    if case.answers and last[0] >= 400 and case.closes and last[0] != 403:
        assert last[1]["content-type"] == "application/problem+json"
    for name, value in case.echoes.items():
        assert last[1][name] == value
    if case.body is not None:
        assert last[2] == case.body


by_case = pytest.mark.parametrize("case", CASES, ids=[case.name.replace(" ", "-") for case in CASES])


@by_case
def test_whole(echo, case):
    with echo.connect() as client:
        client.send(case.data)
        check_answers(client, case)


@by_case
def test_behind_a_good_request(echo, case):
    with echo.connect() as client:
        client.send(GOOD + case.data)
        check_answers(client, case, [200])


def split_positions(case):
    size = len(case.data)
    if size <= 600:
        return range(1, size)
    return sorted({*range(1, 80), *range(80, size, max(97, size // 100)), *range(size - 80, size)})


@by_case
def test_split_at_every_byte(echo, case):
    """The first part is read by itself: each connection is up (it has answered), and the answer on the control
    connection comes from a turn of the server's loop behind the one in which the first parts were readable."""
    with contextlib.ExitStack() as stack, echo.connect() as control:
        clients = [(at, stack.enter_context(echo.connect())) for at in split_positions(case)]
        for _, client in clients:
            client.send(GOOD)
        for _, client in clients:
            assert client.answer()[0] == 200
        for at, client in clients:
            client.send(case.data[:at])
        for _ in range(2):
            control.send(GOOD)
            control.answer()
        for at, client in clients:
            with contextlib.suppress(ConnectionError):  # refused and closed by what the first part says
                client.send(case.data[at:])
        for at, client in clients:
            try:
                check_answers(client, case)
            except (AssertionError, OSError) as error:
                raise AssertionError(f"split at {at}: {case.data[:at][-40:]!r} | {case.data[at:][:40]!r}") from error


@pytest.mark.parametrize("case", [case for case in CASES if len(case.data) <= 600][::3],
                         ids=lambda case: case.name.replace(" ", "-"))
def test_byte_by_byte(echo, case):
    with echo.connect() as client:
        for at in range(len(case.data)):
            with contextlib.suppress(ConnectionError):
                client.send(case.data[at:at + 1])
        check_answers(client, case)


def test_continue_comes_before_the_body(echo):
    with echo.connect() as client:
        client.send(post(b"Expect: 100-continue\r\nContent-Length: 2\r\n"))
        assert client.answer()[0] == 100
        client.send(b"ab")
        assert client.answer()[2] == b"ab"


def test_date(echo):
    with echo.connect() as client:
        client.send(post(b"Content-Length: 3\r\n", b"abc"))
        status, fields, body = client.answer()
        assert (status, body) == (200, b"abc")
        then = time.mktime(time.strptime(fields["date"], "%a, %d %b %Y %H:%M:%S GMT")) - time.timezone
        assert abs(time.time() - then) < 10


def test_large_bodies_both_ways(echo):
    body = random.Random(1).randbytes(1 << 20)
    with echo.connect() as client:
        for _ in range(3):
            client.send(post(b"Content-Length: %d\r\n" % len(body), body))
            assert client.answer()[2] == body
        pieces = b"".join(b"%x\r\n%b\r\n" % (len(body[at:at + 5000]), body[at:at + 5000])
                          for at in range(0, len(body), 5000))
        client.send(chunked(pieces + b"0\r\n\r\n"))
        assert client.answer()[2] == body


def test_an_answer_larger_than_the_socket(echo):
    with echo.connect(receive_buffer=65536) as client:
        client.send(get(b"/large?bytes=20000000") + get(b"/2"))
        assert len(client.answer()[2]) == 20000000
        assert client.answer()[1]["x-path"] == "/2"


def test_many_pipelined_requests(echo):
    count = 5000
    with echo.connect() as client:
        data = b"".join(get(b"/later" if i % 500 == 0 else b"/%d" % i) for i in range(count))
        sent = 0
        for i in range(count):
            while sent < len(data) and select.select([], [client.socket], [], 0)[1]:
                sent += client.socket.send(data[sent:sent + 8192])
            status, fields, _ = client.answer()
            assert status == 200 and fields["x-path"] == ("/later" if i % 500 == 0 else f"/{i}")
            if "connection" in fields:
                assert i == 999  # http.connection_requests
                break


@pytest.mark.parametrize("head", [post(b"Content-Length: 9000000\r\n"), post(b"Content-Length: +1\r\n"),
                                  chunked(b"900000\r\n"), post(b"Content-Length: 900000\r\n").replace(b"/", b"/refuse", 1)])
def test_an_error_answer_is_not_lost_while_the_client_still_sends(echo, head):
    with echo.connect() as client:
        client.send(head)
        with contextlib.suppress(ConnectionError):
            for _ in range(80):
                client.send(b"x" * 100000)
        assert client.answer()[0] in (400, 403, 413)
        assert client.rest() == b""


def test_a_client_that_stops_sending_gets_its_answers(echo):
    with echo.connect() as client:
        client.send(get(b"/later") + get(b"/2") + get(b"/later"))
        client.end()
        assert [client.answer()[1]["x-path"] for _ in range(3)] == ["/later", "/2", "/later"]
        assert client.rest() == b""


def test_a_client_that_goes_away_is_noticed(echo):
    """By a reset, before, while and after it is answered."""
    last = get(b"/later", b"Connection: close\r\n")
    for data in (get(b"/later"), last, b"BAD\r\n\r\n", get(b"/later") + get(b"/later"), get(b"/large?bytes=9000000")):
        for half_closed in (False, True):
            for _ in range(10):
                with echo.connect() as client:
                    client.send(data)
                    if half_closed:
                        client.end()
                    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
    with echo.connect() as client:
        client.send(get(b"/later"))
        assert client.answer()[0] == 200


def test_detach_hands_over_what_was_read(echo):
    with echo.connect() as client:
        client.send(get(b"/detach"))
        assert client.answer()[2] == b"detached:"
        assert client.rest() == b""
    with echo.connect() as client:
        client.send(get(b"/1") + get(b"/detach") + b"what follows")
        assert client.answer()[1]["x-path"] == "/1"
        assert client.answer()[2] == b"detached:what follows"
    with echo.connect() as client:
        client.send(get(b"/later") + get(b"/detach") + b"what follows")
        assert client.answer()[1]["x-path"] == "/later"
        assert client.answer()[2] == b"detached:what follows"


def test_mutated_requests_never_hurt(echo):
    """Any bytes: the server answers whole answers or closes, and lives."""
    seed = int(os.environ.get("SEED", "20261120"))
    random_of = random.Random(seed)
    texts = [case.data for case in CASES if 0 < len(case.data) < 600]
    for round_of in range(40):
        with contextlib.ExitStack() as stack:
            clients = []
            for _ in range(50):
                data = bytearray(random_of.choice(texts) + random_of.choice(texts))
                for _ in range(random_of.randrange(1, 6)):
                    at = random_of.randrange(len(data))
                    kind = random_of.randrange(4)
                    if kind == 0:
                        data[at] = random_of.randrange(256)
                    elif kind == 1:
                        del data[at:at + random_of.randrange(1, 4)]
                    elif kind == 2:
                        data[at:at] = random_of.choice([b"\r\n", b"\n", b"\0", b" ", b"0", b":", b"chunked", HOST])
                    else:
                        data[at:at] = random_of.choice(texts)[:random_of.randrange(40)]
                    if not data:
                        data = bytearray(b"x")
                client = stack.enter_context(echo.connect())
                client.send(bytes(data))
                client.end()
                clients.append(client)
            for client in clients:
                with contextlib.suppress(ConnectionError):
                    client.rest()
                assert client.have == b"" or client.have.startswith(b"HTTP/1.1 ") or client.have.startswith(b"detached")
        with echo.connect() as client:
            client.send(GOOD)
            assert client.answer()[0] == 200, f"seed {seed}, round {round_of}"


# ---- deadlines and limits: a server of its own, with short times ----

def drip(client, data, pause_s):
    """Sends byte by byte until the server has something to say; returns how long that took."""
    started = time.monotonic()
    for at in range(len(data)):
        try:
            client.send(data[at:at + 1])
        except ConnectionError:
            break
        if select.select([client.socket], [], [], pause_s)[0]:
            break
    return time.monotonic() - started


def test_the_head_has_an_absolute_deadline():
    with running("http.head_timeout_ms=300") as echo:
        with echo.connect() as client:
            took = drip(client, get(fields=b"X: " + b"a" * 1000 + b"\r\n"), 0.02)
            assert client.answer()[0] == 408
            assert took >= 0.29
        with echo.connect() as client:  # not even a byte
            assert client.rest() == b""


def test_the_body_has_a_deadline():
    with running("http.body_timeout_ms=300") as echo:
        for head in (post(b"Content-Length: 1000\r\n"), post(b"Transfer-Encoding: chunked\r\n") + b"3e8\r\n"):
            with echo.connect() as client:
                client.send(head)
                took = drip(client, b"a" * 1000, 0.02)
                assert client.answer()[0] == 408
                assert took >= 0.29
        with echo.connect() as client:  # a second more for every 16 KiB
            client.send(post(b"Content-Length: 16384\r\n"))
            assert drip(client, b"a" * 16000, 0.5) >= 1.2
            assert client.answer()[0] == 408


def test_idle_connections_are_closed():
    with running("http.idle_ms=2000", "http.head_timeout_ms=60000") as echo, echo.connect() as client:
        for _ in range(3):
            client.send(GOOD)
            started = time.monotonic()
            assert client.answer()[0] == 200
            assert not select.select([client.socket], [], [], 0.1)[0]
        assert client.rest() == b""
        assert 1.99 <= time.monotonic() - started < TIMEOUT_S


def sockets(echo):
    """How many sockets the server holds."""
    links = []
    for entry in pathlib.Path(f"/proc/{echo.process.pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            links.append(os.readlink(entry))
    return sum(link.startswith("socket:") for link in links)


def test_a_reader_that_takes_nothing_is_cut():
    with running("http.write_stall_ms=300") as echo:
        before = sockets(echo)
        with echo.connect(receive_buffer=4096) as client:
            client.send(get(b"/large?bytes=50000000"))
            assert client.more()
            assert sockets(echo) == before + 1
            time_up = time.monotonic() + TIMEOUT_S
            while sockets(echo) > before and time.monotonic() < time_up:
                select.select([], [], [], 0.05)
            assert sockets(echo) == before


def test_requests_and_age_of_a_connection():
    with running("http.connection_requests=3") as echo, echo.connect() as client:
        client.send(GOOD * 5)
        assert ["connection" in client.answer()[1] for _ in range(3)] == [False, False, True]
        assert client.rest() == b""
    started = time.monotonic()
    with running("http.connection_age_ms=1000") as echo, echo.connect() as client:
        while True:
            client.send(GOOD)
            if "connection" in client.answer()[1]:
                break
            assert time.monotonic() - started < TIMEOUT_S
            select.select([client.socket], [], [], 0.05)
        assert time.monotonic() - started >= 1
        assert client.rest() == b""


def test_connections_above_the_cap_wait():
    with running("http.connections_max=3") as echo, contextlib.ExitStack() as stack:
        clients = [stack.enter_context(echo.connect()) for _ in range(4)]
        for client in clients:
            client.send(GOOD)
        for client in clients[:3]:
            assert client.answer()[0] == 200
        assert not select.select([clients[3].socket], [], [], 0.3)[0]
        clients[0].socket.close()
        assert clients[3].answer()[0] == 200


def test_accepting_pauses_without_descriptors():
    """Fewer descriptors are free than 90 % of all: accept fails with EMFILE, and goes on when some are closed."""
    with running(quiet=False, descriptors=32) as echo, contextlib.ExitStack() as stack:
        clients = [stack.enter_context(echo.connect()) for _ in range(40)]
        for client in clients:
            client.send(GOOD)
        assert "cannot accept" in echo.process.stderr.readline()
        served = select.select([client.socket for client in clients], [], [], TIMEOUT_S)[0]
        assert 0 < len(served) < 32
        for client in clients:
            if client.socket in served:
                assert client.answer()[0] == 200
                client.socket.close()
        for client in clients:
            if client.socket not in served:
                assert client.answer()[0] == 200
                client.socket.close()


def test_drain_ends_idle_connections_and_finishes_requests():
    with running() as echo, contextlib.ExitStack() as stack:
        idle = stack.enter_context(echo.connect())
        idle.send(GOOD)
        idle.answer()
        busy = stack.enter_context(echo.connect())
        busy.send(post(b"Content-Length: 2\r\n", b"a"))
        fresh = stack.enter_context(echo.connect())
        control = stack.enter_context(echo.connect())
        control.send(GOOD)
        control.answer()
        echo.process.send_signal(signal.SIGTERM)
        assert idle.rest() == b""
        fresh.send(GOOD)  # it was on the way when the drain began
        status, fields, body = fresh.answer()
        assert (status, fields["connection"]) == (200, "close")
        fresh.socket.close()
        busy.send(b"b")
        status, fields, body = busy.answer()
        assert (status, body, fields["connection"]) == (200, b"ab", "close")
        busy.socket.close()
        with pytest.raises(ConnectionError):  # in the backlog, until the listener is gone
            late = stack.enter_context(echo.connect())
            late.send(GOOD)
            if not late.more():
                raise ConnectionError
        assert echo.process.wait(TIMEOUT_S) == 0
