/*
 * POST /runs/{id}/jobs: one job, or up to a thousand, all or none. What is asked for is read by
 * jobs_wish; parents by jobs_parents, and all is sent as one command, whose answer
 * says which jobs are new. Those whose key was known are shown as they are stored.
 *
 * A parent that is named by a UUID is taken for an id first. When the sequencer does not know it, it
 * is looked for among the keys, and the command is sent once more.
 */
#include "api/command.h"
#include "api/jobs.h"
#include "api/jobs_parents.h"
#include "api/jobs_view.h"
#include "api/jobs_wish.h"
#include "api/store_jobs.h"
#include "proto/outcome.h"
#include "runtime/base/fault.h"
#include "runtime/base/map.h"
#include "runtime/base/memory.h"
#include "runtime/body.h"
#include "runtime/commands.h"

#include <stdlib.h>
#include <string.h>

struct enqueue {
    struct exchange *exchange;
    struct jobs_wishes wishes;
    struct buffer scratch;
    struct jobs_parents parents;
    struct msgpack_sbuffer jobs; /* as the command has them */
    bool looked;                 /* for keys that look like ids */
};

static void enqueue_destroy(struct enqueue *enqueue)
{
    jobs_wishes_deinit(&enqueue->wishes);
    buffer_deinit(&enqueue->scratch);
    jobs_parents_deinit(&enqueue->parents);
    msgpack_sbuffer_destroy(&enqueue->jobs);
    free(enqueue);
}

static struct message_span text_span(const struct enqueue *enqueue, struct jobs_wish_text text)
{
    return text.length == 0 ? command_span(NULL, 0)
                            : command_span(jobs_wishes_text(&enqueue->wishes, text), text.length);
}

/* ---- the answer ---- */

static bool is_new(const struct jobs_wish *wish)
{
    return wish->outcome == JOB_OUTCOME_OK;
}

/* `row`: the stored job as JSON in enqueue->scratch; NULL: it is new, or too much is shown already. */
static void write_one(struct enqueue *enqueue, struct buffer *out, const struct jobs_wish *wish,
                      const struct jobs_wish_text *row)
{
    if (row != NULL) {
        buffer_append(out, enqueue->scratch.data + row->at, row->length);
    } else {
        jobs_view_write_short(out, &wish->id, jobs_wishes_text(&enqueue->wishes, wish->key),
                              wish->key.length, wish->status);
    }
}

/* In the order of the request; `rows`: those that were known, by id. */
static void answer(struct enqueue *enqueue, const struct map *rows)
{
    struct exchange *exchange = enqueue->exchange;
    struct buffer *body = &exchange->api->text;
    int status = 200;
    buffer_clear(body);
    buffer_append_text(body, enqueue->wishes.batch ? "{\"jobs\":[" : "");
    for (size_t i = 0; i < enqueue->wishes.count; i++) {
        const struct jobs_wish *wish = &enqueue->wishes.items[i];
        status = is_new(wish) ? 201 : status;
        buffer_append_text(body, i > 0 ? "," : "");
        write_one(enqueue, body, wish, is_new(wish) ? NULL : map_get(rows, &wish->id));
    }
    buffer_append_text(body, enqueue->wishes.batch ? "]}" : "");
    SB_FAULT("api_before_answer");
    exchange_json(exchange, status, body);
    enqueue_destroy(enqueue);
}

static void stored(void *arg, enum db_status status, const struct db_result *result)
{
    struct enqueue *enqueue = arg;
    struct exchange *exchange = enqueue->exchange;
    struct store_job job;
    struct map rows = {0};
    if (!exchange_resume(exchange)) {
        enqueue_destroy(enqueue);
        return;
    }
    if (status != DB_OK) {
        enqueue_destroy(enqueue);
        command_unknown(exchange);
        return;
    }
    int count = db_rows(result);
    struct jobs_wish_text *places = memory_array((size_t)count + 1, sizeof *places);
    buffer_clear(&enqueue->scratch);
    for (int row = 0; row < count; row++) {
        store_read_job(result, row, &job);
        places[row].at = enqueue->scratch.length;
        jobs_view_write(&enqueue->scratch, &job);
        places[row].length = enqueue->scratch.length - places[row].at;
        (void)map_put(&rows, &job.id, &places[row]);
    }
    answer(enqueue, &rows);
    map_deinit(&rows);
    free(places);
}

/* Those whose key was known are read as they are stored. */
static void read_known(struct enqueue *enqueue)
{
    struct exchange *exchange = enqueue->exchange;
    struct uuid *known = memory_array(enqueue->wishes.count, sizeof *known);
    size_t count = 0;
    for (size_t i = 0; i < enqueue->wishes.count; i++) {
        if (!is_new(&enqueue->wishes.items[i])) {
            known[count++] = enqueue->wishes.items[i].id;
        }
    }
    if (count == 0) {
        answer(enqueue, &(struct map){0});
    } else {
        exchange_hold(exchange);
        store_get_jobs(exchange->api->store, &exchange->who.tenant, known, count, stored, enqueue);
    }
    free(known);
}

static void send_jobs(struct enqueue *enqueue);

/* Which of them it was is not said. */
static void unknown_parent(struct enqueue *enqueue)
{
    const struct problem_extra extra = {.pointer = enqueue->wishes.batch ? "/jobs" : "/depends_on"};
    exchange_problem(enqueue->exchange, PROBLEM_UNKNOWN_PARENT,
                     "A job that depends_on names does not exist. Nothing was done.", &extra);
    enqueue_destroy(enqueue);
}

static void keys_found(void *arg, enum db_status status, const struct db_result *result)
{
    struct enqueue *enqueue = arg;
    struct exchange *exchange = enqueue->exchange;
    if (!exchange_resume(exchange)) {
        enqueue_destroy(enqueue);
    } else if (status != DB_OK) {
        enqueue_destroy(enqueue);
        exchange_unavailable(exchange);
    } else if (db_rows(result) == 0) {
        unknown_parent(enqueue);
    } else {
        for (int row = 0; row < db_rows(result); row++) {
            enqueue->parents.likely_ids[store_read_place(result, row)].is_key = true;
        }
        send_jobs(enqueue);
    }
}

/* A parent does not exist, unless it is one whose key looks like an id. */
static void look_for_keys(struct enqueue *enqueue)
{
    struct exchange *exchange = enqueue->exchange;
    if (enqueue->looked || enqueue->parents.likely_count == 0) {
        unknown_parent(enqueue);
        return;
    }
    struct uuid *names = memory_array(enqueue->parents.likely_count, sizeof *names);
    for (size_t i = 0; i < enqueue->parents.likely_count; i++) {
        names[i] = enqueue->parents.likely_ids[i].id;
    }
    enqueue->looked = true;
    exchange_hold(exchange);
    store_find_job_keys(exchange->api->store, &exchange->who.tenant, names,
                        enqueue->parents.likely_count, keys_found, enqueue);
    free(names);
}

/* Takes up what became of each. False: a parent of one is not known. */
static bool take_outcomes(struct enqueue *enqueue, const struct message_jobs_result *result)
{
    struct message_list cursor = result->jobs;
    struct message_jobs_result_job one;
    for (size_t i = 0; i < enqueue->wishes.count && message_jobs_result_job_next(&cursor, &one);
         i++) {
        struct jobs_wish *wish = &enqueue->wishes.items[i];
        if (one.outcome == JOB_OUTCOME_NO_PARENT) {
            return false;
        }
        memcpy(wish->id.bytes, one.job, sizeof wish->id.bytes);
        wish->outcome = (enum job_outcome)one.outcome;
        wish->status = (enum job_status)one.status;
    }
    return true;
}

static void queued(void *arg, enum command_state state, const struct message_jobs_result *result)
{
    struct enqueue *enqueue = arg;
    struct exchange *exchange = enqueue->exchange;
    if (!exchange_resume(exchange)) {
        enqueue_destroy(enqueue);
    } else if (state == COMMAND_UNKNOWN) {
        enqueue_destroy(enqueue);
        command_unknown(exchange);
    } else if (result->outcome != OUTCOME_OK) {
        enqueue_destroy(enqueue);
        command_jobs_refused(exchange, result);
    } else if (take_outcomes(enqueue, result)) {
        read_known(enqueue);
    } else {
        look_for_keys(enqueue);
    }
}

/* ---- the command ---- */

static void encode_jobs(struct enqueue *enqueue)
{
    for (size_t i = 0; i < enqueue->wishes.count; i++) {
        const struct jobs_wish *wish = &enqueue->wishes.items[i];
        struct message_enqueue_jobs_job job = {
            .key = text_span(enqueue, wish->key),
            .type = text_span(enqueue, wish->type),
            .artifact_kind = text_span(enqueue, wish->artifact_kind),
            .queue = text_span(enqueue, wish->queue),
            .payload = command_span(wish->payload.data, wish->payload.length),
            .priority = wish->priority,
            .max_attempts = (uint64_t)wish->max_attempts,
            .run_at = wish->run_at_us,
            .on_dep_fail = wish->on_dep_fail,
            .concurrency_key = text_span(enqueue, wish->concurrency_key),
            .debounce_ms = (uint64_t)wish->debounce_ms,
        };
        memcpy(job.job, wish->id.bytes, sizeof job.job);
        if (wish->detached) {
            struct uuid child = uuid_new();
            memcpy(job.child, child.bytes, sizeof job.child);
        }
        message_enqueue_jobs_job_encode(&enqueue->jobs, &job);
    }
}

static struct message_list list_of(const struct msgpack_sbuffer *items, uint32_t count)
{
    return (struct message_list){(const uint8_t *)items->data, items->size, count};
}

/* Takes `enqueue`. */
static void send_jobs(struct enqueue *enqueue)
{
    struct exchange *exchange = enqueue->exchange;
    char actor[COMMAND_ACTOR_SIZE];
    struct msgpack_sbuffer parents;
    uint32_t parent_count = jobs_parents_encode(&enqueue->parents, &parents);
    struct message_enqueue_jobs message = {
        .actor = command_actor(exchange, actor),
        .jobs = list_of(&enqueue->jobs, (uint32_t)enqueue->wishes.count),
        .parents = list_of(&parents, parent_count),
    };
    memcpy(message.tenant, exchange->who.tenant.bytes, sizeof message.tenant);
    memcpy(message.run, exchange->id.bytes, sizeof message.run);
    command_trace(exchange, message.trace, &message.span, &message.trace_flags);
    SB_FAULT("api_before_command");
    exchange_hold(exchange);
    if (commands_enqueue_jobs(exchange->api->commands, &message, queued, enqueue) != 0) {
        enqueue_destroy(enqueue);
        if (exchange_resume(exchange)) {
            command_busy(exchange);
        }
    } else {
        SB_FAULT("api_after_command");
    }
    msgpack_sbuffer_destroy(&parents);
}

void jobs_enqueue(struct exchange *exchange)
{
    struct enqueue *enqueue = memory_new(sizeof *enqueue);
    bool sound = false;
    enqueue->exchange = exchange;
    msgpack_sbuffer_init(&enqueue->jobs);
    jobs_parents_init(&enqueue->parents);
    if (jobs_wishes_read(&enqueue->wishes, exchange) == 0) {
        sound = jobs_parents_read(&enqueue->parents, &enqueue->wishes) == 0;
    }
    if (sound) {
        encode_jobs(enqueue);
        send_jobs(enqueue);
    } else {
        enqueue_destroy(enqueue);
    }
}
