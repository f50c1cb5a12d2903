/*
 * POST /runs/{id}/jobs: one job, or up to JOBS_MAX, all or none. Read into `struct wish`es, whose
 * names are resolved within the request, and sent as one command; its answer says which of them are
 * new. Those whose key was known are shown as they are stored.
 *
 * A parent that is named by a UUID is taken for an id first. When the sequencer does not know it, it
 * is looked for among the keys, and the command is sent once more.
 */
#include "api/command.h"
#include "api/jobs.h"
#include "api/jobs_graph.h"
#include "api/jobs_view.h"
#include "api/request.h"
#include "api/store_jobs.h"
#include "api/time_text.h"
#include "proto/outcome.h"
#include "runtime/base/clock.h"
#include "runtime/base/fault.h"
#include "runtime/base/map.h"
#include "runtime/base/memory.h"
#include "runtime/base/number.h"
#include "runtime/body.h"
#include "runtime/commands.h"

#include <stdlib.h>
#include <string.h>

enum {
    JOBS_MAX = 1000,
    NAME_BYTES_MAX = 255,
    KEY_BYTES_MAX = 512,
    PAYLOAD_BYTES_MAX = 64 << 10,
    PRIORITY_MAX = 1000,
    ATTEMPTS_MAX = 1000,
    POINTER_SIZE = 64
};
#define DEBOUNCE_MAX_MS (366 * 86400000LL)

/* A text in enqueue->texts; length 0: not said. */
struct text {
    size_t at;
    size_t length;
};

/* A job as it was asked for. */
struct wish {
    struct text key;
    struct text type;
    struct text artifact_kind;
    struct text queue;
    struct text concurrency_key;
    struct json_span payload;
    struct json_span depends_on;
    int64_t priority;
    int64_t max_attempts;
    int64_t run_at_us;
    int64_t debounce_ms;
    enum job_dep_fail on_dep_fail;
    bool detached;
    /* What has become of it. */
    struct uuid id;
    enum job_outcome outcome;
    enum job_status status;
};

/* A parent outside the request whose name is a UUID. */
struct likely_id {
    size_t job; /* that waits */
    struct uuid id;
    bool is_key;
};

struct enqueue {
    struct exchange *exchange;
    bool batch; /* {"jobs":[…]} */
    struct wish *wishes;
    size_t count;
    struct buffer texts;
    struct buffer scratch;
    char run_text[UUID_TEXT_SIZE];
    /* The lists of the command. `parents` lacks those that are likely ids. */
    struct msgpack_sbuffer jobs;
    struct msgpack_sbuffer parents;
    uint32_t parent_count;
    struct likely_id *likely_ids;
    size_t likely_count;
    bool looked; /* for keys that look like ids */
};

static void enqueue_destroy(struct enqueue *enqueue)
{
    free(enqueue->wishes);
    free(enqueue->likely_ids);
    msgpack_sbuffer_destroy(&enqueue->jobs);
    msgpack_sbuffer_destroy(&enqueue->parents);
    buffer_deinit(&enqueue->texts);
    buffer_deinit(&enqueue->scratch);
    free(enqueue);
}

static const char *text_data(const struct enqueue *enqueue, struct text text)
{
    return (const char *)enqueue->texts.data + text.at;
}

static struct message_span text_span(const struct enqueue *enqueue, struct text text)
{
    return text.length == 0 ? command_span(NULL, 0)
                            : command_span(text_data(enqueue, text), text.length);
}

/* ---- members ---- */

/* Where in the request: "/jobs/7/queue", or "/queue" of a job that stands alone. */
static void point(const struct enqueue *enqueue, size_t job, const char *member,
                  char out[POINTER_SIZE])
{
    if (enqueue->batch) {
        (void)snprintf(out, POINTER_SIZE, "/jobs/%zu%s%s", job, member[0] == '\0' ? "" : "/",
                       member);
    } else {
        (void)snprintf(out, POINTER_SIZE, "%s%s", member[0] == '\0' ? "" : "/", member);
    }
}

static int wrong_as(struct enqueue *enqueue, enum problem problem, size_t job, const char *member,
                    const char *detail)
{
    char pointer[POINTER_SIZE];
    point(enqueue, job, member, pointer);
    exchange_problem(enqueue->exchange, problem, detail,
                     &(struct problem_extra){.pointer = pointer});
    return -1;
}

static int wrong(struct enqueue *enqueue, size_t job, const char *member, const char *detail)
{
    return wrong_as(enqueue, PROBLEM_INVALID_PAYLOAD, job, member, detail);
}

/* The text without its escapes, at the end of `out`. */
static size_t decode(struct buffer *out, struct json_span value)
{
    struct json_span text = body_text(value);
    size_t length =
        json_unescape(text.data, text.length, (char *)buffer_reserve(out, text.length + 1));
    out->length += length;
    return length;
}

static int take_text(struct enqueue *enqueue, size_t job, const char *member,
                     struct json_span value, size_t most, struct text *text_out)
{
    size_t at = enqueue->texts.length;
    size_t length = body_is_string(value) ? decode(&enqueue->texts, value) : 0;
    if (body_is_null(value)) {
        return 0;
    }
    if (length < 1 || length > most) {
        return wrong(enqueue, job, member,
                     most == KEY_BYTES_MAX ? "This must be a text of 1 to 512 bytes."
                                           : "This must be a text of 1 to 255 bytes.");
    }
    *text_out = (struct text){at, length};
    return 0;
}

static int take_number(struct enqueue *enqueue, size_t job, const char *member,
                       struct json_span value, int64_t least, int64_t most, int64_t *number_out)
{
    bool negative = value.length > 1 && value.data[0] == '-';
    int64_t number = 0;
    if (body_is_null(value)) {
        return 0;
    }
    int failed =
        number_parse(value.data + (negative ? 1 : 0), value.length - (negative ? 1 : 0), &number);
    number = negative ? -number : number;
    if (failed != 0 || number < least || number > most) {
        char detail[96];
        (void)snprintf(detail, sizeof detail, "This must be a whole number from %lld to %lld.",
                       (long long)least, (long long)most);
        return wrong(enqueue, job, member, detail);
    }
    *number_out = number;
    return 0;
}

static int take_payload(struct enqueue *enqueue, size_t job, struct json_span value,
                        struct json_span *payload_out)
{
    if (value.length > PAYLOAD_BYTES_MAX) {
        return wrong_as(enqueue, PROBLEM_TOO_LARGE, job, "payload",
                        "The payload of a job may have 64 KiB.");
    }
    *payload_out = value;
    return 0;
}

static int take_run_at(struct enqueue *enqueue, size_t job, struct json_span value,
                       int64_t *run_at_us_out)
{
    if (body_is_null(value)) {
        return 0;
    }
    struct json_span text = body_is_string(value) ? body_text(value) : (struct json_span){"", 0};
    if (time_text_parse(text.data, text.length, run_at_us_out) != 0) {
        return wrong(enqueue, job, "run_at",
                     "run_at must be a time such as 2026-11-20T09:22:00Z (RFC 3339) or null.");
    }
    return 0;
}

static int take_dep_fail(struct enqueue *enqueue, size_t job, struct json_span value,
                         enum job_dep_fail *rule_out)
{
    static const char *const names[] = {[JOB_DEP_FAIL_CANCEL] = "\"cancel\"",
                                        [JOB_DEP_FAIL_FAIL] = "\"fail\"",
                                        [JOB_DEP_FAIL_CONTINUE] = "\"continue\""};
    if (body_is_null(value)) {
        return 0;
    }
    for (unsigned i = 0; i < sizeof names / sizeof *names; i++) {
        if (body_is(value, names[i])) {
            *rule_out = (enum job_dep_fail)i;
            return 0;
        }
    }
    return wrong(enqueue, job, "on_dep_fail", "on_dep_fail must be cancel, fail or continue.");
}

static int take_detached(struct enqueue *enqueue, size_t job, struct json_span value,
                         bool *detached_out)
{
    if (!body_is(value, "true") && !body_is(value, "false") && !body_is_null(value)) {
        return wrong(enqueue, job, "detached", "detached must be true or false.");
    }
    *detached_out = body_is(value, "true");
    return 0;
}

static int take_depends_on(struct enqueue *enqueue, size_t job, struct json_span value,
                           struct json_span *depends_on_out)
{
    if (body_is_null(value)) {
        return 0;
    }
    if (!body_is_array(value)) {
        return wrong(enqueue, job, "depends_on",
                     "depends_on must be an array of ids and keys of jobs.");
    }
    *depends_on_out = value;
    return 0;
}

static int take_member(struct enqueue *enqueue, size_t job, struct json_span name,
                       struct json_span value)
{
    struct wish *wish = &enqueue->wishes[job];
    char pointer[POINTER_SIZE];
    if (body_is(name, "job_type")) {
        return take_text(enqueue, job, "job_type", value, NAME_BYTES_MAX, &wish->type);
    }
    if (body_is(name, "artifact_kind")) {
        return take_text(enqueue, job, "artifact_kind", value, NAME_BYTES_MAX,
                         &wish->artifact_kind);
    }
    if (body_is(name, "job_key")) {
        return take_text(enqueue, job, "job_key", value, KEY_BYTES_MAX, &wish->key);
    }
    if (body_is(name, "payload")) {
        return take_payload(enqueue, job, value, &wish->payload);
    }
    if (body_is(name, "queue")) {
        return take_text(enqueue, job, "queue", value, NAME_BYTES_MAX, &wish->queue);
    }
    if (body_is(name, "priority")) {
        return take_number(enqueue, job, "priority", value, -PRIORITY_MAX, PRIORITY_MAX,
                           &wish->priority);
    }
    if (body_is(name, "max_attempts")) {
        return take_number(enqueue, job, "max_attempts", value, 1, ATTEMPTS_MAX,
                           &wish->max_attempts);
    }
    if (body_is(name, "run_at")) {
        return take_run_at(enqueue, job, value, &wish->run_at_us);
    }
    if (body_is(name, "depends_on")) {
        return take_depends_on(enqueue, job, value, &wish->depends_on);
    }
    if (body_is(name, "on_dep_fail")) {
        return take_dep_fail(enqueue, job, value, &wish->on_dep_fail);
    }
    if (body_is(name, "concurrency_key")) {
        return take_text(enqueue, job, "concurrency_key", value, NAME_BYTES_MAX,
                         &wish->concurrency_key);
    }
    if (body_is(name, "detached")) {
        return take_detached(enqueue, job, value, &wish->detached);
    }
    if (body_is(name, "debounce_ms")) {
        return take_number(enqueue, job, "debounce_ms", value, 0, DEBOUNCE_MAX_MS,
                           &wish->debounce_ms);
    }
    point(enqueue, job, "", pointer);
    request_unknown_field(enqueue->exchange, pointer, name);
    return -1;
}

/* ---- one job ---- */

/* {run_id}:{job_type}:{artifact_kind}. A colon in the type would let two different jobs have one
 * name. */
static int make_key(struct enqueue *enqueue, size_t job)
{
    struct wish *wish = &enqueue->wishes[job];
    struct buffer *texts = &enqueue->texts;
    size_t at = texts->length;
    if (memchr(text_data(enqueue, wish->type), ':', wish->type.length) != NULL) {
        return wrong(enqueue, job, "job_type",
                     "A job whose type has a colon in it needs a job_key of its own.");
    }
    (void)buffer_reserve(texts, UUID_TEXT_SIZE + 2 + 2 * NAME_BYTES_MAX); /* nothing moves below */
    buffer_append_text(texts, enqueue->run_text);
    buffer_append_byte(texts, ':');
    buffer_append(texts, text_data(enqueue, wish->type), wish->type.length);
    buffer_append_byte(texts, ':');
    if (wish->artifact_kind.length > 0) {
        buffer_append(texts, text_data(enqueue, wish->artifact_kind), wish->artifact_kind.length);
    }
    wish->key = (struct text){at, texts->length - at};
    return 0;
}

static int conclude(struct enqueue *enqueue, size_t job)
{
    struct wish *wish = &enqueue->wishes[job];
    if (wish->type.length == 0) {
        return wrong(enqueue, job, "job_type", "A job needs a job_type.");
    }
    if (wish->run_at_us <= clock_real_us()) {
        wish->run_at_us = 0; /* a time that has passed is "at once" */
    }
    if (wish->queue.length == 0) {
        wish->queue = (struct text){enqueue->texts.length, strlen("default")};
        buffer_append_text(&enqueue->texts, "default");
    }
    return wish->key.length > 0 ? 0 : make_key(enqueue, job);
}

static int read_job(struct enqueue *enqueue, size_t job, struct json_span object)
{
    struct json_span cursor = {0};
    struct json_span name;
    struct json_span value;
    enqueue->wishes[job] = (struct wish){
        .payload = {"{}", 2},
        .depends_on = {"[]", 2},
        .max_attempts =
            settings_int(enqueue->exchange->api->actor->settings, SETTING_JOBS_MAX_ATTEMPTS),
        .id = uuid_new(),
    };
    while (json_pair(object, &cursor, &name, &value)) {
        if (take_member(enqueue, job, name, value) != 0) {
            return -1;
        }
    }
    return conclude(enqueue, job);
}

/* ---- all of them ---- */

static int read_batch(struct enqueue *enqueue, struct json_span list)
{
    struct json_span cursor = {0};
    struct json_span object;
    if (!body_is_array(list)) {
        exchange_problem(enqueue->exchange, PROBLEM_INVALID_PAYLOAD, "jobs must be an array.",
                         &(struct problem_extra){.pointer = "/jobs"});
        return -1;
    }
    while ((object = json_element(list, &cursor)).data != NULL) {
        if (enqueue->count == JOBS_MAX) {
            exchange_problem(enqueue->exchange, PROBLEM_TOO_LARGE, "A request may have 1,000 jobs.",
                             &(struct problem_extra){.pointer = "/jobs"});
            return -1;
        }
        if (!body_is_object(object)) {
            return wrong(enqueue, enqueue->count, "", "A job must be an object.");
        }
        if (read_job(enqueue, enqueue->count, object) != 0) {
            return -1;
        }
        enqueue->count++;
    }
    if (enqueue->count == 0) {
        exchange_problem(enqueue->exchange, PROBLEM_INVALID_PAYLOAD, "There is no job in it.",
                         &(struct problem_extra){.pointer = "/jobs"});
        return -1;
    }
    return 0;
}

static int read_request(struct enqueue *enqueue)
{
    struct json_span object;
    struct json_span cursor = {0};
    struct json_span name;
    struct json_span value;
    struct json_span list;
    if (request_body(enqueue->exchange, false, &object) != 0) {
        return -1;
    }
    list = json_member(object, "jobs");
    enqueue->batch = list.data != NULL;
    enqueue->wishes = memory_array(enqueue->batch ? JOBS_MAX : 1, sizeof *enqueue->wishes);
    if (!enqueue->batch) {
        enqueue->count = 1;
        return read_job(enqueue, 0, object);
    }
    while (json_pair(object, &cursor, &name, &value)) {
        if (!body_is(name, "jobs")) {
            request_unknown_field(enqueue->exchange, "", name);
            return -1;
        }
    }
    return read_batch(enqueue, list);
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
    size_t length = body_is_string(value) ? decode(&enqueue->scratch, value) : 0;
    const char *name = (const char *)enqueue->scratch.data;
    if (length < 1 || length > KEY_BYTES_MAX) {
        char member[32];
        (void)snprintf(member, sizeof member, "depends_on/%zu", place);
        return wrong(enqueue, job, member, "This must be the id or the key of a job.");
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
    for (size_t job = 0; job < enqueue->count; job++) {
        struct text key = enqueue->wishes[job].key;
        jobs_graph_name(graph, job, text_data(enqueue, key), key.length);
    }
    for (size_t job = 0; job < enqueue->count; job++) {
        struct json_span cursor = {0};
        struct json_span value;
        size_t place = 0;
        struct json_span list = enqueue->wishes[job].depends_on;
        while (list.data != NULL && (value = json_element(list, &cursor)).data != NULL) {
            if (add_parent(enqueue, graph, job, place++, value) != 0) {
                return -1;
            }
        }
    }
    if (jobs_graph_circle(graph, &circle)) {
        return wrong(enqueue, circle, "depends_on",
                     "This job waits for itself, or for a job that does.");
    }
    return 0;
}

/* ---- the answer ---- */

static bool is_new(const struct wish *wish)
{
    return wish->outcome == JOB_OUTCOME_OK;
}

/* `row`: the stored job as JSON in enqueue->scratch; NULL: it is new, or too much is shown already. */
static void write_one(struct enqueue *enqueue, struct buffer *out, const struct wish *wish,
                      const struct text *row)
{
    if (row != NULL) {
        buffer_append(out, enqueue->scratch.data + row->at, row->length);
    } else {
        jobs_view_write_short(out, &wish->id, text_data(enqueue, wish->key), wish->key.length,
                              wish->status);
    }
}

/* In the order of the request; `rows`: those that were known, by id. */
static void answer(struct enqueue *enqueue, const struct map *rows)
{
    struct exchange *exchange = enqueue->exchange;
    struct buffer *body = &exchange->api->text;
    int status = 200;
    buffer_clear(body);
    buffer_append_text(body, enqueue->batch ? "{\"jobs\":[" : "");
    for (size_t i = 0; i < enqueue->count; i++) {
        const struct wish *wish = &enqueue->wishes[i];
        status = is_new(wish) ? 201 : status;
        buffer_append_text(body, i > 0 ? "," : "");
        write_one(enqueue, body, wish, is_new(wish) ? NULL : map_get(rows, &wish->id));
    }
    buffer_append_text(body, enqueue->batch ? "]}" : "");
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
    struct text *places = memory_array((size_t)count + 1, sizeof *places);
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
    struct uuid *known = memory_array(enqueue->count, sizeof *known);
    size_t count = 0;
    for (size_t i = 0; i < enqueue->count; i++) {
        if (!is_new(&enqueue->wishes[i])) {
            known[count++] = enqueue->wishes[i].id;
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
    const struct problem_extra extra = {.pointer = enqueue->batch ? "/jobs" : "/depends_on"};
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
    for (size_t i = 0; i < enqueue->count && message_jobs_result_job_next(&cursor, &one); i++) {
        struct wish *wish = &enqueue->wishes[i];
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
    for (size_t i = 0; i < enqueue->count; i++) {
        const struct wish *wish = &enqueue->wishes[i];
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
        .jobs = list_of(&enqueue->jobs, (uint32_t)enqueue->count),
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
    uuid_format(&exchange->id, enqueue->run_text);
    msgpack_sbuffer_init(&enqueue->jobs);
    msgpack_sbuffer_init(&enqueue->parents);
    if (read_request(enqueue) == 0) {
        graph = jobs_graph_create(enqueue->count);
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
