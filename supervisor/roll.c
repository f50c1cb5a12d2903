/* See roll.h. */
#include "supervisor/roll.h"

#include "runtime/base/log.h"
#include "runtime/base/memory.h"
#include "supervisor/supervisor.h"

#include <assert.h>
#include <stdlib.h>

struct roll_ticket {
    roll_done_fn done;
    void *data;        /* borrowed */
    unsigned restarts; /* not finished */
    bool closed;
    bool failed;
    struct error err;
};

enum roll_phase {
    ROLL_WAITING,
    ROLL_BESIDE,   /* the successor starts beside the current process */
    ROLL_HANDING,  /* the successor is ready, the old one drains */
    ROLL_STOPPING, /* no successor: first the stop */
    ROLL_STARTING  /* then the start */
};

struct roll_job {
    struct list node;
    struct roll_ticket *ticket; /* NULL once it has been answered */
    struct slot *slot;
    enum roll_phase phase;
};

static void begin_next(struct roll_queue *queue);

void roll_init(struct roll_queue *queue)
{
    list_init(&queue->jobs);
}

bool roll_idle(const struct roll_queue *queue)
{
    return list_is_empty(&queue->jobs);
}

static struct roll_job *job_of(struct list *node)
{
    return LIST_ENTRY(node, struct roll_job, node);
}

static void settle_ticket(struct roll_ticket *ticket)
{
    if (ticket->closed && ticket->restarts == 0) {
        if (ticket->done != NULL) {
            ticket->done(ticket->data, ticket->failed ? &ticket->err : NULL);
        }
        free(ticket);
    }
}

struct roll_ticket *roll_ticket_create(roll_done_fn done, void *data)
{
    struct roll_ticket *ticket = memory_new(sizeof *ticket);
    ticket->done = done;
    ticket->data = data;
    return ticket;
}

void roll_add(struct roll_queue *queue, struct roll_ticket *ticket, struct slot *slot)
{
    struct roll_job *job = memory_new(sizeof *job);
    job->ticket = ticket;
    job->slot = slot;
    ticket->restarts++;
    list_append(&queue->jobs, &job->node);
}

void roll_ticket_close(struct roll_queue *queue, struct roll_ticket *ticket)
{
    ticket->closed = true;
    settle_ticket(ticket);
    begin_next(queue);
}

void roll_forget(struct roll_queue *queue, const void *data)
{
    LIST_FOR_EACH(node, &queue->jobs)
    {
        struct roll_ticket *ticket = job_of(node)->ticket;
        if (ticket != NULL && ticket->data == data) {
            ticket->done = NULL;
        }
    }
}

/* Tells the ticket that this restart has succeeded (err NULL) or failed. */
static void answer(struct roll_job *job, const struct error *err)
{
    struct roll_ticket *ticket = job->ticket;
    if (ticket == NULL) {
        return;
    }
    job->ticket = NULL;
    ticket->restarts--;
    if (err != NULL && !ticket->failed) {
        ticket->failed = true;
        ticket->err = *err;
    }
    settle_ticket(ticket);
}

static void remove_job(struct roll_job *job)
{
    assert(job->ticket == NULL);
    list_remove(&job->node);
    free(job);
}

/* A failure leaves the rest of the request undone: what works stays as it is. */
static void fail(struct roll_queue *queue, struct roll_job *job, const struct error *err)
{
    struct roll_ticket *ticket = job->ticket;
    LOG_ERROR("planned restart failed", LOG_TEXT("name", job->slot->name),
              LOG_TEXT("reason", err->text));
    LIST_FOR_EACH(node, &queue->jobs)
    {
        struct roll_job *other = job_of(node);
        if (ticket != NULL && other != job && other->ticket == ticket) {
            ticket->restarts--;
            other->ticket = NULL;
            remove_job(other);
        }
    }
    answer(job, err);
}

static void finish(struct roll_queue *queue, struct roll_job *job)
{
    answer(job, NULL);
    remove_job(job);
    begin_next(queue);
}

static void begin(struct roll_job *job)
{
    struct slot *slot = job->slot;
    struct child *current = slot->current;
    int64_t stop_ms = roster_stop_ms(slot->row, slot->supervisor->settings);
    LOG_INFO("planned restart", LOG_TEXT("name", slot->name));
    if (!child_alive(current)) {
        job->phase = ROLL_STARTING;
        slot_start(slot);
    } else if (slot->row->kind == ROSTER_ACTOR && slot_ready(slot)) {
        job->phase = ROLL_BESIDE;
        slot_start_successor(slot);
    } else {
        job->phase = ROLL_STOPPING;
        child_drain(current, stop_ms);
    }
}

static void begin_next(struct roll_queue *queue)
{
    struct list *first = list_first(&queue->jobs);
    if (first != NULL && job_of(first)->phase == ROLL_WAITING) {
        begin(job_of(first));
    }
}

void roll_cancel(struct roll_queue *queue)
{
    struct error err;
    error_set(&err, "the server is stopping");
    for (struct list *first; (first = list_first(&queue->jobs)) != NULL;) {
        struct roll_job *job = job_of(first);
        answer(job, &err);
        remove_job(job);
    }
}

/* The job of this slot when it is under way in that phase. */
static struct roll_job *job_in(struct roll_queue *queue, const struct slot *slot,
                               enum roll_phase phase)
{
    struct list *first = list_first(&queue->jobs);
    if (first == NULL || job_of(first)->slot != slot || job_of(first)->phase != phase) {
        return NULL;
    }
    return job_of(first);
}

void roll_successor_ready(struct roll_queue *queue, struct slot *slot)
{
    struct roll_job *job = job_in(queue, slot, ROLL_BESIDE);
    if (job == NULL) {
        return;
    }
    job->phase = ROLL_HANDING;
    slot_promote(slot);
    if (!slot->row->singleton) {
        answer(job, NULL);
    }
}

void roll_successor_ended(struct roll_queue *queue, struct slot *slot)
{
    struct roll_job *job = job_in(queue, slot, ROLL_BESIDE);
    struct error err;
    if (job == NULL) {
        return;
    }
    error_set(&err, "the new %s did not become ready (%.400s); the old one was kept", slot->name,
              slot->last_end);
    fail(queue, job, &err);
    finish(queue, job);
}

void roll_successor_took_over(struct roll_queue *queue, struct slot *slot)
{
    struct roll_job *job = job_in(queue, slot, ROLL_BESIDE);
    if (job != NULL) {
        job->phase = ROLL_STARTING;
        if (slot_ready(slot)) {
            finish(queue, job);
        }
    }
}

void roll_retired(struct roll_queue *queue, struct slot *slot)
{
    struct roll_job *job = job_in(queue, slot, ROLL_HANDING);
    if (job != NULL) {
        finish(queue, job);
    }
}

void roll_current_ready(struct roll_queue *queue, struct slot *slot)
{
    struct roll_job *job = job_in(queue, slot, ROLL_STARTING);
    if (job != NULL) {
        finish(queue, job);
    }
}

void roll_current_ended(struct roll_queue *queue, struct slot *slot)
{
    struct roll_job *job = job_in(queue, slot, ROLL_STARTING);
    struct error err;
    error_set(&err, "%s did not become ready: %.400s", slot->name, slot->last_end);
    if (job != NULL) {
        fail(queue, job, &err);
        finish(queue, job);
        return;
    }
    job = job_in(queue, slot, ROLL_HANDING);
    if (job != NULL) {
        fail(queue, job, &err);
        return;
    }
    /* It died by itself in the middle of being stopped: as good as stopped. */
    job = job_in(queue, slot, ROLL_STOPPING);
    if (job != NULL) {
        job->phase = ROLL_STARTING;
    }
}

void roll_current_stopped(struct roll_queue *queue, struct slot *slot)
{
    struct roll_job *job = job_in(queue, slot, ROLL_STOPPING);
    if (job != NULL) {
        job->phase = ROLL_STARTING;
    }
    slot_start(slot);
}
