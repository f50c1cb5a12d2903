/*
 * One worker that waits over HTTP, see wants.h. A wish is known by who asks and its number; asking
 * again only renews it. One whose api has not asked again for long is of a process that is gone.
 */
#include "job-runner/claim.h"
#include "job-runner/kind.h"
#include "job-runner/report.h"
#include "job-runner/wants_internal.h"
#include "runtime/base/buffer.h"
#include "runtime/base/clock.h"
#include "runtime/base/memory.h"
#include "runtime/base/metrics.h"

#include <stdlib.h>
#include <string.h>

enum {
    NAMES_MAX = 100,
    ANSWER_BYTES_MAX = 3 << 20, /* of one JOB_GIVEN; the bus takes 4 MiB */
    ITEM_BYTES_MAX = 4096,      /* of a job in it, besides its payload */
    SETTLE_MS = 2,              /* between looks at claims under way for who has to be answered */
    SILENCE_MS = 12000          /* an api asks again every 5 s */
};

/* ---- who asks ---- */

static struct peer *find_peer(struct wants *wants, const struct bus_peer *id)
{
    LIST_FOR_EACH(node, &wants->peers)
    {
        struct peer *peer = LIST_ENTRY(node, struct peer, node);
        if (peer->id.length == id->length && memcmp(peer->id.id, id->id, id->length) == 0) {
            return peer;
        }
    }
    struct peer *peer = memory_new(sizeof *peer);
    peer->id = *id;
    list_init(&peer->node);
    list_append(&wants->peers, &peer->node);
    return peer;
}

static struct want *find_want(const struct peer *peer, uint64_t number)
{
    struct uuid key = map_number_key(number);
    return map_get(&peer->wants, &key);
}

static void drop_peer(struct peer *peer)
{
    list_remove(&peer->node);
    map_deinit(&peer->wants);
    free(peer);
}

/* One that waits for nothing need not be known. */
static void leave_peer(struct peer *peer)
{
    if (peer->wants.count == 0) {
        drop_peer(peer);
    }
}

static size_t count_of(const struct wants *wants, const struct uuid *tenant)
{
    return (size_t)(uintptr_t)map_get(&wants->tenants, tenant);
}

static void set_count(struct wants *wants, const struct uuid *tenant, size_t count)
{
    if (count == 0) {
        (void)map_remove(&wants->tenants, tenant);
    } else {
        (void)map_put(&wants->tenants, tenant, (void *)(uintptr_t)count);
    }
}

/* ---- answers ---- */

static enum bus_send_result send_given(struct wants *wants, const struct bus_peer *peer,
                                       uint64_t number, const struct message_job_given *given)
{
    struct message_header header = {.generation = wants->runner->actor->generation,
                                    .request = number};
    msgpack_sbuffer_clear(&wants->frame);
    message_job_given_encode(&wants->frame, &header, given);
    return wants_reply(wants, peer);
}

static void send_elsewhere(struct wants *wants, const struct bus_peer *peer, uint64_t number)
{
    const struct message_job_given given = {.elsewhere = true};
    (void)send_given(wants, peer, number, &given); /* lost: it asks again */
}

static void give_back(struct wants *wants, const uint8_t job[16], const uint8_t token[16])
{
    struct report_change change = {.what = JOB_RELEASE, .percent = -1};
    memcpy(change.job.bytes, job, sizeof change.job.bytes);
    memcpy(change.token.bytes, token, sizeof change.token.bytes);
    report_send(wants->runner->report, &change, NULL, NULL);
    metric_add(METRIC_JOB_CLAIMS_UNUSED, 1);
}

static struct message_list jobs_of(const struct want *want)
{
    return (struct message_list){(const uint8_t *)want->jobs.data, want->jobs.size, want->count};
}

static void give_all_back(const struct want *want)
{
    struct message_list cursor = jobs_of(want);
    struct message_job_given_job job;
    while (message_job_given_job_next(&cursor, &job)) {
        give_back(want->wants, job.job, job.token);
    }
}

/* What is granted to it later, claim gives back. */
static void destroy(struct want *want)
{
    struct wants *wants = want->wants;
    struct uuid key = map_number_key(want->number);
    (void)map_remove(&want->peer->wants, &key);
    set_count(wants, &want->tenant, count_of(wants, &want->tenant) - 1);
    wants->count--;
    claim_close(&want->demand);
    event_free(want->timer);
    msgpack_sbuffer_destroy(&want->jobs);
    free(want);
    if (wants->draining && wants->count == 0) {
        job_runner_settle(wants->runner);
    }
}

static void forget(struct want *want)
{
    struct peer *peer = want->peer;
    give_all_back(want);
    destroy(want);
    leave_peer(peer);
}

void wants_forget_peer(struct peer *peer)
{
    struct want *want;
    size_t cursor = 0;
    while ((want = map_next(&peer->wants, &cursor)) != NULL) {
        give_all_back(want);
        destroy(want);
        cursor = 0;
    }
    drop_peer(peer);
}

static void answer(struct want *want)
{
    struct peer *peer = want->peer;
    const struct message_job_given given = {.elsewhere = want->elsewhere && want->count == 0,
                                            .jobs = jobs_of(want)};
    enum bus_send_result sent = send_given(want->wants, &peer->id, want->number, &given);
    if (sent == BUS_UNREACHABLE) {
        wants_forget_peer(peer);
        return;
    }
    if (sent == BUS_FULL) {
        give_all_back(want);
    }
    destroy(want);
    leave_peer(peer);
}

/* ---- waiting ---- */

static void wake(struct want *want, int64_t ms)
{
    struct timeval wait = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};
    (void)event_add(want->timer, &wait);
}

void wants_close(struct want *want, bool elsewhere)
{
    want->elsewhere |= elsewhere;
    if (!want->closing) {
        want->closing = true;
        claim_stop(want->demand);
    }
    wake(want, 0);
}

static void on_timer(evutil_socket_t fd SB_UNUSED, short what SB_UNUSED, void *arg)
{
    struct want *want = arg;
    int64_t now_ms = clock_monotonic_ms();
    if (now_ms - want->renewed_ms >= SILENCE_MS) {
        forget(want);
        return;
    }
    /* Who does not wait gets what there is now: the first look has to be over. */
    if (!want->closing && now_ms >= want->end_ms) {
        if (!claim_is_idle(want->demand)) {
            wake(want, SETTLE_MS);
            return;
        }
        wants_close(want, false);
    }
    if (!want->closing) {
        int64_t left_ms = want->end_ms - now_ms;
        wake(want, left_ms < SILENCE_MS ? left_ms : SILENCE_MS);
    } else if (claim_is_idle(want->demand)) {
        answer(want);
    } else {
        wake(want, SETTLE_MS);
    }
}

/* What one frame cannot hold goes back; it costs no attempt. */
static void given(void *arg, const struct claimed *claimed)
{
    struct want *want = arg;
    if (want->jobs.size + claimed->payload.length + ITEM_BYTES_MAX > ANSWER_BYTES_MAX) {
        give_back(want->wants, claimed->job.bytes, claimed->token.bytes);
        return;
    }
    struct message_job_given_job item = {
        .key = {(const uint8_t *)claimed->key, strlen(claimed->key)},
        .type = {(const uint8_t *)claimed->type, strlen(claimed->type)},
        .queue = {(const uint8_t *)claimed->queue, strlen(claimed->queue)},
        .attempt = claimed->attempt,
        .max_attempts = claimed->max_attempts,
        .lease_ms = want->delivery_ms > 0 ? want->delivery_ms : want->lease_ms,
        .payload = claimed->payload};
    memcpy(item.job, claimed->job.bytes, sizeof item.job);
    memcpy(item.token, claimed->token.bytes, sizeof item.token);
    memcpy(item.run, claimed->run.bytes, sizeof item.run);
    message_job_given_job_encode(&want->jobs, &item);
    want->count++;
    wants_close(want, false); /* with what else is under way now */
}

/* ---- JOB_WANT ---- */

/* Names of a list as texts, in `text`. */
struct names {
    const char *names[NAMES_MAX];
    size_t count;
    struct buffer text;
};

/* -1: more than there may be. Items of both lists are one text. */
static int read_names(struct message_list list, struct names *names)
{
    size_t offsets[NAMES_MAX];
    struct message_job_want_queue item;
    while (message_job_want_queue_next(&list, &item)) {
        if (names->count == NAMES_MAX) {
            return -1;
        }
        offsets[names->count++] = names->text.length;
        buffer_append(&names->text, item.name.data, item.name.length);
        buffer_append_byte(&names->text, 0);
    }
    for (size_t i = 0; i < names->count; i++) {
        names->names[i] = (const char *)names->text.data + offsets[i];
    }
    return 0;
}

static void open_demand(struct want *want, const struct message_job_want *message,
                        const struct names *queues, const struct names *types)
{
    struct wants *wants = want->wants;
    struct buffer worker = {0};
    buffer_append(&worker, message->worker.data, message->worker.length);
    const struct claim_terms terms = {
        .filter = {.tenant = &want->tenant,
                   .queues = queues->names,
                   .queues_count = queues->count,
                   .types = types->names,
                   .types_count = types->count,
                   .types_never = wants->types_never,
                   .types_never_count = types->count == 0 ? kinds_count : 0},
        .worker = buffer_text(&worker),
        .lease_ms = message->lease_ms,
        .delivery_ms = message->delivery_ms,
        .given = given,
        .arg = want};
    want->demand = claim_open(wants->runner->claim, &terms);
    claim_set_room(want->demand, message->max);
    buffer_deinit(&worker);
}

static void open_want(struct wants *wants, const struct bus_peer *id, uint64_t number,
                      const struct message_job_want *message, const struct names *queues,
                      const struct names *types)
{
    struct want *want = memory_new(sizeof *want);
    struct uuid key = map_number_key(number);
    want->wants = wants;
    want->peer = find_peer(wants, id);
    want->number = number;
    want->timer = event_new(wants->runner->actor->base, -1, 0, on_timer, want);
    memcpy(want->tenant.bytes, message->tenant, sizeof want->tenant.bytes);
    want->lease_ms = message->lease_ms;
    want->delivery_ms = message->delivery_ms;
    want->renewed_ms = clock_monotonic_ms();
    want->end_ms = want->renewed_ms + (int64_t)message->wait_ms;
    msgpack_sbuffer_init(&want->jobs);
    (void)map_put(&want->peer->wants, &key, want);
    set_count(wants, &want->tenant, count_of(wants, &want->tenant) + 1);
    wants->count++;
    open_demand(want, message, queues, types);
    wake(want, message->wait_ms < SILENCE_MS ? (int64_t)message->wait_ms : SILENCE_MS);
}

/* The end of its wait may have come nearer, when the api drains. */
static void renew(struct want *want, uint64_t wait_ms)
{
    want->renewed_ms = clock_monotonic_ms();
    want->end_ms = want->renewed_ms + (int64_t)wait_ms;
    if (!want->closing) {
        wake(want, wait_ms < SILENCE_MS ? (int64_t)wait_ms : SILENCE_MS);
    }
}

static bool is_full(const struct wants *wants, const struct uuid *tenant)
{
    return wants->count >= wants->most || count_of(wants, tenant) >= wants->most_of_tenant;
}

int wants_take(struct wants *wants, const struct bus_peer *id, uint64_t number,
               const struct message_job_want *message)
{
    struct peer *peer = find_peer(wants, id);
    struct want *known = find_want(peer, number);
    struct names queues = {.count = 0};
    struct names types = {.count = 0};
    struct uuid tenant;
    memcpy(tenant.bytes, message->tenant, sizeof tenant.bytes);
    leave_peer(peer);
    if (known != NULL) {
        renew(known, message->wait_ms);
        return 0;
    }
    if (message->wait_ms > INT32_MAX || message->max == 0 ||
        read_names(message->queues, &queues) != 0 || read_names(message->types, &types) != 0) {
        buffer_deinit(&queues.text);
        buffer_deinit(&types.text);
        return -1;
    }
    if (wants->draining || is_full(wants, &tenant)) {
        send_elsewhere(wants, id, number);
    } else {
        open_want(wants, id, number, message, &queues, &types);
    }
    buffer_deinit(&queues.text);
    buffer_deinit(&types.text);
    return 0;
}

void wants_take_forget(struct wants *wants, const struct bus_peer *id, uint64_t number)
{
    struct peer *peer = find_peer(wants, id);
    struct want *want = find_want(peer, number);
    if (want != NULL) {
        forget(want);
    } else {
        leave_peer(peer);
    }
}
