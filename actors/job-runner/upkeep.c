/* See upkeep.h. */
#include "job-runner/upkeep.h"

#include "job-runner/attempt.h"
#include "job-runner/kinds/kinds.h"
#include "job-runner/runner.h"
#include "job-runner/shards.h"
#include "runtime/base/memory.h"

#include <event2/event.h>
#include <stdlib.h>

enum { FIRST_MS = 60000, FIRST_SHARD = 0 };

struct upkeep {
    struct job_runner *runner; /* borrowed */
    struct event *timer;
    struct attempt *attempt; /* under way; NULL: none */
};

static void again_in(struct upkeep *upkeep, int64_t most_ms)
{
    const struct settings *settings = upkeep->runner->actor->settings;
    int64_t ms = settings_int(settings, SETTING_JOBS_RECONCILE_MS);
    ms = ms > most_ms ? most_ms : ms;
    event_add(upkeep->timer, &(struct timeval){ms / 1000, ms % 1000 * 1000});
}

static void on_ended(void *arg SB_UNUSED, struct attempt *attempt SB_UNUSED)
{
}

static void on_settled(void *arg, struct attempt *attempt SB_UNUSED, bool success SB_UNUSED)
{
    struct upkeep *upkeep = arg;
    attempt_destroy(&upkeep->attempt);
}

static void on_timer(evutil_socket_t fd SB_UNUSED, short what SB_UNUSED, void *arg)
{
    static const char payload[] = "{\"all\":true}";
    struct upkeep *upkeep = arg;
    const struct job_runner *runner = upkeep->runner;
    again_in(upkeep, INT64_MAX);
    if (settings_bool(runner->actor->settings, SETTING_JOBS_RECONCILE) && upkeep->attempt == NULL &&
        !runner->actor->draining && shards_is_ours(runner->shards, FIRST_SHARD) &&
        !shards_are_visited(runner->shards)) {
        upkeep->attempt =
            attempt_create_own(upkeep->runner, &kind_reconcile, payload,
                               &(struct attempt_watcher){on_ended, on_settled, upkeep});
        attempt_begin(upkeep->attempt);
    }
}

struct upkeep *upkeep_create(struct job_runner *runner)
{
    struct upkeep *upkeep = memory_new(sizeof *upkeep);
    upkeep->runner = runner;
    upkeep->timer = event_new(runner->actor->base, -1, 0, on_timer, upkeep);
    again_in(upkeep, FIRST_MS);
    return upkeep;
}

void upkeep_stop(struct upkeep *upkeep)
{
    event_del(upkeep->timer);
    if (upkeep->attempt != NULL) {
        attempt_stop(upkeep->attempt, false);
    }
}

void upkeep_destroy(struct upkeep **upkeep)
{
    if (*upkeep == NULL) {
        return;
    }
    upkeep_stop(*upkeep);
    event_free((*upkeep)->timer);
    free(*upkeep);
    *upkeep = NULL;
}
