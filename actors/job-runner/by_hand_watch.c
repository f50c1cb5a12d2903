/* See by_hand.h: when one that was started by hand ends, and what it says then. */
#include "job-runner/by_hand.h"

#include "job-runner/claim.h"
#include "job-runner/dry_run.h"
#include "job-runner/executors.h"
#include "job-runner/jobs.h"
#include "job-runner/ready.h"
#include "job-runner/runner.h"
#include "job-runner/shards.h"
#include "runtime/base/clock.h"
#include "runtime/base/log.h"
#include "runtime/base/memory.h"

#include <event2/event.h>
#include <stdlib.h>
#include <string.h>

enum { LOOK_MS = 50, DRAIN_MS = 5000, GIVE_UP_MS = 30000, EXIT_NOTHING = 3 };

struct by_hand {
    struct job_runner *runner; /* borrowed */
    struct dry_run *dry_run;
    struct event *timer;
    int64_t begun_ms;
    bool once;
    int64_t limit;
};

bool by_hand_is_dry(const struct actor *actor)
{
    return strcmp(settings_text(actor->settings, SETTING_JOBS_BY_HAND), "dry-run") == 0;
}

static void finish(struct by_hand *by_hand, int exit_code, const char *why)
{
    struct actor *actor = by_hand->runner->actor;
    LOG_INFO("started by hand, and done", LOG_TEXT("reason", why), LOG_INT("exit_code", exit_code));
    event_del(by_hand->timer);
    actor->exit_code = exit_code;
    actor_drain(actor, DRAIN_MS);
}

/* All shards are read, and there is nothing in them that it could take. */
static bool has_nothing(const struct by_hand *by_hand)
{
    const struct job_runner *runner = by_hand->runner;
    return executors_count(runner->executors).begun == 0 && claim_under_way(runner->claim) == 0 &&
           shards_count(runner->shards) > 0 && jobs_is_known(runner->jobs) &&
           executors_due(runner->executors) == 0;
}

static void look(evutil_socket_t fd SB_UNUSED, short what SB_UNUSED, void *arg)
{
    struct by_hand *by_hand = arg;
    int64_t now_ms = clock_monotonic_ms();
    struct executors_count count = executors_count(by_hand->runner->executors);
    if (by_hand->limit > 0 && count.settled >= by_hand->limit && count.busy == 0) {
        bool failed = by_hand->once && count.success == 0;
        finish(by_hand, failed ? EXIT_CODE_FAILED : EXIT_CODE_DONE, "as many jobs as asked for");
    } else if (by_hand->once && has_nothing(by_hand)) {
        finish(by_hand, EXIT_NOTHING, "nothing to do");
    } else if (by_hand->once && count.begun == 0 && now_ms - by_hand->begun_ms >= GIVE_UP_MS) {
        finish(by_hand, EXIT_CODE_FAILED, "database or sequencer cannot be reached");
    }
}

struct by_hand *by_hand_create(struct job_runner *runner)
{
    const struct settings *settings = runner->actor->settings;
    const char *how = settings_text(settings, SETTING_JOBS_BY_HAND);
    if (how[0] == '\0') {
        return NULL;
    }
    struct by_hand *by_hand = memory_new(sizeof *by_hand);
    *by_hand = (struct by_hand){.runner = runner,
                                .begun_ms = clock_monotonic_ms(),
                                .once = strcmp(how, "once") == 0,
                                .limit = settings_int(settings, SETTING_JOBS_MAX_JOBS)};
    if (by_hand_is_dry(runner->actor)) {
        by_hand->dry_run = dry_run_create(runner);
    } else {
        by_hand->timer = event_new(runner->actor->base, -1, EV_PERSIST, look, by_hand);
        event_add(by_hand->timer, &(struct timeval){0, LOOK_MS * 1000});
    }
    return by_hand;
}

void by_hand_destroy(struct by_hand **by_hand)
{
    if (*by_hand == NULL) {
        return;
    }
    dry_run_destroy(&(*by_hand)->dry_run);
    if ((*by_hand)->timer != NULL) {
        event_free((*by_hand)->timer);
    }
    free(*by_hand);
    *by_hand = NULL;
}
