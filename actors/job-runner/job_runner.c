/*
 * The job-runner: runs the background jobs around runs, and asks the outside, through a fetcher
 * child, for what others need of it. runner.h says which file does what.
 *
 * Receives  JOBS and HINT from the sequencer's event bus: what became of jobs, and whether a frame
 *           was lost; JOB_WANT, JOB_FORGET, JOB_BEAT, JOB_RULES from the apis (wants.h).
 * Sends     CHANGE_JOBS to the sequencer (DEALER): claims, their ends, leases that are over.
 * Owns      shards of the jobs, by a lease in the table; in memory, the order in which they run.
 * On crash  its shards go to others; claims are fenced by their rows and end by their leases.
 */
#include "job-runner/runner.h"

#include "job-runner/by_hand.h"
#include "job-runner/changes.h"
#include "job-runner/claim.h"
#include "job-runner/executors.h"
#include "job-runner/hints.h"
#include "job-runner/jobs.h"
#include "job-runner/jwks.h"
#include "job-runner/lease.h"
#include "job-runner/pages.h"
#include "job-runner/progress.h"
#include "job-runner/ready.h"
#include "job-runner/report.h"
#include "job-runner/rules.h"
#include "job-runner/schedule.h"
#include "job-runner/shards.h"
#include "job-runner/upkeep.h"
#include "job-runner/vitals.h"
#include "job-runner/wants.h"
#include "runtime/base/clock.h"
#include "runtime/base/log.h"
#include "runtime/base/memory.h"
#include "runtime/fetch.h"

#include <stdlib.h>

enum { SETTLE_MS = 100 };

/* ---- drain ---- */

/* Nothing is claimed, reported or held by us any more. */
static bool is_idle(const struct job_runner *runner)
{
    return claim_under_way(runner->claim) == 0 && executors_is_idle(runner->executors) &&
           report_is_idle(runner->report) &&
           (runner->wants == NULL || wants_is_idle(runner->wants));
}

/* What is still claimed at the deadline ends by its lease, in another runner. */
static void on_settle(evutil_socket_t fd SB_UNUSED, short what SB_UNUSED, void *arg)
{
    struct job_runner *runner = arg;
    bool late = clock_monotonic_ms() >= runner->drain_until_ms;
    bool flushed = is_idle(runner) && lease_flush_now(runner->lease);
    if (late || (flushed && shards_has_left(runner->shards))) {
        LOG_INFO("drained", LOG_INT("claims_under_way", claim_under_way(runner->claim)));
        actor_drained(runner->actor);
        return;
    }
    event_add(runner->settle, &(struct timeval){0, SETTLE_MS * 1000});
}

/* The shards go first: others work on them while our attempts end. */
static void drain(struct actor *actor, int64_t deadline_ms)
{
    struct job_runner *runner = actor->state;
    runner->drain_until_ms = clock_monotonic_ms() + deadline_ms * 9 / 10;
    if (runner->shards == NULL) {
        actor_drained(actor); /* a dry run */
        return;
    }
    shards_leave(runner->shards);
    executors_drain(runner->executors);
    if (runner->upkeep != NULL) {
        upkeep_stop(runner->upkeep);
    }
    if (runner->wants != NULL) {
        wants_drain(runner->wants);
    }
    job_runner_settle(runner);
}

/* ---- start and stop ---- */

static void on_start(evutil_socket_t fd SB_UNUSED, short what SB_UNUSED, void *arg)
{
    struct job_runner *runner = arg;
    if (!db_is_connected(runner->links.db)) {
        event_add(runner->begin, &(struct timeval){0, 20000});
        return;
    }
    rules_read(runner->rules);
    shards_hurry(runner->shards);
}

static int start(struct actor *actor, struct error *err)
{
    struct job_runner *runner = memory_new(sizeof *runner);
    actor->state = runner;
    runner->actor = actor;
    if (links_open(&runner->links, actor, err) != 0) {
        return -1;
    }
    runner->fetch = fetch_create(actor);
    runner->jwks = jwks_create(actor, runner->links.db, runner->fetch);
    runner->ready = ready_create(settings_int(actor->settings, SETTING_JOBS_AGEING_MS) * 1000);
    if (by_hand_is_dry(actor)) {
        runner->by_hand = by_hand_create(runner);
        return 0;
    }
    runner->jobs = jobs_create(runner);
    runner->rules = rules_create(runner);
    runner->changes = changes_create(runner);
    runner->report = report_create(runner);
    runner->claim = claim_create(runner);
    runner->lease = lease_create(runner);
    runner->progress = progress_create(runner);
    runner->pages = pages_create(runner);
    runner->shards = shards_create(runner);
    runner->vitals = vitals_create(runner);
    runner->schedule = schedule_create(runner);
    runner->settle = event_new(actor->base, -1, 0, on_settle, runner);
    runner->begin = event_new(actor->base, -1, 0, on_start, runner);
    event_active(runner->begin, EV_TIMEOUT, 0);
    runner->hints = hints_create(runner, err);
    if (runner->hints == NULL || executors_create(runner, err) != 0) {
        return -1;
    }
    runner->by_hand = by_hand_create(runner);
    if (runner->by_hand != NULL) {
        return 0; /* workers ask the slots of the supervisor */
    }
    runner->upkeep = upkeep_create(runner);
    runner->wants = wants_create(runner, err);
    return runner->wants == NULL ? -1 : 0;
}

static void free_event(struct event **event)
{
    if (*event != NULL) {
        event_free(*event);
        *event = NULL;
    }
}

/* Those whose last answers others await go before these. */
static void stop(struct actor *actor)
{
    struct job_runner *runner = actor->state;
    if (runner == NULL) {
        return;
    }
    actor->draining = true; /* who waits for the outside is told that nothing comes any more */
    hints_destroy(&runner->hints);
    executors_destroy(&runner->executors);
    upkeep_destroy(&runner->upkeep);
    wants_destroy(&runner->wants);
    fetch_destroy(&runner->fetch);
    vitals_destroy(&runner->vitals);
    pages_destroy(&runner->pages);
    db_close(&runner->links.db);
    schedule_destroy(&runner->schedule);
    changes_destroy(&runner->changes);
    claim_destroy(&runner->claim);
    report_destroy(&runner->report);
    lease_destroy(&runner->lease);
    progress_destroy(&runner->progress);
    shards_destroy(&runner->shards);
    rules_destroy(&runner->rules);
    jobs_destroy(&runner->jobs);
    ready_destroy(&runner->ready);
    links_close(&runner->links);
    by_hand_destroy(&runner->by_hand);
    jwks_destroy(&runner->jwks);
    free_event(&runner->settle);
    free_event(&runner->begin);
    free(runner);
    actor->state = NULL;
}

static void report(struct actor *actor, struct actor_report *report_out)
{
    const struct job_runner *runner = actor->state;
    links_report(&runner->links, report_out);
    if (runner->pages == NULL) {
        return; /* a dry run */
    }
    report_out->healthy = report_out->healthy && db_is_connected(pages_db(runner->pages));
    report_out->queued = (uint64_t)ready_depth(runner->ready, NULL, NULL, clock_real_us()).due;
    report_out->in_flight = lease_count(runner->lease);
}

static void reload(struct actor *actor)
{
    const struct job_runner *runner = actor->state;
    if (runner->executors != NULL) {
        executors_reload(runner->executors);
    }
}

static void dump(struct actor *actor)
{
    const struct job_runner *runner = actor->state;
    links_dump(&runner->links);
    if (runner->vitals != NULL) {
        vitals_dump(runner);
    }
}

int main(int argc, char **argv)
{
    static const struct actor_description description = {
        .name = "job-runner",
        .database_role = "signalbox_job_runner",
        .start = start,
        .drain = drain,
        .stop = stop,
        .report = report,
        .reload = reload,
        .dump = dump,
    };
    return argc > 1 ? by_hand_main(argc, argv, &description) : actor_main(&description);
}
