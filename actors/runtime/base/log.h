/*
 * Structured log lines: one JSON object a line on stderr, which in an actor is the supervisor's log
 * pipe.
 *
 *     LOG_INFO("run created", LOG_UUID("run_id", &id), LOG_INT("seq", 1));
 *
 * Secrets have a type of their own and are never printed: LOG_SECRET shows a keyed 8-hex tag, equal
 * for equal secrets within one process. Anything that looks like one of our api keys is masked in
 * every text as a last net.
 */
#ifndef SIGNALBOX_BASE_LOG_H
#define SIGNALBOX_BASE_LOG_H

#include "runtime/base/uuid.h"

#include <stddef.h>
#include <stdint.h>

enum log_level { LOG_LEVEL_DEBUG, LOG_LEVEL_INFO, LOG_LEVEL_WARN, LOG_LEVEL_ERROR };

enum log_kind {
    LOG_KIND_END,
    LOG_KIND_TEXT,
    LOG_KIND_INT,
    LOG_KIND_UUID,
    LOG_KIND_TRACE,
    LOG_KIND_SECRET
};

struct log_field {
    enum log_kind kind;
    const char *name;
    const char *text; /* borrowed for the call; NULL prints null */
    int64_t integer;
    const struct uuid *uuid;
};

#define LOG_TEXT(field, value)                                  \
    (struct log_field)                                          \
    {                                                           \
        .kind = LOG_KIND_TEXT, .name = (field), .text = (value) \
    }
#define LOG_INT(field, value)                                              \
    (struct log_field)                                                     \
    {                                                                      \
        .kind = LOG_KIND_INT, .name = (field), .integer = (int64_t)(value) \
    }
#define LOG_UUID(field, value)                                  \
    (struct log_field)                                          \
    {                                                           \
        .kind = LOG_KIND_UUID, .name = (field), .uuid = (value) \
    }
/* 16 bytes as 32 hex digits, the way of W3C trace ids; all zero prints null. */
#define LOG_TRACE(field, bytes)                            \
    (struct log_field)                                     \
    {                                                      \
        .kind = LOG_KIND_TRACE, .name = (field),           \
        .uuid = (const struct uuid *)(const void *)(bytes) \
    }
#define LOG_SECRET(field, value)                                  \
    (struct log_field)                                            \
    {                                                             \
        .kind = LOG_KIND_SECRET, .name = (field), .text = (value) \
    }

#define LOG_AT(level, message, ...)                                                                \
    do {                                                                                           \
        if (log_enabled(level)) {                                                                  \
            log_write(                                                                             \
                (level), (message),                                                                \
                (const struct log_field[]){__VA_ARGS__ __VA_OPT__(, ){LOG_KIND_END, 0, 0, 0, 0}}); \
        }                                                                                          \
    } while (0)
#define LOG_DEBUG(...) LOG_AT(LOG_LEVEL_DEBUG, __VA_ARGS__)
#define LOG_INFO(...) LOG_AT(LOG_LEVEL_INFO, __VA_ARGS__)
#define LOG_WARN(...) LOG_AT(LOG_LEVEL_WARN, __VA_ARGS__)
#define LOG_ERROR(...) LOG_AT(LOG_LEVEL_ERROR, __VA_ARGS__)

/* `actor` is the instance name ("api-1") that every line carries; `generation` 0 leaves that field
 * out. Both are kept for the life of the process (the name is copied). */
void log_start(const char *actor, uint64_t generation, enum log_level lowest);
void log_set_level(enum log_level lowest);
/* The supervisor's own lines go the way of everybody's: `sink` gets each without its line break,
 * and nothing is written to stderr any more. */
void log_set_sink(void (*sink)(const char *line, size_t length));
/* "debug", "info", "warn", "error"; -1 for anything else. */
SB_MUST_CHECK int log_level_parse(const char *text, enum log_level *level_out);
int log_enabled(enum log_level level);
/* `fields` ends with LOG_KIND_END. A line is at most 16 KiB; longer texts are cut. */
void log_write(enum log_level level, const char *message, const struct log_field *fields);

#endif
