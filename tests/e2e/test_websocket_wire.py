"""The handshake and the frames of the server's own WebSocket, as bytes: the tables of tests/contract.

Frames are the codec's and have their own test (tests/contract/test_websocket_conformance.py); here those that a server which is no
echo can answer: every broken rule, pings, the end.
"""

import json

import pytest

from contract import websocket_cases as table
from contract.websocket_handshakes import ANOTHER_KEY, BAD, GOOD, KEY, OK, VERSION
from harness.raw_websocket import KEY as USUAL_KEY
from harness.raw_websocket import WebSocket, accept_of, handshake

pytestmark = pytest.mark.any_database

PATH = "/api/v1/ws"
GOODBYE = table.frame(table.CLOSE, table.close_payload(1000))
# Neither what only an echo answers nor what depends on its limit.
CORE = [case for case in table.ALL
        if case.path is None and case.group not in ("lengths", "limits", "utf8_splits")
        and not any(opcode in (table.TEXT, table.BINARY) for opcode, _ in case.answers)]  # fmt: skip


def frame(connection):
    """The next frame that is not a heartbeat."""
    while (found := connection.frame()) is not None and found[0] == table.PING:
        continue
    return found


def shake_hands(box, connection, told, behind=b""):
    """(status, fields, body) of the answer."""

    def fill(text):
        return text.format(listen=box.listen, key=box.api_key)

    fields = {"Host": box.listen, "Authorization": "Bearer " + box.api_key} | {name: fill(value) for name, value in told.fields.items()}
    more = [(name, fill(value)) for name, value in told.more]
    path = (told.path or PATH) + fill(told.query)
    connection.send(handshake(path, fields=fields, without=told.without, more=more, method=told.method, version=told.version)
                    + told.body + behind)  # fmt: skip
    status, found = connection.head()
    body = connection.take(int(found.get("content-length", "0")))
    return status, found, body


def opened(box):
    return WebSocket(box.address).open(PATH, host=box.listen, fields={"Authorization": "Bearer " + box.api_key})


def check_accepted(box, told):
    with WebSocket(box.address) as connection:
        status, fields, _ = shake_hands(box, connection, told, behind=table.frame(table.PING, b"early"))
        key = ANOTHER_KEY if KEY in told.fields else USUAL_KEY
        assert (status, fields.get("sec-websocket-accept")) == (OK, accept_of(key))
        assert (fields["upgrade"].lower(), fields["connection"].lower()) == ("websocket", "upgrade")
        assert not {"sec-websocket-protocol", "sec-websocket-extensions", "content-length", "transfer-encoding"} & fields.keys()
        assert frame(connection) == (table.PONG, b"early")


def check_refused(box, told):
    """Nothing was opened: no frame is answered. The connection may stay for another request."""
    with WebSocket(box.address) as connection:
        status, fields, body = shake_hands(box, connection, told)
        problem = json.loads(body)
        assert (status, problem["status"], fields["content-type"]) == (told.status, told.status, "application/problem+json"), body
        assert "sec-websocket-accept" not in fields
        if status == 426:
            assert (fields["upgrade"], fields[VERSION.lower()]) == ("websocket", "13")


def failures(cases, check):
    found = []
    for case in cases:
        try:
            check(case)
        except (AssertionError, OSError, KeyError, ValueError) as error:
            found.append(f"{case.name}: {type(error).__name__} {str(error)[:300]}")
    return "\n".join(found)


def test_good_handshakes(box):
    found = failures(GOOD, lambda told: check_accepted(box, told))
    assert not found, found


@pytest.mark.requirement("R174")
def test_bad_handshakes(box):
    found = failures(BAD, lambda told: check_refused(box, told))
    assert not found, found


def test_there_are_enough_of_them():
    assert len(GOOD) + len(BAD) >= 60 and len(CORE) >= 190


def test_a_handshake_in_single_bytes(box):
    with WebSocket(box.address) as connection:
        data = handshake(PATH, host=box.listen, fields={"Authorization": "Bearer " + box.api_key}) + table.frame(table.PING, b"behind")
        for at in range(len(data)):
            connection.send(data[at : at + 1])
        assert connection.head()[0] == OK
        assert frame(connection) == (table.PONG, b"behind")


def test_a_refused_handshake_leaves_the_connection_for_http(box):
    with WebSocket(box.address) as connection:
        wrong = next(told for told in BAD if told.status == 426)
        assert shake_hands(box, connection, wrong)[0] == 426
        assert shake_hands(box, connection, GOOD[0])[0] == OK
        connection.send(table.frame(table.PING, b"open"))
        assert frame(connection) == (table.PONG, b"open")


def check_framing(box, case):
    with opened(box) as connection:
        connection.send(case.sent)
        for opcode, payload in case.answers:
            found = frame(connection)
            if isinstance(payload, int):
                assert found is not None and found[0] == opcode, found
                assert int.from_bytes(found[1][:2], "big") == payload
            else:
                assert found == (opcode, payload)
        if case.open:
            connection.send(GOODBYE)
            assert frame(connection) == (table.CLOSE, table.close_payload(1000))
        assert frame(connection) is None


@pytest.mark.parametrize("group", tuple(dict.fromkeys(case.group for case in CORE)))
def test_framing(box, group):
    found = failures([case for case in CORE if case.group == group], lambda case: check_framing(box, case))
    assert not found, found


def test_a_message_may_be_as_long_as_the_body_of_an_append(box):
    limit = 2097152
    with opened(box) as connection:
        connection.send(table.frame(table.TEXT, b" " * limit))
        opcode, payload = frame(connection)
        assert opcode == table.TEXT and json.loads(payload)["op"] == "problem"
        connection.send(table.frame(table.TEXT, announced=limit + 1)[:10])
        opcode, payload = frame(connection)
        assert (opcode, payload[:2]) == (table.CLOSE, table.close_payload(1009))
        assert frame(connection) is None
