"""Slices of JSON text as they were written, for comparing payloads byte for byte."""

import json

_DECODER = json.JSONDecoder()
_SPACE = " \t\r\n"


def _skip(text, at):
    while at < len(text) and text[at] in _SPACE:
        at += 1
    return at


def members(text: str) -> dict:
    """{name: raw text of its value} of one JSON object."""
    at = _skip(text, 0)
    assert text[at] == "{", text[:80]
    at, found = _skip(text, at + 1), {}
    while text[at] != "}":
        name, at = _DECODER.raw_decode(text, at)
        at = _skip(text, at)
        assert text[at] == ":", text[at : at + 20]
        begin = _skip(text, at + 1)
        _, at = _DECODER.raw_decode(text, begin)
        found[name] = text[begin:at]
        at = _skip(text, at)
        if text[at] == ",":
            at = _skip(text, at + 1)
    return found


def elements(text: str) -> list:
    """Raw texts of the elements of one JSON array."""
    at = _skip(text, 0)
    assert text[at] == "[", text[:80]
    at, found = _skip(text, at + 1), []
    while text[at] != "]":
        _, end = _DECODER.raw_decode(text, at)
        found.append(text[at:end])
        at = _skip(text, end)
        if text[at] == ",":
            at = _skip(text, at + 1)
    return found
