/* See ndjson.h. */
#include "api/ndjson.h"

#include "runtime/body.h"
#include "api/command.h"
#include "api/request.h"
#include "proto/outcome.h"
#include "runtime/base/fault.h"
#include "runtime/base/limits.h"
#include "runtime/base/memory.h"
#include "runtime/commands.h"

#include <assert.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum {
    /* A chunk ends with the line that reaches one of these. They are not settings: a body repeated
     * after a restart must be cut as before. */
    CHUNK_EVENTS = 500,
    CHUNK_BYTES = 256 << 10,
    LINE_EXTRA_BYTES = 4 << 10, /* a line may be longer than the payload by this */
    KEY_MARK = 3,               /* a client's own key is printable and never begins so */
    CHUNK_KEY_SIZE = LIMIT_IDEMPOTENCY_KEY_BYTES + 24
};

struct ndjson {
    struct exchange *exchange;
    struct buffer text; /* of the body, not yet taken up as lines */
    size_t text_at;
    bool ended; /* nothing follows `text` */
    int64_t bytes;
    int64_t lines; /* taken up */
    int64_t events;
    /* The chunk being filled, or sent. */
    struct msgpack_sbuffer chunk;
    uint32_t chunk_events;
    size_t chunk_bytes;
    crypto_hash_sha256_state chunk_hash;
    int64_t chunks; /* done */
    bool sent;      /* the chunk is with the sequencer */
    /* What is done. */
    int64_t accepted; /* lines */
    uint64_t first_seq;
    uint64_t last_seq;
    bool cancel_requested;
    bool all_duplicates;
    struct exchange_deferred wrong; /* a line is bad: answered when those before it are done */
    struct buffer key;              /* the client's, empty: none */
    struct submission_producer producer;
};

bool ndjson_is_asked(const struct http_request *request)
{
    static const char type[] = NDJSON_MEDIA_TYPE;
    size_t length = sizeof type - 1;
    struct http_text field = http_request_field(request, "Content-Type", NULL);
    return field.length >= length && strncasecmp(field.data, type, length) == 0 &&
           (field.length == length || field.data[length] == ';' || field.data[length] == ' ');
}

static void ndjson_destroy(struct ndjson *batch)
{
    buffer_deinit(&batch->text);
    buffer_deinit(&batch->wrong.body);
    buffer_deinit(&batch->key);
    msgpack_sbuffer_destroy(&batch->chunk);
    free(batch);
}

/* ---- lines into a chunk ---- */

static void clear_chunk(struct ndjson *batch)
{
    msgpack_sbuffer_clear(&batch->chunk);
    batch->chunk_events = 0;
    batch->chunk_bytes = 0;
    (void)crypto_hash_sha256_init(&batch->chunk_hash);
}

static bool chunk_is_full(const struct ndjson *batch)
{
    return batch->chunk_events >= CHUNK_EVENTS || batch->chunk_bytes >= CHUNK_BYTES;
}

static int64_t limit(const struct ndjson *batch, enum setting setting)
{
    return settings_int(batch->exchange->api->actor->settings, setting);
}

static void too_large(struct ndjson *batch, const char *detail)
{
    exchange_problem(batch->exchange, PROBLEM_TOO_LARGE, detail, NULL);
}

/* Adds the event of one line, if there is something on it. What is wrong is answered (later). */
static void take_line(struct ndjson *batch, struct json_span line)
{
    struct exchange *exchange = batch->exchange;
    struct submission *submission = &exchange->api->submission;
    struct json_span object;
    bool empty = body_trim(line.data, line.length).length == 0;
    if (!empty) {
        if (batch->events >= limit(batch, SETTING_HTTP_NDJSON_EVENTS)) {
            too_large(batch, "There are more events than one request may hold.");
            return;
        }
        submission_begin(submission);
        if (submission_object(submission, line, &object) != 0 ||
            submission_add(submission, object, SUBMISSION_ALONE) != 0) {
            exchange_refuse(exchange, &submission->refusal);
            return;
        }
        msgpack_sbuffer_write(&batch->chunk, submission->events.data, submission->events.size);
        submission_add_usage(&exchange->usage, &submission->usage);
        (void)crypto_hash_sha256_update(&batch->chunk_hash, (const uint8_t *)line.data,
                                        line.length);
        (void)crypto_hash_sha256_update(&batch->chunk_hash, (const uint8_t *)"\n", 1);
        batch->chunk_events++;
        batch->chunk_bytes += line.length;
        batch->events++;
    }
    batch->lines++;
}

/* The next line that is there as a whole; false: none. */
static bool next_line(struct ndjson *batch, struct json_span *line_out)
{
    const char *at = (const char *)batch->text.data + batch->text_at;
    size_t left = batch->text.length - batch->text_at;
    const char *end = left == 0 ? NULL : memchr(at, '\n', left);
    size_t length = end == NULL ? left : (size_t)(end - at);
    if (left == 0 || (end == NULL && !batch->ended)) {
        return false;
    }
    *line_out = (struct json_span){at, length};
    batch->text_at += length + (end == NULL ? 0 : 1);
    return true;
}

/* Takes lines until the chunk is full, a line is bad or more of the body is needed. */
static void fill_chunk(struct ndjson *batch)
{
    struct exchange *exchange = batch->exchange;
    size_t longest = (size_t)limit(batch, SETTING_HTTP_EVENT_BYTES) + LINE_EXTRA_BYTES;
    struct json_span line;
    exchange->deferred = &batch->wrong;
    while (!batch->wrong.given && !chunk_is_full(batch)) {
        exchange->lines_accepted = batch->lines;
        bool whole = next_line(batch, &line);
        size_t length = whole ? line.length : batch->text.length - batch->text_at;
        if (length > longest) {
            too_large(batch, "A line is longer than one event may be.");
        } else if (!whole) {
            break;
        } else {
            take_line(batch, line);
        }
    }
    exchange->deferred = NULL;
    buffer_consume(&batch->text, batch->text_at);
    batch->text_at = 0;
}

/* ---- chunks to the sequencer ---- */

static void go_on(struct ndjson *batch);

static void finish(struct ndjson *batch)
{
    struct exchange *exchange = batch->exchange;
    struct buffer *body = &exchange->api->text;
    bool producer = batch->producer.id.length > 0;
    if (batch->chunks == 0) {
        exchange_problem(exchange, PROBLEM_INVALID_PAYLOAD,
                         "The body must hold at least one event.", NULL);
        return;
    }
    buffer_clear(body);
    buffer_printf(body, "{\"first_seq\":%llu,\"last_seq\":%llu,\"lines\":%lld",
                  (unsigned long long)batch->first_seq, (unsigned long long)batch->last_seq,
                  (long long)batch->lines);
    if (producer) {
        buffer_printf(body, ",\"producer_seq\":%lld",
                      (long long)(batch->producer.seq + batch->chunks - 1));
    }
    buffer_append_text(body, batch->cancel_requested ? ",\"cancel_requested\":true}"
                                                     : ",\"cancel_requested\":false}");
    exchange_json(exchange, producer && batch->all_duplicates ? 200 : 201, body);
}

static void chunk_done(void *arg, enum command_state state, const struct message_result *result)
{
    struct ndjson *batch = arg;
    struct exchange *exchange = batch->exchange;
    batch->sent = false;
    if (!exchange_resume(exchange)) {
        ndjson_destroy(batch);
        return;
    }
    if (state == COMMAND_DONE && result->outcome == OUTCOME_OK) {
        batch->first_seq = batch->chunks == 0 ? result->first_seq : batch->first_seq;
        batch->last_seq = result->last_seq;
        batch->cancel_requested = result->cancel_requested;
        batch->all_duplicates = batch->all_duplicates && result->duplicate;
        batch->accepted = batch->lines;
        batch->chunks++;
        submission_count_usage(&exchange->usage, result->duplicate);
        clear_chunk(batch);
        go_on(batch);
        return;
    }
    exchange->lines_accepted = batch->accepted;
    if (state == COMMAND_UNKNOWN) {
        command_unknown(exchange);
    } else {
        command_refused(exchange, result);
    }
    ndjson_destroy(batch);
}

/* "\3KEY/7" for the eighth chunk. */
static void write_key(const struct ndjson *batch, struct buffer *key)
{
    if (batch->key.length > 0) {
        buffer_append_byte(key, KEY_MARK);
        buffer_append(key, batch->key.data, batch->key.length);
        buffer_append_byte(key, '/');
        buffer_append_int(key, batch->chunks);
    }
}

static void send_chunk(struct ndjson *batch)
{
    struct exchange *exchange = batch->exchange;
    struct buffer key = {0};
    uint8_t hash[REQUEST_KEY_HASH_BYTES];
    char actor[COMMAND_ACTOR_SIZE];
    write_key(batch, &key);
    (void)crypto_hash_sha256_final(&batch->chunk_hash, hash);
    struct message_append message = {
        .expected_seq = -1,
        .actor = command_actor(exchange, actor),
        .key = command_span(key.data, key.length),
        .hash = command_span(hash, key.length > 0 ? sizeof hash : 0),
        .events = {.data = (const uint8_t *)batch->chunk.data,
                   .length = batch->chunk.size,
                   .count = batch->chunk_events},
    };
    memcpy(message.tenant, exchange->who.tenant.bytes, sizeof message.tenant);
    memcpy(message.run, exchange->id.bytes, sizeof message.run);
    command_trace(exchange, message.trace, &message.span, &message.trace_flags);
    request_set_producer(&message, &batch->producer, batch->chunks);
    exchange->producer_seq =
        batch->producer.id.length > 0 ? batch->producer.seq + batch->chunks : -1;
    SB_FAULT("api_before_command");
    exchange_hold(exchange);
    batch->sent = true;
    if (commands_append(exchange->api->commands, &message, chunk_done, batch) != 0) {
        batch->sent = false;
        if (exchange_resume(exchange)) {
            exchange->lines_accepted = batch->accepted;
            command_busy(exchange);
        }
        ndjson_destroy(batch);
    }
    buffer_deinit(&key);
    SB_FAULT("api_after_command");
}

/* The one place that decides what comes next; nothing is with the sequencer now. */
static void go_on(struct ndjson *batch)
{
    struct exchange *exchange = batch->exchange;
    fill_chunk(batch);
    bool over = batch->wrong.given || (batch->ended && batch->text.length == 0);
    if (chunk_is_full(batch) || (over && batch->chunk_events > 0)) {
        send_chunk(batch);
    } else if (!over) {
        http_request_read_body(exchange->request);
    } else {
        if (batch->wrong.given) {
            exchange_reply_deferred(exchange, &batch->wrong);
        } else {
            finish(batch);
        }
        ndjson_destroy(batch);
    }
}

/* ---- the request ---- */

static void abandoned(struct exchange *exchange)
{
    struct ndjson *batch = exchange->ndjson;
    if (!batch->sent) {
        ndjson_destroy(batch); /* lines of a body that broke off are not appended */
    }
}

void ndjson_begin(struct exchange *exchange)
{
    struct request_key key;
    struct submission_producer producer;
    if (request_idempotency(exchange, &key) != 0 ||
        request_read_producer(exchange, &key, &producer) != 0) {
        return;
    }
    struct ndjson *batch = memory_new(sizeof *batch);
    batch->exchange = exchange;
    batch->all_duplicates = true;
    batch->producer = producer; /* its texts stay valid while the request is */
    msgpack_sbuffer_init(&batch->chunk);
    buffer_append(&batch->key, key.key.data, key.key.length);
    clear_chunk(batch);
    exchange->ndjson = batch;
    exchange->abandoned = abandoned;
    exchange->lines_accepted = 0;
    http_request_read_body(exchange->request);
}

void ndjson_take(struct exchange *exchange, struct http_text piece, bool last)
{
    struct ndjson *batch = exchange->ndjson;
    assert(!batch->sent && !batch->ended);
    batch->bytes += (int64_t)piece.length;
    batch->ended = last;
    if (batch->bytes > limit(batch, SETTING_HTTP_NDJSON_BYTES)) {
        exchange->deferred = &batch->wrong;
        exchange->lines_accepted = batch->lines;
        too_large(batch, "The body is larger than this route takes.");
        exchange->deferred = NULL;
    } else {
        buffer_append(&batch->text, piece.data, piece.length);
    }
    go_on(batch);
}
