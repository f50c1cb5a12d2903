"""Columns that the requirements name are there, with the type and the strictness they ask for."""

import pytest

UUID, TIME, TEXT, BIG = "uuid", "timestamp with time zone", "text", "bigint"
COLUMNS = [
    pytest.param("runs", "created_by", TEXT, "NO", marks=pytest.mark.requirement("R003")),
    pytest.param("runs", "parent_run_id", UUID, "YES", marks=pytest.mark.requirement("R006")),
    pytest.param("runs", "tenant_id", UUID, "NO", marks=pytest.mark.requirement("R002")),
    pytest.param("runs", "thread_id", UUID, "YES", marks=pytest.mark.requirement("R008")),
    pytest.param("run_events", "run_id", UUID, "NO", marks=pytest.mark.requirement("R017")),
    pytest.param("run_events", "ts", TIME, "NO", marks=pytest.mark.requirement("R021")),
    pytest.param("run_events", "duration_ms", "integer", "YES", marks=pytest.mark.requirement("R021")),
    pytest.param("run_heads", "last_seq", BIG, "NO", marks=pytest.mark.requirement("R009", "R024")),
]
KEYS = [
    pytest.param("run_heads", ["run_id"], marks=pytest.mark.requirement("R024")),
    pytest.param("run_events", ["run_id", "seq"], marks=pytest.mark.requirement("R023")),
    pytest.param("runs", ["run_id"], marks=pytest.mark.requirement("R001")),
]


@pytest.mark.any_database
@pytest.mark.parametrize("table, column, kind, nullable", COLUMNS)
def test_column(box, table, column, kind, nullable):
    found = box.database().rows(
        "select data_type, is_nullable from information_schema.columns"
        " where table_schema = 'public' and table_name = %s and column_name = %s", table, column)
    assert found == [(kind, nullable)]


@pytest.mark.any_database
@pytest.mark.parametrize("table, columns", KEYS)
def test_primary_key(box, table, columns):
    found = box.database().rows(
        "select a.attname from pg_index i cross join unnest(i.indkey) with ordinality as k (attnum, place)"
        " join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.attnum"
        " where i.indrelid = %s::regclass and i.indisprimary order by k.place", table)
    assert [row[0] for row in found] == columns
