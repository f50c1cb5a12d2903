/* See pings.h. */
#include "streamer/pings.h"

#include "runtime/base/memory.h"
#include "streamer/handoff.h"
#include "streamer/reader.h"
#include "streamer/streamer.h"

#include <stdlib.h>

enum { SLOTS = 64 };

int64_t pings_tick_ms(const struct streamer *streamer)
{
    int64_t tick_ms = streamer->limits.ping_ms / SLOTS;
    if (tick_ms > STREAMER_TICK_MAX_MS) {
        return STREAMER_TICK_MAX_MS;
    }
    return tick_ms < STREAMER_TICK_MIN_MS ? STREAMER_TICK_MIN_MS : tick_ms;
}

void pings_start(struct streamer *streamer)
{
    struct wheel *wheel = &streamer->wheel;
    wheel->count = (unsigned)(streamer->limits.ping_ms / pings_tick_ms(streamer));
    wheel->slots = memory_array(wheel->count, sizeof *wheel->slots);
    for (unsigned i = 0; i < wheel->count; i++) {
        list_init(&wheel->slots[i]);
    }
}

void pings_stop(struct streamer *streamer)
{
    free(streamer->wheel.slots);
    streamer->wheel = (struct wheel){0};
}

void pings_place(struct streamer *streamer, struct reader *reader)
{
    struct wheel *wheel = &streamer->wheel;
    if (streamer->handoff != NULL) {
        handoff_place(streamer, reader);
    } else {
        /* At random: thousands that come at once must not be pinged at once for ever. */
        list_append(&wheel->slots[streamer_jitter(streamer, wheel->count)], &reader->in_slot);
    }
}

void pings_tick(struct streamer *streamer)
{
    struct wheel *wheel = &streamer->wheel;
    wheel->at = (wheel->at + 1) % wheel->count;
    LIST_FOR_EACH(node, &wheel->slots[wheel->at])
    {
        reader_ping(LIST_ENTRY(node, struct reader, in_slot));
    }
    /* Those pinged three quarters of a period ago. */
    LIST_FOR_EACH(node, &wheel->slots[(wheel->at + wheel->count / 4) % wheel->count])
    {
        reader_check_alive(LIST_ENTRY(node, struct reader, in_slot));
    }
}
