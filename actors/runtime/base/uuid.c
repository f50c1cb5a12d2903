/* See uuid.h. */
#include "runtime/base/uuid.h"

#include "runtime/base/clock.h"

#include <assert.h>
#include <string.h>
#include <sys/random.h>

static void random_bytes(void *out, size_t size)
{
    ssize_t got = getrandom(out, size, 0);
    assert(got == (ssize_t)size);
}

struct uuid uuid_new(void)
{
    /* 48 bits of milliseconds, then 12 bits of a counter that keeps ids of one millisecond in
     * order. */
    static int64_t last_ms;
    static unsigned counter;
    int64_t now_ms = clock_real_us() / 1000;
    if (now_ms > last_ms) {
        last_ms = now_ms;
        counter = 0;
    } else if (++counter > 0xfff) {
        last_ms++;
        counter = 0;
    }
    struct uuid uuid;
    random_bytes(uuid.bytes, sizeof uuid.bytes);
    for (int i = 0; i < 6; i++) {
        uuid.bytes[i] = (uint8_t)(last_ms >> (40 - 8 * i));
    }
    uuid.bytes[6] = (uint8_t)(0x70 | (counter >> 8));
    uuid.bytes[7] = (uint8_t)counter;
    uuid.bytes[8] = (uint8_t)(0x80 | (uuid.bytes[8] & 0x3f));
    return uuid;
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    return -1;
}

int uuid_parse(const char *text, size_t length, struct uuid *uuid_out)
{
    if (length != 36) {
        return -1;
    }
    struct uuid uuid;
    size_t at = 0;
    for (int i = 0; i < 16; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10) {
            if (text[at++] != '-') {
                return -1;
            }
        }
        int high = hex_value(text[at]);
        int low = hex_value(text[at + 1]);
        if (high < 0 || low < 0) {
            return -1;
        }
        uuid.bytes[i] = (uint8_t)(high << 4 | low);
        at += 2;
    }
    *uuid_out = uuid;
    return 0;
}

void uuid_format(const struct uuid *uuid, char text[UUID_TEXT_SIZE])
{
    static const char digits[] = "0123456789abcdef";
    char *at = text;
    for (int i = 0; i < 16; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10) {
            *at++ = '-';
        }
        *at++ = digits[uuid->bytes[i] >> 4];
        *at++ = digits[uuid->bytes[i] & 15];
    }
    *at = '\0';
}

bool uuid_equal(const struct uuid *a, const struct uuid *b)
{
    return memcmp(a->bytes, b->bytes, sizeof a->bytes) == 0;
}

bool uuid_is_nil(const struct uuid *uuid)
{
    static const struct uuid nil;
    return uuid_equal(uuid, &nil);
}

uint64_t uuid_hash(const struct uuid *uuid)
{
    static uint64_t key[2];
    if (key[0] == 0) {
        random_bytes(key, sizeof key);
        key[0] |= 1;
    }
    uint64_t half[2];
    memcpy(half, uuid->bytes, sizeof half);
    uint64_t hash = (half[0] ^ key[0]) * 0x9e3779b97f4a7c15u;
    hash ^= hash >> 32;
    hash = (hash ^ half[1] ^ key[1]) * 0xff51afd7ed558ccdu;
    return hash ^ hash >> 29;
}
