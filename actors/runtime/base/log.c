/* See log.h. The level, the actor's name and the tag key are the process-wide log sink. */
#include "runtime/base/log.h"

#include "runtime/base/buffer.h"
#include "runtime/base/clock.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

enum { LOG_LINE_BYTES_MAX = 16384, LOG_TEXT_BYTES_MAX = 4096, LOG_NAME_BYTES_MAX = 64 };

static char sink_actor[LOG_NAME_BYTES_MAX] = "signalbox";
static uint64_t sink_generation;
static enum log_level sink_level = LOG_LEVEL_INFO;
static uint64_t sink_tag_key;
static void (*sink_function)(const char *line, size_t length);

static const char *const level_names[] = {"debug", "info", "warn", "error"};

void log_start(const char *actor, uint64_t generation, enum log_level lowest)
{
    snprintf(sink_actor, sizeof sink_actor, "%s", actor);
    sink_generation = generation;
    sink_level = lowest;
    if (getrandom(&sink_tag_key, sizeof sink_tag_key, 0) != (ssize_t)sizeof sink_tag_key) {
        sink_tag_key = (uint64_t)clock_monotonic_us();
    }
}

void log_set_level(enum log_level lowest)
{
    sink_level = lowest;
}

void log_set_sink(void (*sink)(const char *line, size_t length))
{
    sink_function = sink;
}

int log_level_parse(const char *text, enum log_level *level_out)
{
    for (size_t i = 0; i < sizeof level_names / sizeof level_names[0]; i++) {
        if (strcmp(text, level_names[i]) == 0) {
            *level_out = (enum log_level)i;
            return 0;
        }
    }
    return -1;
}

int log_enabled(enum log_level level)
{
    return level >= sink_level;
}

static uint32_t secret_tag(const char *secret)
{
    uint64_t hash = sink_tag_key ^ 0xcbf29ce484222325u;
    for (; *secret != '\0'; secret++) {
        hash = (hash ^ (unsigned char)*secret) * 0x100000001b3u;
        hash ^= hash >> 29;
    }
    return (uint32_t)(hash ^ hash >> 32);
}

/* Masks the secret part of anything that looks like a key or a session: the last net, not the rule. */
static void append_masked(struct buffer *line, const char *text)
{
    char copy[LOG_TEXT_BYTES_MAX];
    size_t length = strnlen(text, sizeof copy);
    memcpy(copy, text, length);
    for (size_t i = 0; i + 4 < length; i++) {
        if (memcmp(copy + i, "sbx_", 4) == 0 || memcmp(copy + i, "sbs_", 4) == 0) {
            for (i += 4; i < length &&
                         (copy[i] == '_' || (copy[i] >= '0' && copy[i] <= '9') ||
                          (copy[i] >= 'a' && copy[i] <= 'z') || (copy[i] >= 'A' && copy[i] <= 'Z'));
                 i++) {
                copy[i] = '*';
            }
        }
    }
    buffer_append_json(line, copy, length);
}

static void append_trace(struct buffer *line, const struct uuid *trace)
{
    if (trace == NULL || uuid_is_nil(trace)) {
        buffer_append_text(line, "null");
        return;
    }
    buffer_append_byte(line, '"');
    for (size_t i = 0; i < sizeof trace->bytes; i++) {
        buffer_printf(line, "%02x", trace->bytes[i]);
    }
    buffer_append_byte(line, '"');
}

static void append_field(struct buffer *line, const struct log_field *field)
{
    char text[UUID_TEXT_SIZE];
    buffer_append_text(line, ",\"");
    buffer_append_text(line, field->name);
    buffer_append_text(line, "\":");
    switch (field->kind) {
    case LOG_KIND_INT:
        buffer_append_int(line, field->integer);
        return;
    case LOG_KIND_UUID:
        uuid_format(field->uuid, text);
        buffer_append_json(line, text, UUID_TEXT_SIZE - 1);
        return;
    case LOG_KIND_TRACE:
        append_trace(line, field->uuid);
        return;
    case LOG_KIND_SECRET:
        buffer_printf(line, "\"#%08x\"", field->text == NULL ? 0 : secret_tag(field->text));
        return;
    case LOG_KIND_TEXT:
    case LOG_KIND_END:
        break;
    }
    if (field->text == NULL) {
        buffer_append_text(line, "null");
    } else {
        append_masked(line, field->text);
    }
}

void log_write(enum log_level level, const char *message, const struct log_field *fields)
{
    char now[CLOCK_TEXT_SIZE];
    struct buffer line = {0};
    clock_format(clock_real_us(), now);
    buffer_printf(&line, "{\"ts\":\"%s\",\"level\":\"%s\",\"actor\":\"%s\"", now,
                  level_names[level], sink_actor);
    if (sink_generation != 0) {
        buffer_append_text(&line, ",\"generation\":");
        buffer_append_int(&line, (int64_t)sink_generation);
    }
    buffer_append_text(&line, ",\"message\":");
    append_masked(&line, message);
    for (const struct log_field *field = fields; field->kind != LOG_KIND_END; field++) {
        size_t before = line.length;
        append_field(&line, field);
        if (line.length > LOG_LINE_BYTES_MAX - 2) {
            line.length = before;
            break;
        }
    }
    buffer_append_text(&line, "}\n");
    if (sink_function != NULL) {
        sink_function((const char *)line.data, line.length - 1);
        buffer_deinit(&line);
        return;
    }
    /* A full or broken log pipe must never stop an actor: what cannot be written at once is
     * dropped. */
    ssize_t written;
    do {
        written = write(STDERR_FILENO, line.data, line.length);
    } while (written < 0 && errno == EINTR);
    buffer_deinit(&line);
}
