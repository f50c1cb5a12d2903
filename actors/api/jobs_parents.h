/*
 * What the jobs of one request wait for, as ENQUEUE_JOBS has it: siblings by their keys, others by id or
 * key. A name that is a UUID and no sibling's key is taken for an id, until it is known to be a key.
 */
#ifndef SIGNALBOX_API_JOBS_PARENTS_H
#define SIGNALBOX_API_JOBS_PARENTS_H

#include "runtime/base/buffer.h"
#include "runtime/base/uuid.h"

#include <msgpack/sbuffer.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct jobs_wishes;

/* A parent outside the request whose name is a UUID. */
struct jobs_likely_id {
    size_t job; /* that waits */
    struct uuid id;
    bool is_key;
};

struct jobs_parents {
    struct buffer scratch;
    struct msgpack_sbuffer named; /* by key */
    uint32_t named_count;
    struct jobs_likely_id *likely_ids; /* owned */
    size_t likely_count;
};

/* The caller deinits it with jobs_parents_deinit(). */
void jobs_parents_init(struct jobs_parents *parents);
void jobs_parents_deinit(struct jobs_parents *parents);
/* From depends_on of all. -1: it has been answered what is wrong. */
int jobs_parents_read(struct jobs_parents *parents, struct jobs_wishes *wishes);
/* All of them; returns how many, and the caller destroys `out`. */
uint32_t jobs_parents_encode(const struct jobs_parents *parents, struct msgpack_sbuffer *out);

#endif
