/* The links of runners.h: that they come and go, and the answers that come over them. */
#include "api/runners_internal.h"
#include "api/surplus.h"
#include "proto/child_contract.h"
#include "proto/job.h"
#include "runtime/base/clock.h"
#include "runtime/base/limits.h"
#include "runtime/base/metrics.h"

#include <stdio.h>

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
    (void)runners_go_on(call);
}

static void take_given(struct link *link, uint64_t number, const struct message_job_given *given)
{
    struct runners *runners = link->runners;
    struct runners_call *call = find(runners, number, true);
    if (call == NULL) {
        give_back(runners, given);
    } else if (given->jobs.count > 0) {
        /* One that was asked twice may have taken the second asking for a new one. */
        runners_tell_forget(call, call->repeated ? call->asked : call->asked & ~link->bit);
        runners_end_want(call, RUNNERS_GIVEN, given);
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
        runners_end_beat(call, beaten);
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
            runners_ask(call, link->bit);
        }
        runners_schedule(call);
    }
}

/* ---- opening ---- */

int runners_open_link(struct runners *runners, unsigned slot, struct error *err)
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
