/*
 * Reading and writing MessagePack tokens. Bytes from a socket are data, never a reason to die: the
 * reader checks every length against the end of the frame before it uses it. Forms longer than
 * needed are accepted (encoders differ), other kinds of token (nil, float, map, ext) are not.
 */
#include "proto/envelope.h"

#include <msgpack/pack.h>

#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* First bytes of the tokens we know (MessagePack specification). */
enum {
    TOKEN_FIXINT_LAST = 0x7f,
    TOKEN_FIXARRAY = 0x90,
    TOKEN_FIXSTR = 0xa0,
    TOKEN_FALSE = 0xc2,
    TOKEN_TRUE = 0xc3,
    TOKEN_BIN8 = 0xc4,
    TOKEN_BIN32 = 0xc6,
    TOKEN_UINT8 = 0xcc,
    TOKEN_UINT64 = 0xcf,
    TOKEN_INT8 = 0xd0,
    TOKEN_INT64 = 0xd3,
    TOKEN_STR8 = 0xd9,
    TOKEN_STR32 = 0xdb,
    TOKEN_ARRAY16 = 0xdc,
    TOKEN_ARRAY32 = 0xdd,
    TOKEN_NEGATIVE_FIXINT = 0xe0
};

/* EXIT_CODE_MEMORY of runtime/base/error.h, which proto may not include. */
enum { EXIT_MEMORY = 71 };

void envelope_reader_init(struct envelope_reader *reader, const uint8_t *bytes, size_t length)
{
    reader->at = bytes;
    reader->end = length > 0 ? bytes + length : bytes;
    reader->failed = false;
}

int envelope_reader_finish(const struct envelope_reader *reader)
{
    return reader->failed || reader->at != reader->end ? -1 : 0;
}

static size_t left(const struct envelope_reader *reader)
{
    return (size_t)(reader->end - reader->at);
}

static void fail(struct envelope_reader *reader)
{
    reader->failed = true;
    reader->at = reader->end;
}

/* First byte of the next token; nil (0xc0), which no reader accepts, at the end of the frame. */
static uint8_t take_token(struct envelope_reader *reader)
{
    if (left(reader) == 0) {
        fail(reader);
        return 0xc0;
    }
    return *reader->at++;
}

/* Big-endian integer of `width` bytes. */
static uint64_t take_number(struct envelope_reader *reader, unsigned width)
{
    if (left(reader) < width) {
        fail(reader);
        return 0;
    }
    uint64_t value = 0;
    for (unsigned i = 0; i < width; i++)
        value = value << 8 | reader->at[i];
    reader->at += width;
    return value;
}

static const uint8_t *take_bytes(struct envelope_reader *reader, size_t length)
{
    if (reader->failed || left(reader) < length) {
        fail(reader);
        return NULL;
    }
    const uint8_t *bytes = reader->at;
    reader->at += length;
    return bytes;
}

static bool is_unsigned(uint8_t token)
{
    return token <= TOKEN_FIXINT_LAST || (token >= TOKEN_UINT8 && token <= TOKEN_UINT64);
}

static uint64_t unsigned_value(struct envelope_reader *reader, uint8_t token)
{
    if (token <= TOKEN_FIXINT_LAST)
        return token;
    return take_number(reader, 1U << (token - TOKEN_UINT8));
}

uint64_t envelope_get_u64(struct envelope_reader *reader)
{
    uint8_t token = take_token(reader);
    if (is_unsigned(token))
        return unsigned_value(reader, token);
    fail(reader);
    return 0;
}

int64_t envelope_get_i64(struct envelope_reader *reader)
{
    uint8_t token = take_token(reader);
    if (is_unsigned(token)) {
        uint64_t value = unsigned_value(reader, token);
        if (value <= INT64_MAX)
            return (int64_t)value;
    } else if (token >= TOKEN_NEGATIVE_FIXINT) {
        return (int8_t)token;
    } else if (token >= TOKEN_INT8 && token <= TOKEN_INT64) {
        unsigned width = 1U << (token - TOKEN_INT8);
        unsigned shift = 64 - 8 * width;
        return (int64_t)(take_number(reader, width) << shift) >> shift; /* extends the sign */
    }
    fail(reader);
    return 0;
}

bool envelope_get_bool(struct envelope_reader *reader)
{
    uint8_t token = take_token(reader);
    if (token != TOKEN_FALSE && token != TOKEN_TRUE)
        fail(reader);
    return token == TOKEN_TRUE;
}

const uint8_t *envelope_get_text(struct envelope_reader *reader, size_t *length_out)
{
    *length_out = 0;
    uint8_t token = take_token(reader);
    size_t length;
    if ((token & 0xe0) == TOKEN_FIXSTR) {
        length = token & 0x1fU;
    } else if (token >= TOKEN_STR8 && token <= TOKEN_STR32) {
        length = take_number(reader, 1U << (token - TOKEN_STR8));
    } else {
        fail(reader);
        return NULL;
    }
    const uint8_t *text = take_bytes(reader, length);
    if (text != NULL)
        *length_out = length;
    return text;
}

const uint8_t *envelope_get_bytes(struct envelope_reader *reader, size_t *length_out)
{
    *length_out = 0;
    uint8_t token = take_token(reader);
    if (token < TOKEN_BIN8 || token > TOKEN_BIN32) {
        fail(reader);
        return NULL;
    }
    size_t length = take_number(reader, 1U << (token - TOKEN_BIN8));
    const uint8_t *bytes = take_bytes(reader, length);
    if (bytes != NULL)
        *length_out = length;
    return bytes;
}

void envelope_get_uuid(struct envelope_reader *reader, uint8_t uuid_out[ENVELOPE_UUID_SIZE])
{
    size_t length;
    const uint8_t *bytes = envelope_get_bytes(reader, &length);
    if (bytes == NULL || length != ENVELOPE_UUID_SIZE) {
        fail(reader);
        memset(uuid_out, 0, ENVELOPE_UUID_SIZE);
        return;
    }
    memcpy(uuid_out, bytes, ENVELOPE_UUID_SIZE);
}

uint32_t envelope_get_array(struct envelope_reader *reader)
{
    uint8_t token = take_token(reader);
    uint64_t count;
    if ((token & 0xf0) == TOKEN_FIXARRAY) {
        count = token & 0x0fU;
    } else if (token == TOKEN_ARRAY16 || token == TOKEN_ARRAY32) {
        count = take_number(reader, token == TOKEN_ARRAY16 ? 2 : 4);
    } else {
        fail(reader);
        return 0;
    }
    if (count > left(reader)) { /* an item has at least one byte */
        fail(reader);
        return 0;
    }
    return (uint32_t)count;
}

void envelope_expect_array(struct envelope_reader *reader, uint32_t count)
{
    if (envelope_get_array(reader) != count)
        fail(reader);
}

/* What msgpack-c's packer calls; it must not fail, so memory's end is the process's end. */
static int append(void *out, const char *bytes, size_t length)
{
    if (msgpack_sbuffer_write(out, bytes, length) != 0) {
        fprintf(stderr, "out of memory\n");
        _exit(EXIT_MEMORY);
    }
    return 0;
}

static msgpack_packer packer(struct msgpack_sbuffer *out)
{
    return (msgpack_packer){.data = out, .callback = append};
}

void envelope_put_u64(struct msgpack_sbuffer *out, uint64_t value)
{
    msgpack_packer pack = packer(out);
    msgpack_pack_uint64(&pack, value);
}

void envelope_put_i64(struct msgpack_sbuffer *out, int64_t value)
{
    msgpack_packer pack = packer(out);
    msgpack_pack_int64(&pack, value);
}

void envelope_put_bool(struct msgpack_sbuffer *out, bool value)
{
    msgpack_packer pack = packer(out);
    if (value)
        msgpack_pack_true(&pack);
    else
        msgpack_pack_false(&pack);
}

void envelope_put_text(struct msgpack_sbuffer *out, const uint8_t *text, size_t length)
{
    msgpack_packer pack = packer(out);
    msgpack_pack_str(&pack, length);
    envelope_put_encoded(out, text, length);
}

void envelope_put_bytes(struct msgpack_sbuffer *out, const uint8_t *bytes, size_t length)
{
    msgpack_packer pack = packer(out);
    msgpack_pack_bin(&pack, length);
    envelope_put_encoded(out, bytes, length);
}

void envelope_put_uuid(struct msgpack_sbuffer *out, const uint8_t uuid[ENVELOPE_UUID_SIZE])
{
    envelope_put_bytes(out, uuid, ENVELOPE_UUID_SIZE);
}

void envelope_put_array(struct msgpack_sbuffer *out, uint32_t count)
{
    msgpack_packer pack = packer(out);
    msgpack_pack_array(&pack, count);
}

void envelope_put_encoded(struct msgpack_sbuffer *out, const uint8_t *tokens, size_t length)
{
    if (length > 0)
        append(out, (const char *)tokens, length);
}
