#!/usr/bin/python3
"""
append_batch of the last migration against that of another one, in one session and turn by turn: what a change of the
statement costs, whatever else runs on the machine. Inside a transaction that is rolled back, so that no disk is measured.

    tests/bench/append_batch.py [--old migrations/0003_sequencer.up.sql] [--rounds 41]
"""

import argparse
import re
import statistics
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from harness.server import Server  # noqa: E402 (the path comes first)

SIZES = (1, 16, 64)
BATCHES = 24  # a round; within one transaction more would measure the length of update chains
RUNS = 64

BENCH = """
create function bench_{name}(p_size integer, p_batches integer) returns void language plpgsql as $bench$
declare
    runs uuid[]; tenants uuid[]; news bigint[]; olds bigint[]; seqs bigint[]; heads integer[];
    epoch_now bigint; position_now bigint; at bigint; n integer;
    ones integer[] := array_fill(6, array[p_size]);
    bodies json[] := array_fill(('{{"message_id":"m","delta":"' || repeat('x', 280) || '"}}')::json, array[p_size]);
    times timestamptz[] := array_fill(now(), array[p_size]);
    texts text[] := array_fill('bench'::text, array[p_size]);
    none_text text[] := array_fill(null::text, array[p_size]);
    none_bytes bytea[] := array_fill(null::bytea, array[p_size]);
    counts integer[] := array_fill(1, array[p_size]);
    numbers bigint[] := array_fill(7::bigint, array[p_size]);
    closed boolean[];
begin
    n := least(p_size, {runs});
    select array_agg(run_id), array_agg(tenant_id), array_agg(last_seq) into runs, tenants, olds
      from (select * from run_heads order by run_id limit n) h;
    closed := array_fill(false, array[n]);
    select epoch into epoch_now from shards;
    select position into position_now from shard_positions;
    for batch in 1 .. p_batches loop
        select array_agg((i - 1) % n + 1 order by i), array_agg(olds[(i - 1) % n + 1] + 1 + (i - 1) / n order by i)
          into heads, seqs from generate_series(1, p_size) i;
        news := olds;
        for i in 1 .. p_size loop
            news[heads[i]] := seqs[i];
        end loop;
        perform {function}(0, epoch_now, position_now, {creates}
            runs, tenants, olds, news, closed, heads, seqs, ones, bodies, times, texts, none_text, none_bytes, counts,
            numbers, numbers, array[7]::bigint[], array[batch]::bigint[]);
        position_now := position_now + p_size;
        olds := news;
    end loop;
end
$bench$;
"""


def function_of(path, name) -> str:
    text = path.read_text(encoding="utf-8")
    body = re.search(r"^create function append_batch\(.*?^\$\$;", text, re.M | re.S)[0]
    return body.replace("append_batch(", f"{name}(", 1)


def parameters_of(connection, name) -> list:
    text = connection.execute("select pg_get_function_identity_arguments(%s::regproc)", [name]).fetchone()[0]
    return [tuple(argument.split(" ", 1)) for argument in text.split(", ")]


def prepare(connection, name, function):
    """What stands between the position and the heads is of creations: nothing, as the sequencer sends it."""
    between = parameters_of(connection, function)[3:]
    between = between[: [parameter for parameter, _ in between].index("h_run")]
    creates = "".join(f"null::{kind}, " for _, kind in between)
    connection.execute(BENCH.format(name=name, function=function, creates=creates, runs=RUNS))


def measure(connection, name, size) -> float:
    """Microseconds a batch."""
    begin = time.perf_counter()
    with connection.transaction(force_rollback=True):
        connection.execute(f"select bench_{name}(%s, %s)", [size, BATCHES])
    return (time.perf_counter() - begin) / BATCHES * 1e6


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--old", type=Path, default=ROOT / "migrations" / "0003_sequencer.up.sql")
    parser.add_argument("--rounds", type=int, default=201)
    options = parser.parse_args()
    server = Server()
    try:
        server.start()
        client = server.client()
        for _ in range(RUNS):
            client.new_run()
        with server.database().connect() as connection:
            for setting in ("jit = off", "plan_cache_mode = force_generic_plan", "enable_seqscan = off",
                            "enable_hashjoin = off", "enable_mergejoin = off"):  # fmt: skip
                connection.execute("set " + setting)  # as the sequencer's session
            connection.execute(function_of(options.old, "append_batch_old"))
            prepare(connection, "old", "append_batch_old")
            prepare(connection, "new", "append_batch")
            for size in SIZES:
                times = {"old": [], "new": []}
                for turn in range(options.rounds):
                    order = ("old", "new") if turn % 2 == 0 else ("new", "old")
                    for name in order:
                        times[name].append(measure(connection, name, size))
                # The quickest tenth: what other work on the machine adds is left out.
                old, new = (statistics.median(sorted(times[name])[: max(options.rounds // 10, 1)]) for name in ("old", "new"))
                print(f"B={size:4}: old {old:8.1f}, new {new:8.1f} us a batch, new/old {new / old:.3f}", flush=True)
            for name in ("bench_old", "bench_new", "append_batch_old"):
                connection.execute(f"drop function {name}")
        server.close()
    finally:
        server.kill_everything()
        server.remove()


main()
