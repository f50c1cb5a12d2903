/* See changes.h. */
#include "job-runner/changes.h"

#include "job-runner/claim.h"
#include "job-runner/jobs.h"
#include "job-runner/runner.h"
#include "proto/outcome.h"
#include "runtime/base/fault.h"
#include "runtime/base/list.h"
#include "runtime/base/log.h"
#include "runtime/base/memory.h"
#include "runtime/base/metrics.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { BATCH_CHANGES = 256, BATCH_BYTES = 1 << 20, BATCHES = 2, AGAIN_MS = 100 };

/* One change: everything it points to is behind it, in the same allocation. */
struct item {
    struct list node;
    struct change change;
    change_done_fn *done;
    void *arg;
    size_t bytes;
    bool alone; /* it was in a message that was refused as a whole */
};

struct batch {
    struct changes *changes; /* NULL: free */
    struct list items;
    size_t count;
};

struct changes {
    struct job_runner *runner; /* borrowed */
    struct list queue;
    size_t pending;
    struct batch batches[BATCHES];
    struct event *turn;
    struct event *again; /* the window to the sequencer was full, or nobody answers */
};

/* ---- one change ---- */

static void *place(uint8_t **at, const void *bytes, size_t length)
{
    uint8_t *copy = *at;
    if (length > 0) {
        memcpy(copy, bytes, length);
    }
    *at += length;
    return copy;
}

static void place_span(uint8_t **at, struct message_span *span)
{
    span->data = place(at, span->data, span->length);
}

static size_t bytes_of(const struct change *change)
{
    size_t bytes = change->said.reason.length + change->said.result.length +
                   (change->worker != NULL ? strlen(change->worker) + 1 : 0);
    for (size_t i = 0; i < change->said.events_count; i++) {
        bytes += change->said.events[i].payload.length;
    }
    return bytes;
}

static struct item *make_item(const struct change *change)
{
    size_t events_bytes = change->said.events_count * sizeof *change->said.events;
    size_t bytes = bytes_of(change);
    struct item *item = memory_new(sizeof *item + events_bytes + bytes);
    struct report_event *events = (struct report_event *)(void *)(item + 1);
    uint8_t *at = (uint8_t *)(item + 1) + events_bytes;
    item->change = *change;
    item->bytes = bytes + sizeof *item;
    for (size_t i = 0; i < change->said.events_count; i++) {
        events[i] = change->said.events[i];
        place_span(&at, &events[i].payload);
    }
    item->change.said.events = events;
    place_span(&at, &item->change.said.reason);
    place_span(&at, &item->change.said.result);
    if (change->worker != NULL) {
        item->change.worker = place(&at, change->worker, strlen(change->worker) + 1);
    }
    return item;
}

static void tell(struct changes *changes, struct item *item, const struct change_outcome *outcome)
{
    list_remove(&item->node);
    changes->pending--;
    if (outcome != NULL) {
        jobs_outcome(changes->runner->jobs, &item->change, outcome);
    }
    if (item->done != NULL) {
        item->done(item->arg, outcome);
    }
    free(item);
}

/* ---- one message ---- */

static void encode_change(const struct item *item, struct msgpack_sbuffer *changes)
{
    const struct change *change = &item->change;
    struct message_change_jobs_change wire = {
        .what = change->said.what,
        .worker = {(const uint8_t *)change->worker,
                   change->worker != NULL ? strlen(change->worker) : 0},
        .lease_ms = change->lease_ms,
        .class = change->said.class,
        .reason = change->said.reason,
        .retry_ms = change->said.retry_ms > 0 ? (uint64_t)change->said.retry_ms : 0,
        .result = change->said.result,
        .percent = change->said.percent,
    };
    memcpy(wire.job, change->said.job.bytes, sizeof wire.job);
    memcpy(wire.token, change->said.token.bytes, sizeof wire.token);
    message_change_jobs_change_encode(changes, &wire);
}

static uint32_t encode_events(const struct item *item, uint64_t index,
                              struct msgpack_sbuffer *events)
{
    for (size_t i = 0; i < item->change.said.events_count; i++) {
        const struct message_change_jobs_event wire = {
            .index = index,
            .type = item->change.said.events[i].type,
            .payload = item->change.said.events[i].payload,
        };
        message_change_jobs_event_encode(events, &wire);
    }
    return (uint32_t)item->change.said.events_count;
}

static void again_soon(struct changes *changes)
{
    static const struct timeval when = {0, AGAIN_MS * 1000};
    event_add(changes->again, &when);
}

/* Back to the front of the queue, in their order. */
static void take_back(struct batch *batch, bool alone)
{
    struct changes *changes = batch->changes;
    while (!list_is_empty(&batch->items)) {
        struct list *last = batch->items.previous;
        list_remove(last);
        LIST_ENTRY(last, struct item, node)->alone |= alone;
        list_append(changes->queue.next, last); /* before the first */
    }
    batch->changes = NULL;
    batch->count = 0;
}

static void tell_all(struct batch *batch, const struct message_jobs_result *result)
{
    struct changes *changes = batch->changes;
    struct message_list cursor = result->jobs;
    while (!list_is_empty(&batch->items)) {
        struct item *item = LIST_ENTRY(batch->items.next, struct item, node);
        struct message_jobs_result_job job = {.outcome = JOB_OUTCOME_REFUSED};
        (void)message_jobs_result_job_next(&cursor, &job);
        struct change_outcome outcome = {.outcome = (enum job_outcome)job.outcome,
                                         .attempt = (unsigned)job.attempt};
        memcpy(outcome.run.bytes, job.run, sizeof job.run);
        tell(changes, item, &outcome);
    }
    batch->changes = NULL;
    batch->count = 0;
}

/* A message is refused as a whole only for what one of its changes is: then each goes alone. */
static void on_result(void *arg, enum command_state state, const struct message_jobs_result *result)
{
    struct batch *batch = arg;
    struct changes *changes = batch->changes;
    SB_FAULT("jobs_result_here");
    if (state == COMMAND_UNKNOWN) {
        take_back(batch, false);
        again_soon(changes);
        return;
    }
    if (result->outcome != OUTCOME_OK || result->jobs.count != batch->count) {
        LOG_WARN("changes of jobs were refused as a whole", LOG_INT("outcome", result->outcome),
                 LOG_INT("changes", batch->count));
        if (batch->count > 1) {
            take_back(batch, true);
            changes_wake(changes);
            return;
        }
    }
    tell_all(batch, result);
    changes_wake(changes);
}

/* Moves what fits into one message from the queue. */
static void fill(struct changes *changes, struct batch *batch)
{
    size_t bytes = 0;
    while (!list_is_empty(&changes->queue) && batch->count < BATCH_CHANGES) {
        struct item *item = LIST_ENTRY(changes->queue.next, struct item, node);
        if (batch->count > 0 && (bytes + item->bytes > BATCH_BYTES || item->alone)) {
            return;
        }
        list_remove(&item->node);
        list_append(&batch->items, &item->node);
        batch->count++;
        bytes += item->bytes;
        if (item->alone) {
            return;
        }
    }
}

static int send_batch(struct changes *changes, struct batch *batch)
{
    struct msgpack_sbuffer items;
    struct msgpack_sbuffer events;
    uint32_t count = 0;
    uint32_t events_count = 0;
    msgpack_sbuffer_init(&items);
    msgpack_sbuffer_init(&events);
    LIST_FOR_EACH(node, &batch->items)
    {
        const struct item *item = LIST_ENTRY(node, struct item, node);
        encode_change(item, &items);
        events_count += encode_events(item, count++, &events);
    }
    const char *actor = changes->runner->actor->instance;
    struct message_change_jobs message = {
        .actor = {(const uint8_t *)actor, strlen(actor)},
        .changes = {(const uint8_t *)items.data, items.size, count},
        .events = {(const uint8_t *)events.data, events.size, events_count},
    };
    int sent = commands_change_jobs(changes->runner->links.commands, &message, on_result, batch);
    msgpack_sbuffer_destroy(&items);
    msgpack_sbuffer_destroy(&events);
    return sent;
}

static struct batch *free_batch(struct changes *changes)
{
    for (size_t i = 0; i < BATCHES; i++) {
        if (changes->batches[i].changes == NULL) {
            return &changes->batches[i];
        }
    }
    return NULL;
}

static void flush(struct changes *changes)
{
    struct batch *batch;
    while (!list_is_empty(&changes->queue) && !event_pending(changes->again, EV_TIMEOUT, NULL) &&
           (batch = free_batch(changes)) != NULL) {
        batch->changes = changes;
        fill(changes, batch);
        SB_FAULT("jobs_before_change");
        if (send_batch(changes, batch) != 0) {
            take_back(batch, false);
            again_soon(changes);
            return;
        }
        metric_observe_size(HISTOGRAM_JOB_BATCH, (int64_t)batch->count);
        SB_FAULT("jobs_change_sent");
    }
}

static void on_turn(evutil_socket_t fd SB_UNUSED, short what SB_UNUSED, void *arg)
{
    struct changes *changes = arg;
    claim_gather(changes->runner->claim);
    flush(changes);
}

static void on_again(evutil_socket_t fd SB_UNUSED, short what SB_UNUSED, void *arg)
{
    struct changes *changes = arg;
    if (commands_reachable(changes->runner->links.commands)) {
        flush(changes);
    } else {
        again_soon(changes);
    }
}

/* ---- what others call ---- */

void changes_send(struct changes *changes, const struct change *change, change_done_fn *done,
                  void *arg)
{
    struct item *item = make_item(change);
    item->done = done;
    item->arg = arg;
    list_append(&changes->queue, &item->node);
    changes->pending++;
    changes_wake(changes);
}

void changes_wake(struct changes *changes)
{
    event_active(changes->turn, EV_TIMEOUT, 0);
}

size_t changes_pending(const struct changes *changes)
{
    return changes->pending;
}

struct changes *changes_create(struct job_runner *runner)
{
    struct changes *changes = memory_new(sizeof *changes);
    changes->runner = runner;
    list_init(&changes->queue);
    for (size_t i = 0; i < BATCHES; i++) {
        list_init(&changes->batches[i].items);
    }
    changes->turn = event_new(runner->actor->base, -1, 0, on_turn, changes);
    changes->again = event_new(runner->actor->base, -1, 0, on_again, changes);
    return changes;
}

static void give_up(struct changes *changes, struct list *items)
{
    while (!list_is_empty(items)) {
        tell(changes, LIST_ENTRY(items->next, struct item, node), NULL);
    }
}

void changes_destroy(struct changes **changes)
{
    if (*changes == NULL) {
        return;
    }
    for (size_t i = 0; i < BATCHES; i++) {
        commands_forget((*changes)->runner->links.commands, &(*changes)->batches[i]);
        give_up(*changes, &(*changes)->batches[i].items);
    }
    give_up(*changes, &(*changes)->queue);
    event_free((*changes)->turn);
    event_free((*changes)->again);
    free(*changes);
    *changes = NULL;
}
