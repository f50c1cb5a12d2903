"""The compiled schemas and python3-jsonschema say the same of payloads, and point at the same places."""

import copy
import json
import re

import hypothesis.strategies as st
import jsonschema
import pytest
from contract.judge import Judge
from harness.events import EVENTS, SCHEMA, TYPES, invalid, valid
from hypothesis import HealthCheck, given, settings

CHECKER = jsonschema.FormatChecker(formats=())
DAYS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


@CHECKER.checks("uuid")
def is_uuid(text):
    return not isinstance(text, str) or bool(re.fullmatch(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", text))


@CHECKER.checks("date-time")
def is_time(text):
    """RFC 3339 as far as PostgreSQL reads it."""
    if not isinstance(text, str):
        return True
    match = re.fullmatch(r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:\.\d+)?(?:Z|([+-])(\d\d):(\d\d))", text, re.I | re.A)
    if not match or len(text) > 64 or re.search(r"T23:59:60\.0*[1-9]", text, re.I):
        return False
    year, month, day, hour, minute, second = map(int, match.groups()[:6])
    sign, offset_hour, offset_minute = match[7], int(match[8] or 0), int(match[9] or 0)
    if not (year >= 1 and 1 <= month <= 12 and hour < 24 and minute < 60 and second <= 60 and offset_hour < 16 and offset_minute < 60):
        return False
    leap = month == 2 and year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    offset = (offset_hour * 60 + offset_minute) * (-1 if sign == "-" else 1)
    return 1 <= day <= DAYS[month - 1] + leap and (second < 60 or (hour * 60 + minute - offset) % 1440 == 1439)


def validator(kind):
    schema = {"$defs": SCHEMA["$defs"], "allOf": [SCHEMA["$defs"][kind]["properties"]["payload"]]}
    return jsonschema.Draft202012Validator(schema, format_checker=CHECKER)


VALIDATORS = {kind: validator(kind) for kind in TYPES}


def pointer(parts):
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in parts)


def wanted_pointers(kind, payload):
    found = set()
    for error in VALIDATORS[kind].iter_errors(payload):
        parts = list(error.absolute_path)
        if error.validator == "required":
            named = [name for name in error.validator_value if name not in error.instance and repr(name) in error.message]
            found.add(pointer([*parts, *named[:1]]))
        else:
            found.add(pointer(parts))
    return found


def written(value, escaped):
    """JSON text; `escaped` says of each string in turn whether it is written with escapes wherever one is possible."""
    if isinstance(value, str):
        if not escaped():
            return json.dumps(value, ensure_ascii=False)
        units = value.encode("utf-16-be")
        return '"' + "".join(f"\\u{units[i]:02x}{units[i + 1]:02X}" for i in range(0, len(units), 2)) + '"'
    if isinstance(value, dict):
        members = (f"{written(name, escaped)} : {written(part, escaped)}" for name, part in value.items())
        return "{ " + " , ".join(members) + " }"
    if isinstance(value, list):
        return "[" + ",".join(written(part, escaped) for part in value) + "]"
    return json.dumps(value)


@pytest.fixture(scope="module")
def judge():
    with Judge() as running:
        yield running


def agree(judge, kind, payload, text=None):
    found = judge.ask("event", TYPES.index(kind) + 1, text or json.dumps(payload))
    wanted = wanted_pointers(kind, payload)
    assert found["verdict"] == ("invalid" if wanted else "valid"), (kind, payload, found, wanted)
    pointers = {error["pointer"] for error in found["errors"]}
    assert pointers == wanted or (len(found["errors"]) == 16 and pointers <= wanted), (kind, payload)


@pytest.mark.requirement("R030", "R178")
@pytest.mark.parametrize("kind", TYPES)
def test_on_the_samples(judge, kind):
    assert valid(kind) and invalid(kind)
    for payload in valid(kind):
        agree(judge, kind, payload)
        assert not wanted_pointers(kind, payload)
    for _, payload in invalid(kind):
        agree(judge, kind, payload)
        assert wanted_pointers(kind, payload)


TEXTS = st.one_of(
    st.sampled_from(["", "x", "x" * 255, "x" * 256, "é" * 255, "😀" * 255, "😀" * 256, "web_page", "web_source", "add",
                     "2026-01-05T12:00:00Z", "2026-02-29T12:00:00Z", "2024-02-29t23:59:60z", "1990-12-31T15:59:60-08:00",
                     "2026-01-05T12:00:00+16:00", "2026-01-05T12:00:00.1234567890123456789+01:30", "0000-01-01T00:00:00Z",
                     "3f0e8a52-6c1d-4c7e-9a53-0c9f3f6c1b11", "3F0E8A52-6C1D-4C7E-9A53-0C9F3F6C1B1G", "0" * 64]),
    st.text(st.characters(blacklist_categories=("Cs",), blacklist_characters="\0"), max_size=12),
)
NUMBERS = st.one_of(st.sampled_from([0, 1, -1, 100, 101, 1.0, 1.5, 0.0, -0.0, 100.0, 100.00000000000001, 1e2, 1e300, 5e-324, 2.0]),
                    st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False, allow_infinity=False))
SCALARS = st.one_of(st.none(), st.booleans(), NUMBERS, TEXTS)
VALUES = st.recursive(SCALARS, lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXTS, inner, max_size=3)),
                      max_leaves=6)


def places(value, path=()):
    """Paths of all parts of a value, itself first."""
    yield path
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, part in parts:
        yield from places(part, (*path, name))


@st.composite
def mutated(draw):
    """A sample's payload with up to three changes."""
    event = draw(st.sampled_from(EVENTS["valid"]))
    holder = [copy.deepcopy(event.get("payload", {}))]
    for _ in range(draw(st.integers(0, 3))):
        path = draw(st.sampled_from(list(places(holder))[1:]))
        around = holder
        for name in path[:-1]:
            around = around[name]
        match draw(st.sampled_from(["replace", "remove", "add"])):
            case "replace" if len(path) > 1:
                around[path[-1]] = draw(VALUES)
            case "remove" if len(path) > 1:
                del around[path[-1]]
            case _ if isinstance(around[path[-1]], dict):
                around[path[-1]][draw(TEXTS)] = draw(VALUES)
            case _ if isinstance(around[path[-1]], list):
                around[path[-1]].append(draw(VALUES))
    return event["type"], holder[0]


@settings(max_examples=600, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
@given(mutated(), st.randoms(use_true_random=False))
def test_on_changed_samples(judge, event, random):
    kind, payload = event
    agree(judge, kind, payload, written(payload, lambda: random.random() < 0.3))


@settings(max_examples=200, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
@given(st.sampled_from(TYPES), st.dictionaries(TEXTS, VALUES, max_size=5))
def test_on_anything(judge, kind, payload):
    agree(judge, kind, payload)
