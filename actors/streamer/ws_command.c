/*
 * Commands of a WebSocket's client: the same validation (runtime/submission.h) and the same way to
 * the sequencer (runtime/commands.h) as over HTTP, with the same answers.
 */
#include "proto/messages.h"
#include "proto/outcome.h"
#include "runtime/base/limits.h"
#include "runtime/base/memory.h"
#include "runtime/body.h"
#include "streamer/ws_internal.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

enum command_kind { COMMAND_APPEND, COMMAND_CANCEL, COMMAND_RESUME };

/* One under way. */
struct ws_command {
    struct list in_ws;
    struct ws *ws; /* NULL: the connection has gone */
    enum command_kind kind;
    struct uuid run;
    struct submission_usage usage;
    int64_t producer_seq; /* -1: none */
    size_t id_length;
    char id[];
};

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

/* ---- the answer ---- */

static void leave(struct ws_command *command)
{
    struct ws *ws = command->ws;
    if (ws != NULL) {
        list_remove(&command->in_ws);
        ws->commands_count--;
        ws_mark(ws); /* it may be listened to again */
    }
}

static void tell(struct ws_command *command, enum command_state state,
                 const struct message_result *result)
{
    struct ws *ws = command->ws;
    struct submission *submission = &ws->hub->submission;
    struct json_span id = {command->id, command->id_length};
    if (state == COMMAND_UNKNOWN) {
        refusal_unknown(&submission->refusal);
        refused(ws, id);
    } else if (result->outcome == OUTCOME_OK && command->kind == COMMAND_APPEND) {
        ws_answer_appended(ws, id, result);
    } else if (result->outcome == OUTCOME_OK) {
        ws_answer_status(ws, id, &command->run, result);
    } else if (command->kind == COMMAND_RESUME) {
        submission_resume_refused(submission, result);
        refused(ws, id);
    } else {
        refusal_outcome(&submission->refusal, result, command->producer_seq);
        refused(ws, id);
    }
}

static void done(void *arg, enum command_state state, const struct message_result *result)
{
    struct ws_command *command = arg;
    if (state == COMMAND_DONE && result->outcome == OUTCOME_OK) {
        submission_count_usage(&command->usage, result->duplicate);
    }
    if (command->ws != NULL) {
        tell(command, state, result);
    }
    leave(command);
    free(command);
}

static struct ws_command *command_new(struct ws *ws, enum command_kind kind, struct json_span id,
                                      const struct uuid *run)
{
    struct ws_command *command = memory_new(sizeof *command + id.length);
    *command = (struct ws_command){
        .ws = ws, .kind = kind, .run = *run, .producer_seq = -1, .id_length = id.length};
    memcpy(command->id, id.data, id.length);
    list_append(&ws->commands, &command->in_ws);
    ws->commands_count++;
    return command;
}

/* `sent` is what the command's function returned. */
static void expect(struct ws_command *command, int sent)
{
    if (sent != 0) {
        refusal_busy(&command->ws->hub->submission.refusal);
        refused(command->ws, (struct json_span){command->id, command->id_length});
        leave(command);
        free(command);
    }
}

void ws_command_orphan(struct ws *ws)
{
    LIST_FOR_EACH(node, &ws->commands)
    {
        struct ws_command *command = LIST_ENTRY(node, struct ws_command, in_ws);
        leave(command);
        command->ws = NULL;
    }
}

/* ---- members that all have ---- */

static bool is_common(struct json_span name)
{
    return body_is(name, "op") || body_is(name, "id");
}

static int read_run(struct ws *ws, struct json_span object, struct uuid *run_out)
{
    struct refusal *refusal = &ws->hub->submission.refusal;
    struct json_span run = json_member(object, "run_id");
    if (run.data == NULL || !body_is_string(run)) {
        return refusal_at(refusal, PROBLEM_INVALID_PAYLOAD, "/run_id",
                          "A command needs a run_id, which is a string.");
    }
    if (body_uuid(run, run_out) != 0) {
        return refusal_set(refusal, PROBLEM_NOT_FOUND, "There is no such run.");
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
};

/* What is not the body of the same request over HTTP. */
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
    return is_common(name) || body_is(name, "run_id");
}

/* The key's hash is over the members that say what is appended, as one object without blanks around
 * them: the same append may be repeated under another id, on another connection, or over HTTP. */
static int read_append(struct ws *ws, struct json_span object, struct append *append,
                       uint8_t hash_out[SUBMISSION_HASH_BYTES])
{
    struct submission *submission = &ws->hub->submission;
    struct json_span cursor = {0};
    struct json_span name;
    struct json_span value;
    crypto_hash_sha256_state hash;
    const char *before = "{\"";
    (void)crypto_hash_sha256_init(&hash);
    while (json_pair(object, &cursor, &name, &value)) {
        if (take_envelope(append, name, value)) {
            continue;
        }
        switch (submission_append_member(submission, &append->events, name, value)) {
        case SUBMISSION_TAKEN:
            break;
        case SUBMISSION_NOT_MINE:
            return refusal_unknown_field(&submission->refusal, "", name);
        case SUBMISSION_REFUSED:
            return -1;
        }
        (void)crypto_hash_sha256_update(&hash, (const uint8_t *)before, strlen(before));
        (void)crypto_hash_sha256_update(&hash, (const uint8_t *)name.data, name.length);
        (void)crypto_hash_sha256_update(&hash, (const uint8_t *)"\":", 2);
        (void)crypto_hash_sha256_update(&hash, (const uint8_t *)value.data, value.length);
        before = ",\"";
    }
    (void)crypto_hash_sha256_update(&hash, (const uint8_t *)"}", 1);
    (void)crypto_hash_sha256_final(&hash, hash_out);
    return submission_append_events(submission, &append->events);
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

static void send_append(struct ws *ws, struct json_span id, const struct uuid *run,
                        struct message_append *message, int64_t producer_seq)
{
    struct submission *submission = &ws->hub->submission;
    struct ws_command *command = command_new(ws, COMMAND_APPEND, id, run);
    command->usage = submission->usage;
    command->producer_seq = producer_seq;
    message->actor = actor_of(ws);
    message->events = (struct message_list){.data = (const uint8_t *)submission->events.data,
                                            .length = submission->events.size,
                                            .count = submission->count};
    memcpy(message->tenant, ws->tenant.bytes, sizeof message->tenant);
    memcpy(message->run, run->bytes, sizeof message->run);
    expect(command, commands_append(ws->hub->commands, message, done, command));
}

void ws_command_append(struct ws *ws, struct json_span id, struct json_span object)
{
    struct append append = {.events = {.expected_seq = -1}};
    struct submission_producer producer = {0};
    uint8_t hash[SUBMISSION_HASH_BYTES];
    struct buffer key = {0};
    struct buffer producer_id = {0};
    struct uuid run;
    if (read_run(ws, object, &run) != 0 || read_append(ws, object, &append, hash) != 0 ||
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
        send_append(ws, id, &run, &message, producer.id.length > 0 ? producer.seq : -1);
    }
    buffer_deinit(&key);
    buffer_deinit(&producer_id);
}

/* ---- cancel, resume ---- */

static int read_cancel(struct ws *ws, struct json_span object, struct submission_cancel *cancel)
{
    struct submission *submission = &ws->hub->submission;
    struct json_span cursor = {0};
    struct json_span name;
    struct json_span value;
    while (json_pair(object, &cursor, &name, &value)) {
        if (is_common(name) || body_is(name, "run_id")) {
            continue;
        }
        switch (submission_cancel_member(submission, cancel, name, value)) {
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

void ws_command_cancel(struct ws *ws, struct json_span id, struct json_span object)
{
    struct submission_cancel cancel = {0};
    struct buffer *payload = &ws->hub->text;
    struct uuid run;
    if (read_run(ws, object, &run) != 0 || read_cancel(ws, object, &cancel) != 0) {
        refused(ws, id);
        return;
    }
    submission_cancel_payload(&cancel, ws->actor, payload);
    struct message_cancel_run message = {.actor = actor_of(ws),
                                         .payload = span(payload->data, payload->length)};
    memcpy(message.tenant, ws->tenant.bytes, sizeof message.tenant);
    memcpy(message.run, run.bytes, sizeof message.run);
    struct ws_command *command = command_new(ws, COMMAND_CANCEL, id, &run);
    expect(command, commands_cancel_run(ws->hub->commands, &message, done, command));
}

static int read_resume(struct ws *ws, struct json_span object, struct submission_resume *resume)
{
    struct submission *submission = &ws->hub->submission;
    struct json_span cursor = {0};
    struct json_span name;
    struct json_span value;
    while (json_pair(object, &cursor, &name, &value)) {
        if (is_common(name) || body_is(name, "run_id")) {
            continue;
        }
        switch (submission_resume_member(submission, resume, name, value)) {
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

void ws_command_resume(struct ws *ws, struct json_span id, struct json_span object)
{
    struct submission_resume resume = {0};
    struct buffer *payload = &ws->hub->text;
    struct buffer clarification = {0};
    uint8_t hash[SUBMISSION_HASH_BYTES];
    struct uuid run;
    if (read_run(ws, object, &run) != 0 || read_resume(ws, object, &resume) != 0 ||
        submission_resume_payload(&ws->hub->submission, &resume, ws->actor, payload, hash) != 0) {
        refused(ws, id);
        return;
    }
    if (resume.clarification.data != NULL) {
        body_string(&clarification, resume.clarification);
    }
    struct message_resume_run message = {.actor = actor_of(ws),
                                         .clarification =
                                             span(clarification.data, clarification.length),
                                         .hash = span(hash, sizeof hash),
                                         .payload = span(payload->data, payload->length)};
    memcpy(message.tenant, ws->tenant.bytes, sizeof message.tenant);
    memcpy(message.run, run.bytes, sizeof message.run);
    struct ws_command *command = command_new(ws, COMMAND_RESUME, id, &run);
    expect(command, commands_resume_run(ws->hub->commands, &message, done, command));
    buffer_deinit(&clarification);
}
