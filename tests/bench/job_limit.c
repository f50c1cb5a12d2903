/*
 * What PostgreSQL itself can take of our jobs: libpq and our own tables (job_limit.sql), nothing
 * else. Nobody decides, nobody is told, every connection has runs and jobs of its own.
 *
 * Drain: jobs wait; each statement, one commit, finishes a batch by (id, token) and claims the next
 * by id: open row gone, kept row, head of the run and its gap-free event; open row claimed, payload
 * returned. --started: an event for the claim too. --enqueue: batches of jobs with unique keys for
 * so many milliseconds; no events.
 */
#include "tests/bench/tool.h"

#include "runtime/base/buffer.h"
#include "runtime/base/memory.h"
#include "runtime/base/number.h"

#include <getopt.h>
#include <libpq-fe.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LIMIT_RUNS = 20, LIMIT_RUN_JOBS = 1000, LIMIT_UUID = 16, OID_INT8 = 20, OID_UUID = 2950 };
#define LIMIT_PAYLOAD "'{\"number\":1}'"
/* As the sequencer's own session, but for hash joins. */
#define LIMIT_SESSION                                                                \
    "set search_path = bench_jobs, public; set jit = off; set enable_seqscan = off;" \
    " set enable_mergejoin = off; set client_min_messages = error;"                  \
    " set plan_cache_mode = force_generic_plan"

/* Both are claimed and finished alike; what differs is which of them are told to the run. */
#define LIMIT_DONE                                                                          \
    "with done as materialized ("                                                           \
    " delete from job_open o using unnest($1::int8[], $2::uuid[]) as d (id, token)"         \
    "  where o.id = d.id and o.token = d.token returning o.id, o.run_id, o.token),"         \
    " claimed as materialized (update job_open o set claim = o.claim + 1, token = c.token," \
    "  worker = 'limit', lease_ms = 60000, lease_until = now() + interval '1 minute',"      \
    "  started_at = now() from unnest($3::int8[], $4::uuid[]) as c (id, token)"             \
    "  where o.id = c.id and o.token is null returning o.id, o.run_id, o.token),"
#define LIMIT_TOLD(type)                                                                         \
    " counted as (select run_id, count(*) as n from told group by run_id),"                      \
    " heads as (update run_heads h set last_seq = h.last_seq + c.n from counted c"               \
    "  where h.run_id = c.run_id returning h.run_id, h.tenant_id, h.last_seq - c.n as base),"    \
    " placed as materialized (select t.*, h.tenant_id,"                                          \
    "  h.base + row_number() over (partition by t.run_id order by t.done desc, t.id) as seq"     \
    "  from told t join heads h on h.run_id = t.run_id),"                                        \
    " kept as (update job_records r set status = 'success', attempts = r.attempts + 1,"          \
    "  last_worker = 'limit', last_token = p.token, finish_seq = p.seq, updated_at = now(),"     \
    "  finished_at = now() from placed p where r.id = p.id and p.done),"                         \
    " events as (insert into run_events (tenant_id, run_id, seq, position, event_type, payload," \
    "   ts) select p.tenant_id, p.run_id, p.seq, p.id, " type ","                                \
    "   ('{\"job_id\":\"' || p.token || '\",\"job_type\":\"noop\",\"attempt\":1}')::json, now()" \
    "  from placed p)"                                                                           \
    " select (select count(*) from done), count(r.payload)"                                      \
    "  from claimed c join job_records r on r.id = c.id"

static const char cycle_sql[] =
    LIMIT_DONE " told as (select *, true as done from done)," LIMIT_TOLD("'JOB_COMPLETED'");

/* JOB_STARTED too, in the same numbers without a gap. */
static const char cycle_started_sql[] =
    LIMIT_DONE " told as (select *, true as done from done"
               "  union all select *, false from claimed)," LIMIT_TOLD(
                   "case when p.done then 'JOB_COMPLETED' else 'JOB_STARTED' end::run_event_type");

static const char enqueue_sql[] =
    "with made as ("
    " insert into job_records (id, job_id, tenant_id, run_id, job_key, job_type, queue, "
    "max_attempts,"
    "   payload, created_at, updated_at, enqueue_seq)"
    "  select q.id, q.job, id(1, 0), id(2, q.id % 20), q.job::text, 'noop', 'default', 3,"
    "   " LIMIT_PAYLOAD ", now(), now(), q.id"
    "  from unnest($1::int8[], $2::uuid[]) as q (id, job)"
    "  on conflict (tenant_id, job_key) do nothing returning id, job_id, tenant_id, run_id)"
    " insert into job_open (id, job_id, tenant_id, run_id, queue, job_type, shard, priority, "
    "run_at)"
    "  select id, job_id, tenant_id, run_id, 'default', 'noop', 0, 0, now() from made";

struct options {
    const char *dsn;
    int64_t connections;
    int64_t batch;
    int64_t jobs;
    int64_t length_ms;
    bool enqueue;
    bool started;
};

struct worker {
    const struct options *options;
    PGconn *connection;
    pthread_t thread;
    int64_t first; /* number of the first job */
    int64_t done;
    int64_t ended_us;
    uint64_t random;
};

/* One batch as two arrays in PostgreSQL's binary form. */
struct batch {
    struct buffer ids;
    struct buffer uuids;
    int64_t count;
};

_Noreturn static void fail(PGconn *connection)
{
    fprintf(stderr, "job_limit: %s", PQerrorMessage(connection));
    exit(1);
}

static void put(struct buffer *out, uint64_t value, unsigned bytes)
{
    for (unsigned i = bytes; i > 0; i--) {
        buffer_append_byte(out, (uint8_t)(value >> (8 * (i - 1))));
    }
}

static void put_array(struct buffer *out, uint32_t type, int64_t count)
{
    buffer_clear(out);
    put(out, count > 0, 4); /* dimensions */
    put(out, 0, 4);
    put(out, type, 4);
    if (count > 0) {
        put(out, (uint64_t)count, 4);
        put(out, 1, 4);
    }
}

/* Jobs of connection i are those with number % connections == i. */
static void fill(struct batch *batch, struct worker *worker, int64_t from, int64_t count)
{
    put_array(&batch->ids, OID_INT8, count);
    put_array(&batch->uuids, OID_UUID, count);
    for (int64_t i = 0; i < count; i++) {
        put(&batch->ids, 8, 4);
        put(&batch->ids, (uint64_t)(worker->first + (from + i) * worker->options->connections), 8);
        put(&batch->uuids, LIMIT_UUID, 4);
        put(&batch->uuids, tool_random(&worker->random), 8);
        put(&batch->uuids, tool_random(&worker->random), 8);
    }
    batch->count = count;
}

static PGresult *run(PGconn *connection, const struct batch *one, const struct batch *other)
{
    const char *values[4] = {(char *)one->ids.data, (char *)one->uuids.data};
    int lengths[4] = {(int)one->ids.length, (int)one->uuids.length};
    int formats[4] = {1, 1, 1, 1};
    if (other != NULL) {
        values[2] = (char *)other->ids.data;
        values[3] = (char *)other->uuids.data;
        lengths[2] = (int)other->ids.length;
        lengths[3] = (int)other->uuids.length;
    }
    PGresult *result =
        PQexecPrepared(connection, "bench", other != NULL ? 4 : 2, values, lengths, formats, 0);
    if (PQresultStatus(result) != PGRES_TUPLES_OK && PQresultStatus(result) != PGRES_COMMAND_OK) {
        fail(connection);
    }
    return result;
}

static void expect(PGresult *result, int column, int64_t wanted)
{
    if (tool_number(PQgetvalue(result, 0, column)) != wanted) {
        fprintf(stderr, "job_limit: %s instead of %lld in column %d\n",
                PQgetvalue(result, 0, column), (long long)wanted, column);
        exit(1);
    }
}

static int64_t smaller(int64_t one, int64_t other)
{
    return one < other ? one : other;
}

static void *drain(void *arg)
{
    struct worker *worker = arg;
    const struct options *options = worker->options;
    struct batch batches[2] = {0};
    int64_t own = options->jobs / options->connections;
    int64_t until_us = tool_now_us() + options->length_ms * 1000;
    int64_t claimed = 0;
    fill(&batches[1], worker, 0, 0);
    for (unsigned turn = 0; worker->done < own && tool_now_us() < until_us; turn++) {
        struct batch *next = &batches[turn % 2];
        const struct batch *held = &batches[1 - turn % 2];
        fill(next, worker, claimed, smaller(options->batch, own - claimed));
        PGresult *result = run(worker->connection, held, next);
        expect(result, 0, held->count);
        expect(result, 1, next->count);
        PQclear(result);
        worker->done += held->count;
        claimed += next->count;
    }
    worker->ended_us = tool_now_us();
    return NULL;
}

static void *enqueue(void *arg)
{
    struct worker *worker = arg;
    struct batch batch = {0};
    int64_t until_us = tool_now_us() + worker->options->length_ms * 1000;
    while (tool_now_us() < until_us) {
        fill(&batch, worker, worker->done, worker->options->batch);
        PQclear(run(worker->connection, &batch, NULL));
        worker->done += batch.count;
    }
    worker->ended_us = tool_now_us();
    return NULL;
}

static void execute(PGconn *connection, const char *sql)
{
    PGresult *result = PQexec(connection, sql);
    if (PQresultStatus(result) != PGRES_COMMAND_OK && PQresultStatus(result) != PGRES_TUPLES_OK) {
        fail(connection);
    }
    PQclear(result);
}

static PGconn *open_connection(const char *dsn)
{
    PGconn *connection = PQconnectdb(dsn);
    if (PQstatus(connection) != CONNECTION_OK) {
        fail(connection);
    }
    execute(connection, LIMIT_SESSION);
    return connection;
}

/* Empty tables and runs; for a drain, the waiting jobs: as when somebody enqueued them in batches,
 * many of a run are neighbours. No run has jobs of two connections. */
static void prepare(PGconn *connection, const struct options *options)
{
    char sql[1024];
    execute(connection, "truncate job_records, job_open, run_heads, run_events;"
                        " insert into run_heads select id(2, n), id(1, 0), 1, false"
                        "   from generate_series(0, 19) n");
    if (!options->enqueue) {
        snprintf(
            sql, sizeof sql,
            "insert into job_records (id, job_id, tenant_id, run_id, job_key, job_type, queue,"
            "  max_attempts, payload, created_at, updated_at, enqueue_seq)"
            " select n, id(3, n), id(1, 0), id(2, (n / c / %d * c + n %% c) %% %d), 'key-' || n,"
            "  'noop', 'default', 3, " LIMIT_PAYLOAD ", now(), now(), n"
            "  from generate_series(0, %lld) n, (select %lld) as of (c)",
            LIMIT_RUN_JOBS, LIMIT_RUNS, (long long)options->jobs - 1,
            (long long)options->connections);
        execute(connection, sql);
        execute(connection,
                "insert into job_open (id, job_id, tenant_id, run_id, queue, job_type, shard,"
                "  priority, run_at)"
                " select id, job_id, tenant_id, run_id, queue, job_type, 0, 0, now()"
                " from job_records");
    }
    execute(connection, "vacuum analyze job_records, job_open, run_heads, run_events");
    execute(connection, "checkpoint");
}

static int64_t wal_bytes(PGconn *connection)
{
    PGresult *result = PQexec(connection, "select (pg_current_wal_insert_lsn() - '0/0')::int8");
    int64_t bytes = PQntuples(result) == 1 ? tool_number(PQgetvalue(result, 0, 0)) : 0;
    PQclear(result);
    return bytes;
}

static void measure(PGconn *control, const struct options *options)
{
    struct worker *workers = memory_array((size_t)options->connections, sizeof *workers);
    int64_t done = 0;
    for (int64_t i = 0; i < options->connections; i++) {
        workers[i] = (struct worker){.options = options,
                                     .connection = open_connection(options->dsn),
                                     .first = i,
                                     .random = (uint64_t)tool_real_us() * 2 + (uint64_t)i * 64 + 1};
        PQclear(PQprepare(workers[i].connection, "bench",
                          options->enqueue   ? enqueue_sql
                          : options->started ? cycle_started_sql
                                             : cycle_sql,
                          0, NULL));
    }
    int64_t wal = wal_bytes(control);
    int64_t start_us = tool_now_us();
    int64_t ended_us = start_us;
    for (int64_t i = 0; i < options->connections; i++) {
        if (pthread_create(&workers[i].thread, NULL, options->enqueue ? enqueue : drain,
                           &workers[i]) != 0) {
            tool_fail("pthread_create");
        }
    }
    for (int64_t i = 0; i < options->connections; i++) {
        pthread_join(workers[i].thread, NULL);
        done += workers[i].done;
        ended_us = workers[i].ended_us > ended_us ? workers[i].ended_us : ended_us;
        PQfinish(workers[i].connection);
    }
    double seconds = (double)(ended_us - start_us) / 1e6;
    printf("{\"jobs\":%lld,\"seconds\":%.3f,\"jobs_per_s\":%.1f,\"wal_bytes\":%.1f}\n",
           (long long)done, seconds, (double)done / seconds,
           (double)(wal_bytes(control) - wal) / (double)(done > 0 ? done : 1));
    free(workers);
}

static void read_options(struct options *options, int argc, char **argv)
{
    static const struct option names[] = {
        {"dsn", required_argument, NULL, 'd'},   {"connections", required_argument, NULL, 'c'},
        {"batch", required_argument, NULL, 'k'}, {"jobs", required_argument, NULL, 'n'},
        {"ms", required_argument, NULL, 't'},    {"enqueue", no_argument, NULL, 'e'},
        {"started", no_argument, NULL, 's'},     {NULL, 0, NULL, 0}};
    int name;
    *options =
        (struct options){.dsn = "", .connections = 1, .batch = 1, .jobs = 20000, .length_ms = 5000};
    while ((name = getopt_long(argc, argv, "", names, NULL)) != -1) {
        switch (name) {
        case 'd':
            options->dsn = optarg;
            break;
        case 'c':
            options->connections = tool_number(optarg);
            break;
        case 'k':
            options->batch = tool_number(optarg);
            break;
        case 'n':
            options->jobs = tool_number(optarg);
            break;
        case 't':
            options->length_ms = tool_number(optarg);
            break;
        case 'e':
            options->enqueue = true;
            break;
        case 's':
            options->started = true;
            break;
        default:
            exit(2);
        }
    }
    if (options->connections < 1 || options->batch < 1 || LIMIT_RUNS % options->connections != 0 ||
        options->jobs % options->connections != 0) {
        fprintf(stderr, "job_limit: --connections must divide %d and --jobs\n", LIMIT_RUNS);
        exit(2);
    }
}

int main(int argc, char **argv)
{
    struct options options;
    read_options(&options, argc, argv);
    PGconn *control = open_connection(options.dsn);
    prepare(control, &options);
    measure(control, &options);
    PQfinish(control);
    return 0;
}
