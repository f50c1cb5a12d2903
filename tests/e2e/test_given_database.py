"""`DATABASE_URL`: a whole server over a PostgreSQL that it does not own, as a user who may create roles."""

import subprocess

from harness.client import custom
from harness.postgres import Postgres


def test_a_server_over_a_given_database(own_box):
    with Postgres(durable=True) as postgres:
        postgres.execute("create role app login createrole")
        postgres.execute("create database app owner app")
        box = own_box(environment={"DATABASE_URL": postgres.dsn("app", "app")})
        assert [service["name"] for service in box.status()["services"]] == ["redis"]
        client = box.client()
        run = client.new_run()
        client.append_many(run, [custom(n) for n in range(3)])
        with postgres.connect("app") as connection:
            assert connection.execute("select last_seq from run_heads where run_id = %s", [run]).fetchone() == (4,)
            assert connection.execute("select count(*) from pg_stat_activity where usename like 'signalbox%'").fetchone() == (0,)
        # Found by the environment, then by the running server.
        assert "applied" in box.command("migrate", "status").stdout
        box.environment.clear()
        assert "applied" in box.command("migrate", "status").stdout
        box.stop()


def test_without_rights_the_server_says_what_to_run_and_does_not_serve(own_box):
    with Postgres() as postgres:
        postgres.execute("create role app login")
        postgres.execute("create database app")
        box = own_box(started=False, environment={"DATABASE_URL": postgres.dsn("app", "app")})
        box.allow_error("")  # it says a lot, all of it as errors
        try:
            code = box.launch().wait(60)
        except subprocess.TimeoutExpired:
            box.kill_everything()
            raise
        assert code == 1  # of the codes people know; an init system gets 78
        log = box.log.tail(200)
        assert "create role signalbox_owner" in log and "administrator" in log
