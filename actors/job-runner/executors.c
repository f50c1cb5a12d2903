/* See executors.h. */
#include "job-runner/executors.h"

#include "job-runner/attempt.h"
#include "job-runner/claim.h"
#include "job-runner/runner.h"
#include "runtime/base/clock.h"
#include "runtime/base/list.h"
#include "runtime/base/log.h"
#include "runtime/base/memory.h"
#include "runtime/base/metrics.h"

#include <assert.h>
#include <event2/event.h>
#include <stdlib.h>

enum {
    LEASE_MS = 60000, /* renewed by lease.h while this process lives */
    LAST_CALL_MS = 3000,
    NEWCOMER_US = 250000,
    AHEAD_US = 3000,  /* what is claimed ahead would begin within this */
    LATE_US = 100000, /* it has not: others may have it */
    MEAN_OF = 8       /* a new duration counts for so much of the mean */
};

struct executor {
    struct list node;
    struct executors *executors;
    struct attempt *attempt; /* owned */
    bool waiting;            /* claimed; it begins when there is room */
    bool settled;            /* to go in the next turn */
    int64_t came_us;
    int64_t began_us;
};

struct executors {
    struct job_runner *runner; /* borrowed */
    struct claim_demand *demand;
    struct list all; /* struct executor, in the order of their claims */
    struct event *turn;
    struct event *last_call; /* of a drain */
    struct event *late;
    size_t waiting;
    size_t working;  /* begun, and their kind has not ended them */
    int64_t mean_us; /* how long they work, of late; -1: not known */
    bool closed;     /* takes nothing new */
    struct executors_count count;
};

static void next_turn(struct executors *executors)
{
    event_active(executors->turn, EV_TIMEOUT, 0);
}

/* ---- room ---- */

static size_t capacity(const struct executors *executors)
{
    return (size_t)settings_int(executors->runner->actor->settings, SETTING_JOBS_EXECUTORS);
}

/* Short jobs are claimed ahead, as many as are worked on in the time of a commit: a commit of many
 * claims and ends costs little more than one of few, but takes longer. So not while tenants come that
 * had nothing waiting, and would wait for it behind the many of another. */
static size_t ahead(const struct executors *executors)
{
    const struct settings *settings = executors->runner->actor->settings;
    int64_t quiet_us = clock_real_us() - ready_newcomer_us(executors->runner->ready);
    int64_t most = settings_int(settings, SETTING_JOBS_CLAIM_AHEAD);
    int64_t count = (int64_t)capacity(executors) * AHEAD_US;
    if (executors->mean_us < 0 || count == 0 || quiet_us < NEWCOMER_US ||
        settings_int(settings, SETTING_JOBS_MAX_JOBS) > 0) {
        return 0;
    }
    count /= executors->mean_us > 0 ? executors->mean_us : 1;
    return (size_t)(count < most ? count : most);
}

static size_t room_of(const struct executors *executors)
{
    const struct settings *settings = executors->runner->actor->settings;
    size_t room = capacity(executors) + ahead(executors);
    size_t taken = executors->working + executors->waiting;
    int64_t limit = settings_int(settings, SETTING_JOBS_MAX_JOBS);
    room = room > taken ? room - taken : 0;
    if (limit > 0) {
        size_t left = limit > executors->count.begun ? (size_t)(limit - executors->count.begun) : 0;
        room = room > left ? left : room;
    }
    return room;
}

static void set_room(struct executors *executors)
{
    if (!executors->closed) {
        claim_set_room(executors->demand, room_of(executors));
    }
}

/* ---- attempts ---- */

/* There is room at once, so that the next claim leaves with this end, in one message. */
static void on_ended(void *arg, struct attempt *attempt SB_UNUSED)
{
    struct executor *executor = arg;
    struct executors *executors = executor->executors;
    int64_t took_us = clock_monotonic_us() - executor->began_us;
    int64_t mean_us = executors->mean_us;
    executors->mean_us = mean_us < 0 ? took_us : mean_us + (took_us - mean_us) / MEAN_OF;
    executors->working--;
    set_room(executors);
    next_turn(executors);
}

static void on_settled(void *arg, struct attempt *attempt SB_UNUSED, bool success)
{
    struct executor *executor = arg;
    struct executors *executors = executor->executors;
    executor->settled = true;
    executors->count.settled++;
    executors->count.success += success ? 1 : 0;
    next_turn(executors);
}

static void on_given(void *arg, const struct claimed *claimed)
{
    struct executors *executors = arg;
    const struct settings *settings = executors->runner->actor->settings;
    const struct kind *kind =
        kinds_find(settings_text(settings, SETTING_JOBS_KINDS), claimed->type);
    assert(kind != NULL); /* nothing else was asked for */
    struct executor *executor = memory_new(sizeof *executor);
    executor->executors = executors;
    executor->waiting = true;
    executor->came_us = clock_monotonic_us();
    executor->attempt = attempt_create(executors->runner, claimed, kind,
                                       &(struct attempt_watcher){on_ended, on_settled, executor});
    list_init(&executor->node);
    list_append(&executors->all, &executor->node);
    executors->waiting++;
    executors->count.begun++;
    executors->count.busy++;
    next_turn(executors);
}

static void leave_queue(struct executor *executor)
{
    executor->waiting = false;
    executor->began_us = clock_monotonic_us();
    executor->executors->waiting--;
    executor->executors->working++;
}

/* Who has waited for longest; NULL: nobody waits. */
static struct executor *first_waiting(const struct executors *executors)
{
    LIST_FOR_EACH(node, &executors->all)
    {
        struct executor *executor = LIST_ENTRY(node, struct executor, node);
        if (executor->waiting) {
            return executor;
        }
    }
    return NULL;
}

/* When the first of those that wait will have waited too long. */
static void watch_waiting(struct executors *executors)
{
    const struct executor *first = executors->waiting > 0 ? first_waiting(executors) : NULL;
    if (first == NULL) {
        event_del(executors->late);
    } else if (!event_pending(executors->late, EV_TIMEOUT, NULL)) {
        int64_t left_us = first->came_us + LATE_US - clock_monotonic_us();
        event_add(executors->late, &(struct timeval){0, left_us > 0 ? left_us : 0});
    }
}

/* Jobs have become longer than they were. What has waited goes back, which costs no attempt. */
static void on_late(evutil_socket_t fd SB_UNUSED, short what SB_UNUSED, void *arg)
{
    struct executors *executors = arg;
    int64_t late_us = clock_monotonic_us() - LATE_US;
    struct executor *executor;
    while ((executor = first_waiting(executors)) != NULL && executor->came_us <= late_us) {
        leave_queue(executor);
        attempt_stop(executor->attempt, false);
        executors->mean_us = LATE_US;
    }
    watch_waiting(executors);
    set_room(executors);
}

static void discard(struct executor *executor)
{
    executor->executors->count.busy--;
    list_remove(&executor->node);
    attempt_destroy(&executor->attempt);
    free(executor);
}

/* Begins what was claimed, drops what is settled, and asks for as many more as there is room. */
static void on_turn(evutil_socket_t fd SB_UNUSED, short what SB_UNUSED, void *arg)
{
    struct executors *executors = arg;
    LIST_FOR_EACH(node, &executors->all)
    {
        struct executor *executor = LIST_ENTRY(node, struct executor, node);
        if (executor->settled) {
            discard(executor);
        } else if (executor->waiting && executors->working < capacity(executors)) {
            leave_queue(executor);
            attempt_begin(executor->attempt);
        }
    }
    watch_waiting(executors);
    metric_set(METRIC_EXECUTORS_BUSY, (int64_t)executors->working);
    set_room(executors);
    if (executors->closed && executors_is_idle(executors)) {
        job_runner_settle(executors->runner);
    }
}

/* ---- life ---- */

static struct claim_demand *open_demand(struct executors *executors)
{
    struct job_runner *runner = executors->runner;
    const char *types[KINDS_MAX];
    char worker[JOB_RUNNER_WORKER_SIZE];
    size_t count = kinds_enabled(settings_text(runner->actor->settings, SETTING_JOBS_KINDS), types);
    job_runner_worker_name(runner, 1, worker);
    struct claim_terms terms = {
        .filter = {.types = types, .types_count = count},
        .worker = worker,
        .lease_ms = LEASE_MS,
        .given = on_given,
        .arg = executors,
    };
    return claim_open(runner->claim, &terms);
}

static void stop_all(struct executors *executors, bool patient)
{
    LIST_FOR_EACH(node, &executors->all)
    {
        struct executor *executor = LIST_ENTRY(node, struct executor, node);
        if (executor->waiting) {
            leave_queue(executor);
        }
        attempt_stop(executor->attempt, patient);
    }
}

static void on_last_call(evutil_socket_t fd SB_UNUSED, short what SB_UNUSED, void *arg)
{
    stop_all(arg, false);
}

int executors_create(struct job_runner *runner, struct error *err)
{
    const char *enabled = settings_text(runner->actor->settings, SETTING_JOBS_KINDS);
    if (kinds_check(enabled, err) != 0) {
        runner->actor->exit_code = EXIT_CODE_CONFIG;
        return -1;
    }
    struct executors *executors = memory_new(sizeof *executors);
    executors->runner = runner;
    list_init(&executors->all);
    executors->turn = event_new(runner->actor->base, -1, 0, on_turn, executors);
    executors->last_call = event_new(runner->actor->base, -1, 0, on_last_call, executors);
    executors->late = event_new(runner->actor->base, -1, 0, on_late, executors);
    executors->mean_us = -1;
    executors->demand = open_demand(executors);
    runner->executors = executors;
    set_room(executors);
    return 0;
}

void executors_destroy(struct executors **executors)
{
    if (*executors == NULL) {
        return;
    }
    executors_drain(*executors);
    stop_all(*executors, false);
    LIST_FOR_EACH(node, &(*executors)->all)
    {
        discard(LIST_ENTRY(node, struct executor, node));
    }
    event_free((*executors)->turn);
    event_free((*executors)->last_call);
    event_free((*executors)->late);
    free(*executors);
    *executors = NULL;
}

void executors_reload(struct executors *executors)
{
    set_room(executors);
    next_turn(executors);
}

void executors_drain(struct executors *executors)
{
    if (executors->closed) {
        return;
    }
    executors->closed = true;
    claim_close(&executors->demand);
    int64_t left_ms = executors->runner->drain_until_ms - clock_monotonic_ms() - LAST_CALL_MS;
    if (left_ms <= 0) {
        stop_all(executors, false);
        return;
    }
    stop_all(executors, true);
    struct timeval when = {left_ms / 1000, left_ms % 1000 * 1000};
    event_add(executors->last_call, &when);
}

size_t executors_due(const struct executors *executors)
{
    const struct job_runner *runner = executors->runner;
    const char *types[KINDS_MAX];
    int64_t id;
    struct ready_filter filter = {.types = types};
    filter.types_count =
        kinds_enabled(settings_text(runner->actor->settings, SETTING_JOBS_KINDS), types);
    return ready_peek(runner->ready, clock_real_us(), &filter, &id, 1);
}

bool executors_is_idle(const struct executors *executors)
{
    return list_is_empty(&executors->all);
}

struct executors_count executors_count(const struct executors *executors)
{
    return executors->count;
}
