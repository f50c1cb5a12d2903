/*
 * See commands.h. Entries live in a ring indexed by command number: [first, next) are unsettled or
 * wait behind one that is; [unsent, next) have not been sent since the last rewind. A rewind (NACK,
 * reconnect, BUSY, silence) moves `unsent` back and sends again in order; numbers and bytes of an
 * entry never change.
 */
#include "runtime/commands.h"

#include "proto/child_contract.h"
#include "proto/outcome.h"
#include "runtime/base/clock.h"
#include "runtime/base/limits.h"
#include "runtime/base/log.h"
#include "runtime/base/memory.h"
#include "runtime/base/metrics.h"
#include "runtime/bus.h"
#include "runtime/spans.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    COMMANDS_TICK_MS = 50,
    COMMANDS_RETRY_MAX_MS = 1000,
    COMMANDS_PROBE_MS = 1000,
    COMMANDS_SILENCE_MS = 2500
};

struct entry {
    char *frame; /* owned; NULL once settled */
    size_t length;
    command_done_fn *done;      /* one of the two; both NULL once told, or forgotten */
    command_jobs_fn *jobs_done; /* of a command about jobs */
    void *arg;
    int64_t deadline_ms;
    struct span *span; /* owned; NULL: not exported, or told already */
};

struct commands {
    struct actor *actor; /* borrowed */
    struct bus_socket *socket;
    struct event *tick;  /* while something is in flight */
    struct event *probe; /* otherwise: is the sequencer alive? */
    struct entry *ring;
    size_t window;
    size_t window_bytes;
    size_t bytes;
    uint64_t first;
    uint64_t unsent;
    uint64_t next;
    bool up;
    int64_t heard_ms;       /* last sign of the sequencer; 0: never */
    int64_t stuck_since_ms; /* since when `first` has neither moved nor been sent again */
    int64_t retry_ms;
    int64_t paused_until_ms;
};

static struct entry *entry_at(const struct commands *commands, uint64_t number)
{
    return &commands->ring[number % commands->window];
}

/* Sends what is due, in order; stops at the first that the socket does not take. */
static void pump(struct commands *commands)
{
    if (!commands->up || clock_monotonic_ms() < commands->paused_until_ms) {
        return;
    }
    while (commands->unsent < commands->next) {
        const struct entry *entry = entry_at(commands, commands->unsent);
        if (entry->frame != NULL && bus_send(commands->socket, NULL, BUS_TOPIC_NONE, entry->frame,
                                             entry->length) != BUS_SENT) {
            return;
        }
        commands->unsent++;
    }
}

/* Commands below `first` are settled for us: the sequencer must not wait for them. */
static void say_hello(struct commands *commands)
{
    struct message_header header = {.generation = commands->actor->generation};
    struct message_hello hello = {.origin = commands->actor->origin, .oldest = commands->first};
    struct msgpack_sbuffer frame;
    msgpack_sbuffer_init(&frame);
    message_hello_encode(&frame, &header, &hello);
    /* Lost or refused: the next NACK asks for it again. */
    (void)bus_send(commands->socket, NULL, BUS_TOPIC_NONE, frame.data, frame.size);
    msgpack_sbuffer_destroy(&frame);
}

static void rewind_to(struct commands *commands, uint64_t number)
{
    if (number < commands->first) {
        number = commands->first;
    }
    if (number < commands->unsent) {
        metric_add(METRIC_COMMANDS_RESENT, (int64_t)(commands->unsent - number));
        commands->unsent = number;
    }
    pump(commands);
}

/* `first` moves over what is settled. Answers to later commands do not count as progress: the
 * answer to the first may be lost while they come. */
static void advance(struct commands *commands)
{
    uint64_t before = commands->first;
    while (commands->first < commands->next && entry_at(commands, commands->first)->frame == NULL) {
        commands->first++;
    }
    if (commands->unsent < commands->first) {
        commands->unsent = commands->first;
    }
    if (commands->first > before) {
        commands->stuck_since_ms = clock_monotonic_ms();
        commands->retry_ms = settings_int(commands->actor->settings, SETTING_COMMAND_RETRY_MS);
    }
}

/* ---- its span ---- */

/* The command's own span, child of what it names, takes that one's place in the message. NULL: the
 * trace is not exported. */
static struct span *begin_span(const struct commands *commands, const char *name,
                               const uint8_t trace[TRACE_ID_BYTES], const uint8_t run[16],
                               uint64_t flags, uint64_t *span_inout)
{
    if ((flags & TRACE_RECORDED) == 0 || commands->actor->spans == NULL) {
        return NULL;
    }
    struct span *span = memory_new(sizeof *span);
    *span = (struct span){.id = trace_new_span(),
                          .parent = *span_inout,
                          .kind = SPAN_CLIENT,
                          .name = name,
                          .start_us = clock_real_us()};
    memcpy(span->trace, trace, sizeof span->trace);
    memcpy(span->run.bytes, run, sizeof span->run.bytes);
    *span_inout = span->id;
    return span;
}

static void end_span(const struct commands *commands, struct entry *entry,
                     const struct message_result *result)
{
    struct span *span = entry->span;
    entry->span = NULL;
    span->end_us = clock_real_us();
    span->failed = result == NULL || result->outcome != OUTCOME_OK;
    span->first_seq = span->failed ? 0 : (int64_t)result->first_seq;
    spans_add(commands->actor->spans, span);
    free(span);
}

static bool is_awaited(const struct entry *entry)
{
    return entry->done != NULL || entry->jobs_done != NULL;
}

/* One of the results, by the kind of command, or none when it is unknown. */
struct outcome {
    const struct message_result *result;
    const struct message_jobs_result *jobs;
};

static void settle(struct commands *commands, uint64_t number, enum command_state state,
                   struct outcome outcome)
{
    struct entry *entry = entry_at(commands, number);
    struct entry told = *entry;
    entry->done = NULL;
    entry->jobs_done = NULL;
    if (entry->span != NULL) {
        end_span(commands, entry, outcome.result);
    }
    if (state == COMMAND_DONE) {
        commands->bytes -= entry->length;
        free(entry->frame);
        entry->frame = NULL;
        advance(commands);
    }
    if (told.done != NULL) {
        told.done(told.arg, state, outcome.result);
    } else if (told.jobs_done != NULL) {
        told.jobs_done(told.arg, state, outcome.jobs);
    }
}

/* A refusal of a command that was not understood is a RESULT, whatever its kind. */
static void take_result(struct commands *commands, uint64_t number, struct outcome outcome)
{
    if (number < commands->first || number >= commands->next ||
        entry_at(commands, number)->frame == NULL) {
        return; /* a second answer to a command that was sent twice */
    }
    struct message_jobs_result refused = {.outcome = OUTCOME_REFUSED};
    if (entry_at(commands, number)->jobs_done != NULL && outcome.jobs == NULL) {
        outcome.jobs = &refused;
    } else if (entry_at(commands, number)->done != NULL && outcome.result == NULL) {
        metric_add(METRIC_MESSAGES_REJECTED, 1);
        return;
    }
    settle(commands, number, COMMAND_DONE, outcome);
}

static void on_received(void *arg, const struct bus_peer *peer, const uint8_t *frame, size_t length)
{
    (void)peer;
    struct commands *commands = arg;
    struct message_header header;
    struct message_result result;
    struct message_jobs_result jobs;
    struct message_nack nack;
    struct message_busy busy;
    commands->heard_ms = clock_monotonic_ms();
    if (message_peek(frame, length, &header) != 0) {
        metric_add(METRIC_MESSAGES_REJECTED, 1);
    } else if (header.type == MESSAGE_RESULT &&
               message_result_decode(frame, length, &header, &result) == 0) {
        take_result(commands, header.request, (struct outcome){.result = &result});
    } else if (header.type == MESSAGE_JOBS_RESULT &&
               message_jobs_result_decode(frame, length, &header, &jobs) == 0) {
        take_result(commands, header.request, (struct outcome){.jobs = &jobs});
    } else if (header.type == MESSAGE_NACK &&
               message_nack_decode(frame, length, &header, &nack) == 0) {
        if (nack.expected < commands->first) {
            say_hello(commands);
        }
        rewind_to(commands, nack.expected);
    } else if (header.type == MESSAGE_BUSY &&
               message_busy_decode(frame, length, &header, &busy) == 0) {
        commands->paused_until_ms = clock_monotonic_ms() + (int64_t)busy.retry_ms;
        rewind_to(commands, header.request);
    } else {
        metric_add(METRIC_MESSAGES_REJECTED, 1);
    }
}

static void on_connected(void *arg, bool up)
{
    struct commands *commands = arg;
    commands->up = up;
    LOG_DEBUG(up ? "sequencer connected" : "sequencer gone");
    if (up) {
        commands->stuck_since_ms = clock_monotonic_ms();
        commands->paused_until_ms = 0;
        say_hello(commands);
        rewind_to(commands, commands->first);
    }
}

/* Tells those whose time is up. They were taken in order, so deadlines grow along the ring. */
static void expire(struct commands *commands, int64_t now_ms)
{
    for (uint64_t number = commands->first; number < commands->next; number++) {
        struct entry *entry = entry_at(commands, number);
        if (entry->deadline_ms > now_ms) {
            return;
        }
        if (is_awaited(entry)) {
            metric_add(METRIC_COMMANDS_UNKNOWN, 1);
            settle(commands, number, COMMAND_UNKNOWN, (struct outcome){NULL, NULL});
        }
    }
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct commands *commands = arg;
    int64_t now_ms = clock_monotonic_ms();
    if (commands->first == commands->next) {
        event_del(commands->tick);
        return;
    }
    expire(commands, now_ms);
    if (now_ms - commands->stuck_since_ms >= commands->retry_ms) {
        commands->stuck_since_ms = now_ms;
        commands->retry_ms *= 2;
        if (commands->retry_ms > COMMANDS_RETRY_MAX_MS) {
            commands->retry_ms = COMMANDS_RETRY_MAX_MS;
        }
        rewind_to(commands, commands->first);
    }
    pump(commands);
}

/* A frozen sequencer keeps its connection open: only an answer shows that it is alive. */
static void on_probe(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct commands *commands = arg;
    if (commands->up && commands->first == commands->next) {
        say_hello(commands);
    }
}

struct commands *commands_create(struct actor *actor, struct error *err)
{
    struct commands *commands = memory_new(sizeof *commands);
    char path[LIMIT_SOCKET_PATH_BYTES + 1];
    char identity[32];
    actor_path(actor, CHILD_SOCKET_COMMANDS, path);
    /* The name alone would let a frozen predecessor keep the routing id. */
    snprintf(identity, sizeof identity, "%.15s.%llu", actor->instance,
             (unsigned long long)actor->generation);
    commands->actor = actor;
    commands->window = (size_t)settings_int(actor->settings, SETTING_COMMAND_WINDOW);
    commands->window_bytes = (size_t)settings_int(actor->settings, SETTING_COMMAND_WINDOW_BYTES);
    commands->retry_ms = settings_int(actor->settings, SETTING_COMMAND_RETRY_MS);
    commands->ring = memory_array(commands->window, sizeof *commands->ring);
    commands->first = commands->unsent = commands->next = 1;
    commands->tick = event_new(actor->base, -1, EV_PERSIST, on_tick, commands);
    commands->probe = event_new(actor->base, -1, EV_PERSIST, on_probe, commands);
    event_add(commands->probe, &(struct timeval){COMMANDS_PROBE_MS / 1000, 0});
    struct bus_options options = {.role = BUS_COMMANDS_CLIENT,
                                  .path = path,
                                  .identity = identity,
                                  .handler = {on_received, on_connected, commands}};
    commands->socket = bus_open(actor->bus, &options, err);
    if (commands->socket == NULL) {
        commands_destroy(&commands);
    }
    return commands;
}

void commands_destroy(struct commands **commands)
{
    if (*commands == NULL) {
        return;
    }
    for (uint64_t number = (*commands)->first; number < (*commands)->next; number++) {
        struct entry *entry = entry_at(*commands, number);
        if (entry->done != NULL) {
            entry->done(entry->arg, COMMAND_UNKNOWN, NULL);
        } else if (entry->jobs_done != NULL) {
            entry->jobs_done(entry->arg, COMMAND_UNKNOWN, NULL);
        }
        free(entry->frame);
        free(entry->span);
    }
    bus_close(&(*commands)->socket);
    event_free((*commands)->tick);
    event_free((*commands)->probe);
    free((*commands)->ring);
    free(*commands);
    *commands = NULL;
}

static bool has_room(const struct commands *commands, size_t length)
{
    size_t in_flight = (size_t)(commands->next - commands->first);
    return in_flight < commands->window &&
           (in_flight == 0 || commands->bytes + length <= commands->window_bytes);
}

static struct message_header next_header(const struct commands *commands)
{
    return (struct message_header){.generation = commands->actor->generation,
                                   .request = commands->next};
}

/* Whom to tell. */
struct caller {
    command_done_fn *done;
    command_jobs_fn *jobs_done;
    void *arg;
};

/* Takes the bytes of `frame`, and `span`, which may be NULL. */
static int submit(struct commands *commands, struct msgpack_sbuffer *frame, struct span *span,
                  struct caller caller)
{
    if (!has_room(commands, frame->size) || frame->size > LIMIT_COMMAND_FRAME_BYTES) {
        msgpack_sbuffer_destroy(frame);
        free(span);
        return -1;
    }
    int64_t now_ms = clock_monotonic_ms();
    if (commands->first == commands->next) {
        commands->stuck_since_ms = now_ms;
        event_add(commands->tick, &(struct timeval){0, COMMANDS_TICK_MS * 1000});
    }
    size_t length = frame->size;
    *entry_at(commands, commands->next) =
        (struct entry){.frame = msgpack_sbuffer_release(frame),
                       .length = length,
                       .done = caller.done,
                       .jobs_done = caller.jobs_done,
                       .arg = caller.arg,
                       .span = span,
                       .deadline_ms = now_ms + settings_int(commands->actor->settings,
                                                            SETTING_COMMAND_TIMEOUT_MS)};
    commands->bytes += length;
    commands->next++;
    metric_add(METRIC_COMMANDS_SENT, 1);
    pump(commands);
    return 0;
}

/* One function a kind of command: they differ in the type of the message, and in whether it names
 * its trace. */
#define NO_SPAN(commands, kind, message) NULL
#define SPAN(commands, kind, message)                                                       \
    begin_span((commands), #kind, (message)->trace, (message)->run, (message)->trace_flags, \
               &(message)->span)
#define COMMAND(kind, begin, done_fn, member)                                                     \
    int commands_##kind(struct commands *commands, struct message_##kind *message, done_fn *done, \
                        void *arg)                                                                \
    {                                                                                             \
        struct message_header header = next_header(commands);                                     \
        struct msgpack_sbuffer frame;                                                             \
        msgpack_sbuffer_init(&frame);                                                             \
        message->origin = commands->actor->origin;                                                \
        struct span *span = begin(commands, kind, message);                                       \
        message_##kind##_encode(&frame, &header, message);                                        \
        return submit(commands, &frame, span, (struct caller){.member = done, .arg = arg});       \
    }

COMMAND(create_run, SPAN, command_done_fn, done)
COMMAND(append, SPAN, command_done_fn, done)
COMMAND(cancel_run, SPAN, command_done_fn, done)
COMMAND(resume_run, SPAN, command_done_fn, done)
COMMAND(fork_run, NO_SPAN, command_done_fn, done)
COMMAND(touch_run, NO_SPAN, command_done_fn, done)
COMMAND(prune, NO_SPAN, command_done_fn, done)
COMMAND(enqueue_jobs, NO_SPAN, command_jobs_fn, jobs_done)
COMMAND(change_jobs, NO_SPAN, command_jobs_fn, jobs_done)

void commands_note(struct commands *commands, const struct message_job_note *note)
{
    struct message_header header = {.generation = commands->actor->generation};
    struct msgpack_sbuffer frame;
    msgpack_sbuffer_init(&frame);
    message_job_note_encode(&frame, &header, note);
    (void)bus_send(commands->socket, NULL, BUS_TOPIC_NONE, frame.data, frame.size);
    msgpack_sbuffer_destroy(&frame);
}

void commands_forget(struct commands *commands, void *arg)
{
    for (uint64_t number = commands->first; number < commands->next; number++) {
        struct entry *entry = entry_at(commands, number);
        if (entry->arg == arg) {
            entry->done = NULL;
            entry->jobs_done = NULL;
        }
    }
}

size_t commands_in_flight(const struct commands *commands)
{
    return (size_t)(commands->next - commands->first);
}

bool commands_reachable(const struct commands *commands)
{
    return commands->up && commands->heard_ms > 0 &&
           clock_monotonic_ms() - commands->heard_ms < COMMANDS_SILENCE_MS;
}
