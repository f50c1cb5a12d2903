/*
 * The exporter: renders and delivers what runs have produced. So far it keeps its links, and is
 * healthy or not.
 *
 * Receives  HINT from the sequencer's event bus: something was committed up to this position.
 * Sends     commands to the sequencer (DEALER); its work's effects are events, so they go that way.
 * Owns      nothing that outlives it. The table says what is to be done; a hint only says when to
 * look. On crash  an export is a job; it is claimed again.
 */
#include "runtime/actor.h"
#include "runtime/base/memory.h"
#include "runtime/links.h"

#include <stdlib.h>

struct exporter {
    struct links links;
};

static int start(struct actor *actor, struct error *err)
{
    struct exporter *exporter = memory_new(sizeof *exporter);
    actor->state = exporter;
    return links_open(&exporter->links, actor, err);
}

static void stop(struct actor *actor)
{
    struct exporter *exporter = actor->state;
    if (exporter != NULL) {
        links_close(&exporter->links);
        free(exporter);
        actor->state = NULL;
    }
}

static void report(struct actor *actor, struct actor_report *report_out)
{
    const struct exporter *exporter = actor->state;
    links_report(&exporter->links, report_out);
}

static void dump(struct actor *actor)
{
    const struct exporter *exporter = actor->state;
    links_dump(&exporter->links);
}

int main(void)
{
    static const struct actor_description description = {
        .name = "exporter",
        .database_role = "signalbox_exporter",
        .start = start,
        .stop = stop,
        .report = report,
        .dump = dump,
    };
    return actor_main(&description);
}
