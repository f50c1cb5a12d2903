/*
 * Where all log lines end: the supervisor's stdout, as JSON lines or as text for people. Never
 * blocks: what stdout does not take waits in a bounded backlog; beyond it lines are dropped and
 * counted.
 */
#ifndef SIGNALBOX_SUPERVISOR_OUTPUT_H
#define SIGNALBOX_SUPERVISOR_OUTPUT_H

#include "runtime/base/buffer.h"
#include "supervisor/loop.h"

#include <stdbool.h>
#include <stdint.h>

enum { OUTPUT_BACKLOG_BYTES = 1 << 20 };

struct output {
    struct loop *loop; /* borrowed; NULL before output_attach() */
    struct loop_source source;
    bool socket;  /* stdout is a socket: send(), not write() */
    bool waits;   /* could block: a pipe or a terminal */
    bool watched; /* the loop tells when there is room */
    bool cut;     /* the last line was not written whole */
    bool text;    /* for people, not JSON */
    bool colour;
    uint64_t dropped; /* since the last report */
    uint64_t dropped_total;
    struct buffer backlog;
};

/* `format`: "json", "text", or "auto" (text on a terminal). */
void output_init(struct output *output, const char *format);
/* From now on a full stdout is waited for in the loop. */
void output_attach(struct output *output, struct loop *loop);
/* One JSON log line, without its line break, shown in the format chosen. */
void output_line(struct output *output, const char *line, size_t length);
/* Text for people, as it is; nothing in JSON format. */
void output_people(struct output *output, const char *text);
/* Tries to empty the backlog for at most `wait_ms`; before the process ends. */
void output_flush(struct output *output, int wait_ms);
void output_deinit(struct output *output);

#endif
