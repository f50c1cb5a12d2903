/* See claim.h. */
#include "job-runner/claim.h"

#include "job-runner/changes.h"
#include "job-runner/jobs.h"
#include "job-runner/lease.h"
#include "job-runner/pages.h"
#include "job-runner/report.h"
#include "job-runner/rules.h"
#include "job-runner/runner.h"
#include "job-runner/store.h"
#include "runtime/base/clock.h"
#include "runtime/base/fault.h"
#include "runtime/base/list.h"
#include "runtime/base/log.h"
#include "runtime/base/map.h"
#include "runtime/base/memory.h"
#include "runtime/base/metrics.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

enum {
    GATHER_MAX = 256,
    UNDER_WAY_MAX = 512,
    PAYLOAD_AGAIN_MS = 200,
    TIMER_MAX_MS = 60000,
    NOT_YET_MS = 100
};

struct claim_demand {
    struct list node;
    struct claim *claim;
    struct claim_terms terms; /* with what it points to: owned */
    size_t room;
    size_t under_way;
    bool stopped;
    bool closed; /* freed with the last of its claims */
};

/* One job on its way to a demand: its claim is asked for, and its payload read meanwhile. */
struct taken {
    struct list node; /* of claim->taken */
    struct claim_demand *demand;
    struct job *job; /* a copy of our own: the memory may forget it */
    int64_t begun_us;
    bool granted;
    bool read;      /* the payload is here */
    bool missing;   /* there is none: the job has gone */
    uint64_t asked; /* by which statement; 0: not yet */
    unsigned attempt;
    struct uuid run;
    char *key;
    unsigned max_attempts;
    uint8_t *payload;
    size_t payload_length;
};

struct claim {
    struct job_runner *runner; /* borrowed */
    struct list demands;
    struct list taken;
    struct map by_number; /* of those taken: a job is in one at a time */
    struct event *timer;  /* something becomes due */
    struct event *again;  /* payloads could not be read */
    bool kicked;
    uint64_t asked; /* statements, which are answered in their order */
    uint64_t answered;
    uint8_t random[16 * 64]; /* for tokens: one call for many */
    size_t random_left;
};

/* ---- demands ---- */

static const char **copy_names(const char *const *names, size_t count)
{
    const char **copy = memory_array(count + 1, sizeof *copy);
    for (size_t i = 0; i < count; i++) {
        copy[i] = memory_string(names[i]);
    }
    return copy;
}

static void free_names(const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        free((char *)(uintptr_t)names[i]);
    }
    free((void *)(uintptr_t)names);
}

struct claim_demand *claim_open(struct claim *claim, const struct claim_terms *terms)
{
    struct claim_demand *demand = memory_new(sizeof *demand);
    struct ready_filter *filter = &demand->terms.filter;
    demand->claim = claim;
    demand->terms = *terms;
    demand->terms.worker = memory_string(terms->worker);
    filter->queues = copy_names(filter->queues, filter->queues_count);
    filter->types = copy_names(filter->types, filter->types_count);
    filter->types_never = copy_names(filter->types_never, filter->types_never_count);
    if (filter->tenant != NULL) {
        filter->tenant = memory_copy(filter->tenant, sizeof *filter->tenant);
    }
    list_append(&claim->demands, &demand->node);
    return demand;
}

static void free_demand(struct claim_demand *demand)
{
    const struct ready_filter *filter = &demand->terms.filter;
    list_remove(&demand->node);
    free_names(filter->queues, filter->queues_count);
    free_names(filter->types, filter->types_count);
    free_names(filter->types_never, filter->types_never_count);
    free((struct uuid *)(uintptr_t)filter->tenant);
    free((char *)(uintptr_t)demand->terms.worker);
    free(demand);
}

void claim_close(struct claim_demand **demand)
{
    if (*demand == NULL) {
        return;
    }
    (*demand)->closed = true;
    (*demand)->room = 0;
    if ((*demand)->under_way == 0) {
        free_demand(*demand);
    }
    *demand = NULL;
}

void claim_set_room(struct claim_demand *demand, size_t room)
{
    bool more = room > demand->room;
    demand->room = room;
    if (more) {
        claim_kick(demand->claim);
    }
}

void claim_stop(struct claim_demand *demand)
{
    demand->stopped = true;
}

/* ---- one job on its way ---- */

static void forget(struct claim *claim, struct taken *taken)
{
    struct uuid key = map_number_key((uint64_t)taken->job->id);
    struct claim_demand *demand = taken->demand;
    map_remove(&claim->by_number, &key);
    list_remove(&taken->node);
    demand->under_way--;
    if (demand->closed && demand->under_way == 0) {
        free_demand(demand);
    }
    free(taken->key);
    free(taken->payload);
    free(taken->job);
    free(taken);
}

static void release(struct claim *claim, const struct taken *taken)
{
    metric_add(METRIC_JOB_CLAIMS_UNUSED, 1);
    report_send(
        claim->runner->report,
        &(struct report_change){
            .job = taken->job->job, .token = taken->job->token, .what = JOB_RELEASE, .percent = -1},
        NULL, NULL);
}

static void hand_over(struct claim *claim, struct taken *taken)
{
    const struct claim_terms terms = taken->demand->terms;
    struct claimed claimed = {
        .id = taken->job->id,
        .job = taken->job->job,
        .token = taken->job->token,
        .tenant = taken->job->tenant,
        .run = taken->run,
        .key = taken->key,
        .type = taken->job->type,
        .queue = taken->job->queue,
        .attempt = taken->attempt,
        .max_attempts = taken->max_attempts,
        .lease_ms = terms.lease_ms,
        .payload = {taken->payload, taken->payload_length},
    };
    metric_add(METRIC_JOBS_CLAIMED, 1);
    metric_observe_us(HISTOGRAM_JOB_CLAIM, clock_monotonic_us() - taken->begun_us);
    lease_begin(claim->runner->lease, taken->job->id, &taken->job->token, terms.lease_ms,
                terms.delivery_ms, NULL, NULL);
    taken->demand->room--;
    SB_FAULT("jobs_claimed");
    terms.given(terms.arg, &claimed);
}

/* When both are there: the claim and the payload. */
static void settle(struct claim *claim, struct taken *taken)
{
    const struct claim_demand *demand = taken->demand;
    if (!taken->granted || !(taken->read || taken->missing)) {
        return;
    }
    /* Without a lease (its shard has gone meanwhile) nobody would renew it. */
    bool watched = lease_is_watched(claim->runner->lease, taken->job->id, &taken->job->token);
    if (!watched || taken->missing || demand->closed || demand->room == 0 ||
        claim->runner->actor->draining) {
        release(claim, taken);
    } else {
        hand_over(claim, taken);
    }
    forget(claim, taken);
    job_runner_settle(claim->runner);
}

static void on_outcome(void *arg, const struct change_outcome *outcome)
{
    struct taken *taken = arg;
    struct claim *claim = taken->demand->claim;
    if (outcome == NULL) {
        return; /* claim_destroy() frees it */
    }
    claim->kicked = true; /* there is room again; changes looks behind the last outcome */
    if (outcome->outcome != JOB_OUTCOME_OK) {
        metric_add(METRIC_JOB_CLAIMS_REFUSED, 1);
        forget(claim, taken);
        job_runner_settle(claim->runner);
        return;
    }
    taken->granted = true;
    taken->attempt = outcome->attempt;
    taken->run = uuid_is_nil(&outcome->run) ? taken->job->run : outcome->run;
    lease_hold(claim->runner->lease, taken->job);
    settle(claim, taken);
}

/* ---- payloads ---- */

static void take_payload(struct claim *claim, const struct db_result *result, int row)
{
    size_t length;
    struct uuid key = map_number_key((uint64_t)db_int8(result, row, 0));
    struct taken *taken = map_get(&claim->by_number, &key);
    if (taken == NULL || taken->read) {
        return;
    }
    const char *text = db_bytes(result, row, 1, &length);
    taken->key = memory_new(length + 1);
    memcpy(taken->key, text, length);
    taken->max_attempts = (unsigned)db_int4(result, row, 2);
    text = db_bytes(result, row, 3, &length);
    taken->payload = memory_new(length + 1);
    memcpy(taken->payload, text, length);
    taken->payload_length = length;
    taken->read = true;
    settle(claim, taken);
}

/* What the statement has not shown is not there; after a failure it is asked for again. */
static void on_payloads(void *arg, enum db_status status, const struct db_result *result)
{
    static const struct timeval again = {0, PAYLOAD_AGAIN_MS * 1000};
    struct claim *claim = arg;
    uint64_t number = ++claim->answered;
    if (status == DB_REFUSED) {
        LOG_ERROR("payloads of jobs cannot be read", LOG_TEXT("error", db_message(result)));
    }
    for (int row = 0; status == DB_OK && row < db_rows(result); row++) {
        take_payload(claim, result, row);
    }
    LIST_FOR_EACH(node, &claim->taken)
    {
        struct taken *taken = LIST_ENTRY(node, struct taken, node);
        if (taken->asked != number || taken->read) {
            continue;
        }
        if (status != DB_OK) {
            taken->asked = 0;
            event_add(claim->again, &again);
        } else {
            taken->missing = true;
            settle(claim, taken);
        }
    }
}

static void read_payloads(struct claim *claim)
{
    struct db_params params = {0};
    size_t count = 0;
    LIST_FOR_EACH(node, &claim->taken)
    {
        const struct taken *taken = LIST_ENTRY(node, struct taken, node);
        count += taken->asked == 0 ? 1 : 0;
    }
    if (count == 0) {
        return;
    }
    claim->asked++;
    db_array_begin(&params, DB_ARRAY_INT8, count);
    LIST_FOR_EACH(node, &claim->taken)
    {
        struct taken *taken = LIST_ENTRY(node, struct taken, node);
        if (taken->asked == 0) {
            taken->asked = claim->asked;
            db_array_int8(&params, taken->job->id);
        }
    }
    db_array_end(&params);
    db_query(pages_db(claim->runner->pages), &store_payloads, &params, on_payloads, claim);
    db_params_deinit(&params);
}

static void on_again(evutil_socket_t fd SB_UNUSED, short what SB_UNUSED, void *arg)
{
    read_payloads(arg);
}

/* ---- taking ---- */

/* Random, version 4: who does not hold the claim cannot guess it. */
static struct uuid new_token(struct claim *claim)
{
    struct uuid token;
    if (claim->random_left == 0) {
        ssize_t got = getrandom(claim->random, sizeof claim->random, 0);
        assert(got == (ssize_t)sizeof claim->random);
        claim->random_left = sizeof claim->random / sizeof token.bytes;
    }
    claim->random_left--;
    memcpy(token.bytes, claim->random + claim->random_left * sizeof token.bytes,
           sizeof token.bytes);
    token.bytes[6] = (uint8_t)((token.bytes[6] & 0x0f) | 0x40);
    token.bytes[8] = (uint8_t)((token.bytes[8] & 0x3f) | 0x80);
    return token;
}

static void take(struct claim_demand *demand, struct job *job)
{
    struct claim *claim = demand->claim;
    struct taken *taken = memory_new(sizeof *taken);
    struct uuid key = map_number_key((uint64_t)job->id);
    taken->demand = demand;
    taken->job = jobs_copy(job);
    taken->job->token = new_token(claim);
    taken->job->lease_ms = demand->terms.lease_ms;
    taken->begun_us = clock_monotonic_us();
    demand->under_way++;
    list_append(&claim->taken, &taken->node);
    map_put(&claim->by_number, &key, taken);
    jobs_claiming(claim->runner->jobs, job);
    changes_send(
        claim->runner->changes,
        &(struct change){
            .said = {.job = job->job, .token = taken->job->token, .what = JOB_CLAIM, .percent = -1},
            .worker = demand->terms.worker,
            .lease_ms = demand->terms.lease_ms},
        on_outcome, taken);
}

/* For one demand, at most `max`. Returns how many. */
static size_t serve(struct claim_demand *demand, int64_t now_us, size_t max)
{
    struct job_runner *runner = demand->claim->runner;
    int64_t ids[GATHER_MAX];
    size_t wanted = demand->room > demand->under_way ? demand->room - demand->under_way : 0;
    if (wanted > max) {
        wanted = max;
    }
    if (wanted == 0 || demand->stopped) {
        return 0;
    }
    size_t count = ready_take(runner->ready, now_us, &demand->terms.filter, ids, wanted);
    for (size_t i = 0; i < count; i++) {
        struct job *job = jobs_by_number(runner->jobs, ids[i]);
        struct uuid key = map_number_key((uint64_t)ids[i]);
        assert(job != NULL); /* what leaves the memory leaves ready */
        if (map_get(&demand->claim->by_number, &key) != NULL) {
            jobs_doubt(runner->jobs, ids[i]); /* its shard was lost and came back meanwhile */
        } else {
            take(demand, job);
        }
    }
    return count;
}

static void set_timer(struct claim *claim, int64_t now_us)
{
    int64_t next_us = ready_next_us(claim->runner->ready, now_us);
    int64_t wait_us = next_us == INT64_MAX ? INT64_MAX : next_us - now_us;
    if (wait_us > (int64_t)TIMER_MAX_MS * 1000) {
        wait_us = (int64_t)TIMER_MAX_MS * 1000;
    } else if (wait_us < 1000) {
        wait_us = 1000; /* what is due now and not taken waits for something else */
    }
    event_add(claim->timer, &(struct timeval){wait_us / 1000000, wait_us % 1000000});
}

static bool may_claim(const struct claim *claim)
{
    const struct job_runner *runner = claim->runner;
    return rules_are_known(runner->rules) && db_is_connected(pages_db(runner->pages)) &&
           commands_reachable(runner->links.commands);
}

void claim_gather(struct claim *claim)
{
    int64_t now_us = clock_real_us();
    size_t left = GATHER_MAX;
    if (!claim->kicked || claim->runner->actor->draining) {
        return;
    }
    if (!may_claim(claim)) {
        event_add(claim->timer, &(struct timeval){0, NOT_YET_MS * 1000});
        return;
    }
    claim->kicked = false;
    if (claim->by_number.count + left > UNDER_WAY_MAX) {
        left = UNDER_WAY_MAX - claim->by_number.count;
    }
    struct list *last = claim->demands.previous;
    for (struct list *node = claim->demands.next; node != &claim->demands && left > 0;) {
        struct claim_demand *demand = LIST_ENTRY(node, struct claim_demand, node);
        struct list *next = node->next;
        bool was_last = node == last;
        size_t got = serve(demand, now_us, left);
        left -= got;
        if (got > 0) {
            list_remove(node); /* who got something comes behind the others next time */
            list_append(&claim->demands, node);
        }
        if (was_last) {
            break;
        }
        node = next;
    }
    read_payloads(claim);
    set_timer(claim, now_us);
}

bool claim_is_idle(const struct claim_demand *demand)
{
    const struct claim *claim = demand->claim;
    return demand->under_way == 0 && (demand->stopped || !claim->kicked || !may_claim(claim));
}

void claim_kick(struct claim *claim)
{
    claim->kicked = true;
    changes_wake(claim->runner->changes);
}

static void on_timer(evutil_socket_t fd SB_UNUSED, short what SB_UNUSED, void *arg)
{
    claim_kick(arg);
}

size_t claim_under_way(const struct claim *claim)
{
    return claim->by_number.count;
}

/* ---- life ---- */

struct claim *claim_create(struct job_runner *runner)
{
    struct claim *claim = memory_new(sizeof *claim);
    claim->runner = runner;
    list_init(&claim->demands);
    list_init(&claim->taken);
    claim->timer = event_new(runner->actor->base, -1, 0, on_timer, claim);
    claim->again = event_new(runner->actor->base, -1, 0, on_again, claim);
    event_add(claim->timer, &(struct timeval){0, 100000});
    return claim;
}

void claim_destroy(struct claim **claim)
{
    if (*claim == NULL) {
        return;
    }
    LIST_FOR_EACH(node, &(*claim)->taken)
    {
        forget(*claim, LIST_ENTRY(node, struct taken, node));
    }
    while (!list_is_empty(&(*claim)->demands)) {
        free_demand(LIST_ENTRY((*claim)->demands.next, struct claim_demand, node));
    }
    map_deinit(&(*claim)->by_number);
    event_free((*claim)->timer);
    event_free((*claim)->again);
    free(*claim);
    *claim = NULL;
}
