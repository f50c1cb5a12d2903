/*
 * POST /runs/{id}/jobs: one job, or up to a thousand, all or none. What is asked for is read by
 * jobs_wish; parents are resolved within the request, and all is sent as one command, whose answer
 * says which jobs are new. Those whose key was known are shown as they are stored.
 *
 * A parent that is named by a UUID is taken for an id first. When the sequencer does not know it, it
 * is looked for among the keys, and the command is sent once more.
 */
#include "api/command.h"
#include "api/jobs.h"
#include "api/jobs_graph.h"
#include "api/jobs_view.h"
#include "api/jobs_wish.h"
#include "api/store_jobs.h"
#include "proto/outcome.h"
#include "runtime/base/fault.h"
#include "runtime/base/map.h"
#include "runtime/base/memory.h"
#include "runtime/body.h"
#include "runtime/commands.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A parent outside the request whose name is a UUID. */
struct likely_id {
    size_t job; /* that waits */
    struct uuid id;
    bool is_key;
};

struct enqueue {
    struct exchange *exchange;
    struct jobs_wishes wishes;
    struct buffer scratch;
    /* The lists of the command. `parents` lacks those that are likely ids. */
    struct msgpack_sbuffer jobs;
    struct msgpack_sbuffer parents;
    uint32_t parent_count;
    struct likely_id *likely_ids; /* owned */
    size_t likely_count;
    bool looked; /* for keys that look like ids */
};

static void enqueue_destroy(struct enqueue *enqueue)
{
    jobs_wishes_deinit(&enqueue->wishes);
    free(enqueue->likely_ids);
    msgpack_sbuffer_destroy(&enqueue->jobs);
    msgpack_sbuffer_destroy(&enqueue->parents);
    buffer_deinit(&enqueue->scratch);
    free(enqueue);
}

static struct message_span text_span(const struct enqueue *enqueue, struct jobs_wish_text text)
{
    return text.length == 0 ? command_span(NULL, 0)
                            : command_span(jobs_wishes_text(&enqueue->wishes, text), text.length);
}

/* ---- who waits for whom ---- */

static void add_likely_id(struct enqueue *enqueue, size_t job, const struct uuid *id)
{
    size_t count = enqueue->likely_count++;
    if ((count & (count + 1)) == 0) { /* room for 1, 3, 7 … */
        enqueue->likely_ids =
            memory_grow(enqueue->likely_ids, 2 * count + 1, sizeof *enqueue->likely_ids);
    }
    enqueue->likely_ids[count] = (struct likely_id){.job = job, .id = *id};
}

static int add_parent(struct enqueue *enqueue, struct jobs_graph *graph, size_t job, size_t place,
                      struct json_span value)
{
    struct message_enqueue_jobs_parent parent = {.index = job};
    struct uuid id;
    size_t sibling;
    buffer_clear(&enqueue->scratch);
    size_t length = body_is_string(value) ? jobs_wishes_decode(&enqueue->scratch, value) : 0;
    const char *name = (const char *)enqueue->scratch.data;
    if (length < 1 || length > JOBS_WISH_KEY_BYTES_MAX) {
        char member[32];
        (void)snprintf(member, sizeof member, "depends_on/%zu", place);
        return jobs_wishes_wrong(&enqueue->wishes, job, member,
                                 "This must be the id or the key of a job.");
    }
    if (jobs_graph_find(graph, name, length, &sibling)) {
        jobs_graph_wait(graph, job, sibling);
    } else if (uuid_parse(name, length, &id) == 0 && !uuid_is_nil(&id)) {
        add_likely_id(enqueue, job, &id);
        return 0;
    }
    parent.key = command_span(name, length);
    message_enqueue_jobs_parent_encode(&enqueue->parents, &parent);
    enqueue->parent_count++;
    return 0;
}

/* -1: answered. */
static int add_parents(struct enqueue *enqueue, struct jobs_graph *graph)
{
    size_t circle;
    for (size_t job = 0; job < enqueue->wishes.count; job++) {
        struct jobs_wish_text key = enqueue->wishes.items[job].key;
        jobs_graph_name(graph, job, jobs_wishes_text(&enqueue->wishes, key), key.length);
    }
    for (size_t job = 0; job < enqueue->wishes.count; job++) {
        struct json_span cursor = {0};
        struct json_span value;
        size_t place = 0;
        struct json_span list = enqueue->wishes.items[job].depends_on;
        while (list.data != NULL && (value = json_element(list, &cursor)).data != NULL) {
            if (add_parent(enqueue, graph, job, place++, value) != 0) {
                return -1;
            }
        }
    }
    if (jobs_graph_circle(graph, &circle)) {
        return jobs_wishes_wrong(&enqueue->wishes, circle, "depends_on",
                                 "This job waits for itself, or for a job that does.");
    }
    return 0;
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
            enqueue->likely_ids[store_read_place(result, row)].is_key = true;
        }
        send_jobs(enqueue);
    }
}

/* A parent does not exist, unless it is one whose key looks like an id. */
static void look_for_keys(struct enqueue *enqueue)
{
    struct exchange *exchange = enqueue->exchange;
    if (enqueue->looked || enqueue->likely_count == 0) {
        unknown_parent(enqueue);
        return;
    }
    struct uuid *names = memory_array(enqueue->likely_count, sizeof *names);
    for (size_t i = 0; i < enqueue->likely_count; i++) {
        names[i] = enqueue->likely_ids[i].id;
    }
    enqueue->looked = true;
    exchange_hold(exchange);
    store_find_job_keys(exchange->api->store, &exchange->who.tenant, names, enqueue->likely_count,
                        keys_found, enqueue);
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

/* All of them; the caller destroys `parents`. */
static uint32_t gather_parents(const struct enqueue *enqueue, struct msgpack_sbuffer *parents)
{
    char text[UUID_TEXT_SIZE];
    msgpack_sbuffer_init(parents);
    if (enqueue->parents.size > 0) {
        (void)msgpack_sbuffer_write(parents, enqueue->parents.data, enqueue->parents.size);
    }
    for (size_t i = 0; i < enqueue->likely_count; i++) {
        const struct likely_id *likely = &enqueue->likely_ids[i];
        struct message_enqueue_jobs_parent parent = {.index = likely->job};
        if (likely->is_key) {
            uuid_format(&likely->id, text);
            parent.key = command_span(text, strlen(text));
        } else {
            memcpy(parent.parent, likely->id.bytes, sizeof parent.parent);
        }
        message_enqueue_jobs_parent_encode(parents, &parent);
    }
    return enqueue->parent_count + (uint32_t)enqueue->likely_count;
}

/* Takes `enqueue`. */
static void send_jobs(struct enqueue *enqueue)
{
    struct exchange *exchange = enqueue->exchange;
    char actor[COMMAND_ACTOR_SIZE];
    struct msgpack_sbuffer parents;
    uint32_t parent_count = gather_parents(enqueue, &parents);
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
    struct jobs_graph *graph = NULL;
    bool sound = false;
    enqueue->exchange = exchange;
    msgpack_sbuffer_init(&enqueue->jobs);
    msgpack_sbuffer_init(&enqueue->parents);
    if (jobs_wishes_read(&enqueue->wishes, exchange) == 0) {
        graph = jobs_graph_create(enqueue->wishes.count);
        sound = add_parents(enqueue, graph) == 0;
        jobs_graph_destroy(&graph);
    }
    if (sound) {
        encode_jobs(enqueue);
        send_jobs(enqueue);
    } else {
        enqueue_destroy(enqueue);
    }
}
