"""What the compiled schemas let through as a time is one to PostgreSQL: it reads `expires_at` out of the payload while it
commits, and a text it cannot read would stop a whole batch."""

import json

import hypothesis.strategies as st
import pytest
from contract.judge import Judge
from harness.events import TYPES
from harness.postgres import Postgres
from hypothesis import HealthCheck, given, settings

EDGES = ["0001-01-01T00:00:00+15:59", "9999-12-31T23:59:59-15:59", "9999-12-31T23:59:59.9999999Z", "1998-12-31T23:59:60Z",
         "1998-12-31t15:59:60.999999999-08:00", "2016-12-31T23:59:60.000-00:00", "2024-02-29T12:00:00.1234567z",
         "2026-01-05T12:00:00." + "9" * 43 + "Z"]
TOO_FAR = ["0000-12-31T23:59:59Z", "2026-01-05T12:00:00+16:00", "1998-12-31T23:59:60.1Z", "2026-01-05T12:00:00." + "9" * 44 + "Z"]


def two(least, most):
    return st.integers(least, most).map(lambda number: f"{number:02}")


TIMES = st.builds(
    "{}-{}-{}T{}:{}:{}{}{}".format,
    st.sampled_from([1, 4, 1582, 1900, 1998, 2000, 2024, 9999]).map(lambda year: f"{year:04}"), two(1, 12), two(1, 31), two(0, 23),
    st.sampled_from(["00", "29", "30", "59"]), st.sampled_from(["00", "59", "60"]),
    st.one_of(st.just(""), st.from_regex(r"\.[09]{1,44}", fullmatch=True)),
    st.one_of(st.just("Z"), st.builds("{}{}:{}".format, st.sampled_from("+-"), two(0, 16), st.sampled_from(["00", "01", "30", "59"]))),
)


@pytest.fixture(scope="module")
def database():
    with Postgres() as postgres, postgres.connect("postgres") as connection:
        yield connection


@pytest.fixture(scope="module")
def judge():
    with Judge() as running:
        yield running


def passes(judge, text):
    payload = {"clarification_id": "q", "question": "?", "expires_at": text}
    return judge.verdict("event", TYPES.index("CLARIFICATION_NEEDED") + 1, payload) == "valid"


def read(database, text):
    """As append_batch reads it; raises when it is no time."""
    query = "select (%s::json ->> 'expires_at')::timestamptz is not null"
    assert database.execute(query, [json.dumps({"expires_at": text})]).fetchone()[0]


def test_edges(judge, database):
    for text in EDGES:
        assert passes(judge, text), text
        read(database, text)
    for text in TOO_FAR:
        assert not passes(judge, text), text


@settings(max_examples=500, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
@given(TIMES)
def test_whatever_passes_is_read(judge, database, text):
    if passes(judge, text):
        read(database, text)
