/* See producer.h. */
#include "sequencer/producer.h"

enum producer_verdict producer_judge(const struct producer_state *state, uint64_t epoch,
                                     uint64_t number, uint64_t *expected_out)
{
    *expected_out = 0;
    if (!state->known) {
        return number == 0 ? PRODUCER_NEXT : PRODUCER_AHEAD;
    }
    if (epoch < state->epoch) {
        *expected_out = state->epoch;
        return PRODUCER_STALE;
    }
    if (epoch > state->epoch) {
        return number == 0 ? PRODUCER_NEXT : PRODUCER_UNBEGUN;
    }
    if (number <= state->number) {
        return PRODUCER_DUPLICATE;
    }
    if (number == state->number + 1) {
        return PRODUCER_NEXT;
    }
    *expected_out = state->number + 1;
    return PRODUCER_AHEAD;
}
