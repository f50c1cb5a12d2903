/* See surplus.h. One command is under way at a time; giving back what has been given back does no
 * harm, so an unknown outcome is asked again. */
#include "api/surplus.h"

#include "proto/job.h"
#include "proto/messages.h"
#include "proto/outcome.h"
#include "runtime/base/buffer.h"
#include "runtime/base/log.h"
#include "runtime/base/memory.h"
#include "runtime/base/metrics.h"
#include "runtime/commands.h"

#include <stdlib.h>
#include <string.h>

enum { AT_ONCE = 256, WAITING_MAX = 100000, AGAIN_MS = 100 };

struct claim {
    uint8_t job[16];
    uint8_t token[16];
};

struct surplus {
    struct commands *commands; /* borrowed */
    struct event *timer;
    struct buffer claims; /* struct claim, one behind the other */
    size_t sent;          /* of them, from the front, in the command under way */
};

static void wake(struct surplus *surplus, int ms)
{
    if (event_pending(surplus->timer, EV_TIMEOUT, NULL) == 0) {
        struct timeval wait = {.tv_usec = ms * 1000};
        (void)event_add(surplus->timer, &wait);
    }
}

size_t surplus_count(const struct surplus *surplus)
{
    return surplus->claims.length / sizeof(struct claim);
}

static void given_back(void *arg, enum command_state state,
                       const struct message_jobs_result *result)
{
    struct surplus *surplus = arg;
    bool done = state == COMMAND_DONE; /* a refusal stays one: those claims end by their leases */
    if (done && result->outcome != OUTCOME_OK) {
        LOG_WARN("claims that nobody took were not taken back", LOG_INT("claims", surplus->sent));
    } else if (done) {
        metric_add(METRIC_JOB_CLAIMS_UNUSED, (int64_t)surplus->sent);
    }
    if (done) {
        buffer_consume(&surplus->claims, surplus->sent * sizeof(struct claim));
    }
    surplus->sent = 0;
    if (surplus->claims.length > 0) {
        wake(surplus, done ? 0 : AGAIN_MS);
    }
}

static void encode(const struct surplus *surplus, size_t count, struct msgpack_sbuffer *changes)
{
    for (size_t i = 0; i < count; i++) {
        struct claim claim;
        struct message_change_jobs_change change = {.what = JOB_RELEASE, .percent = -1};
        memcpy(&claim, surplus->claims.data + i * sizeof claim, sizeof claim);
        memcpy(change.job, claim.job, sizeof change.job);
        memcpy(change.token, claim.token, sizeof change.token);
        message_change_jobs_change_encode(changes, &change);
    }
}

static void flush(struct surplus *surplus)
{
    size_t count = surplus_count(surplus);
    struct msgpack_sbuffer changes;
    if (count == 0 || surplus->sent > 0) {
        return;
    }
    count = count < AT_ONCE ? count : AT_ONCE;
    msgpack_sbuffer_init(&changes);
    encode(surplus, count, &changes);
    struct message_change_jobs message = {
        .changes = {(const uint8_t *)changes.data, changes.size, (uint32_t)count}};
    surplus->sent = count;
    if (commands_change_jobs(surplus->commands, &message, given_back, surplus) != 0) {
        surplus->sent = 0;
        wake(surplus, AGAIN_MS);
    }
    msgpack_sbuffer_destroy(&changes);
}

static void on_timer(evutil_socket_t fd SB_UNUSED, short what SB_UNUSED, void *arg)
{
    flush(arg);
}

void surplus_add(struct surplus *surplus, const uint8_t job[16], const uint8_t token[16])
{
    struct claim claim;
    if (surplus_count(surplus) >= WAITING_MAX) {
        LOG_WARN("a claim that nobody took is left to the end of its lease");
        return;
    }
    memcpy(claim.job, job, sizeof claim.job);
    memcpy(claim.token, token, sizeof claim.token);
    buffer_append(&surplus->claims, &claim, sizeof claim);
    wake(surplus, 0);
}

struct surplus *surplus_create(struct actor *actor, struct commands *commands)
{
    struct surplus *surplus = memory_new(sizeof *surplus);
    surplus->commands = commands;
    surplus->timer = event_new(actor->base, -1, 0, on_timer, surplus);
    return surplus;
}

void surplus_destroy(struct surplus **surplus)
{
    if (*surplus == NULL) {
        return;
    }
    flush(*surplus);
    commands_forget((*surplus)->commands, *surplus);
    event_free((*surplus)->timer);
    buffer_deinit(&(*surplus)->claims);
    free(*surplus);
    *surplus = NULL;
}
