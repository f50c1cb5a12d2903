/* What the parts of the streamer ask of the whole: a pass, a number, the gauges. See streamer.h; apart
 * from its loop, so that a part can be tested without it. */
#include "runtime/base/metrics.h"
#include "streamer/streamer.h"

void streamer_wake(struct streamer *streamer)
{
    static const struct timeval next_turn = {0, 0};
    if (streamer->wake_event == NULL) {
        return;
    }
    if (streamer->waking) {
        /* Made active here it would come again before sockets and bus are looked at. */
        event_add(streamer->wake_event, &next_turn);
    } else {
        event_active(streamer->wake_event, EV_TIMEOUT, 0);
    }
}

uint32_t streamer_jitter(struct streamer *streamer, uint32_t below)
{
    uint64_t random = streamer->random;
    random ^= random << 13; /* xorshift64 */
    random ^= random >> 7;
    random ^= random << 17;
    streamer->random = random;
    return (uint32_t)(((random >> 32) * below) >> 32);
}

void streamer_show_counts(const struct streamer *streamer)
{
    if (!streamer->actor->draining) {
        metric_set(METRIC_STREAMS, (int64_t)streamer->readers);
        metric_set(METRIC_STREAMS_CATCHING_UP, streamer->catching_up);
    }
}
