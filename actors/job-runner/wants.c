/* See wants.h: the socket, and what comes on it. Who waits is in wants_wait.c. */
#include "job-runner/wants.h"

#include "job-runner/jobs.h"
#include "job-runner/kind.h"
#include "job-runner/lease.h"
#include "job-runner/rules.h"
#include "job-runner/schedule.h"
#include "job-runner/wants_internal.h"
#include "proto/child_contract.h"
#include "proto/job.h"
#include "runtime/base/limits.h"
#include "runtime/base/log.h"
#include "runtime/base/memory.h"
#include "runtime/base/metrics.h"
#include "runtime/base/number.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the socket ---- */

enum bus_send_result wants_reply(struct wants *wants, const struct bus_peer *peer)
{
    return bus_send(wants->socket, peer, BUS_TOPIC_NONE, wants->frame.data, wants->frame.size);
}

/* ---- JOB_BEAT ---- */

static int take_beat(struct wants *wants, const struct bus_peer *id, uint64_t number,
                     const struct message_job_beat *beat)
{
    struct job_runner *runner = wants->runner;
    struct message_header header = {.generation = runner->actor->generation, .request = number};
    struct lease_answer alive = {.state = JOB_BEAT_ELSEWHERE};
    struct uuid job_id;
    struct uuid token;
    if (beat->percent < -1 || beat->percent > 100) {
        return -1;
    }
    memcpy(job_id.bytes, beat->job, sizeof job_id.bytes);
    memcpy(token.bytes, beat->token, sizeof token.bytes);
    const struct job *job = jobs_by_uuid(runner->jobs, &job_id);
    if (job != NULL && memcmp(job->tenant.bytes, beat->tenant, sizeof beat->tenant) == 0) {
        alive = lease_beat(runner->lease, &job_id, &token, (int)beat->percent,
                           (const char *)beat->note.data, beat->note.length);
    }
    const struct message_job_beaten beaten = {
        .state = (uint64_t)alive.state, .cancel = alive.cancel, .lease_ms = alive.lease_ms};
    msgpack_sbuffer_clear(&wants->frame);
    message_job_beaten_encode(&wants->frame, &header, &beaten);
    (void)wants_reply(wants, id); /* lost: it asks again */
    return 0;
}

/* ---- what comes ---- */

static int take(struct wants *wants, const struct bus_peer *peer, const uint8_t *frame,
                size_t length)
{
    struct message_header header;
    struct message_job_want want;
    struct message_job_forget gone;
    struct message_job_beat beat;
    struct message_job_rules rules;
    if (message_peek(frame, length, &header) != 0) {
        return -1;
    }
    if (header.type == MESSAGE_JOB_WANT &&
        message_job_want_decode(frame, length, &header, &want) == 0) {
        return wants_take(wants, peer, header.request, &want);
    }
    if (header.type == MESSAGE_JOB_BEAT &&
        message_job_beat_decode(frame, length, &header, &beat) == 0) {
        return take_beat(wants, peer, header.request, &beat);
    }
    if (header.type == MESSAGE_JOB_FORGET &&
        message_job_forget_decode(frame, length, &header, &gone) == 0) {
        wants_take_forget(wants, peer, header.request);
        return 0;
    }
    if (header.type == MESSAGE_JOB_RULES &&
        message_job_rules_decode(frame, length, &header, &rules) == 0) {
        rules_changed(wants->runner->rules);
        schedule_wake(wants->runner->schedule);
        return 0;
    }
    return -1;
}

static void on_received(void *arg, const struct bus_peer *peer, const uint8_t *frame, size_t length)
{
    if (take(arg, peer, frame, length) != 0) {
        metric_add(METRIC_MESSAGES_REJECTED, 1);
        LOG_WARN("a message of an api was not understood", LOG_INT("bytes", length));
    }
}

void wants_drain(struct wants *wants)
{
    wants->draining = true;
    LIST_FOR_EACH(node, &wants->peers)
    {
        const struct peer *peer = LIST_ENTRY(node, struct peer, node);
        struct want *want;
        size_t cursor = 0;
        while ((want = map_next(&peer->wants, &cursor)) != NULL) {
            wants_close(want, true);
        }
    }
}

bool wants_is_idle(const struct wants *wants)
{
    return wants->count == 0;
}

size_t wants_count(const struct wants *wants)
{
    return wants->count;
}

/* Of the slot: the number at the end of the instance's name. The socket is there; the bus only wants
 * its name. */
static void path_of(const struct actor *actor, char path[LIMIT_SOCKET_PATH_BYTES + 1])
{
    const char *number = strrchr(actor->instance, '-');
    int64_t slot = 1;
    char file[32];
    if (number != NULL && number_parse(number + 1, strlen(number + 1), &slot) != 0) {
        slot = 1;
    }
    (void)snprintf(file, sizeof file, CHILD_SOCKET_JOBS, (unsigned)slot);
    actor_path(actor, file, path);
}

struct wants *wants_create(struct job_runner *runner, struct error *err)
{
    const struct settings *settings = runner->actor->settings;
    struct wants *wants = memory_new(sizeof *wants);
    size_t apis = (size_t)settings_int(settings, SETTING_API_COUNT) + 1; /* one may be leaving */
    wants->runner = runner;
    wants->most = apis * (size_t)settings_int(settings, SETTING_JOBS_WAITS);
    wants->most_of_tenant = apis * (size_t)settings_int(settings, SETTING_JOBS_WAITS_PER_TENANT);
    wants->types_never = memory_array(kinds_count + 1, sizeof *wants->types_never);
    for (size_t i = 0; i < kinds_count; i++) {
        wants->types_never[i] = kinds[i]->type;
    }
    list_init(&wants->peers);
    msgpack_sbuffer_init(&wants->frame);
    char path[LIMIT_SOCKET_PATH_BYTES + 1];
    path_of(runner->actor, path);
    struct bus_options options = {.role = BUS_COMMANDS_SERVER,
                                  .path = path,
                                  .listener = actor_listener(runner->actor, CHILD_LISTENER_JOBS),
                                  .handler = {.received = on_received, .arg = wants}};
    if (options.listener < 0) {
        error_set(err, "the listener for workers was not inherited");
    } else {
        wants->socket = bus_open(runner->actor->bus, &options, err);
    }
    if (wants->socket == NULL) {
        wants_destroy(&wants);
    }
    return wants;
}

void wants_destroy(struct wants **wants_at)
{
    struct wants *wants = *wants_at;
    struct list *first;
    if (wants == NULL) {
        return;
    }
    wants->draining = false; /* nobody is told any more */
    while ((first = list_first(&wants->peers)) != NULL) {
        wants_forget_peer(LIST_ENTRY(first, struct peer, node));
    }
    if (wants->socket != NULL) {
        bus_close(&wants->socket);
    }
    map_deinit(&wants->tenants);
    free(wants->types_never);
    msgpack_sbuffer_destroy(&wants->frame);
    free(wants);
    *wants_at = NULL;
}
