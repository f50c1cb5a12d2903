"""`TEST_DATABASE_URL`: tests on a PostgreSQL that is there already, in databases made for each server and dropped behind it.

The URL's user must be allowed to make databases and roles; the server must keep what it acknowledges (fsync). Tests marked
`any_database` run then; the others need a PostgreSQL of their own and are skipped.
"""

import os
import secrets

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from harness.paths import ROOT

ROLES_LOCK = 0x5B07E5


def url():
    return os.environ.get("TEST_DATABASE_URL") or None


def dsn(database) -> str:
    return make_conninfo(url(), dbname=database)


def _execute(statement, name):
    with psycopg.connect(url(), autocommit=True, connect_timeout=10) as connection:
        connection.execute(sql.SQL(statement).format(sql.Identifier(name)))


def _make_roles():
    """Roles belong to the whole server: two first starts at once, each in its database, would both make them."""
    with psycopg.connect(url(), connect_timeout=10) as connection:
        connection.execute("select pg_advisory_xact_lock(%s)", [ROLES_LOCK])
        connection.execute((ROOT / "migrations/roles.sql").read_text(encoding="utf-8"))
        missing = connection.execute(
            "select rolname from pg_roles where rolname like 'signalbox\\_%' and not pg_has_role(current_user, oid, 'member')"
        ).fetchall()
        for (role,) in missing:
            connection.execute(sql.SQL("grant {} to current_user").format(sql.Identifier(role)))


def create() -> str:
    """Makes a database; returns its name."""
    _make_roles()
    name = "sbt_" + secrets.token_hex(8)
    _execute("create database {}", name)
    return name


def drop(name):
    _execute("drop database if exists {} with (force)", name)


def connect(database, role, **options):
    """As the URL's user, then as `role`: what a server does over a given database."""
    connection = psycopg.connect(dsn(database), **options)
    try:
        connection.execute(sql.SQL("set role {}").format(sql.Identifier(role)))
        if not connection.autocommit:
            connection.commit()
    except BaseException:
        connection.close()
        raise
    return connection
