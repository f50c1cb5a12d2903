/*
 * See queues.h. What is asked of a queue or a job type lies in the database; the runners are told that
 * it has changed, and read it again. A name of any text is a queue: one that was never used has no
 * jobs and no limits.
 */
#include "api/queues.h"

#include "api/fields.h"
#include "api/listing.h"
#include "api/names.h"
#include "api/runners.h"
#include "api/store_queues.h"
#include "runtime/base/memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { RULE_MAX = 1000000 };

struct asking {
    struct exchange *exchange;
    char name[NAMES_BYTES_MAX + 1]; /* of the queue or the job type; "": the whole tenant */
    bool paused;                    /* of a type, or of all */
};

/* NULL: answered. */
static struct asking *begin(struct exchange *exchange)
{
    struct asking *asking = memory_new(sizeof *asking);
    struct http_text name = exchange->segment;
    asking->exchange = exchange;
    if (name.data != NULL && names_from_path(name.data, name.length, asking->name) != 0) {
        free(asking);
        exchange_problem(exchange, PROBLEM_NOT_FOUND, "A name has 1 to 255 bytes of UTF-8.", NULL);
        return NULL;
    }
    return asking;
}

/* ---- how they stand ---- */

static void shown(void *arg, enum db_status status, const struct db_result *result)
{
    struct exchange *exchange = arg;
    struct buffer *body = &exchange->api->text;
    if (!exchange_resume(exchange)) {
        return;
    }
    if (status != DB_OK) {
        exchange_unavailable(exchange);
        return;
    }
    struct store_text text = store_read_queues(result);
    buffer_clear(body);
    buffer_append(body, text.data, text.length);
    exchange_json(exchange, 200, body);
}

void queues_list(struct exchange *exchange)
{
    exchange_hold(exchange);
    store_get_queues(exchange->api->store, &exchange->who.tenant, NULL, shown, exchange);
}

/* Takes `asking`. */
static void show_queue(struct asking *asking)
{
    struct exchange *exchange = asking->exchange;
    exchange_hold(exchange);
    store_get_queues(exchange->api->store, &exchange->who.tenant, asking->name, shown, exchange);
    free(asking);
}

void queues_get(struct exchange *exchange)
{
    struct asking *asking = begin(exchange);
    if (asking != NULL) {
        show_queue(asking);
    }
}

/* ---- what is asked of them ---- */

/* When this is lost they see it at their next look into the table. */
static void tell_runners(const struct exchange *exchange, const struct db_result *result)
{
    if (store_read_changed(result)) {
        runners_tell_rules(exchange->api->runners, &exchange->who.tenant);
    }
}

/* True when the change is there and the client still waits; else `asking` is gone. */
static bool is_done(struct asking *asking, enum db_status status, const struct db_result *result)
{
    struct exchange *exchange = asking->exchange;
    if (status == DB_OK) {
        tell_runners(exchange, result);
    }
    bool waiting = exchange_resume(exchange);
    bool refused = status == DB_OK && store_read_refused(result);
    if (waiting && status == DB_OK && !refused) {
        return true;
    }
    free(asking);
    if (waiting && refused) {
        exchange_problem(exchange, PROBLEM_INVALID_PAYLOAD,
                         "A tenant may set 1,000 queues and pause 1,000 job types.", NULL);
    } else if (waiting) {
        listing_failed(exchange, status);
    }
    return false;
}

static void queue_changed(void *arg, enum db_status status, const struct db_result *result)
{
    struct asking *asking = arg;
    if (is_done(asking, status, result)) {
        show_queue(asking);
    }
}

/* null: as if nothing had ever been asked. */
static int read_number(struct exchange *exchange, const json_t *body, const char *name,
                       int32_t *number_out)
{
    const json_t *value = json_object_get(body, name);
    char pointer[32];
    *number_out = STORE_QUEUE_AS_IT_IS;
    if (value == NULL) {
        return 0;
    }
    if (json_is_null(value)) {
        *number_out = STORE_QUEUE_DEFAULT;
        return 0;
    }
    json_int_t number = json_integer_value(value);
    if (!json_is_integer(value) || number < 1 || number > RULE_MAX) {
        (void)snprintf(pointer, sizeof pointer, "/%s", name);
        return fields_wrong(exchange, pointer,
                            "This must be a whole number from 1 to 1000000, or null.");
    }
    *number_out = (int32_t)number;
    return 0;
}

static int read_rules(struct exchange *exchange, const json_t *body,
                      struct store_queue_rules *rules)
{
    static const char *const names[STORE_QUEUE_RULES] = {
        [STORE_QUEUE_CONCURRENCY] = "concurrency",
        [STORE_QUEUE_KEY_CONCURRENCY] = "key_concurrency",
        [STORE_QUEUE_RATE_PER_MINUTE] = "rate_per_minute",
        [STORE_QUEUE_RATE_BURST] = "rate_burst",
    };
    const json_t *paused = json_object_get(body, "paused");
    if (paused != NULL && !json_is_boolean(paused)) {
        return fields_wrong(exchange, "/paused", "paused must be true or false.");
    }
    rules->paused = paused == NULL ? STORE_QUEUE_AS_IT_IS : json_is_true(paused);
    for (unsigned i = 0; i < STORE_QUEUE_RULES; i++) {
        if (read_number(exchange, body, names[i], &rules->numbers[i]) != 0) {
            return -1;
        }
    }
    return 0;
}

void queues_set(struct exchange *exchange)
{
    static const char *const known[] = {"paused",          "concurrency", "key_concurrency",
                                        "rate_per_minute", "rate_burst",  NULL};
    struct store_queue_rules rules;
    json_t *body = fields_read(exchange, known);
    if (body == NULL) {
        return;
    }
    int failed = read_rules(exchange, body, &rules);
    json_decref(body);
    struct asking *asking = failed != 0 ? NULL : begin(exchange);
    if (asking != NULL) {
        exchange_hold(exchange);
        store_set_queue(exchange->api->store, &exchange->who.tenant, asking->name, &rules,
                        exchange->who.actor, queue_changed, asking);
    }
}

void queues_reset(struct exchange *exchange)
{
    struct asking *asking = begin(exchange);
    if (asking != NULL) {
        exchange_hold(exchange);
        store_reset_queue(exchange->api->store, &exchange->who.tenant, asking->name,
                          exchange->who.actor, queue_changed, asking);
    }
}

/* ---- pauses ---- */

static void paused(void *arg, enum db_status status, const struct db_result *result)
{
    struct asking *asking = arg;
    if (!is_done(asking, status, result)) {
        return;
    }
    struct exchange *exchange = asking->exchange;
    struct buffer *body = &exchange->api->text;
    buffer_clear(body);
    buffer_append_byte(body, '{');
    if (asking->name[0] != '\0') {
        buffer_append_text(body, "\"job_type\":");
        buffer_append_json(body, asking->name, strlen(asking->name));
        buffer_append_byte(body, ',');
    }
    buffer_printf(body, "\"paused\":%s}", asking->paused ? "true" : "false");
    free(asking);
    exchange_json(exchange, 200, body);
}

static void set_paused(struct exchange *exchange, bool pause)
{
    struct asking *asking = begin(exchange);
    if (asking != NULL) {
        asking->paused = pause;
        exchange_hold(exchange);
        store_pause_jobs(exchange->api->store, &exchange->who.tenant, asking->name, pause,
                         exchange->who.actor, paused, asking);
    }
}

/* There is nothing to be said about a pause but {}. */
static void pause_now(struct exchange *exchange)
{
    static const char *const known[] = {NULL};
    json_t *body = fields_read(exchange, known);
    if (body != NULL) {
        set_paused(exchange, true);
    }
    json_decref(body);
}

void queues_pause_type(struct exchange *exchange)
{
    pause_now(exchange);
}

void queues_resume_type(struct exchange *exchange)
{
    set_paused(exchange, false);
}

void queues_pause_all(struct exchange *exchange)
{
    pause_now(exchange);
}

void queues_resume_all(struct exchange *exchange)
{
    set_paused(exchange, false);
}
