/*
 * See runners.h. A call is known to a job-runner by its number and this process's routing id, so
 * asking again is harmless. An answer to a number that is not under way comes from one that was
 * slower than another, or than the client: its jobs are surplus.
 */
#include "api/runners.h"

#include "api/runners_internal.h"
#include "runtime/base/clock.h"
#include "runtime/base/memory.h"
#include "runtime/base/metrics.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum {
    WANT_AGAIN_MS = 5000, /* one that was full may have room; and it shows that we are alive */
    BEAT_AGAIN_MS = 300,
    PATIENCE_MS = 2000, /* with job-runners that are not there, or silent */
    LAST_WORD_MS = 500  /* the same while draining */
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

void runners_ask(struct runners_call *call, uint32_t links)
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

void runners_tell_forget(struct runners_call *call, uint32_t links)
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

void runners_schedule(struct runners_call *call)
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

void runners_end_want(struct runners_call *call, enum runners_end end,
                      const struct message_job_given *given)
{
    runners_given_fn *done = call->given;
    void *arg = call->arg;
    destroy(call);
    done(arg, end, given);
}

void runners_end_beat(struct runners_call *call, const struct message_job_beaten *beaten)
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

bool runners_go_on(struct runners_call *call)
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
        runners_tell_forget(call, call->asked);
        runners_end_want(call, answered ? RUNNERS_NOTHING : RUNNERS_UNREACHABLE, NULL);
    } else {
        runners_end_beat(call, NULL);
    }
    return false;
}

static void on_timer(evutil_socket_t fd SB_UNUSED, short what SB_UNUSED, void *arg)
{
    struct runners_call *call = arg;
    int64_t now_ms = clock_monotonic_ms();
    if (!runners_go_on(call)) {
        return;
    }
    if (now_ms >= call->again_ms) {
        call->again_ms = now_ms + (call->is_want ? WANT_AGAIN_MS : BEAT_AGAIN_MS);
        runners_ask(call, UINT32_MAX);
    }
    runners_schedule(call);
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
        runners_ask(call, UINT32_MAX);
    }
    runners_schedule(call);
    return call;
}

void runners_forget(struct runners_call **call)
{
    if (*call != NULL) {
        runners_tell_forget(*call, (*call)->asked);
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
    runners_ask(call, UINT32_MAX);
    runners_schedule(call);
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
            runners_ask(call, call->asked);
            runners_schedule(call);
        }
    }
}

size_t runners_waiting(const struct runners *runners)
{
    return runners->wants;
}

/* ---- life ---- */

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
        if (runners_open_link(runners, (unsigned)++runners->link_count, err) != 0) {
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
            runners_end_want(call, RUNNERS_NOTHING, NULL);
        } else {
            runners_end_beat(call, NULL);
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
