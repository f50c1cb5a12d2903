/*
 * The job-runner: runs the background jobs around runs, and asks the outside, through a fetcher
 * child, for what others need of it.
 *
 * Receives  HINT from the sequencer's event bus: something was committed up to this position.
 * Sends     commands to the sequencer (DEALER); its work's effects are events, so they go that way.
 * Owns      nothing that outlives it. The table says what is to be done; a hint only says when to
 * look. On crash  a job's claim is fenced in the table; the next claim goes on.
 */
#include "job-runner/jwks.h"
#include "runtime/actor.h"
#include "runtime/base/memory.h"
#include "runtime/fetch.h"
#include "runtime/links.h"

#include <stdlib.h>

struct job_runner {
    struct links links;
    struct fetch *fetch;
    struct jwks *jwks;
};

static int start(struct actor *actor, struct error *err)
{
    struct job_runner *job_runner = memory_new(sizeof *job_runner);
    actor->state = job_runner;
    if (links_open(&job_runner->links, actor, err) != 0) {
        return -1;
    }
    job_runner->fetch = fetch_create(actor);
    job_runner->jwks = jwks_create(actor, job_runner->links.db, job_runner->fetch);
    return 0;
}

static void stop(struct actor *actor)
{
    struct job_runner *job_runner = actor->state;
    if (job_runner != NULL) {
        actor->draining = true; /* who waits for the outside is told that nothing comes any more */
        fetch_destroy(&job_runner->fetch);
        links_close(&job_runner->links);
        jwks_destroy(&job_runner->jwks);
        free(job_runner);
        actor->state = NULL;
    }
}

static void report(struct actor *actor, struct actor_report *report_out)
{
    const struct job_runner *job_runner = actor->state;
    links_report(&job_runner->links, report_out);
}

static void dump(struct actor *actor)
{
    const struct job_runner *job_runner = actor->state;
    links_dump(&job_runner->links);
}

int main(void)
{
    static const struct actor_description description = {
        .name = "job-runner",
        .database_role = "signalbox_job_runner",
        .start = start,
        .stop = stop,
        .report = report,
        .dump = dump,
    };
    return actor_main(&description);
}
