"""
The fetcher, driven as its parents drive it: frames on descriptor 0. What it must not reach, nothing of it may reach: every
refused case has a listener that counts connections.
"""

import socket
import ssl
import struct
import subprocess
import time

import msgpack
import pytest
from harness import paths
from harness.origin import Origin
from harness.paths import patience

FETCH, FETCHED = 64, 65


class Fetcher:
    def __init__(self, *arguments):
        ours, theirs = socket.socketpair()
        self.socket = ours
        self.process = subprocess.Popen([str(paths.bin_dir() / "signalbox-fetcher"), *arguments], stdin=theirs, env={},
                                        stderr=subprocess.PIPE)  # fmt: skip
        theirs.close()
        self.socket.settimeout(20 * patience())
        self.number = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        """Its parent's end of the pipe is all that keeps it alive."""
        self.socket.close()
        assert self.process.wait(10 * patience()) == 0, self.process.stderr.read()
        self.process.stderr.close()

    def send(self, url, method="GET", headers="", body=b"", timeout_ms=5000, answer_max=65536) -> int:
        self.number += 1
        frame = msgpack.packb(
            [1, FETCH, 0, self.number, 0, 0, [method, url, headers, body, timeout_ms, answer_max]], use_bin_type=True
        )
        self.socket.sendall(struct.pack(">I", len(frame)) + frame)
        return self.number

    def answer(self) -> dict:
        frame = msgpack.unpackb(self._exactly(struct.unpack(">I", self._exactly(4))[0]))
        assert frame[1] == FETCHED
        names = ("status", "refused", "error", "headers", "body")
        return {"number": frame[3]} | dict(zip(names, frame[6], strict=True))

    def _exactly(self, count):
        found = b""
        while len(found) < count:
            more = self.socket.recv(count - len(found))
            assert more, "the fetcher ended"
            found += more
        return found

    def get(self, url, **how) -> dict:
        self.send(url, **how)
        return self.answer()


# {} is the port of a listener on 127.0.0.1 (and ::1 below) that must see nothing.
LOOPBACK = [
    "127.0.0.1", "127.1", "127.0.1", "2130706433", "0x7f000001", "0x7f.1", "0x7f.0.0.1", "0177.0.0.1", "017700000001", "0",
    "0.0.0.0", "127.255.255.254", "127.0.0.1.", "localhost", "LOCALHOST", "LocalHost", "localhost.", "%31%32%37.0.0.1",
    "loc%61lhost", "１２７.0.0.1", "①②⑦.0.0.1", "[::1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[0:0:0:0:0:0:0:1]",
    "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "[fe80::1]", "[fe80::1%25lo]", "[fd00:ec2::254]", "[fc00::1]",
]  # fmt: skip
PRIVATE = [
    "10.0.0.1", "10.255.255.255", "172.16.0.1", "172.31.255.255", "192.168.0.1", "100.64.0.1", "169.254.169.254",
    "169.254.0.1", "192.0.0.1", "192.0.2.1", "198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.1.1.1", "240.0.0.1",
    "255.255.255.255", "[ff02::1]", "[2001:db8::1]", "[2001::1]", "[100::1]",
]  # fmt: skip
URLS = [
    "http://good.example@127.0.0.1:{}/", "http://good.example:pw@127.0.0.1:{}/", "http://127.0.0.1:{}@good.example/",
    "http://good.example%40127.0.0.1:{}/", "http://127.0.0.1:{}\\@good.example/", "http://127.0.0.1:{}#@good.example/",
    "http://127.0.0.1:{}?@good.example/", "http://127.0.0.1:{}/%0d%0aX-Evil:%201", "http:127.0.0.1:{}", "http:///127.0.0.1:{}/",
    "//127.0.0.1:{}/", "127.0.0.1:{}", "HTTP://127.0.0.1:{}/", "hTtP://127.0.0.1:{}/",
]  # fmt: skip
SCHEMES = [
    "file:///etc/passwd", "gopher://127.0.0.1:{}/_x", "dict://127.0.0.1:{}/d:x", "ftp://127.0.0.1:{}/x", "ftps://127.0.0.1:{}/x",
    "ldap://127.0.0.1:{}/x", "ldaps://127.0.0.1:{}/x", "smb://127.0.0.1:{}/x", "smtp://127.0.0.1:{}/x", "imap://127.0.0.1:{}/x",
    "pop3://127.0.0.1:{}/x", "rtsp://127.0.0.1:{}/x", "scp://127.0.0.1:{}/x", "sftp://127.0.0.1:{}/x", "telnet://127.0.0.1:{}/x",
    "tftp://127.0.0.1:{}/x", "mqtt://127.0.0.1:{}/x", "ws://127.0.0.1:{}/x", "wss://127.0.0.1:{}/x", "unix:/run/x", "data:,x",
    "javascript:1", "about:blank", "", "x", "http://", "https://", "http://:{}", "https://[::1", "https://[zz]/", "http://a b/",
    "https://exa\tmple.org/", "https://exa\nmple.org/",
]  # fmt: skip
PORTS = [1, 21, 22, 23, 25, 53, 80, 110, 143, 389, 445, 465, 587, 993, 2375, 3306, 5432, 6379, 8080, 9200, 11211, 27017, 65535]


@pytest.fixture(scope="module")
def trap():
    with Origin() as four, Origin(family=socket.AF_INET6) as six:
        yield four, six
        assert four.connections == 0 and six.connections == 0, "something got through"


@pytest.fixture(scope="module")
def strict(trap):
    """Plain http and the traps' own ports are allowed, so that the address alone decides."""
    with Fetcher("--http", "--ports", f"{trap[0].port},{trap[1].port}") as fetcher:
        yield fetcher


def refused_before_any_packet(fetcher, url):
    answer = fetcher.get(url, timeout_ms=4000)
    assert answer["status"] == 0 and answer["error"], (url, answer)


@pytest.mark.requirement("R169")
@pytest.mark.parametrize("host", LOOPBACK + PRIVATE)
def test_no_address_but_a_public_one_is_reached(strict, trap, host):
    for origin in trap:
        refused_before_any_packet(strict, f"http://{host}:{origin.port}/")


@pytest.mark.requirement("R169")
@pytest.mark.parametrize("url", URLS + SCHEMES)
def test_no_spelling_of_a_url_gets_around_the_guard(strict, trap, url):
    refused_before_any_packet(strict, url.replace("{}", str(trap[0].port)))


@pytest.mark.requirement("R169")
@pytest.mark.parametrize("port", PORTS)
def test_only_the_ports_that_are_allowed_are_tried(port):
    with Fetcher("--allow", "127.0.0.0/8") as fetcher:
        answer = fetcher.get(f"https://127.0.0.1:{port}/")
        assert answer["refused"] and answer["error"] == "its port is not allowed", answer


def test_plain_http_is_refused_unless_allowed(trap):
    with Fetcher("--ports", str(trap[0].port)) as fetcher:
        assert fetcher.get(f"http://127.0.0.1:{trap[0].port}/")["error"] == "its scheme is not allowed"


def allowed(port, *more):
    return Fetcher("--http", "--allow", "127.0.0.0/8,::1", "--ports", str(port), *more)


def test_what_is_allowed_is_fetched_with_what_was_sent():
    with Origin(b"HTTP/1.1 201 Created\r\nContent-Length: 2\r\nETag: \"x\"\r\nX-A: b\r\n\r\nok") as origin:
        with allowed(origin.port) as fetcher:
            answer = fetcher.get(f"http://127.0.0.1:{origin.port}/a?b=c", method="POST", headers="X-Job: 7\nAccept: a/b\n",
                                 body=b"\x00binary")  # fmt: skip
        assert (answer["status"], answer["body"], answer["error"]) == (201, b"ok", "")
        assert 'etag: "x"\n' in answer["headers"] and "x-a: b\n" in answer["headers"]
        request = origin.requests[0]
        assert request.startswith(b"POST /a?b=c HTTP/1.1\r\n") and request.endswith(b"\r\n\r\n\x00binary")
        assert b"X-Job: 7\r\n" in request and b"Accept: a/b\r\n" in request and b"Expect" not in request


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("where", ["http://127.0.0.1:{}/", "http://169.254.169.254/", "file:///etc/passwd", "gopher://127.0.0.1/"])
def test_a_redirect_is_an_answer_and_not_followed(trap, code, where):
    there = where.replace("{}", str(trap[0].port))
    reply = f"HTTP/1.1 {code} Go\r\nLocation: {there}\r\nContent-Length: 0\r\n\r\n".encode()
    with Origin(reply) as origin, allowed(origin.port, "--ports", f"{origin.port},{trap[0].port}") as fetcher:
        answer = fetcher.get(f"http://127.0.0.1:{origin.port}/")
        assert answer["status"] == code and f"location: {there}\n" in answer["headers"]
        assert origin.connections == 1


def test_an_endless_body_ends_at_its_bound():
    with Origin(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 300_000) as origin, allowed(origin.port) as fetcher:
        answer = fetcher.get(f"http://127.0.0.1:{origin.port}/", answer_max=100_000)
        assert answer["status"] == 0 and answer["error"] == "the answer is too long"
        assert fetcher.get(f"http://127.0.0.1:{origin.port}/", answer_max=300_000)["status"] == 200


def test_endless_headers_end_at_their_bound():
    with Origin(b"HTTP/1.1 200 OK\r\n" + b"X: " + b"y" * 1000 + b"\r\n" * 1 + b"Z: z\r\n" * 20_000) as origin:
        with allowed(origin.port) as fetcher:
            answer = fetcher.get(f"http://127.0.0.1:{origin.port}/")
            assert answer["status"] == 0 and answer["error"]


def test_a_compression_bomb_stays_small():
    with Origin(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\n\x1f\x8b\x08\x00") as origin:
        with allowed(origin.port) as fetcher:
            assert fetcher.get(f"http://127.0.0.1:{origin.port}/")["body"] == b"\x1f\x8b\x08\x00"


def test_a_slow_answer_ends_at_the_deadline():
    with Origin(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n" + b"x" * 100, slow_s=0.2) as origin:
        with allowed(origin.port) as fetcher:
            before = time.monotonic()
            answer = fetcher.get(f"http://127.0.0.1:{origin.port}/", timeout_ms=1000)
            assert answer["status"] == 0 and 0.9 < time.monotonic() - before < 8 * patience()


def test_proxies_of_the_environment_are_not_used(trap, monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{trap[0].port}")
    with Origin() as origin, allowed(origin.port) as fetcher:
        assert fetcher.get(f"http://127.0.0.1:{origin.port}/")["status"] == 200


def test_a_certificate_that_nobody_signed_is_refused(tmp_path):
    key, cert = tmp_path / "key", tmp_path / "cert"
    made = subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", key,
         "-out", cert, "-days", "1", "-subj", "/CN=localhost"], capture_output=True, check=False,
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    with Origin(tls=context) as origin, allowed(origin.port) as fetcher:
        answer = fetcher.get(f"https://127.0.0.1:{origin.port}/")
        assert answer["status"] == 0 and "certificate" in answer["error"].lower(), answer
        assert origin.requests == []


def test_many_at_once_and_a_bound_on_them():
    with Origin() as origin, allowed(origin.port) as fetcher:
        numbers = [fetcher.send(f"http://127.0.0.1:{origin.port}/{n}") for n in range(200)]
        answers = [fetcher.answer() for _ in numbers]
        assert sorted(a["number"] for a in answers) == numbers
        assert all(a["status"] == 200 for a in answers), answers


@pytest.mark.parametrize("field", ["url", "headers", "method"])
@pytest.mark.parametrize("evil", ["\r", "\0"])
def test_a_request_with_control_characters_is_refused(field, evil):
    with Fetcher() as fetcher:
        how = {"url": "https://example.org/", "headers": "A: b\n", "method": "GET"}
        how[field] += evil
        answer = fetcher.get(how.pop("url"), **how)
        assert answer["refused"] and answer["error"] == "the request is malformed"


def test_nonsense_on_the_pipe_ends_it_and_nothing_else():
    fetcher = Fetcher()
    fetcher.socket.sendall(struct.pack(">I", 5) + b"\xc1\xc1\xc1\xc1\xc1")  # no message: passed over
    assert fetcher.get("https://127.0.0.1/")["error"]
    fetcher.socket.sendall(b"\xff\xff\xff\xff")  # no length: the end
    assert fetcher.process.wait(10 * patience()) == 0
    fetcher.socket.close()
    fetcher.process.stderr.close()


def test_it_can_gain_no_privileges():
    with Fetcher() as fetcher:
        fetcher.get("https://127.0.0.1/")
        with open(f"/proc/{fetcher.process.pid}/status", encoding="ascii") as status:
            assert "NoNewPrivs:\t1" in status.read()
