/* Frames of the ROUTER become commands in the queue, in the order of their numbers per origin;
 * answers go back. */
#include "runtime/base/clock.h"
#include "runtime/base/fault.h"
#include "runtime/base/log.h"
#include "runtime/base/memory.h"
#include "runtime/base/metrics.h"
#include "sequencer/commands.h"

#include <stdlib.h>
#include <string.h>

enum { INTAKE_BUSY_MS = 20 };

void intake_reply(struct sequencer *sequencer, const struct bus_peer *peer,
                  const struct msgpack_sbuffer *frame)
{
    /* Unreachable or full: the sender asks again and is answered from memory or the table. */
    enum bus_send_result sent =
        bus_send(sequencer->commands, peer, BUS_TOPIC_NONE, frame->data, frame->size);
    if (sent != BUS_SENT) {
        LOG_DEBUG("answer not delivered", LOG_INT("why", sent));
    }
}

struct message_header intake_header(const struct sequencer *sequencer, uint64_t number)
{
    return (struct message_header){.generation = sequencer->actor->generation,
                                   .request = number,
                                   .shard = SEQUENCER_SHARD,
                                   .epoch = sequencer->epoch};
}

static void send_result(struct sequencer *sequencer, const struct bus_peer *peer, uint64_t number,
                        const struct message_result *result)
{
    char space[256];
    struct msgpack_sbuffer frame = {.size = 0, .data = space, .alloc = sizeof space};
    struct message_header header = intake_header(sequencer, number);
    message_result_encode(&frame, &header, result);
    intake_reply(sequencer, peer, &frame);
}

void intake_answer(struct sequencer *sequencer, const struct command *command)
{
    if (command->work != NULL) {
        jobs_send_result(sequencer, command);
        return;
    }
    send_result(sequencer, &command->peer, command->number, &command->result);
}

static void send_nack(struct sequencer *sequencer, const struct bus_peer *peer, uint64_t expected)
{
    char space[128];
    struct msgpack_sbuffer frame = {.size = 0, .data = space, .alloc = sizeof space};
    struct message_header header = intake_header(sequencer, expected);
    struct message_nack nack = {.expected = expected};
    message_nack_encode(&frame, &header, &nack);
    intake_reply(sequencer, peer, &frame);
}

static void send_busy(struct sequencer *sequencer, const struct bus_peer *peer, uint64_t number)
{
    char space[128];
    struct msgpack_sbuffer frame = {.size = 0, .data = space, .alloc = sizeof space};
    struct message_header header = intake_header(sequencer, number);
    struct message_busy busy = {.retry_ms = INTAKE_BUSY_MS};
    metric_add(METRIC_COMMANDS_BUSY, 1);
    message_busy_encode(&frame, &header, &busy);
    intake_reply(sequencer, peer, &frame);
}

/* A command needs the table unless its run is known and it brings no key that may have been used
 * before. */
static enum command_need need_of(struct sequencer *sequencer, struct command *command)
{
    if (!commands_understood(command)) {
        return NEED_NOTHING;
    }
    if (command->work != NULL) {
        return jobs_find(sequencer, command) ? NEED_NOTHING : NEED_LOOKUP;
    }
    if (command->recover || command->run == NULL) {
        return NEED_LOOKUP;
    }
    if (lifecycle_needs_last_answer(command) || append_needs_questions(command)) {
        return NEED_LOOKUP;
    }
    if (producers_concern(command)) {
        return producers_need_lookup(sequencer, command) ? NEED_LOOKUP : NEED_NOTHING;
    }
    if (uuid_is_nil(&command->key_hash) || keys_get(sequencer, &command->key_hash) != NULL) {
        return NEED_NOTHING;
    }
    return NEED_LOOKUP;
}

static void enqueue(struct sequencer *sequencer, struct command *command, bool recover)
{
    command->recover = recover;
    command->run = runs_get(sequencer, &command->run_id);
    if (command->run != NULL) {
        command->run->users++;
    }
    command->need = need_of(sequencer, command);
    list_append(&sequencer->queue, &command->node);
    sequencer->queue_count++;
    sequencer->queue_bytes += command->length;
    metric_add(METRIC_COMMANDS_RECEIVED, 1);
    event_active(sequencer->work, EV_TIMEOUT, 0);
}

static bool queue_is_full(const struct sequencer *sequencer, size_t length)
{
    const struct settings *settings = sequencer->actor->settings;
    return sequencer->queue_count >= (size_t)settings_int(settings, SETTING_SEQUENCER_QUEUE) ||
           sequencer->queue_bytes + length >
               (size_t)settings_int(settings, SETTING_SEQUENCER_QUEUE_BYTES);
}

static void take_command(struct sequencer *sequencer, struct command *command)
{
    struct order_origin *origin = order_origin(&sequencer->order, command->sender);
    struct message_result result;
    bool full = queue_is_full(sequencer, command->length);
    command->origin = origin;
    origin->users++;
    origin->seen_ms = clock_monotonic_ms();
    origin->peer = command->peer;
    switch (order_judge(origin, command->number, full, &result)) {
    case ORDER_TAKE:
        enqueue(sequencer, command, false);
        return;
    case ORDER_RECOVER:
        enqueue(sequencer, command, true);
        return;
    case ORDER_BUSY:
        send_busy(sequencer, &command->peer, command->number);
        break;
    case ORDER_ANSWER:
        if (command->work != NULL && !full) {
            enqueue(sequencer, command, true); /* answered anew: changes of jobs bear it */
            return;
        }
        if (command->work != NULL) {
            send_busy(sequencer, &command->peer, command->number);
            break;
        }
        metric_add(METRIC_COMMANDS_DUPLICATE, 1);
        send_result(sequencer, &command->peer, command->number, &result);
        break;
    case ORDER_NACK:
        send_nack(sequencer, &command->peer, origin->expected);
        break;
    case ORDER_WAIT:
    case ORDER_DROP:
        break;
    }
    command_destroy(command);
}

/* Before we serve, the high marks are not loaded yet: who greets then is only remembered, so that
 * intake_ask_again() reaches it and nobody waits for its retry timer. */
static void take_hello(struct sequencer *sequencer, const struct bus_peer *peer,
                       const uint8_t *frame, size_t length)
{
    struct message_header header;
    struct message_hello hello;
    if (message_hello_decode(frame, length, &header, &hello) != 0) {
        metric_add(METRIC_MESSAGES_REJECTED, 1);
        return;
    }
    struct order_origin *origin = order_origin(&sequencer->order, hello.origin);
    origin->seen_ms = clock_monotonic_ms();
    origin->peer = *peer;
    order_hello(origin, hello.oldest);
    send_nack(sequencer, peer,
              origin->expected); /* also the sign of life that a quiet sender asks for */
}

void intake_received(void *arg, const struct bus_peer *peer, const uint8_t *frame, size_t length)
{
    struct sequencer *sequencer = arg;
    struct message_header header;
    if (sequencer->actor->draining) {
        return; /* the sender asks our successor */
    }
    bool known = message_peek(frame, length, &header) == 0;
    if (known && header.type == MESSAGE_HELLO) {
        take_hello(sequencer, peer, frame, length);
        return;
    }
    if (!sequencer->serving) {
        return; /* asked for again as soon as we serve */
    }
    if (known && header.type == MESSAGE_JOB_NOTE) {
        jobs_note(sequencer, frame, length);
        return;
    }
    const struct command_kind *kind = known ? commands_kind(header.type) : NULL;
    struct command *command = commands_create(kind, peer, frame, length);
    if (command == NULL || !commands_understood(command)) {
        metric_add(METRIC_MESSAGES_REJECTED, 1);
        LOG_WARN("command not understood",
                 LOG_TEXT("type", known ? message_name(header.type) : "unknown"),
                 LOG_TEXT("answered", command == NULL ? "no" : "yes"), LOG_INT("bytes", length));
    }
    if (command == NULL) {
        return;
    }
    SB_FAULT("sequencer_after_receive");
    take_command(sequencer, command);
}

void intake_ask_again(struct sequencer *sequencer)
{
    size_t cursor = 0;
    struct order_origin *origin;
    while ((origin = map_next(&sequencer->order.origins, &cursor)) != NULL) {
        if (origin->peer.length > 0) {
            send_nack(sequencer, &origin->peer, origin->expected);
        }
    }
}
