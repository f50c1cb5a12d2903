/* See attempt.h and kind.h. */
#include "job-runner/attempt.h"

#include "job-runner/lease.h"
#include "job-runner/report.h"
#include "job-runner/runner.h"
#include "runtime/base/log.h"
#include "runtime/base/memory.h"
#include "runtime/utf8_stream.h"

#include <assert.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NOTE_BYTES_MAX = 512, REASON_BYTES_MAX = 2048 };

/* By whom it can be touched: nobody yet; its kind; nobody but the answer to its end; nobody. */
enum state { STATE_WAITING, STATE_WORKING, STATE_ENDED, STATE_SETTLED };

struct event {
    enum event_type type;
    char *payload; /* owned */
    size_t length;
};

struct attempt {
    struct job_runner *runner; /* borrowed, as the next */
    const struct kind *kind;
    struct attempt_watcher watcher;
    enum state state;
    bool own;       /* the server's: no job */
    bool cancelled; /* the job is to stop, or its claim is lost */
    bool completed; /* the end that was reported last */
    int64_t id;
    struct uuid job;
    struct uuid token;
    struct uuid tenant;
    struct uuid run;
    unsigned number;
    char *key;     /* owned */
    char *payload; /* owned */
    size_t payload_length;
    void *kind_state; /* the kind's */
    struct event *events;
    size_t events_count;
};

/* ---- its life ---- */

static void on_cancelled(void *arg, bool lost)
{
    struct attempt *attempt = arg;
    attempt->cancelled = true;
    LOG_INFO(lost ? "a job was taken away" : "a job is to stop", LOG_UUID("job_id", &attempt->job),
             LOG_TEXT("job_type", attempt->kind->type));
    if (attempt->state == STATE_WORKING && attempt->kind->cancel != NULL) {
        attempt->kind->cancel(attempt);
    }
}

struct attempt *attempt_create(struct job_runner *runner, const struct claimed *claimed,
                               const struct kind *kind, const struct attempt_watcher *watcher)
{
    struct attempt *attempt = memory_new(sizeof *attempt);
    *attempt = (struct attempt){
        .runner = runner,
        .kind = kind,
        .watcher = *watcher,
        .id = claimed->id,
        .job = claimed->job,
        .token = claimed->token,
        .tenant = claimed->tenant,
        .run = claimed->run,
        .number = claimed->attempt,
        .key = memory_string(claimed->key),
        .payload = memory_new(claimed->payload.length + 1),
        .payload_length = claimed->payload.length,
    };
    if (claimed->payload.length > 0) {
        memcpy(attempt->payload, claimed->payload.data, claimed->payload.length);
    }
    lease_begin(runner->lease, claimed->id, &claimed->token, claimed->lease_ms, 0, on_cancelled,
                attempt);
    return attempt;
}

struct attempt *attempt_create_own(struct job_runner *runner, const struct kind *kind,
                                   const char *payload, const struct attempt_watcher *watcher)
{
    struct attempt *attempt = memory_new(sizeof *attempt);
    *attempt = (struct attempt){.runner = runner,
                                .kind = kind,
                                .watcher = *watcher,
                                .own = true,
                                .number = 1,
                                .key = memory_string(kind->type),
                                .payload = memory_string(payload),
                                .payload_length = strlen(payload)};
    return attempt;
}

static void forget_events(struct attempt *attempt)
{
    for (size_t i = 0; i < attempt->events_count; i++) {
        free(attempt->events[i].payload);
    }
    free(attempt->events);
    attempt->events = NULL;
    attempt->events_count = 0;
}

void attempt_destroy(struct attempt **attempt)
{
    if (*attempt == NULL) {
        return;
    }
    assert((*attempt)->state != STATE_WORKING);
    if ((*attempt)->state != STATE_SETTLED && !(*attempt)->own) {
        lease_end((*attempt)->runner->lease, (*attempt)->id, &(*attempt)->token);
    }
    forget_events(*attempt);
    free((*attempt)->key);
    free((*attempt)->payload);
    free(*attempt);
    *attempt = NULL;
}

void attempt_begin(struct attempt *attempt)
{
    assert(attempt->state == STATE_WAITING);
    attempt->state = STATE_WORKING;
    if (attempt->cancelled) {
        attempt_release(attempt);
    } else {
        attempt->kind->begin(attempt);
    }
}

void attempt_stop(struct attempt *attempt, bool patient)
{
    if (attempt->state == STATE_WAITING) {
        attempt->state = STATE_WORKING;
        attempt_release(attempt);
    } else if (attempt->state == STATE_WORKING && attempt->kind->cancel != NULL &&
               !(patient && attempt->kind->finishes)) {
        attempt->kind->cancel(attempt);
    }
}

bool attempt_is_open(const struct attempt *attempt)
{
    return attempt->state == STATE_WAITING || attempt->state == STATE_WORKING;
}

const struct kind *attempt_kind(const struct attempt *attempt)
{
    return attempt->kind;
}

/* ---- its end ---- */

static void on_reported(void *arg, enum job_outcome outcome);

static void say(struct attempt *attempt, struct report_change *change)
{
    change->job = attempt->job;
    change->token = attempt->token;
    change->percent = -1;
    attempt->completed = change->what == JOB_COMPLETE;
    report_send(attempt->runner->report, change, on_reported, attempt);
}

/* As far as it is valid UTF-8: the sequencer refuses anything else, and words of others may have been
 * cut within a character. */
static struct message_span text_span(const char *text)
{
    struct message_span span = {(const uint8_t *)text, 0};
    struct utf8_stream utf8 = {0};
    for (size_t i = 0; i < REASON_BYTES_MAX && text[i] != '\0'; i++) {
        if (!utf8_stream_take(&utf8, span.data + i, 1)) {
            break;
        }
        if (utf8_stream_is_whole(&utf8)) {
            span.length = i + 1;
        }
    }
    return span;
}

/* The sequencer does not take what was completed: no repetition makes that better. */
static void fail_instead(struct attempt *attempt, const char *reason)
{
    struct report_change change = {
        .what = JOB_FAIL, .class = JOB_CLASS_FATAL, .reason = text_span(reason)};
    forget_events(attempt);
    say(attempt, &change);
}

static void settle(struct attempt *attempt, bool success)
{
    lease_end(attempt->runner->lease, attempt->id, &attempt->token);
    attempt->state = STATE_SETTLED;
    attempt->watcher.settled(attempt->watcher.arg, attempt, success);
}

static void on_reported(void *arg, enum job_outcome outcome)
{
    struct attempt *attempt = arg;
    switch (outcome) {
    case JOB_OUTCOME_OK:
        break;
    case JOB_OUTCOME_RUN_CLOSED:
        if (attempt->completed) {
            fail_instead(attempt, "run-closed: its run does not take its events");
            return;
        }
        break;
    case JOB_OUTCOME_REFUSED:
        LOG_ERROR("the end of a job was refused", LOG_UUID("job_id", &attempt->job),
                  LOG_TEXT("job_type", attempt->kind->type));
        if (attempt->completed) {
            fail_instead(attempt, "refused: its result or its events are malformed");
            return;
        }
        break;
    case JOB_OUTCOME_EXISTS:
    case JOB_OUTCOME_NOT_FOUND:
    case JOB_OUTCOME_LEASE_LOST:
    case JOB_OUTCOME_NOT_READY:
    case JOB_OUTCOME_ENDED:
    case JOB_OUTCOME_NO_PARENT:
        LOG_INFO("the end of a job came too late", LOG_UUID("job_id", &attempt->job),
                 LOG_TEXT("job_type", attempt->kind->type), LOG_INT("outcome", outcome));
        break;
    }
    settle(attempt, attempt->completed && outcome == JOB_OUTCOME_OK);
}

/* What a tenant reads in the job is for the operator here. */
static void end_own(struct attempt *attempt, const struct report_change *change)
{
    struct message_span said = change->what == JOB_COMPLETE ? change->result : change->reason;
    char text[REASON_BYTES_MAX];
    snprintf(text, sizeof text, "%.*s", (int)said.length,
             said.length == 0 ? "" : (const char *)said.data);
    if (change->what == JOB_FAIL) {
        LOG_WARN("upkeep failed", LOG_TEXT("kind", attempt->kind->type), LOG_TEXT("reason", text));
    } else {
        LOG_INFO("upkeep done", LOG_TEXT("kind", attempt->kind->type), LOG_TEXT("result", text));
    }
    attempt->state = STATE_SETTLED;
    attempt->watcher.ended(attempt->watcher.arg, attempt);
    attempt->watcher.settled(attempt->watcher.arg, attempt, change->what == JOB_COMPLETE);
}

static void end(struct attempt *attempt, struct report_change *change)
{
    assert(attempt->state == STATE_WORKING); /* a kind ends its attempt exactly once */
    if (attempt->own) {
        end_own(attempt, change);
        return;
    }
    attempt->state = STATE_ENDED;
    say(attempt, change);
    attempt->watcher.ended(attempt->watcher.arg, attempt);
}

void attempt_complete(struct attempt *attempt, const char *result, size_t length)
{
    struct report_event *events =
        memory_array(attempt->events_count == 0 ? 1 : attempt->events_count, sizeof *events);
    for (size_t i = 0; i < attempt->events_count; i++) {
        const struct event *event = &attempt->events[i];
        events[i] =
            (struct report_event){event->type, {(const uint8_t *)event->payload, event->length}};
    }
    struct report_change change = {.what = JOB_COMPLETE,
                                   .result = {(const uint8_t *)result, length},
                                   .events = events,
                                   .events_count = attempt->events_count};
    end(attempt, &change);
    free(events);
}

void attempt_fail(struct attempt *attempt, enum job_class class, const char *reason,
                  int64_t retry_ms)
{
    struct report_change change = {
        .what = JOB_FAIL, .class = class, .reason = text_span(reason), .retry_ms = retry_ms};
    end(attempt, &change);
}

void attempt_release(struct attempt *attempt)
{
    struct report_change change = {.what = JOB_RELEASE};
    end(attempt, &change);
}

/* ---- what the kind says meanwhile ---- */

void attempt_progress(struct attempt *attempt, int percent, const char *note)
{
    size_t length = strlen(note);
    if (attempt->own) {
        return;
    }
    struct lease_answer answer =
        lease_beat(attempt->runner->lease, &attempt->job, &attempt->token, percent, note,
                   length > NOTE_BYTES_MAX ? NOTE_BYTES_MAX : length);
    if (answer.cancel || answer.state == JOB_BEAT_LOST) {
        attempt->cancelled = true;
    }
}

void attempt_event(struct attempt *attempt, enum event_type type, const char *payload,
                   size_t length)
{
    attempt->events =
        memory_grow(attempt->events, attempt->events_count + 1, sizeof *attempt->events);
    attempt->events[attempt->events_count++] =
        (struct event){type, memory_copy(payload, length), length};
}

/* ---- what the kind asks ---- */

struct uuid attempt_job(const struct attempt *attempt)
{
    return attempt->job;
}

struct uuid attempt_tenant(const struct attempt *attempt)
{
    return attempt->tenant;
}

struct uuid attempt_run(const struct attempt *attempt)
{
    return attempt->run;
}

const char *attempt_key(const struct attempt *attempt)
{
    return attempt->key;
}

unsigned attempt_number(const struct attempt *attempt)
{
    return attempt->number;
}

const char *attempt_payload(const struct attempt *attempt, size_t *length_out)
{
    *length_out = attempt->payload_length;
    return attempt->payload;
}

bool attempt_is_cancelled(const struct attempt *attempt)
{
    return attempt->cancelled;
}

void attempt_effect_key(const struct attempt *attempt, const char *step,
                        char key_out[ATTEMPT_EFFECT_KEY_SIZE])
{
    crypto_hash_sha256_state hash;
    uint8_t digest[crypto_hash_sha256_BYTES];
    crypto_hash_sha256_init(&hash);
    crypto_hash_sha256_update(&hash, attempt->tenant.bytes, sizeof attempt->tenant.bytes);
    crypto_hash_sha256_update(&hash, (const uint8_t *)attempt->key, strlen(attempt->key));
    if (step[0] != '\0') { /* with the NUL in front, which no key holds */
        crypto_hash_sha256_update(&hash, (const uint8_t *)"", 1);
        crypto_hash_sha256_update(&hash, (const uint8_t *)step, strlen(step));
    }
    crypto_hash_sha256_final(&hash, digest);
    sodium_bin2hex(key_out, ATTEMPT_EFFECT_KEY_SIZE, digest, sizeof digest);
}

struct actor *attempt_actor(const struct attempt *attempt)
{
    return attempt->runner->actor;
}

struct db *attempt_db(const struct attempt *attempt)
{
    return attempt->runner->links.db;
}

struct fetch *attempt_fetch(const struct attempt *attempt)
{
    return attempt->runner->fetch;
}

struct commands *attempt_commands(const struct attempt *attempt)
{
    return attempt->runner->links.commands;
}

void attempt_set_state(struct attempt *attempt, void *state)
{
    attempt->kind_state = state;
}

void *attempt_state(const struct attempt *attempt)
{
    return attempt->kind_state;
}
