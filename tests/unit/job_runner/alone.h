/*
 * A job-runner without a database, a sequencer and workers around it, for tests of its memory: every
 * statement and every CHANGE_JOBS waits until the test answers it, so that what happens in between
 * happens exactly there. Nothing here depends on time: the job-runner's own timers are hours away.
 */
#ifndef SIGNALBOX_TESTS_JOB_RUNNER_ALONE_H
#define SIGNALBOX_TESTS_JOB_RUNNER_ALONE_H

#include "job-runner/changes.h"
#include "job-runner/claim.h"
#include "job-runner/jobs.h"
#include "job-runner/lease_internal.h"
#include "job-runner/pages.h"
#include "job-runner/progress.h"
#include "job-runner/ready.h"
#include "job-runner/report.h"
#include "job-runner/rules.h"
#include "job-runner/shards.h"
#include "job-runner/store.h"
#include "proto/outcome.h"
#include "runtime/base/clock.h"
#include "runtime/db_result.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <endian.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ALONE_MAX = 64, ALONE_TEXT = 512, ALONE_SHARD = 3, ALONE_COLUMNS = 17 };

/* A statement that is not answered yet. */
struct alone_query {
    const struct db_statement *statement;
    db_done_fn *done;
    void *arg;
    uint8_t params[ALONE_TEXT]; /* as they would be sent */
    size_t length;
};

/* A CHANGE_JOBS of one change that is not answered yet. */
struct alone_change {
    enum job_change what;
    struct uuid job;
    struct uuid token;
    command_jobs_fn *done;
    void *arg;
};

/* A row of job_open, as far as tests care. */
struct alone_job {
    int64_t id;
    const struct uuid *token; /* NULL: it waits */
    int shard;                /* 0: ALONE_SHARD */
    bool cancel;
};

static struct alone {
    struct actor actor;
    struct job_runner runner;
    struct alone_query queries[ALONE_MAX];
    size_t query_count;
    struct alone_change changes[ALONE_MAX];
    size_t change_count;
    bool reachable;
    size_t given; /* claims that were handed out */
    struct claimed last;
} alone;

/* ---- instead of runtime/db.c ---- */

struct db {
    bool connected;
};

static struct db alone_db;

struct db *db_open(struct event_base *base, const struct db_options *options)
{
    (void)base;
    (void)options;
    return &alone_db;
}

void db_close(struct db **db)
{
    *db = NULL;
}

bool db_is_connected(const struct db *db)
{
    return db->connected;
}

void db_query(struct db *db, const struct db_statement *statement, const struct db_params *params,
              db_done_fn *done, void *arg)
{
    (void)db;
    assert_true(alone.query_count < ALONE_MAX);
    struct alone_query *query = &alone.queries[alone.query_count++];
    *query = (struct alone_query){.statement = statement, .done = done, .arg = arg};
    if (params != NULL) {
        query->length = params->used < ALONE_TEXT ? params->used : ALONE_TEXT;
        memcpy(query->params, params->bytes, query->length);
    }
}

/* ---- instead of runtime/commands.c ---- */

int commands_change_jobs(struct commands *commands, struct message_change_jobs *message,
                         command_jobs_fn *done, void *arg)
{
    struct message_list cursor = message->changes;
    struct message_change_jobs_change change;
    (void)commands;
    assert_true(alone.change_count < ALONE_MAX);
    assert_int_equal(message->changes.count, 1);
    assert_true(message_change_jobs_change_next(&cursor, &change));
    struct alone_change *kept = &alone.changes[alone.change_count++];
    *kept = (struct alone_change){.what = (enum job_change)change.what, .done = done, .arg = arg};
    memcpy(kept->job.bytes, change.job, sizeof kept->job.bytes);
    memcpy(kept->token.bytes, change.token, sizeof kept->token.bytes);
    return 0;
}

void commands_note(struct commands *commands, const struct message_job_note *note)
{
    (void)commands;
    (void)note;
}

void commands_forget(struct commands *commands, void *arg)
{
    (void)commands;
    (void)arg;
}

bool commands_reachable(const struct commands *commands)
{
    (void)commands;
    return alone.reachable;
}

/* ---- what the test sees and answers ---- */

static SB_UNUSED void alone_turn(void)
{
    for (int i = 0; i < 3; i++) {
        event_base_loop(alone.actor.base, EVLOOP_NONBLOCK);
    }
}

/* The oldest statement of this kind that is not answered; NULL: there is none. */
static SB_UNUSED struct alone_query *alone_asked(const struct db_statement *statement)
{
    for (size_t i = 0; i < alone.query_count; i++) {
        if (alone.queries[i].statement == statement) {
            return &alone.queries[i];
        }
    }
    return NULL;
}

static SB_UNUSED bool alone_asked_with(const struct db_statement *statement, const char *text)
{
    const struct alone_query *query = alone_asked(statement);
    return query != NULL && memmem(query->params, query->length, text, strlen(text)) != NULL;
}

/* Frees `pg`. */
static SB_UNUSED void alone_answer(const struct db_statement *statement, enum db_status status,
                                   PGresult *pg)
{
    struct alone_query *found = alone_asked(statement);
    assert_non_null(found);
    struct alone_query query = *found;
    size_t behind = (size_t)(&alone.queries[alone.query_count] - (found + 1));
    memmove(found, found + 1, behind * sizeof *found);
    alone.query_count--;
    struct db_result result = {pg};
    query.done(query.arg, status, status == DB_LOST ? NULL : &result);
    PQclear(pg);
    alone_turn();
}

static SB_UNUSED PGresult *alone_rows(int columns)
{
    PGresAttDesc types[ALONE_COLUMNS];
    PGresult *pg = PQmakeEmptyPGresult(NULL, PGRES_TUPLES_OK);
    memset(types, 0, sizeof types);
    for (int i = 0; i < columns; i++) {
        types[i].name = (char *)(uintptr_t) "column";
        types[i].format = 1;
    }
    assert_true(PQsetResultAttrs(pg, columns, types));
    return pg;
}

static SB_UNUSED void alone_put(PGresult *pg, int row, int column, const void *bytes, int length)
{
    assert_true(PQsetvalue(pg, row, column, (char *)(uintptr_t)bytes, length));
}

static SB_UNUSED void alone_put_int8(PGresult *pg, int row, int column, int64_t value)
{
    uint64_t wire = htobe64((uint64_t)value);
    alone_put(pg, row, column, &wire, sizeof wire);
}

static SB_UNUSED void alone_put_int4(PGresult *pg, int row, int column, int32_t value)
{
    uint32_t wire = htobe32((uint32_t)value);
    alone_put(pg, row, column, &wire, sizeof wire);
}

static SB_UNUSED struct uuid alone_job_of(int64_t id)
{
    return (struct uuid){{5, (uint8_t)id}};
}

/* One row as store_open_page and store_open_rows show it. */
static SB_UNUSED void alone_put_job(PGresult *pg, int row, const struct alone_job *job)
{
    static const struct uuid tenant = {{7}};
    static const struct uuid run = {{8}};
    const struct uuid uuid = alone_job_of(job->id);
    alone_put_int8(pg, row, 0, job->id);
    alone_put(pg, row, 1, uuid.bytes, sizeof uuid.bytes);
    alone_put(pg, row, 2, tenant.bytes, sizeof tenant.bytes);
    alone_put(pg, row, 3, run.bytes, sizeof run.bytes);
    alone_put(pg, row, 4, "default", 7);
    alone_put(pg, row, 5, "work", 4);
    alone_put_int4(pg, row, 6, job->shard == 0 ? ALONE_SHARD : job->shard);
    alone_put_int4(pg, row, 7, 0);
    alone_put(pg, row, 8, "", 0);
    alone_put_int8(pg, row, 9, 0);
    alone_put_int4(pg, row, 10, 0);
    if (job->token == NULL) {
        alone_put(pg, row, 11, NULL, -1);
    } else {
        alone_put(pg, row, 11, job->token->bytes, sizeof job->token->bytes);
    }
    alone_put(pg, row, 12, "w1", 2);
    alone_put_int4(pg, row, 13, 60000);
    alone_put_int4(pg, row, 14, 0);
    alone_put(pg, row, 15, "\0", 1);
    alone_put(pg, row, 16, job->cancel ? "\1" : "\0", 1);
}

/* The rows of these jobs as the answer of `statement`. */
static SB_UNUSED void alone_show(const struct db_statement *statement, const struct alone_job *jobs,
                                 size_t count)
{
    PGresult *pg = alone_rows(ALONE_COLUMNS);
    for (size_t i = 0; i < count; i++) {
        alone_put_job(pg, (int)i, &jobs[i]);
    }
    alone_answer(statement, DB_OK, pg);
}

/* The shards of this mask are ours, and those only. */
static SB_UNUSED void alone_hold(uint32_t mask)
{
    PGresult *pg = alone_rows(1);
    int row = 0;
    if (alone_asked(&store_hold_shards) == NULL) {
        shards_hurry(alone.runner.shards);
        alone_turn();
    }
    for (int32_t shard = 0; shard < JOB_SHARDS; shard++) {
        if ((mask & 1U << shard) != 0) {
            alone_put_int4(pg, row++, 0, shard);
        }
    }
    alone_answer(&store_hold_shards, DB_OK, pg);
}

/* The oldest change that is not answered; the test has made sure that there is one. */
static SB_UNUSED struct alone_change *alone_said(void)
{
    assert_true(alone.change_count > 0);
    return &alone.changes[0];
}

static SB_UNUSED void alone_reply(enum job_outcome outcome)
{
    struct alone_change change = *alone_said();
    struct message_jobs_result_job job = {.outcome = outcome, .attempt = 1};
    struct msgpack_sbuffer items;
    alone.change_count--;
    memmove(&alone.changes[0], &alone.changes[1], alone.change_count * sizeof alone.changes[0]);
    msgpack_sbuffer_init(&items);
    message_jobs_result_job_encode(&items, &job);
    struct message_jobs_result result = {.outcome = OUTCOME_OK,
                                         .jobs = {(const uint8_t *)items.data, items.size, 1}};
    change.done(change.arg, COMMAND_DONE, &result);
    msgpack_sbuffer_destroy(&items);
    alone_turn();
}

/* ---- a demand ---- */

static SB_UNUSED void alone_given(void *arg, const struct claimed *claimed)
{
    (void)arg;
    alone.given++;
    alone.last = *claimed;
}

/* One worker that takes anything. */
static SB_UNUSED struct claim_demand *alone_demand(uint64_t lease_ms)
{
    struct claim_terms terms = {.worker = "w1", .lease_ms = lease_ms, .given = alone_given};
    struct claim_demand *demand = claim_open(alone.runner.claim, &terms);
    claim_set_room(demand, 1);
    alone_turn();
    return demand;
}

/* The payload of that job. */
static SB_UNUSED void alone_payload(int64_t id)
{
    PGresult *pg = alone_rows(4);
    alone_put_int8(pg, 0, 0, id);
    alone_put(pg, 0, 1, "key", 3);
    alone_put_int4(pg, 0, 2, 3);
    alone_put(pg, 0, 3, "{}", 2);
    alone_answer(&store_payloads, DB_OK, pg);
}

/* ---- life ---- */

static SB_UNUSED void alone_set(enum setting id, const char *value)
{
    struct error err;
    if (settings_set(alone.actor.settings, id, value, &err) != 0) {
        fail_msg("%s", err.text);
    }
}

static SB_UNUSED int alone_open(void **state)
{
    static const struct actor_description description = {.database_role = "nobody"};
    struct job_runner *runner = &alone.runner;
    (void)state;
    memset(&alone, 0, sizeof alone);
    alone_db.connected = true;
    alone.reachable = true;
    alone.actor.base = event_base_new();
    alone.actor.settings = settings_create();
    alone.actor.instance = "job-runner-1";
    alone.actor.description = &description;
    alone_set(SETTING_JOBS_POLL_MS, "600000");
    alone_set(SETTING_JOBS_BEAT_FLUSH_MS, "60000");
    alone_set(SETTING_JOBS_STALE_CHECK_MS, "86400000");
    alone_set(SETTING_JOBS_CANCEL_GRACE_MS, "0");
    runner->actor = &alone.actor;
    runner->links.db = &alone_db;
    runner->ready = ready_create(0);
    runner->jobs = jobs_create(runner);
    runner->rules = rules_create(runner);
    runner->changes = changes_create(runner);
    runner->report = report_create(runner);
    runner->claim = claim_create(runner);
    runner->lease = lease_create(runner);
    runner->progress = progress_create(runner);
    runner->pages = pages_create(runner);
    runner->shards = shards_create(runner);
    return 0;
}

static SB_UNUSED int alone_close(void **state)
{
    struct job_runner *runner = &alone.runner;
    (void)state;
    pages_destroy(&runner->pages);
    changes_destroy(&runner->changes);
    claim_destroy(&runner->claim);
    report_destroy(&runner->report);
    lease_destroy(&runner->lease);
    progress_destroy(&runner->progress);
    shards_destroy(&runner->shards);
    rules_destroy(&runner->rules);
    jobs_destroy(&runner->jobs);
    ready_destroy(&runner->ready);
    event_base_free(alone.actor.base);
    settings_destroy(&alone.actor.settings);
    return 0;
}

/* No rule is there, all is read. */
static SB_UNUSED void alone_know_rules(void)
{
    rules_read(alone.runner.rules);
    alone_answer(&store_rules, DB_OK, alone_rows(8));
}

/* Our shard holds these jobs, and has been read. */
static SB_UNUSED void alone_own(const struct alone_job *jobs, size_t count)
{
    alone_know_rules();
    alone_hold(1U << ALONE_SHARD);
    alone_show(&store_open_page, jobs, count);
}

#endif
