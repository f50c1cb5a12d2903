/*
 * Commands of a WebSocket's client, read: the same validation (runtime/submission.h) as over HTTP.
 * What is sound goes to the sequencer as a struct ws_command.
 */
#include "proto/messages.h"
#include "runtime/base/limits.h"
#include "runtime/body.h"
#include "runtime/spans.h"
#include "runtime/trace.h"
#include "streamer/streamer.h"
#include "streamer/ws_internal.h"

#include <sodium.h>
#include <string.h>

static struct message_span span(const void *data, size_t length)
{
    return (struct message_span){data, length};
}

static struct message_span actor_of(const struct ws *ws)
{
    return span(ws->actor, strlen(ws->actor));
}

static void refused(struct ws *ws, struct json_span id)
{
    ws_answer_refusal(ws, id, &ws->hub->submission.refusal);
}

/* ---- members that all have ---- */

struct common {
    struct uuid run;
    struct trace trace;
};

static bool is_common(struct json_span name)
{
    return body_is(name, "op") || body_is(name, "id") || body_is(name, "run_id") ||
           body_is(name, "traceparent");
}

/* As the header of this name over HTTP: what is no correct one begins a trace of ours, which is not
 * stored. */
static int read_trace(struct ws *ws, struct json_span object, struct trace *trace_out)
{
    struct json_span given = json_member(object, "traceparent");
    struct json_span text = {NULL, 0};
    if (given.data != NULL && !body_is_null(given)) {
        if (!body_is_string(given)) {
            return refusal_at(&ws->hub->submission.refusal, PROBLEM_INVALID_PAYLOAD, "/traceparent",
                              "traceparent must be a string.");
        }
        text = body_text(given);
    }
    trace_begin(trace_out, text.data, text.length);
    trace_out->recorded = spans_want(ws->hub->streamer->actor->spans, trace_out);
    return 0;
}

static int read_common(struct ws *ws, struct json_span object, struct common *common_out)
{
    struct refusal *refusal = &ws->hub->submission.refusal;
    struct json_span run = json_member(object, "run_id");
    if (run.data == NULL || !body_is_string(run)) {
        return refusal_at(refusal, PROBLEM_INVALID_PAYLOAD, "/run_id",
                          "A command needs a run_id, which is a string.");
    }
    if (body_uuid(run, &common_out->run) != 0) {
        return refusal_set(refusal, PROBLEM_NOT_FOUND, "There is no such run.");
    }
    return read_trace(ws, object, &common_out->trace);
}

/* No span of ours stands for the message: the command's is the child of the client's. */
static void write_common(const struct ws *ws, const struct common *common, uint8_t tenant[16],
                         uint8_t run[16], uint8_t trace[TRACE_ID_BYTES])
{
    memcpy(tenant, ws->tenant.bytes, sizeof ws->tenant.bytes);
    memcpy(run, common->run.bytes, sizeof common->run.bytes);
    memcpy(trace, common->trace.id, sizeof common->trace.id);
}

static uint64_t trace_flags(const struct trace *trace)
{
    return (trace->given ? TRACE_GIVEN : 0U) | (trace->recorded ? TRACE_RECORDED : 0U);
}

/* Takes up one of the members that are a command's own. */
typedef enum submission_taken take_fn(struct submission *submission, void *arg,
                                      struct json_span name, struct json_span value);

static int read_own(struct ws *ws, struct json_span object, take_fn *take, void *arg)
{
    struct submission *submission = &ws->hub->submission;
    struct json_span cursor = {0};
    struct json_span name;
    struct json_span value;
    while (json_pair(object, &cursor, &name, &value)) {
        if (is_common(name)) {
            continue;
        }
        switch (take(submission, arg, name, value)) {
        case SUBMISSION_TAKEN:
            break;
        case SUBMISSION_NOT_MINE:
            return refusal_unknown_field(&submission->refusal, "", name);
        case SUBMISSION_REFUSED:
            return -1;
        }
    }
    return 0;
}

/* ---- append ---- */

struct append {
    struct submission_append events;
    struct json_span key;
    struct json_span producer_id;
    struct json_span producer_epoch;
    struct json_span producer_seq;
    crypto_hash_sha256_state hash;
    bool hashed; /* a member, at least */
};

/* What over HTTP is not in the body. */
static bool take_envelope(struct append *append, struct json_span name, struct json_span value)
{
    const struct {
        const char *name;
        struct json_span *value;
    } known[] = {{"idempotency_key", &append->key},
                 {"producer_id", &append->producer_id},
                 {"producer_epoch", &append->producer_epoch},
                 {"producer_seq", &append->producer_seq}};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (body_is(name, known[i].name)) {
            *known[i].value = body_is_null(value) ? (struct json_span){0} : value;
            return true;
        }
    }
    return false;
}

static void hash_text(struct append *append, const char *text, size_t length)
{
    (void)crypto_hash_sha256_update(&append->hash, (const uint8_t *)text, length);
}

/* The key's hash is over the members that say what is appended, as one object without blanks around
 * them: the same append may be repeated under another id, on another connection, or over HTTP. */
static enum submission_taken take_append(struct submission *submission, void *arg,
                                         struct json_span name, struct json_span value)
{
    struct append *append = arg;
    if (take_envelope(append, name, value)) {
        return SUBMISSION_TAKEN;
    }
    enum submission_taken taken =
        submission_append_member(submission, &append->events, name, value);
    if (taken == SUBMISSION_TAKEN) {
        hash_text(append, append->hashed ? ",\"" : "{\"", 2);
        hash_text(append, name.data, name.length);
        hash_text(append, "\":", 2);
        hash_text(append, value.data, value.length);
        append->hashed = true;
    }
    return taken;
}

static int read_append(struct ws *ws, struct json_span object, struct append *append,
                       uint8_t hash_out[SUBMISSION_HASH_BYTES])
{
    (void)crypto_hash_sha256_init(&append->hash);
    if (read_own(ws, object, take_append, append) != 0) {
        return -1;
    }
    hash_text(append, "}", 1);
    (void)crypto_hash_sha256_final(&append->hash, hash_out);
    return submission_append_events(&ws->hub->submission, &append->events);
}

/* Into `text`, which has been emptied. */
static int read_key(struct ws *ws, struct json_span key, struct buffer *text)
{
    if (key.data == NULL) {
        return 0;
    }
    if (body_is_string(key)) {
        body_string(text, key);
    }
    if (!submission_is_printable((const char *)text->data, text->length,
                                 LIMIT_IDEMPOTENCY_KEY_BYTES)) {
        return refusal_at(&ws->hub->submission.refusal, PROBLEM_INVALID_PARAMETER,
                          "/idempotency_key",
                          "idempotency_key must be 1 to 255 printable ASCII characters.");
    }
    return 0;
}

static int read_producer(struct ws *ws, const struct append *append, struct buffer *text,
                         struct submission_producer *producer_out)
{
    struct submission_producer_texts texts = {.epoch = append->producer_epoch,
                                              .seq = append->producer_seq,
                                              .keyed = append->key.data != NULL};
    if (append->producer_id.data != NULL) {
        if (body_is_string(append->producer_id)) {
            body_string(text, append->producer_id);
        }
        texts.id = (struct json_span){buffer_text(text), text->length};
    }
    return submission_producer_read(&ws->hub->submission, &texts, producer_out);
}

static void send_append(struct ws *ws, struct json_span id, size_t bytes,
                        const struct common *common, struct message_append *message)
{
    struct submission *submission = &ws->hub->submission;
    struct ws_command *command = ws_command_create(ws, WS_COMMAND_APPEND, id, &common->run, bytes);
    command->usage = submission->usage;
    command->producer_seq = message->producer.length > 0 ? (int64_t)message->producer_seq : -1;
    message->actor = actor_of(ws);
    message->span = common->trace.parent;
    message->trace_flags = trace_flags(&common->trace);
    message->events = (struct message_list){.data = (const uint8_t *)submission->events.data,
                                            .length = submission->events.size,
                                            .count = submission->count};
    write_common(ws, common, message->tenant, message->run, message->trace);
    ws_command_sent(command, commands_append(ws->hub->commands, message, ws_command_done, command));
}

void ws_request_append(struct ws *ws, struct json_span id, struct json_span object)
{
    struct append append = {.events = {.expected_seq = -1}};
    struct submission_producer producer = {0};
    uint8_t hash[SUBMISSION_HASH_BYTES];
    struct buffer key = {0};
    struct buffer producer_id = {0};
    struct common common;
    if (read_common(ws, object, &common) != 0 || read_append(ws, object, &append, hash) != 0 ||
        read_key(ws, append.key, &key) != 0 ||
        read_producer(ws, &append, &producer_id, &producer) != 0) {
        refused(ws, id);
    } else {
        struct message_append message = {
            .expected_seq = append.events.expected_seq,
            .key = span(key.data, key.length),
            .hash = span(hash, key.length > 0 ? sizeof hash : 0),
            .producer = span(producer.id.data, producer.id.length),
            .producer_epoch = (uint64_t)producer.epoch,
            .producer_seq = (uint64_t)producer.seq,
        };
        send_append(ws, id, object.length, &common, &message);
    }
    buffer_deinit(&key);
    buffer_deinit(&producer_id);
}

/* ---- cancel, resume ---- */

static enum submission_taken take_cancel(struct submission *submission, void *arg,
                                         struct json_span name, struct json_span value)
{
    return submission_cancel_member(submission, arg, name, value);
}

void ws_request_cancel(struct ws *ws, struct json_span id, struct json_span object)
{
    struct submission_cancel cancel = {0};
    struct buffer *payload = &ws->hub->text;
    struct common common;
    if (read_common(ws, object, &common) != 0 || read_own(ws, object, take_cancel, &cancel) != 0) {
        refused(ws, id);
        return;
    }
    submission_cancel_payload(&cancel, ws->actor, payload);
    struct message_cancel_run message = {.actor = actor_of(ws),
                                         .span = common.trace.parent,
                                         .trace_flags = trace_flags(&common.trace),
                                         .payload = span(payload->data, payload->length)};
    write_common(ws, &common, message.tenant, message.run, message.trace);
    struct ws_command *command =
        ws_command_create(ws, WS_COMMAND_CANCEL, id, &common.run, object.length);
    ws_command_sent(command,
                    commands_cancel_run(ws->hub->commands, &message, ws_command_done, command));
}

static enum submission_taken take_resume(struct submission *submission, void *arg,
                                         struct json_span name, struct json_span value)
{
    return submission_resume_member(submission, arg, name, value);
}

void ws_request_resume(struct ws *ws, struct json_span id, struct json_span object)
{
    struct submission_resume resume = {0};
    struct buffer *payload = &ws->hub->text;
    struct buffer clarification = {0};
    uint8_t hash[SUBMISSION_HASH_BYTES];
    struct common common;
    if (read_common(ws, object, &common) != 0 || read_own(ws, object, take_resume, &resume) != 0 ||
        submission_resume_payload(&ws->hub->submission, &resume, ws->actor, payload, hash) != 0) {
        refused(ws, id);
        return;
    }
    if (resume.clarification.data != NULL) {
        body_string(&clarification, resume.clarification);
    }
    struct message_resume_run message = {.actor = actor_of(ws),
                                         .span = common.trace.parent,
                                         .trace_flags = trace_flags(&common.trace),
                                         .clarification =
                                             span(clarification.data, clarification.length),
                                         .hash = span(hash, sizeof hash),
                                         .payload = span(payload->data, payload->length)};
    write_common(ws, &common, message.tenant, message.run, message.trace);
    struct ws_command *command =
        ws_command_create(ws, WS_COMMAND_RESUME, id, &common.run, object.length);
    ws_command_sent(command,
                    commands_resume_run(ws->hub->commands, &message, ws_command_done, command));
    buffer_deinit(&clarification);
}
