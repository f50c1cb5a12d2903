/*
 * See runners.h. A call is known to a job-runner by its number and this process's routing id, so
 * asking again is harmless. An answer to a number that is not under way comes from one that was
 * slower than another, or than the client: its jobs are surplus.
 */
#include "api/runners.h"

#include "api/surplus.h"
#include "proto/child_contract.h"
#include "proto/job.h"
#include "runtime/base/clock.h"
#include "runtime/base/limits.h"
#include "runtime/base/list.h"
#include "runtime/base/map.h"
#include "runtime/base/memory.h"
#include "runtime/base/metrics.h"
#include "runtime/bus.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    SLOTS_MAX = 32,
    WANT_AGAIN_MS = 5000, /* one that was full may have room; and it shows that we are alive */
    BEAT_AGAIN_MS = 300,
    PATIENCE_MS = 2000, /* with job-runners that are not there, or silent */
    LAST_WORD_MS = 500  /* the same while draining */
};

struct link {
    struct runners *runners;
    struct bus_socket *socket;
    uint32_t bit;
};

struct runners_call {
    struct list node;
    struct runners *runners;
    uint64_t number;
    struct event *timer;
    int64_t end_ms;      /* of the wait */
    int64_t deadline_ms; /* no answer any more: given up */
    int64_t again_ms;    /* asked again then */
    uint32_t asked;      /* links it was sent on and that have not answered; bits */
    uint32_t answered;   /* links that have said they have nothing */
    uint32_t waited;     /* of these, the ones that have waited for a job */
    bool repeated;       /* sent twice on some link */
    bool is_want;
    union {
        struct message_job_want want;
        struct message_job_beat beat;
    };
    union {
        runners_given_fn *given;
        runners_beaten_fn *beaten;
    };
    void *arg;
    uint8_t texts[]; /* what the message points to */
};

struct runners {
    struct actor *actor;     /* borrowed */
    struct surplus *surplus; /* borrowed */
    struct list calls;
    struct map by_number;
    struct map by_tenant; /* how many wants, as a pointer */
    uint64_t last_number;
    size_t wants;
    int64_t alone_since_ms; /* no link is up since then */
    uint32_t up;            /* links; bits */
    bool ending;
    size_t link_count;
    struct link links[SLOTS_MAX];
    struct msgpack_sbuffer frame;
};

/* ---- sending ---- */

static bool send_frame(struct runners *runners, struct link *link)
{
    return bus_send(link->socket, NULL, BUS_TOPIC_NONE, runners->frame.data, runners->frame.size) ==
           BUS_SENT;
}

/* What is left of the wait goes along. */
static void encode(struct runners *runners, struct runners_call *call, int64_t now_ms)
{
    struct message_header header = {.generation = runners->actor->generation,
                                    .request = call->number};
    msgpack_sbuffer_clear(&runners->frame);
    if (call->is_want) {
        call->want.wait_ms = call->end_ms > now_ms ? (uint64_t)(call->end_ms - now_ms) : 0;
        message_job_want_encode(&runners->frame, &header, &call->want);
    } else {
        message_job_beat_encode(&runners->frame, &header, &call->beat);
    }
}

/* Asks on these links that are up. */
static void ask(struct runners_call *call, uint32_t links)
{
    struct runners *runners = call->runners;
    encode(runners, call, clock_monotonic_ms());
    for (size_t i = 0; i < runners->link_count; i++) {
        struct link *link = &runners->links[i];
        if ((link->bit & links & runners->up) != 0 && send_frame(runners, link)) {
            call->repeated |= (call->asked & link->bit) != 0;
            call->asked |= link->bit;
            call->answered &= ~link->bit;
            call->waited &= ~link->bit;
        }
    }
}

/* Those asked need not look any more. */
static void tell_forget(struct runners_call *call, uint32_t links)
{
    struct runners *runners = call->runners;
    struct message_header header = {.generation = runners->actor->generation,
                                    .request = call->number};
    struct message_job_forget message = {0};
    msgpack_sbuffer_clear(&runners->frame);
    message_job_forget_encode(&runners->frame, &header, &message);
    for (size_t i = 0; i < runners->link_count; i++) {
        if ((runners->links[i].bit & links & runners->up) != 0) {
            (void)send_frame(runners, &runners->links[i]); /* lost: its answer is surplus */
        }
    }
}

/* ---- calls ---- */

static void schedule(struct runners_call *call)
{
    const struct runners *runners = call->runners;
    int64_t now_ms = clock_monotonic_ms();
    int64_t at_ms = call->deadline_ms < call->again_ms ? call->deadline_ms : call->again_ms;
    if (call->end_ms > now_ms && call->end_ms < at_ms) {
        at_ms = call->end_ms;
    }
    if (runners->up == 0 && runners->alone_since_ms + PATIENCE_MS < at_ms) {
        at_ms = runners->alone_since_ms + PATIENCE_MS;
    }
    int64_t wait_ms = at_ms > now_ms ? at_ms - now_ms : 0;
    struct timeval wait = {.tv_sec = wait_ms / 1000, .tv_usec = wait_ms % 1000 * 1000};
    (void)event_add(call->timer, &wait);
}

size_t runners_waiting_of(const struct runners *runners, const struct uuid *tenant)
{
    return (size_t)(uintptr_t)map_get(&runners->by_tenant, tenant);
}

static void count_want(struct runners_call *call, bool more)
{
    struct runners *runners = call->runners;
    struct uuid tenant;
    memcpy(tenant.bytes, call->want.tenant, sizeof tenant.bytes);
    size_t count = runners_waiting_of(runners, &tenant) + (more ? 1 : (size_t)-1);
    runners->wants += more ? 1 : (size_t)-1;
    metric_set(METRIC_WORKERS_WAITING, (int64_t)runners->wants);
    if (count == 0) {
        (void)map_remove(&runners->by_tenant, &tenant);
    } else {
        (void)map_put(&runners->by_tenant, &tenant, (void *)(uintptr_t)count);
    }
}

static void destroy(struct runners_call *call)
{
    struct uuid key = map_number_key(call->number);
    (void)map_remove(&call->runners->by_number, &key);
    if (call->is_want) {
        count_want(call, false);
    }
    list_remove(&call->node);
    event_free(call->timer);
    free(call);
}

static void end_want(struct runners_call *call, enum runners_end end,
                     const struct message_job_given *given)
{
    runners_given_fn *done = call->given;
    void *arg = call->arg;
    destroy(call);
    done(arg, end, given);
}

static void end_beat(struct runners_call *call, const struct message_job_beaten *beaten)
{
    runners_beaten_fn *done = call->beaten;
    void *arg = call->arg;
    destroy(call);
    done(arg, beaten);
}

/* Everyone who is there has said that there is nothing. */
static bool is_settled(const struct runners_call *call, int64_t now_ms)
{
    uint32_t up = call->runners->up;
    return up != 0 && (call->answered & up) == up &&
           ((call->waited & up) != 0 || !call->is_want || now_ms >= call->end_ms);
}

/* False: it has ended and is gone. */
static bool go_on(struct runners_call *call)
{
    const struct runners *runners = call->runners;
    int64_t now_ms = clock_monotonic_ms();
    bool settled = is_settled(call, now_ms);
    bool alone = runners->up == 0 && now_ms >= runners->alone_since_ms + PATIENCE_MS;
    if (!settled && !alone && now_ms < call->deadline_ms) {
        return true;
    }
    if (call->is_want) {
        bool answered = settled || call->answered != 0 || runners->ending;
        tell_forget(call, call->asked);
        end_want(call, answered ? RUNNERS_NOTHING : RUNNERS_UNREACHABLE, NULL);
    } else {
        end_beat(call, NULL);
    }
    return false;
}

static void on_timer(evutil_socket_t fd SB_UNUSED, short what SB_UNUSED, void *arg)
{
    struct runners_call *call = arg;
    int64_t now_ms = clock_monotonic_ms();
    if (!go_on(call)) {
        return;
    }
    if (now_ms >= call->again_ms) {
        call->again_ms = now_ms + (call->is_want ? WANT_AGAIN_MS : BEAT_AGAIN_MS);
        ask(call, UINT32_MAX);
    }
    schedule(call);
}

static struct runners_call *create(struct runners *runners, size_t text_bytes, int64_t wait_ms)
{
    struct runners_call *call = memory_new(sizeof *call + text_bytes);
    struct uuid key = map_number_key(++runners->last_number);
    int64_t now_ms = clock_monotonic_ms();
    call->runners = runners;
    call->number = runners->last_number;
    call->end_ms = now_ms + wait_ms;
    call->deadline_ms = call->end_ms + PATIENCE_MS;
    call->timer = event_new(runners->actor->base, -1, 0, on_timer, call);
    list_init(&call->node);
    list_append(&runners->calls, &call->node);
    (void)map_put(&runners->by_number, &key, call);
    return call;
}

/* Moves a text behind the ones that are there. */
static void keep(struct runners_call *call, size_t *at, const uint8_t **data, size_t length)
{
    if (length > 0) {
        memcpy(call->texts + *at, *data, length);
    }
    *data = call->texts + *at;
    *at += length;
}

struct runners_call *runners_want(struct runners *runners, const struct message_job_want *want,
                                  runners_given_fn *given, void *arg)
{
    size_t bytes = want->worker.length + want->queues.length + want->types.length;
    size_t at = 0;
    struct runners_call *call =
        create(runners, bytes, runners->ending ? 0 : (int64_t)want->wait_ms);
    call->is_want = true;
    call->want = *want;
    call->given = given;
    call->arg = arg;
    call->again_ms = clock_monotonic_ms() + WANT_AGAIN_MS;
    keep(call, &at, &call->want.worker.data, call->want.worker.length);
    keep(call, &at, &call->want.queues.data, call->want.queues.length);
    keep(call, &at, &call->want.types.data, call->want.types.length);
    count_want(call, true);
    if (runners->ending) {
        call->deadline_ms = call->end_ms;
    } else {
        ask(call, UINT32_MAX);
    }
    schedule(call);
    return call;
}

void runners_forget(struct runners_call **call)
{
    if (*call != NULL) {
        tell_forget(*call, (*call)->asked);
        destroy(*call);
        *call = NULL;
    }
}

void runners_beat(struct runners *runners, const struct message_job_beat *beat,
                  runners_beaten_fn *beaten, void *arg)
{
    size_t at = 0;
    struct runners_call *call = create(runners, beat->note.length, 0);
    call->beat = *beat;
    call->beaten = beaten;
    call->arg = arg;
    call->again_ms = clock_monotonic_ms() + BEAT_AGAIN_MS;
    keep(call, &at, &call->beat.note.data, call->beat.note.length);
    ask(call, UINT32_MAX);
    schedule(call);
}

void runners_tell_rules(struct runners *runners, const struct uuid *tenant)
{
    struct message_header header = {.generation = runners->actor->generation};
    struct message_job_rules message = {0};
    memcpy(message.tenant, tenant->bytes, sizeof message.tenant);
    msgpack_sbuffer_clear(&runners->frame);
    message_job_rules_encode(&runners->frame, &header, &message);
    for (size_t i = 0; i < runners->link_count; i++) {
        (void)send_frame(runners, &runners->links[i]); /* lost: they look now and then */
    }
}

/* Asked once more without a wait: each tells what it has, and no job is left between us. */
void runners_end_waits(struct runners *runners)
{
    int64_t now_ms = clock_monotonic_ms();
    runners->ending = true;
    LIST_FOR_EACH(node, &runners->calls)
    {
        struct runners_call *call = LIST_ENTRY(node, struct runners_call, node);
        if (call->is_want) {
            call->end_ms = now_ms;
            call->deadline_ms = now_ms + LAST_WORD_MS;
            ask(call, call->asked);
            schedule(call);
        }
    }
}

size_t runners_waiting(const struct runners *runners)
{
    return runners->wants;
}

/* ---- answers ---- */

static struct runners_call *find(const struct runners *runners, uint64_t number, bool is_want)
{
    struct uuid key = map_number_key(number);
    struct runners_call *call = map_get(&runners->by_number, &key);
    return call != NULL && call->is_want == is_want ? call : NULL;
}

static void give_back(struct runners *runners, const struct message_job_given *given)
{
    struct message_list cursor = given->jobs;
    struct message_job_given_job job;
    while (message_job_given_job_next(&cursor, &job)) {
        surplus_add(runners->surplus, job.job, job.token);
    }
}

static void take_nothing(struct runners_call *call, uint32_t link)
{
    call->asked &= ~link;
    call->answered |= link;
    (void)go_on(call);
}

static void take_given(struct link *link, uint64_t number, const struct message_job_given *given)
{
    struct runners *runners = link->runners;
    struct runners_call *call = find(runners, number, true);
    if (call == NULL) {
        give_back(runners, given);
    } else if (given->jobs.count > 0) {
        /* One that was asked twice may have taken the second asking for a new one. */
        tell_forget(call, call->repeated ? call->asked : call->asked & ~link->bit);
        end_want(call, RUNNERS_GIVEN, given);
    } else {
        call->waited |= given->elsewhere ? 0 : link->bit;
        take_nothing(call, link->bit);
    }
}

static void take_beaten(struct link *link, uint64_t number, const struct message_job_beaten *beaten)
{
    struct runners_call *call = find(link->runners, number, false);
    if (call == NULL) {
        return; /* another one has answered before */
    }
    if (beaten->state == JOB_BEAT_ELSEWHERE) {
        take_nothing(call, link->bit);
    } else {
        end_beat(call, beaten);
    }
}

static void on_received(void *arg, const struct bus_peer *peer SB_UNUSED, const uint8_t *frame,
                        size_t length)
{
    struct link *link = arg;
    struct message_header header;
    struct message_job_given given;
    struct message_job_beaten beaten;
    if (message_peek(frame, length, &header) != 0) {
        metric_add(METRIC_MESSAGES_REJECTED, 1);
    } else if (header.type == MESSAGE_JOB_GIVEN &&
               message_job_given_decode(frame, length, &header, &given) == 0) {
        take_given(link, header.request, &given);
    } else if (header.type == MESSAGE_JOB_BEATEN &&
               message_job_beaten_decode(frame, length, &header, &beaten) == 0) {
        take_beaten(link, header.request, &beaten);
    } else {
        metric_add(METRIC_MESSAGES_REJECTED, 1);
    }
}

/* A job-runner that comes knows nothing of us; one that goes takes what it knew along. */
static void on_connected(void *arg, bool up)
{
    struct link *link = arg;
    struct runners *runners = link->runners;
    runners->up = up ? runners->up | link->bit : runners->up & ~link->bit;
    runners->alone_since_ms = clock_monotonic_ms();
    LIST_FOR_EACH(node, &runners->calls)
    {
        struct runners_call *call = LIST_ENTRY(node, struct runners_call, node);
        call->asked &= ~link->bit;
        call->answered &= ~link->bit;
        call->waited &= ~link->bit;
        if (up) {
            ask(call, link->bit);
        }
        schedule(call);
    }
}

/* ---- life ---- */

static int open_link(struct runners *runners, unsigned slot, struct error *err)
{
    struct link *link = &runners->links[slot - 1];
    char file[32];
    char path[LIMIT_SOCKET_PATH_BYTES + 1];
    char identity[32];
    (void)snprintf(file, sizeof file, CHILD_SOCKET_JOBS, slot);
    actor_path(runners->actor, file, path);
    (void)snprintf(identity, sizeof identity, "%.15s.%llu", runners->actor->instance,
                   (unsigned long long)runners->actor->generation);
    struct bus_options options = {.role = BUS_COMMANDS_CLIENT,
                                  .path = path,
                                  .identity = identity,
                                  .handler = {on_received, on_connected, link}};
    *link = (struct link){.runners = runners, .bit = 1U << (slot - 1)};
    link->socket = bus_open(runners->actor->bus, &options, err);
    return link->socket == NULL ? -1 : 0;
}

struct runners *runners_create(struct actor *actor, struct surplus *surplus, struct error *err)
{
    struct runners *runners = memory_new(sizeof *runners);
    size_t count = (size_t)settings_int(actor->settings, SETTING_JOB_RUNNER_COUNT);
    assert(count <= SLOTS_MAX);
    runners->actor = actor;
    runners->surplus = surplus;
    runners->alone_since_ms = clock_monotonic_ms();
    list_init(&runners->calls);
    msgpack_sbuffer_init(&runners->frame);
    while (runners->link_count < count) {
        if (open_link(runners, (unsigned)++runners->link_count, err) != 0) {
            runners_destroy(&runners);
            return NULL;
        }
    }
    return runners;
}

void runners_destroy(struct runners **runners_at)
{
    struct runners *runners = *runners_at;
    struct list *first;
    if (runners == NULL) {
        return;
    }
    runners->ending = true;
    while ((first = list_first(&runners->calls)) != NULL) {
        struct runners_call *call = LIST_ENTRY(first, struct runners_call, node);
        if (call->is_want) {
            end_want(call, RUNNERS_NOTHING, NULL);
        } else {
            end_beat(call, NULL);
        }
    }
    for (size_t i = 0; i < runners->link_count; i++) {
        bus_close(&runners->links[i].socket);
    }
    map_deinit(&runners->by_number);
    map_deinit(&runners->by_tenant);
    msgpack_sbuffer_destroy(&runners->frame);
    free(runners);
    *runners_at = NULL;
}
