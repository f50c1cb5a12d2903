/* See intake.h. */
#include "streamer/intake.h"

#include "proto/child_contract.h"
#include "proto/messages.h"
#include "runtime/base/clock.h"
#include "runtime/base/limits.h"
#include "runtime/base/log.h"
#include "runtime/base/metrics.h"
#include "streamer/feed_tail.h"
#include "streamer/heads.h"
#include "streamer/job_notes.h"
#include "streamer/run.h"
#include "streamer/streamer.h"

#include <string.h>

static void check_all(struct streamer *streamer, const char *why)
{
    LOG_INFO("frames may be lost, checking the heads of all watched runs", LOG_TEXT("why", why),
             LOG_INT("runs", streamer->run_count));
    heads_ask_all(streamer);
    feed_tail_lost(streamer);
}

static int on_events(struct streamer *streamer, const uint8_t *frame, size_t length)
{
    struct message_header header;
    struct message_events message;
    struct uuid id;
    if (message_events_decode(frame, length, &header, &message) != 0 || message.first_seq == 0 ||
        message.first_seq > (uint64_t)INT64_MAX - message.events.count) {
        return -1;
    }
    if (publisher_events(&streamer->publisher, header.epoch, message.counter,
                         clock_monotonic_ms())) {
        check_all(streamer, "the counter of frames jumped");
    }
    memcpy(id.bytes, message.run, sizeof id.bytes);
    for (struct run *run = run_find(streamer, &id); run != NULL; run = run->variant) {
        if (memcmp(run->tenant.bytes, message.tenant, sizeof message.tenant) == 0) {
            run_take_frame(run, &message);
        }
    }
    return feed_tail_take_frame(streamer, &message);
}

static int on_hint(struct streamer *streamer, const uint8_t *frame, size_t length)
{
    struct message_header header;
    struct message_hint message;
    if (message_hint_decode(frame, length, &header, &message) != 0 ||
        message.position > INT64_MAX) {
        return -1;
    }
    if (publisher_beat(&streamer->publisher, header.epoch, message.counter, clock_monotonic_ms())) {
        check_all(streamer, "a beat counts other frames");
    }
    feed_tail_take_mark(streamer, message.position);
    return 0;
}

static int on_note(struct streamer *streamer, const uint8_t *frame, size_t length)
{
    struct message_header header;
    struct message_job_note message;
    if (message_job_note_decode(frame, length, &header, &message) != 0) {
        return -1;
    }
    return job_notes_take(streamer, &message);
}

static void on_frame(void *arg, const struct bus_peer *peer, const uint8_t *frame, size_t length)
{
    struct streamer *streamer = arg;
    struct message_header header;
    int taken = -1;
    (void)peer;
    if (message_peek(frame, length, &header) == 0) {
        if (header.type == MESSAGE_EVENTS) {
            taken = on_events(streamer, frame, length);
        } else if (header.type == MESSAGE_HINT) {
            taken = on_hint(streamer, frame, length);
        } else if (header.type == MESSAGE_JOB_NOTE) {
            taken = on_note(streamer, frame, length);
        }
    }
    if (taken != 0) {
        metric_add(METRIC_MESSAGES_REJECTED, 1);
        LOG_WARN("a frame of the event bus was not understood", LOG_INT("bytes", length));
    } else if (streamer->silent) {
        streamer->silent = false;
        LOG_INFO("the event bus is heard again");
    }
}

static void on_connected(void *arg, bool up)
{
    struct streamer *streamer = arg;
    if (!up) {
        publisher_forget(&streamer->publisher);
        check_all(streamer, "the event bus disconnected");
    }
}

void intake_tick(struct streamer *streamer, int64_t now_ms)
{
    if (publisher_silent(&streamer->publisher, STREAMER_SILENCE_MS, now_ms)) {
        heads_ask_all(streamer);
        feed_tail_silent(streamer);
        if (!streamer->silent) {
            streamer->silent = true;
            LOG_INFO("the event bus is silent, reading heads instead");
        }
    }
}

int intake_start(struct streamer *streamer, struct error *err)
{
    char path[LIMIT_SOCKET_PATH_BYTES + 1];
    actor_path(streamer->actor, CHILD_SOCKET_EVENTS, path);
    const struct bus_options options = {
        .role = BUS_EVENTS_CLIENT,
        .path = path,
        .listener = -1,
        .handler = {.received = on_frame, .connected = on_connected, .arg = streamer},
    };
    streamer->publisher.heard_ms = clock_monotonic_ms();
    streamer->bus = bus_open(streamer->actor->bus, &options, err);
    if (streamer->bus == NULL) {
        return -1;
    }
    bus_subscribe(streamer->bus, BUS_TOPIC_EVENTS);
    bus_subscribe(streamer->bus, BUS_TOPIC_HINTS);
    bus_subscribe(streamer->bus, BUS_TOPIC_NOTES);
    return 0;
}

void intake_stop(struct streamer *streamer)
{
    if (streamer->bus != NULL) {
        bus_close(&streamer->bus);
    }
}
