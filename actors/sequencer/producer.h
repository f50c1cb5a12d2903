/* The rules of one idempotent producer: which append is the next, which is a duplicate. Pure;
 * table-tested. */
#ifndef SIGNALBOX_SEQUENCER_PRODUCER_H
#define SIGNALBOX_SEQUENCER_PRODUCER_H

#include <stdbool.h>
#include <stdint.h>

/* Where a producer stands. */
struct producer_state {
    bool known; /* false: nothing of it is stored */
    uint64_t epoch;
    uint64_t number; /* of its last append in this epoch */
};

enum producer_verdict {
    PRODUCER_NEXT,      /* to be stored */
    PRODUCER_DUPLICATE, /* stored before */
    PRODUCER_STALE,     /* a newer epoch is in force: expected */
    PRODUCER_UNBEGUN,   /* a new epoch begins with number 0 */
    PRODUCER_AHEAD      /* numbers are missing before it: expected */
};

/* Judges one append. *expected_out: of PRODUCER_AHEAD the number that comes next, of PRODUCER_STALE
 * the epoch in force; otherwise 0. */
enum producer_verdict producer_judge(const struct producer_state *state, uint64_t epoch,
                                     uint64_t number, uint64_t *expected_out);

#endif
