/* See publisher.h. */
#include "streamer/publisher.h"

static bool begins(struct publisher *publisher, uint64_t epoch, uint64_t counter, int64_t now_ms)
{
    publisher->heard_ms = now_ms;
    if (publisher->known && epoch <= publisher->epoch) {
        return false;
    }
    publisher->known = true;
    publisher->epoch = epoch;
    publisher->counter = counter;
    return true;
}

/* Frames of an older epoch hold committed events like any other, but their counters say nothing
 * about the one that publishes now. */
bool publisher_events(struct publisher *publisher, uint64_t epoch, uint64_t counter, int64_t now_ms)
{
    if (begins(publisher, epoch, counter, now_ms)) {
        return true;
    }
    if (epoch < publisher->epoch) {
        return false;
    }
    bool lost = counter != publisher->counter + 1;
    publisher->counter = counter;
    return lost;
}

bool publisher_beat(struct publisher *publisher, uint64_t epoch, uint64_t counter, int64_t now_ms)
{
    if (begins(publisher, epoch, counter, now_ms)) {
        return true;
    }
    if (epoch < publisher->epoch) {
        return false;
    }
    bool lost = counter != publisher->counter;
    publisher->counter = counter;
    return lost;
}

bool publisher_silent(struct publisher *publisher, int64_t limit_ms, int64_t now_ms)
{
    if (now_ms - publisher->heard_ms < limit_ms) {
        return false;
    }
    publisher->heard_ms = now_ms;
    return true;
}

void publisher_forget(struct publisher *publisher)
{
    publisher->known = false;
}
