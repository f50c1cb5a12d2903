"""The WebSocket codec against its table (websocket_cases.py), behind a socket of its own (tests/harness/ws_echo.c).

Every case runs three times: as it comes from the socket, byte by byte, and with the codec handed over to a fresh one behind each byte.
"""

import socket
import time

import pytest

from contract import websocket_cases as table
from harness.raw_websocket import Broken, Echo, WebSocket, handshake

CLOSE_MS = 150
PATHS = ("/echo", "/bytes", "/successor")
GOODBYE = table.frame(table.CLOSE, table.close_payload(1000, b"done"))
STILL_THERE = b"still there?"


@pytest.fixture(scope="module", name="echo")
def fixture_echo():
    echo = Echo(table.LIMIT, CLOSE_MS)
    try:
        yield echo
        echo.stop()
    finally:
        echo.process.kill()
        echo.process.wait()


def check_end(connection):
    """A client that closes is answered with its code, and then the connection."""
    connection.send(table.frame(table.PING, STILL_THERE) + GOODBYE)
    assert connection.frame() == (table.PONG, STILL_THERE)
    assert connection.frame() == (table.CLOSE, table.close_payload(1000))
    assert connection.frame() is None


def check_answer(found, wanted):
    if isinstance(wanted[1], int):
        assert found is not None and found[0] == table.CLOSE, (found, wanted)
        assert (int.from_bytes(found[1][:2], "big"), found[1][2:].decode("utf-8") != "") == (wanted[1], True)
    else:
        assert found == wanted, (str(found)[:100], str(wanted)[:100])


def check(echo, case, path):
    """Sends all of the case, then reads what must come, and no more than that."""
    with echo.connect(path) as connection:
        connection.send(case.sent)
        for wanted in case.answers:
            check_answer(connection.frame(), wanted)
        if case.open:
            check_end(connection)
        else:
            assert connection.frame() is None


def failures(echo, cases, paths):
    """What goes wrong, the first few: an answer that does not come is waited for."""
    found = []
    for case in cases:
        if len(found) >= 2:
            break
        for path in (case.path,) if case.path else paths:
            try:
                check(echo, case, path)
            except (AssertionError, OSError) as error:
                found.append(f"{case.name} ({path}): {type(error).__name__} {str(error)[:200]}")
    return found


@pytest.mark.parametrize("group", table.GROUPS)
def test_framing(echo, group):
    cases = [case for case in table.ALL if case.group == group]
    found = failures(echo, cases, PATHS[:2] if group == "utf8_splits" else PATHS)
    assert not found, "\n".join(found)


def test_the_table_has_what_it_should():
    assert len(table.ALL) >= 320
    assert len({(case.group, case.name) for case in table.ALL}) == len(table.ALL)


def test_sent_byte_by_byte(echo):
    """Through the network stack, one write a byte: what the paths above do inside the server."""
    some = [case for case in table.ALL if len(case.sent) < 40 and case.path is None][::9]
    for case in some:
        with echo.connect() as connection:
            for at in range(len(case.sent)):
                connection.send(case.sent[at : at + 1])
            for wanted in case.answers:
                check_answer(connection.frame(), wanted)


def test_compression_is_off_unless_negotiated(echo):
    """An offer is not taken up: no extension in the answer (open() looks), and compressed messages are refused."""
    offer = {"Sec-WebSocket-Extensions": "permessage-deflate; client_max_window_bits"}
    with echo.connect(fields=offer) as connection:
        connection.send(table.text(b"plain"))
        assert connection.frame() == (table.TEXT, b"plain")
        connection.send(table.text(b"\xf2H\xcd\xc9\xc9\x07\0", rsv=4))
        check_answer(connection.frame(), (table.CLOSE, 1002))
        assert connection.frame() is None


def test_frames_behind_the_handshake_are_not_lost(echo):
    with WebSocket(echo.address) as connection:
        connection.send(handshake("/echo") + table.text(b"early"))
        assert connection.head()[0] == 101
        assert connection.frame() == (table.TEXT, b"early")
        check_end(connection)


def test_a_client_that_does_not_read_is_not_read(echo):
    """Answers pile up no higher than a bound: the client is held back, and later gets every answer."""
    message = table.pattern(table.LIMIT)
    count = 0
    with echo.connect() as connection:
        connection.socket.settimeout(0.3)
        sent = table.text(message) + table.frame(table.PING, b"x" * 125)
        with pytest.raises(TimeoutError):
            for count in range(10_000):
                view = memoryview(sent)
                while view:
                    view = view[connection.socket.send(view) :]
        connection.socket.settimeout(10)
        for _ in range(count):
            assert connection.frame() == (table.TEXT, message)
            assert connection.frame() == (table.PONG, b"x" * 125)
    assert 0 < count < 200


def test_a_client_that_never_answers_our_close_is_cut_off(echo):
    with echo.connect("/closing") as connection:
        started = time.monotonic()
        connection.send(table.text(b"x"))
        assert [connection.frame()[0], connection.frame()] == [table.PING, (table.CLOSE, b"\x0f\xa0as the path says")]
        assert connection.frame() is None
        assert time.monotonic() - started >= CLOSE_MS / 1000 * 0.9


def test_the_judge_notices():
    """A frame of a server that is masked, reserved or longer than it need be does not pass, nor one that is cut."""
    for data in (b"\x81\x80\0\0\0\0", b"\xc1\0", b"\x01\0", b"\x83\0", b"\x81\x7e\0\x05hello", b"\x81\x7f" + bytes(7) + b"\x7e", b"\x81\x05hell"):
        here, there = socket.socketpair()
        connection = WebSocket.__new__(WebSocket)
        connection.socket, connection.have = here, b""
        with here, there:
            there.sendall(data)
            there.close()
            with pytest.raises(Broken):
                connection.frame()
