/* One job on its way to who wants it, see claim.h: its claim is asked for and its payload read at the
 * same time, and it is handed over, or given back, when both are there. */
#include "job-runner/changes.h"
#include "job-runner/claim_internal.h"
#include "job-runner/lease.h"
#include "job-runner/pages.h"
#include "job-runner/report.h"
#include "job-runner/store.h"
#include "runtime/base/clock.h"
#include "runtime/base/fault.h"
#include "runtime/base/log.h"
#include "runtime/base/memory.h"
#include "runtime/base/metrics.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

enum { PAYLOAD_AGAIN_MS = 200 };

/* ---- one job on its way ---- */

void claim_forget(struct claim *claim, struct taken *taken)
{
    struct uuid key = map_number_key((uint64_t)taken->job->id);
    struct claim_demand *demand = taken->demand;
    map_remove(&claim->by_number, &key);
    list_remove(&taken->node);
    demand->under_way--;
    if (demand->closed && demand->under_way == 0) {
        claim_free_demand(demand);
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
    claim_forget(claim, taken);
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
        claim_forget(claim, taken);
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

void claim_read_payloads(struct claim *claim)
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

void claim_take(struct claim_demand *demand, struct job *job)
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
