/* See trace.h. traceparent is VERSION-TRACE_ID-PARENT_ID-FLAGS in lower-case hex. */
#include "runtime/trace.h"

#include "runtime/base/clock.h"

#include <string.h>
#include <sys/random.h>

enum {
    VERSION_AT = 0,
    ID_AT = 3,
    PARENT_AT = 36,
    FLAGS_AT = 53,
    TRACEPARENT_LENGTH = 55,
    FLAG_SAMPLED = 1
};

/* splitmix64: enough for names that nobody must be unable to guess. */
static uint64_t random_number(void)
{
    static uint64_t state;
    if (state == 0 && getrandom(&state, sizeof state, 0) != (ssize_t)sizeof state) {
        state = (uint64_t)clock_monotonic_us();
    }
    state += 0x9e3779b97f4a7c15u;
    uint64_t mixed = (state ^ state >> 30) * 0xbf58476d1ce4e5b9u;
    mixed = (mixed ^ mixed >> 27) * 0x94d049bb133111ebu;
    return (mixed ^ mixed >> 31) | 1; /* never 0 */
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static int read_bytes(const char *text, size_t count, uint8_t *bytes_out)
{
    for (size_t i = 0; i < count; i++) {
        int high = hex_value(text[2 * i]);
        int low = hex_value(text[2 * i + 1]);
        if (high < 0 || low < 0) {
            return -1;
        }
        bytes_out[i] = (uint8_t)(high << 4 | low);
    }
    return 0;
}

static int parse(const char *text, size_t length, struct trace *trace)
{
    uint8_t version;
    uint8_t flags;
    uint8_t parent[8];
    if (length < TRACEPARENT_LENGTH || text[ID_AT - 1] != '-' || text[PARENT_AT - 1] != '-' ||
        text[FLAGS_AT - 1] != '-' || read_bytes(text + VERSION_AT, 1, &version) != 0 ||
        read_bytes(text + ID_AT, sizeof trace->id, trace->id) != 0 ||
        read_bytes(text + PARENT_AT, sizeof parent, parent) != 0 ||
        read_bytes(text + FLAGS_AT, 1, &flags) != 0) {
        return -1;
    }
    trace->parent = 0;
    for (size_t i = 0; i < sizeof parent; i++) {
        trace->parent = trace->parent << 8 | parent[i];
    }
    trace->sampled = (flags & FLAG_SAMPLED) != 0;
    bool ends = length == TRACEPARENT_LENGTH || (version > 0 && text[TRACEPARENT_LENGTH] == '-');
    return version == 0xff || !ends || trace->parent == 0 || trace_is_none(trace->id) ? -1 : 0;
}

void trace_begin(struct trace *trace, const char *text, size_t length)
{
    trace->given = text != NULL && parse(text, length, trace) == 0;
    if (!trace->given) {
        uint64_t id[2] = {random_number(), random_number()};
        memcpy(trace->id, id, sizeof trace->id);
        trace->parent = 0;
        trace->sampled = true;
    }
    trace->span = random_number();
    trace->recorded = false;
}

void trace_child(struct trace *child, const struct trace *trace)
{
    *child = *trace;
    child->parent = trace->span;
    child->span = random_number();
}

uint64_t trace_new_span(void)
{
    return random_number();
}

bool trace_is_none(const uint8_t id[TRACE_ID_BYTES])
{
    static const uint8_t none[TRACE_ID_BYTES];
    return memcmp(id, none, sizeof none) == 0;
}

void trace_id_format(const uint8_t id[TRACE_ID_BYTES], char text[TRACE_ID_TEXT_SIZE])
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < TRACE_ID_BYTES; i++) {
        text[2 * i] = digits[id[i] >> 4];
        text[2 * i + 1] = digits[id[i] & 15];
    }
    text[TRACE_ID_TEXT_SIZE - 1] = '\0';
}

void trace_span_format(uint64_t span, char text[TRACE_SPAN_TEXT_SIZE])
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < TRACE_SPAN_TEXT_SIZE - 1; i++) {
        text[i] = digits[span >> (60 - 4 * i) & 15];
    }
    text[TRACE_SPAN_TEXT_SIZE - 1] = '\0';
}
