/*
 * The message layer: every message survives a round trip, and no damaged frame passes: cut at
 * every byte, lengths that lie, another version, an unknown type, bytes behind the end, tokens of
 * a wrong kind. R131
 */
#include "proto/envelope.h"
#include "proto/messages.h"
#include "proto/stream_kind.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { FRAME_SIZE_MAX = 4096 };

static const struct message_header header = {
    .generation = 17, .request = UINT64_MAX, .shard = 3, .epoch = 1ULL << 40};

static struct message_span span(const char *text)
{
    return (struct message_span){(const uint8_t *)text, strlen(text)};
}

static void assert_span(struct message_span found, struct message_span wanted)
{
    assert_int_equal(found.length, wanted.length);
    assert_memory_equal(found.data, wanted.data, wanted.length);
}

static void fill(uint8_t uuid[16], uint8_t first)
{
    for (uint8_t i = 0; i < 16; i++)
        uuid[i] = (uint8_t)(first + i);
}

static struct message_list append_events(struct msgpack_sbuffer *list)
{
    message_append_event_encode(
        list, &(struct message_append_event){.type = 6, .payload = span("{\"delta\":\"a\"}")});
    message_append_event_encode(list,
                                &(struct message_append_event){.type = 200, .payload = span("")});
    return (struct message_list){(const uint8_t *)list->data, list->size, 2};
}

static struct message_list committed_events(struct msgpack_sbuffer *list)
{
    message_events_event_encode(list, &(struct message_events_event){1, INT64_MIN, span("{}"), 1});
    message_events_event_encode(
        list, &(struct message_events_event){2, 1700000000123456, span("{\"x\":1}"), 3});
    return (struct message_list){(const uint8_t *)list->data, list->size, 2};
}

static void encode_create_run(struct msgpack_sbuffer *out)
{
    struct message_create_run message = {.origin = 1ULL << 62,
                                         .metadata = span("{\"task\":1}"),
                                         .created_by = span("key"),
                                         .deliverable = span("report"),
                                         .start_at = 1700000000123456,
                                         .strategy = 2,
                                         .concurrency_key = span("one at a time"),
                                         .concurrency_limit = 1,
                                         .liveness_ms = 70000,
                                         .key = span("k-1"),
                                         .hash = span("0123456789abcdef0123456789abcdef"),
                                         .started = span("{}"),
                                         .span = 1ULL << 63,
                                         .trace_flags = 3};
    fill(message.trace, 7);
    fill(message.tenant, 1);
    fill(message.run, 50);
    fill(message.thread, 100);
    fill(message.parent, 200);
    message_create_run_encode(out, &header, &message);
}

static int decode_create_run(const uint8_t *frame, size_t length, struct message_header *found)
{
    struct message_create_run message;
    uint8_t parent[16];
    if (message_create_run_decode(frame, length, found, &message) != 0)
        return -1;
    fill(parent, 200);
    assert_int_equal(message.origin, 1ULL << 62);
    assert_memory_equal(message.parent, parent, 16);
    assert_span(message.hash, span("0123456789abcdef0123456789abcdef"));
    assert_span(message.metadata, span("{\"task\":1}"));
    assert_span(message.started, span("{}"));
    assert_span(message.deliverable, span("report"));
    assert_true(message.start_at == 1700000000123456);
    assert_int_equal(message.strategy, 2);
    assert_span(message.concurrency_key, span("one at a time"));
    assert_int_equal(message.concurrency_limit, 1);
    assert_int_equal(message.liveness_ms, 70000);
    fill(parent, 7);
    assert_memory_equal(message.trace, parent, 16);
    assert_true(message.span == 1ULL << 63);
    assert_int_equal(message.trace_flags, 3);
    return 0;
}

static void encode_append(struct msgpack_sbuffer *out)
{
    struct msgpack_sbuffer list = {0};
    struct message_append message = {.origin = 9,
                                     .expected_seq = -1,
                                     .actor = span("api"),
                                     .producer = span("p"),
                                     .producer_epoch = 3,
                                     .producer_seq = 300,
                                     .span = 77,
                                     .trace_flags = 1,
                                     .events = append_events(&list)};
    fill(message.tenant, 1);
    fill(message.run, 2);
    message_append_encode(out, &header, &message);
    msgpack_sbuffer_destroy(&list);
}

static int decode_append(const uint8_t *frame, size_t length, struct message_header *found)
{
    struct message_append message;
    struct message_append_event event;
    if (message_append_decode(frame, length, found, &message) != 0)
        return -1;
    assert_int_equal(message.expected_seq, -1);
    assert_int_equal(message.key.length, 0);
    assert_span(message.producer, span("p"));
    assert_int_equal(message.producer_epoch, 3);
    assert_int_equal(message.producer_seq, 300);
    assert_int_equal(message.span, 77);
    assert_int_equal(message.trace_flags, 1);
    assert_int_equal(message.events.count, 2);
    struct message_list cursor = message.events;
    assert_true(message_append_event_next(&cursor, &event));
    assert_int_equal(event.type, 6);
    assert_span(event.payload, span("{\"delta\":\"a\"}"));
    assert_true(message_append_event_next(&cursor, &event));
    assert_int_equal(event.type, 200);
    assert_int_equal(event.payload.length, 0);
    assert_false(message_append_event_next(&cursor, &event));
    assert_int_equal(cursor.length, 0);
    return 0;
}

static void encode_hello(struct msgpack_sbuffer *out)
{
    message_hello_encode(out, &header, &(struct message_hello){.origin = 1, .oldest = 65536});
}

static int decode_hello(const uint8_t *frame, size_t length, struct message_header *found)
{
    struct message_hello message;
    if (message_hello_decode(frame, length, found, &message) != 0)
        return -1;
    assert_int_equal(message.origin, 1);
    assert_int_equal(message.oldest, 65536);
    return 0;
}

static void encode_cancel_run(struct msgpack_sbuffer *out)
{
    struct message_cancel_run message = {
        .origin = 7, .actor = span("key:a"), .payload = span("{\"by\":\"key:a\"}")};
    fill(message.run, 50);
    message_cancel_run_encode(out, &header, &message);
}

static int decode_cancel_run(const uint8_t *frame, size_t length, struct message_header *found)
{
    struct message_cancel_run message;
    uint8_t run[16];
    if (message_cancel_run_decode(frame, length, found, &message) != 0)
        return -1;
    fill(run, 50);
    assert_memory_equal(message.run, run, 16);
    assert_int_equal(message.origin, 7);
    assert_span(message.actor, span("key:a"));
    assert_span(message.payload, span("{\"by\":\"key:a\"}"));
    return 0;
}

static void encode_resume_run(struct msgpack_sbuffer *out)
{
    struct message_resume_run message = {.origin = 7,
                                         .clarification = span("c1"),
                                         .hash = span("0123456789abcdef0123456789abcdef"),
                                         .payload = span("{}")};
    fill(message.run, 50);
    message_resume_run_encode(out, &header, &message);
}

static int decode_resume_run(const uint8_t *frame, size_t length, struct message_header *found)
{
    struct message_resume_run message;
    uint8_t run[16];
    if (message_resume_run_decode(frame, length, found, &message) != 0)
        return -1;
    fill(run, 50);
    assert_memory_equal(message.run, run, 16);
    assert_int_equal(message.origin, 7);
    assert_span(message.clarification, span("c1"));
    assert_span(message.hash, span("0123456789abcdef0123456789abcdef"));
    assert_span(message.payload, span("{}"));
    return 0;
}

static void encode_fork_run(struct msgpack_sbuffer *out)
{
    struct message_fork_run message = {
        .origin = 7, .seq = 65536, .created_by = span("key:a"), .key = span("k")};
    fill(message.run, 50);
    message_fork_run_encode(out, &header, &message);
}

static int decode_fork_run(const uint8_t *frame, size_t length, struct message_header *found)
{
    struct message_fork_run message;
    uint8_t run[16];
    if (message_fork_run_decode(frame, length, found, &message) != 0)
        return -1;
    fill(run, 50);
    assert_memory_equal(message.run, run, 16);
    assert_int_equal(message.origin, 7);
    assert_int_equal(message.seq, 65536);
    assert_span(message.created_by, span("key:a"));
    assert_span(message.key, span("k"));
    assert_int_equal(message.hash.length, 0);
    return 0;
}

static void encode_touch_run(struct msgpack_sbuffer *out)
{
    struct message_touch_run message = {.origin = 7};
    fill(message.run, 50);
    message_touch_run_encode(out, &header, &message);
}

static int decode_touch_run(const uint8_t *frame, size_t length, struct message_header *found)
{
    struct message_touch_run message;
    uint8_t run[16];
    if (message_touch_run_decode(frame, length, found, &message) != 0)
        return -1;
    fill(run, 50);
    assert_memory_equal(message.run, run, 16);
    assert_int_equal(message.origin, 7);

    return 0;
}

static void encode_result(struct msgpack_sbuffer *out)
{
    struct message_result message = {.outcome = 6,
                                     .first_seq = 65535,
                                     .last_seq = 65536,
                                     .status = 3,
                                     .expected = 1ULL << 40,
                                     .cancel_requested = true};
    message_result_encode(out, &header, &message);
}

static int decode_result(const uint8_t *frame, size_t length, struct message_header *found)
{
    struct message_result message;
    if (message_result_decode(frame, length, found, &message) != 0)
        return -1;
    assert_int_equal(message.outcome, 6);
    assert_int_equal(message.first_seq, 65535);
    assert_int_equal(message.last_seq, 65536);
    assert_int_equal(message.status, 3);
    assert_true(message.expected == 1ULL << 40);
    assert_true(message.cancel_requested);
    assert_false(message.duplicate);
    return 0;
}

static void encode_nack(struct msgpack_sbuffer *out)
{
    message_nack_encode(out, &header, &(struct message_nack){.expected = 128});
}

static int decode_nack(const uint8_t *frame, size_t length, struct message_header *found)
{
    struct message_nack message;
    if (message_nack_decode(frame, length, found, &message) != 0)
        return -1;
    assert_int_equal(message.expected, 128);
    return 0;
}

static void encode_busy(struct msgpack_sbuffer *out)
{
    message_busy_encode(out, &header, &(struct message_busy){.retry_ms = 127});
}

static int decode_busy(const uint8_t *frame, size_t length, struct message_header *found)
{
    struct message_busy message;
    if (message_busy_decode(frame, length, found, &message) != 0)
        return -1;
    assert_int_equal(message.retry_ms, 127);
    return 0;
}

static void encode_events(struct msgpack_sbuffer *out)
{
    struct msgpack_sbuffer list = {0};
    struct message_events message = {.counter = 5,
                                     .first_seq = 70000,
                                     .thread = {[15] = 9},
                                     .batch = 1ULL << 33,
                                     .settled = (1ULL << 33) + 3,
                                     .events = committed_events(&list)};
    message_events_encode(out, &header, &message);
    msgpack_sbuffer_destroy(&list);
}

static int decode_events(const uint8_t *frame, size_t length, struct message_header *found)
{
    struct message_events message;
    struct message_events_event event;
    if (message_events_decode(frame, length, found, &message) != 0)
        return -1;
    assert_int_equal(message.first_seq, 70000);
    assert_int_equal(message.thread[15], 9);
    assert_int_equal(message.batch, 1ULL << 33);
    assert_int_equal(message.settled, (1ULL << 33) + 3);
    struct message_list cursor = message.events;
    assert_true(message_events_event_next(&cursor, &event));
    assert_true(event.ts == INT64_MIN);
    assert_int_equal(event.at, 1);
    assert_true(message_events_event_next(&cursor, &event));
    assert_true(event.ts == 1700000000123456);
    assert_span(event.payload, span("{\"x\":1}"));
    assert_int_equal(event.at, 3);
    assert_false(message_events_event_next(&cursor, &event));
    return 0;
}

static void encode_hint(struct msgpack_sbuffer *out)
{
    message_hint_encode(out, &header, &(struct message_hint){.counter = 255, .position = 256});
}

static int decode_hint(const uint8_t *frame, size_t length, struct message_header *found)
{
    struct message_hint message;
    if (message_hint_decode(frame, length, found, &message) != 0)
        return -1;
    assert_int_equal(message.counter, 255);
    assert_int_equal(message.position, 256);
    return 0;
}

static void encode_handover(struct msgpack_sbuffer *out)
{
    static const uint8_t signing[16] = {'s', 'i', 'g', 'n'};
    struct message_handover message = {.after_seq = 1ULL << 32,
                                       .head = (1ULL << 32) - 1,
                                       .kind = STREAM_KIND_THREAD,
                                       .thread = {7},
                                       .signing = {signing, sizeof(signing)}};
    message_handover_encode(out, &header, &message);
}

static int decode_handover(const uint8_t *frame, size_t length, struct message_header *found)
{
    struct message_handover message;
    if (message_handover_decode(frame, length, found, &message) != 0)
        return -1;
    assert_int_equal(message.after_seq, 1ULL << 32);
    assert_int_equal(message.head, (1ULL << 32) - 1);
    assert_int_equal(message.kind, STREAM_KIND_THREAD);
    assert_int_equal(message.thread[0], 7);
    assert_int_equal(message.signing.length, 16);
    assert_memory_equal(message.signing.data, "sign", 4);
    return 0;
}

static void encode_handoff(struct msgpack_sbuffer *out)
{
    static const uint8_t unsent[300] = {'d', 'a', 't', 'a'};
    struct message_handoff message = {.cursor = 4,
                                      .head = 5,
                                      .kind = STREAM_KIND_TENANT,
                                      .thread = {[3] = 1},
                                      .signing = {unsent, 16},
                                      .ended = true,
                                      .unsent = {unsent, sizeof(unsent)}};
    message_handoff_encode(out, &header, &message);
}

static int decode_handoff(const uint8_t *frame, size_t length, struct message_header *found)
{
    struct message_handoff message;
    if (message_handoff_decode(frame, length, found, &message) != 0)
        return -1;
    assert_int_equal(message.cursor, 4);
    assert_int_equal(message.head, 5);
    assert_int_equal(message.kind, STREAM_KIND_TENANT);
    assert_int_equal(message.thread[3], 1);
    assert_int_equal(message.signing.length, 16);
    assert_int_equal(message.unsent.length, 300);
    assert_memory_equal(message.unsent.data, "data", 4);
    assert_true(message.ended);
    return 0;
}

static void encode_fetch(struct msgpack_sbuffer *out)
{
    struct message_fetch message = {.method = span("GET"),
                                    .url = span("https://example.org/keys"),
                                    .headers = span("Accept: application/json\n"),
                                    .timeout_ms = 15000,
                                    .answer_max = 65536};
    message_fetch_encode(out, &header, &message);
}

static int decode_fetch(const uint8_t *frame, size_t length, struct message_header *found)
{
    struct message_fetch message;
    if (message_fetch_decode(frame, length, found, &message) != 0)
        return -1;
    assert_span(message.method, span("GET"));
    assert_span(message.url, span("https://example.org/keys"));
    assert_span(message.headers, span("Accept: application/json\n"));
    assert_int_equal(message.body.length, 0);
    assert_int_equal(message.timeout_ms, 15000);
    assert_int_equal(message.answer_max, 65536);
    return 0;
}

static void encode_fetched(struct msgpack_sbuffer *out)
{
    struct message_fetched message = {
        .status = 200, .headers = span("etag: x\n"), .body = span("{\"keys\":[]}")};
    message_fetched_encode(out, &header, &message);
}

static int decode_fetched(const uint8_t *frame, size_t length, struct message_header *found)
{
    struct message_fetched message;
    if (message_fetched_decode(frame, length, found, &message) != 0)
        return -1;
    assert_int_equal(message.status, 200);
    assert_false(message.refused);
    assert_int_equal(message.error.length, 0);
    assert_span(message.headers, span("etag: x\n"));
    assert_span(message.body, span("{\"keys\":[]}"));
    return 0;
}

static void encode_socket_state(struct msgpack_sbuffer *out)
{
    struct msgpack_sbuffer list = {0};
    struct message_socket_state_subscription item = {.id = span("\"s1\""),
                                                     .kind = STREAM_KIND_RUN,
                                                     .run = {1, 2, 3},
                                                     .cursor = 7,
                                                     .types = 5,
                                                     .caught_up = true};
    message_socket_state_subscription_encode(&list, &item);
    item.latest = true;
    message_socket_state_subscription_encode(&list, &item);
    struct message_socket_state message = {
        .pending = span("\x81"), .subscriptions = {(const uint8_t *)list.data, list.size, 2}};
    message_socket_state_encode(out, &header, &message);
    msgpack_sbuffer_destroy(&list);
}

static int decode_socket_state(const uint8_t *frame, size_t length, struct message_header *found)
{
    struct message_socket_state message;
    struct message_socket_state_subscription item;
    if (message_socket_state_decode(frame, length, found, &message) != 0) {
        return -1;
    }
    assert_int_equal(message.pending.length, 1);
    assert_int_equal(message.subscriptions.count, 2);
    assert_true(message_socket_state_subscription_next(&message.subscriptions, &item));
    assert_int_equal(item.cursor, 7);
    assert_int_equal(item.types, 5);
    assert_true(item.caught_up && !item.latest);
    assert_true(message_socket_state_subscription_next(&message.subscriptions, &item));
    assert_true(item.latest);
    assert_false(message_socket_state_subscription_next(&message.subscriptions, &item));
    return 0;
}

#include "tests/unit/proto_job_samples.h"

static const struct sample {
    enum message_type type;
    const char *name;
    void (*encode)(struct msgpack_sbuffer *out);
    int (*decode)(const uint8_t *frame, size_t length, struct message_header *found);
} samples[] = {
    {MESSAGE_CREATE_RUN, "CREATE_RUN", encode_create_run, decode_create_run},
    {MESSAGE_APPEND, "APPEND", encode_append, decode_append},
    {MESSAGE_HELLO, "HELLO", encode_hello, decode_hello},
    {MESSAGE_CANCEL_RUN, "CANCEL_RUN", encode_cancel_run, decode_cancel_run},
    {MESSAGE_RESUME_RUN, "RESUME_RUN", encode_resume_run, decode_resume_run},
    {MESSAGE_FORK_RUN, "FORK_RUN", encode_fork_run, decode_fork_run},
    {MESSAGE_TOUCH_RUN, "TOUCH_RUN", encode_touch_run, decode_touch_run},
    {MESSAGE_RESULT, "RESULT", encode_result, decode_result},
    {MESSAGE_NACK, "NACK", encode_nack, decode_nack},
    {MESSAGE_BUSY, "BUSY", encode_busy, decode_busy},
    {MESSAGE_EVENTS, "EVENTS", encode_events, decode_events},
    {MESSAGE_HINT, "HINT", encode_hint, decode_hint},
    {MESSAGE_HANDOVER, "HANDOVER", encode_handover, decode_handover},
    {MESSAGE_HANDOFF, "HANDOFF", encode_handoff, decode_handoff},
    {MESSAGE_SOCKET_STATE, "SOCKET_STATE", encode_socket_state, decode_socket_state},
    {MESSAGE_FETCH, "FETCH", encode_fetch, decode_fetch},
    {MESSAGE_FETCHED, "FETCHED", encode_fetched, decode_fetched},
    PROTO_JOB_SAMPLES,
};
enum { SAMPLES = sizeof(samples) / sizeof(samples[0]) };

/* The sample's frame in memory of exactly its size, so that a sanitizer sees reads past it. */
static uint8_t *frame_of(const struct sample *sample, size_t *length_out)
{
    struct msgpack_sbuffer out = {0};
    sample->encode(&out);
    assert_true(out.size < FRAME_SIZE_MAX);
    uint8_t *frame = malloc(out.size);
    assert_non_null(frame);
    memcpy(frame, out.data, out.size);
    *length_out = out.size;
    msgpack_sbuffer_destroy(&out);
    return frame;
}

static int decode_bytes(const struct sample *sample, const void *bytes, size_t length)
{
    struct message_header found;
    uint8_t *exact = malloc(length > 0 ? length : 1);
    assert_non_null(exact);
    memcpy(exact, bytes, length);
    int result = sample->decode(exact, length, &found);
    free(exact);
    return result;
}

static void test_round_trip(void **state)
{
    (void)state;
    for (unsigned i = 0; i < SAMPLES; i++) {
        size_t length;
        struct message_header found = {0};
        uint8_t *frame = frame_of(&samples[i], &length);
        assert_int_equal(samples[i].decode(frame, length, &found), 0);
        assert_int_equal(found.type, samples[i].type);
        assert_int_equal(found.generation, header.generation);
        assert_true(found.request == header.request);
        assert_int_equal(found.shard, header.shard);
        assert_int_equal(found.epoch, header.epoch);
        memset(&found, 0, sizeof(found));
        assert_int_equal(message_peek(frame, length, &found), 0);
        assert_int_equal(found.type, samples[i].type);
        assert_true(found.request == header.request);
        assert_string_equal(message_name(found.type), samples[i].name);
        free(frame);
    }
}

/* A message added to messages.def needs a sample here. */
static void test_samples_are_complete(void **state)
{
    (void)state;
    unsigned known = 0;
    for (unsigned type = 0; type < 1000; type++)
        known += strcmp(message_name((enum message_type)type), "unknown") != 0;
    assert_int_equal(known, SAMPLES);
}

static void test_truncated_at_every_byte(void **state)
{
    (void)state;
    for (unsigned i = 0; i < SAMPLES; i++) {
        size_t length;
        uint8_t *frame = frame_of(&samples[i], &length);
        for (size_t cut = 0; cut < length; cut++)
            assert_int_equal(decode_bytes(&samples[i], frame, cut), -1);
        free(frame);
    }
}

static void test_trailing_bytes(void **state)
{
    (void)state;
    uint8_t longer[FRAME_SIZE_MAX + 1];
    for (unsigned i = 0; i < SAMPLES; i++) {
        size_t length;
        uint8_t *frame = frame_of(&samples[i], &length);
        memcpy(longer, frame, length);
        longer[length] = 0;
        assert_int_equal(decode_bytes(&samples[i], longer, length + 1), -1);
        free(frame);
    }
}

static void test_of_another_type(void **state)
{
    (void)state;
    for (unsigned i = 0; i < SAMPLES; i++) {
        size_t length;
        uint8_t *frame = frame_of(&samples[i], &length);
        for (unsigned other = 0; other < SAMPLES; other++)
            if (other != i)
                assert_int_equal(decode_bytes(&samples[other], frame, length), -1);
        free(frame);
    }
}

/* Byte 1 is the version, byte 2 the type: both small numbers in every sample. */
static void test_wrong_version_and_type(void **state)
{
    (void)state;
    for (unsigned i = 0; i < SAMPLES; i++) {
        struct message_header found;
        size_t length;
        uint8_t *frame = frame_of(&samples[i], &length);
        for (unsigned version = 0; version < 128; version++) {
            frame[1] = (uint8_t)version;
            int wanted = version == MESSAGE_VERSION ? 0 : -1;
            assert_int_equal(decode_bytes(&samples[i], frame, length), wanted);
            assert_int_equal(message_peek(frame, length, &found), wanted);
        }
        frame[1] = MESSAGE_VERSION;
        frame[2] = 127;
        assert_int_equal(decode_bytes(&samples[i], frame, length), -1);
        assert_int_equal(message_peek(frame, length, &found), -1);
        free(frame);
    }
}

/* A changed byte may give another valid frame (a payload letter), but never a read outside. Token
 * kinds we do not know never pass where a token begins. */
static void test_every_byte_changed(void **state)
{
    (void)state;
    char line[512];
    for (unsigned i = 0; i < SAMPLES; i++) {
        size_t length;
        uint8_t *frame = frame_of(&samples[i], &length);
        for (size_t at = 0; at < length; at++) {
            uint8_t kept = frame[at];
            for (unsigned value = 0; value < 256; value++) {
                frame[at] = (uint8_t)value;
                message_dump(frame, length, line, sizeof(line));
                assert_true(strlen(line) > 0 && strlen(line) < sizeof(line));
            }
            frame[at] = kept;
        }
        free(frame);
    }
}

static void test_unknown_tokens(void **state)
{
    (void)state;
    /* nil, never used, ext8, float32, float64, fixext1, map16, fixmap, array32 of 2^32-1 */
    static const uint8_t tokens[] = {0xc0, 0xc1, 0xc7, 0xca, 0xcb, 0xd4, 0xde, 0x81, 0xdd};
    for (unsigned i = 0; i < sizeof(tokens); i++) {
        uint8_t bytes[16];
        struct envelope_reader reader;
        size_t length;
        memset(bytes, 0xff, sizeof(bytes));
        bytes[0] = tokens[i];
        envelope_reader_init(&reader, bytes, sizeof(bytes));
        assert_int_equal(envelope_get_u64(&reader), 0);
        assert_true(reader.failed);
        envelope_reader_init(&reader, bytes, sizeof(bytes));
        assert_int_equal(envelope_get_i64(&reader), 0);
        assert_true(reader.failed);
        envelope_reader_init(&reader, bytes, sizeof(bytes));
        assert_null(envelope_get_text(&reader, &length));
        envelope_reader_init(&reader, bytes, sizeof(bytes));
        assert_null(envelope_get_bytes(&reader, &length));
        envelope_reader_init(&reader, bytes, sizeof(bytes));
        assert_int_equal(envelope_get_array(&reader), 0);
        assert_true(reader.failed);
        assert_int_equal(envelope_reader_finish(&reader), -1);
    }
}

/* Lengths beyond the frame, in each width a length can have. */
static void test_lengths_that_lie(void **state)
{
    (void)state;
    static const struct {
        uint8_t bytes[6];
        uint8_t length;
    } lies[] = {{{0xa5, 'a'}, 2},
                {{0xd9, 0xff, 'a'}, 3},
                {{0xda, 0xff, 0xff, 'a'}, 4},
                {{0xdb, 0xff, 0xff, 0xff, 0xff, 'a'}, 6},
                {{0xc4, 2, 1}, 3},
                {{0xc5, 0, 2, 1}, 4},
                {{0xc6, 0xff, 0xff, 0xff, 0xff, 1}, 6},
                {{0x92, 1}, 2},
                {{0xdc, 0xff, 0xff, 1}, 4},
                {{0xdd, 0xff, 0xff, 0xff, 0xff, 1}, 6},
                {{0xcf, 1, 2}, 3},
                {{0xda, 0}, 2}};
    for (unsigned i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
        struct envelope_reader reader;
        size_t length;
        envelope_reader_init(&reader, lies[i].bytes, lies[i].length);
        assert_null(envelope_get_text(&reader, &length));
        assert_int_equal(length, 0);
        envelope_reader_init(&reader, lies[i].bytes, lies[i].length);
        assert_null(envelope_get_bytes(&reader, &length));
        envelope_reader_init(&reader, lies[i].bytes, lies[i].length);
        assert_int_equal(envelope_get_array(&reader), 0);
        envelope_reader_init(&reader, lies[i].bytes, lies[i].length);
        assert_int_equal(envelope_get_u64(&reader), 0);
        assert_true(reader.failed);
    }
}

static void assert_i64(const char *bytes, size_t length, int64_t wanted, bool passes)
{
    struct envelope_reader reader;
    envelope_reader_init(&reader, (const uint8_t *)bytes, length);
    assert_true(envelope_get_i64(&reader) == wanted);
    assert_int_equal(envelope_reader_finish(&reader), passes ? 0 : -1);
}

static void test_integers_of_every_width(void **state)
{
    (void)state;
    assert_i64("\xff", 1, -1, true);
    assert_i64("\xe0", 1, -32, true);
    assert_i64("\xd0\x80", 2, -128, true);
    assert_i64("\xd1\xff\xff", 3, -1, true); /* longer than needed */
    assert_i64("\xd2\x80\x00\x00\x00", 5, INT32_MIN, true);
    assert_i64("\xd3\x80\x00\x00\x00\x00\x00\x00\x00", 9, INT64_MIN, true);
    assert_i64("\xcf\x7f\xff\xff\xff\xff\xff\xff\xff", 9, INT64_MAX, true);
    assert_i64("\xcf\x80\x00\x00\x00\x00\x00\x00\x00", 9, 0, false); /* 2^63 does not fit */
    assert_i64("\xcc\x01", 2, 1, true);
    static const int64_t values[] = {0,    1,     -1,        127,       128,       -32,      -33,
                                     -129, 32767, INT32_MIN, INT32_MAX, INT64_MIN, INT64_MAX};
    for (unsigned i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        struct msgpack_sbuffer out = {0};
        envelope_put_i64(&out, values[i]);
        assert_i64(out.data, out.size, values[i], true);
        msgpack_sbuffer_destroy(&out);
    }
}

/* The count of a list says more, or fewer, items than there are. */
static void test_list_count_lies(void **state)
{
    (void)state;
    struct msgpack_sbuffer list = {0};
    for (uint32_t count = 0; count < 5; count++) {
        struct msgpack_sbuffer out = {0};
        struct message_header found;
        struct message_append message = {.expected_seq = 1};
        msgpack_sbuffer_clear(&list);
        message.events = append_events(&list);
        message.events.count = count;
        message_append_encode(&out, &header, &message);
        assert_int_equal(
            message_append_decode((const uint8_t *)out.data, out.size, &found, &message),
            count == 2 ? 0 : -1);
        msgpack_sbuffer_destroy(&out);
    }
    msgpack_sbuffer_destroy(&list);
}

static void test_failure_changes_nothing(void **state)
{
    (void)state;
    struct message_header found = {.generation = 99};
    struct message_busy message = {.retry_ms = 77};
    assert_int_equal(message_busy_decode((const uint8_t *)"\x97\x01", 2, &found, &message), -1);
    assert_int_equal(found.generation, 99);
    assert_int_equal(message.retry_ms, 77);
    assert_int_equal(message_peek(NULL, 0, &found), -1);
    assert_int_equal(found.generation, 99);
}

/* Whose command it is can be read of every command, whatever its type, and of what is broken behind
 * that. */
static void test_sender(void **state)
{
    (void)state;
    for (unsigned i = 0; i < SAMPLES && samples[i].type < MESSAGE_RESULT; i++) {
        size_t length;
        uint64_t origin = 0;
        uint64_t request = 0;
        uint64_t wanted;
        uint8_t *frame = frame_of(&samples[i], &length);
        assert_int_equal(message_sender(frame, length, &wanted, &request), 0);
        assert_true(wanted != 0 && request == header.request);
        frame[2] = 127; /* a type we do not know */
        assert_int_equal(message_sender(frame, length - 1, &origin, &request), 0);
        assert_true(origin == wanted);
        frame[1] = MESSAGE_VERSION + 1;
        assert_int_equal(message_sender(frame, length, &origin, &request), -1);
        free(frame);
    }
    uint64_t none = 99;
    assert_int_equal(message_sender(NULL, 0, &none, &none), -1);
    assert_int_equal(
        message_sender((const uint8_t *)"\x97\x01\x63\x00\x00\x00\x00\x91\x07", 9, &none, &none),
        -1); /* number 0 is none */
    assert_true(none == 99);
    assert_int_equal(
        message_sender((const uint8_t *)"\x97\x01\x63\x00\x05\x00\x00\x90", 8, &none, &none), -1);
}

/* The line for logs names fields and never shows what may be private. */
static void test_dump(void **state)
{
    (void)state;
    char line[1024];
    size_t length;
    uint8_t *frame = frame_of(&samples[0], &length);
    message_dump(frame, length, line, sizeof(line));
    assert_non_null(strstr(line, "CREATE_RUN generation=17 request=18446744073709551615 shard=3"));
    assert_non_null(strstr(line, " run=32333435-3637-3839-3a3b-3c3d3e3f4041"));
    assert_non_null(strstr(line, " key=<3 bytes>"));
    assert_null(strstr(line, "k-1"));
    assert_null(strstr(line, "task"));
    message_dump(frame, length - 1, line, sizeof(line));
    assert_non_null(strstr(line, "broken CREATE_RUN"));
    message_dump(frame, 1, line, sizeof(line));
    assert_non_null(strstr(line, "no message of version 1: 1 bytes"));
    message_dump(frame, length, line, 9);
    assert_string_equal(line, "CREATE_R");
    free(frame);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_samples_are_complete),
        cmocka_unit_test(test_truncated_at_every_byte),
        cmocka_unit_test(test_trailing_bytes),
        cmocka_unit_test(test_of_another_type),
        cmocka_unit_test(test_wrong_version_and_type),
        cmocka_unit_test(test_every_byte_changed),
        cmocka_unit_test(test_unknown_tokens),
        cmocka_unit_test(test_lengths_that_lie),
        cmocka_unit_test(test_integers_of_every_width),
        cmocka_unit_test(test_list_count_lies),
        cmocka_unit_test(test_failure_changes_nothing),
        cmocka_unit_test(test_sender),
        cmocka_unit_test(test_dump),
    };
    return cmocka_run_group_tests_name("proto", tests, NULL, NULL);
}
