/* See aside.h. */
#include "streamer/aside.h"

#include <assert.h>
#include <string.h>

struct record {
    int64_t ts_us;
    uint32_t number;
};

void aside_put(struct run_window *window, const struct native_event *event)
{
    const struct record record = {event->ts_us, (uint32_t)event->number};
    assert(event->seq == window->next && event->number != 0);
    uint8_t *at = run_window_append(window, sizeof record + event->payload_length);
    memcpy(at, &record, sizeof record);
    memcpy(at + sizeof record, event->payload, event->payload_length);
}

void aside_get(const struct run_window *window, uint64_t seq, const char *run_id,
               struct native_event *event_out)
{
    struct record record;
    size_t size;
    const uint8_t *at = run_window_frame(window, seq, &size);
    memcpy(&record, at, sizeof record);
    *event_out = (struct native_event){.run_id = run_id,
                                       .seq = seq,
                                       .ts_us = record.ts_us,
                                       .number = (enum event_type)record.number,
                                       .type = event_type_name((enum event_type)record.number),
                                       .payload = (const char *)at + sizeof record,
                                       .payload_length = size - sizeof record};
    event_out->type_length = strlen(event_out->type);
}
