/*
 * What a conversation has come to, as small records behind each other: what a format needs to tell a
 * client that comes late. Copies share the memory: records are only ever added, and two copies of one
 * run add the same records at the same place, so the one that is behind finds them there already.
 *
 * Bounded: when there are more than `max` bytes the oldest go, segment by segment.
 */
#ifndef SIGNALBOX_STREAMER_FORMATS_TRANSCRIPT_H
#define SIGNALBOX_STREAMER_FORMATS_TRANSCRIPT_H

#include "runtime/json.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct transcript_segment;

/* Zero-initialised is empty and valid. */
struct transcript {
    struct transcript_segment *first; /* a reference of ours */
    struct transcript_segment *last;  /* reached from `first` */
    size_t used;                      /* of `last`: others may have written more behind it */
    size_t total;
    bool cut; /* the oldest are gone */
};

/* Two texts, whose meaning the kind says. Borrowed from the transcript. */
struct transcript_record {
    unsigned kind;
    struct json_span name;
    struct json_span text;
};

struct transcript_cursor {
    const struct transcript_segment *segment; /* NULL: at the beginning */
    size_t at;
};

/* `copy` is uninitialised; it is destroyed on its own. */
void transcript_copy(struct transcript *copy, const struct transcript *transcript);
void transcript_deinit(struct transcript *transcript);
/* `kind` below 256; each text shorter than 4 GiB. */
void transcript_add(struct transcript *transcript, size_t max, unsigned kind, struct json_span name,
                    struct json_span text);
/* The next record from a cursor that starts as {0}; false at the end. */
bool transcript_next(const struct transcript *transcript, struct transcript_cursor *cursor,
                     struct transcript_record *record_out);
/* Memory, shared memory by parts. */
size_t transcript_size(const struct transcript *transcript);

#endif
