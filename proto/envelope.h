/*
 * The MessagePack primitives under the generated codecs: a bounded cursor that reads, and writers
 * that append to an msgpack_sbuffer.
 *
 * The reader knows five kinds of token (integer, boolean, text, bytes, array), never allocates,
 * never recurses, and keeps its first failure: after it every read gives zero, so a decoder reads
 * all fields in a row and asks once at the end.
 */
#ifndef SIGNALBOX_PROTO_ENVELOPE_H
#define SIGNALBOX_PROTO_ENVELOPE_H

#include <msgpack/sbuffer.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { ENVELOPE_FIELDS = 7, ENVELOPE_UUID_SIZE = 16 };

struct envelope_reader {
    const uint8_t *at; /* borrowed, as everything that is read */
    const uint8_t *end;
    bool failed;
};

void envelope_reader_init(struct envelope_reader *reader, const uint8_t *bytes, size_t length);
/* 0 when nothing failed and every byte was used; else -1. */
int envelope_reader_finish(const struct envelope_reader *reader);

/* An unsigned token. */
uint64_t envelope_get_u64(struct envelope_reader *reader);
/* Any integer token whose value fits. */
int64_t envelope_get_i64(struct envelope_reader *reader);
bool envelope_get_bool(struct envelope_reader *reader);
/* A text (str) or bytes (bin) token; the pointer goes into the frame. */
const uint8_t *envelope_get_text(struct envelope_reader *reader, size_t *length_out);
const uint8_t *envelope_get_bytes(struct envelope_reader *reader, size_t *length_out);
/* A bin token of exactly 16 bytes, copied. */
void envelope_get_uuid(struct envelope_reader *reader, uint8_t uuid_out[ENVELOPE_UUID_SIZE]);
/* The head of an array. A count that the rest of the frame cannot hold is refused. */
uint32_t envelope_get_array(struct envelope_reader *reader);
/* The head of an array of exactly `count`. */
void envelope_expect_array(struct envelope_reader *reader, uint32_t count);

/* Writers append; when memory is gone the process exits. */
void envelope_put_u64(struct msgpack_sbuffer *out, uint64_t value);
void envelope_put_i64(struct msgpack_sbuffer *out, int64_t value);
void envelope_put_bool(struct msgpack_sbuffer *out, bool value);
void envelope_put_text(struct msgpack_sbuffer *out, const uint8_t *text, size_t length);
void envelope_put_bytes(struct msgpack_sbuffer *out, const uint8_t *bytes, size_t length);
void envelope_put_uuid(struct msgpack_sbuffer *out, const uint8_t uuid[ENVELOPE_UUID_SIZE]);
void envelope_put_array(struct msgpack_sbuffer *out, uint32_t count);
/* Tokens that are encoded already. */
void envelope_put_encoded(struct msgpack_sbuffer *out, const uint8_t *tokens, size_t length);

#endif
