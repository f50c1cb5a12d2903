/*
 * The job-runner: runs the background jobs around runs. So far it keeps its links, and is healthy
 * or not.
 *
 * Receives  HINT from the sequencer's event bus: something was committed up to this position.
 * Sends     commands to the sequencer (DEALER); its work's effects are events, so they go that way.
 * Owns      nothing that outlives it. The table says what is to be done; a hint only says when to
 * look. On crash  a job's claim is fenced in the table; the next claim goes on.
 */
#include "runtime/actor.h"
#include "runtime/base/memory.h"
#include "runtime/links.h"

#include <stdlib.h>

struct job_runner {
    struct links links;
};

static int start(struct actor *actor, struct error *err)
{
    struct job_runner *job_runner = memory_new(sizeof *job_runner);
    actor->state = job_runner;
    return links_open(&job_runner->links, actor, err);
}

static void stop(struct actor *actor)
{
    struct job_runner *job_runner = actor->state;
    if (job_runner != NULL) {
        links_close(&job_runner->links);
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
