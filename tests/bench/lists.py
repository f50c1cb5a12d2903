"""Lists of runs among a million: the time of one page for each filter, over HTTP, at one outstanding request.

The runs are made by direct SQL as the owner, spread over a year: nine of ten finished, ten a thread, one of a hundred with
a parent, metadata that is common, selective, and rare. Each filter is asked for its first pages, following the cursors.
"""

import http.client
import json
import time
import urllib.parse

RUNS = 1_000_000
PAGES = 60
GOAL_MS = 50

FILL = """
with made as (
    insert into runs (run_id, tenant_id, thread_id, parent_run_id, status, metadata, created_by, created_at, started_at, completed_at)
    select gen_random_uuid(), %(tenant)s,
           ('00000000-0000-4000-8000-' || lpad((n %% (%(count)s / 10))::text, 12, '0'))::uuid,
           case when n %% 100 = 0 then ('00000000-0000-4000-9000-' || lpad((n %% 1000)::text, 12, '0'))::uuid end,
           case when n %% 1000 = 7 then 'interrupted' when n %% 50 = 3 then 'running' when n %% 20 = 1 then 'failed'
                when n %% 40 = 2 then 'cancelled' else 'finished' end::run_status,
           jsonb_build_object('env', case when n %% 5 = 0 then 'test' else 'prod' end, 'customer', n %% 5000,
                              'title', 'what somebody asked for, number ' || n)
               || case when n %% (%(count)s / 10) = 5 then '{"rare": true}'::jsonb else '{}' end,
           'bench', t.at, t.at, t.at
      from generate_series(%(from)s, %(to)s) n, lateral (select now() - (%(count)s - n) * interval '31.536 s') as t (at)
    returning run_id, tenant_id)
insert into run_heads (run_id, tenant_id, last_seq) select run_id, tenant_id, 1 from made
"""


def fill(system, count):
    with system.database() as database:
        tenant = system.tenant(database)
        step = 100_000
        for first in range(1, count + 1, step):
            last = min(first + step - 1, count)
            database.execute(FILL, {"tenant": tenant, "count": count, "from": first, "to": last})
        for table in ("runs", "run_heads"):  # as autovacuum does after a while
            database.execute(f"vacuum analyze {table}")
        return [str(row[0]) for row in database.execute("select run_id from runs order by run_id limit 5")]


def filters(ids):
    def metadata(**value):
        return {"metadata": json.dumps(value)}

    thread, parent = "00000000-0000-4000-8000-000000000042", "00000000-0000-4000-9000-000000000100"
    return {
        "no filter": {},
        "status finished (88 %)": {"status": "finished"},
        "status interrupted (0.1 %)": {"status": "interrupted"},
        "status failed,cancelled": {"status": "failed,cancelled"},
        "thread": {"thread_id": thread},
        "thread and status": {"thread_id": thread, "status": "failed"},
        "parent": {"parent_run_id": parent},
        "a month half a year ago": month(),
        "metadata of 80 %": metadata(env="prod"),
        "metadata of 0.02 %": metadata(customer=77),
        "metadata of ten runs": metadata(rare=True),
        "metadata of no run": metadata(env="nowhere"),
        "metadata of 80 % and status of 0.1 %": metadata(env="prod") | {"status": "interrupted"},
        "metadata of 0.02 % and status": metadata(customer=77) | {"status": "finished"},
        "metadata of 0.02 % in a month": metadata(customer=77) | month(),
        "whole id": {"q": ids[0]},
        "id, 8 digits": {"q": ids[1][:8]},
        "id, 3 digits": {"q": ids[2][:3]},
        "id, 1 digit": {"q": ids[3][:1]},
        "id, 3 digits, and status": {"q": ids[2][:3], "status": "failed"},
        "count of all": {"count": "true"},
        "count by status": {"count": "true", "status": "failed"},
    }  # fmt: skip


def month():
    day = 86400
    at = [time.strftime("%Y-%m-%dT00:00:00Z", time.gmtime(time.time() - days * day)) for days in (200, 170)]
    return {"created_after": at[0], "created_before": at[1]}


def page(connection, key, params):
    began = time.monotonic()
    connection.request("GET", "/api/v1/runs?" + urllib.parse.urlencode(params), headers={"Authorization": "Bearer " + key})
    answer = connection.getresponse()
    body = answer.read()
    took = (time.monotonic() - began) * 1000
    assert answer.status == 200, body
    return took, json.loads(body)


def walk(connection, key, params, pages):
    """Times of `pages` pages, beginning anew at the end of the list; and how many runs a page had."""
    took, rows, cursor = [], 0, None
    for _ in range(pages):
        ms, found = page(connection, key, params | ({"cursor": cursor} if cursor else {}))
        took.append(ms)
        rows += len(found["runs"])
        cursor = found["next_cursor"]
    return sorted(took), rows / pages


def measure(system, report, count=RUNS, pages=PAGES):
    began = time.monotonic()
    ids = fill(system, count)
    report.note(f"{count} runs made in {time.monotonic() - began:.0f} s")
    host, port = system.address.rsplit(":", 1)
    connection = http.client.HTTPConnection(host, int(port))
    page(connection, system.key, {})
    for name, params in filters(ids).items():
        took, rows = walk(connection, system.key, params | {"limit": 100}, pages)
        report.cell("list: " + name, took)
        p50, p99 = took[len(took) // 2], took[min(len(took) - 1, len(took) * 99 // 100)]
        report.row(f"list, {name} ({rows:.0f} a page), p50 ms", p50)
        report.row("  p99 ms", p99, at_most=GOAL_MS)
    connection.close()
