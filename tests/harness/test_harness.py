"""The harness's own parsers: a test tool that misreads would prove nothing."""

import json

import pytest
from harness.metrics import parse
from harness.node import FOLDER
from harness.rawjson import elements, members
from harness.sse import ChunkDecoder, parse_frame


def test_chunks_in_pieces_of_every_size():
    body = b"5\r\nhello\r\n1\r\n \r\nA\r\n0123456789\r\n0\r\n\r\n"
    for size in range(1, len(body) + 1):
        decoder, out = ChunkDecoder(), b""
        for begin in range(0, len(body), size):
            out += decoder.feed(body[begin : begin + size])
        assert out == b"hello 0123456789" and decoder.done, size


def test_an_unfinished_body_is_not_done():
    decoder = ChunkDecoder()
    assert decoder.feed(b"5\r\nhello\r\n") == b"hello"
    assert not decoder.done


def test_frames():
    frame = parse_frame(b'id: 7\ndata: {"seq":7,"type":"CUSTOM","payload":{ "a":1.0 }}')
    assert frame.is_log_event and frame.parts() == (7, "CUSTOM", '{ "a":1.0 }')
    frame = parse_frame(b": hello\nretry: 1500")
    assert (frame.comments, frame.retry, frame.id) == (["hello"], "1500", None)
    frame = parse_frame(b"event: ping\ndata: {}")
    assert (frame.event, frame.data) == ("ping", "{}")
    with pytest.raises(AssertionError):
        parse_frame(b"id: 7\r\ndata: x")
    with pytest.raises(AssertionError):
        parse_frame(b"nonsense: 1")


@pytest.mark.parametrize("value", ['{"a": 1.0, "b":[1 , {"c":"]}"}],"d":"\\""}', "{}", '{ "x" : {} }'])
def test_raw_members_are_slices(value):
    found = members(value)
    assert {name: json.loads(raw) for name, raw in found.items()} == json.loads(value)
    assert all(raw in value for raw in found.values())
    assert elements('[1.0, "a,b" ,[2]]') == ["1.0", '"a,b"', "[2]"]


def test_metrics_are_read_strictly():
    assert parse('# HELP a b\na{actor="x",le="+Inf"} 3\n') == [("a", {"actor": "x", "le": "+Inf"}, 3.0)]
    with pytest.raises(AssertionError):
        parse("what is this\n")


def test_npm_clients_are_those_of_the_lock_file(node_client):
    wanted = json.loads((FOLDER / "package.json").read_text(encoding="utf-8"))["dependencies"]
    here = node_client("versions.mjs")
    assert here["loaded"] == ["function"] * len(wanted)
    assert here["versions"] == {name: version.rpartition("@")[2] for name, version in wanted.items()}
