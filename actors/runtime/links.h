/*
 * The links that every working actor behind the sequencer has: its database connection, its
 * commands to the sequencer, and the hints of the event bus ("something was committed up to this
 * position").
 */
#ifndef SIGNALBOX_RUNTIME_LINKS_H
#define SIGNALBOX_RUNTIME_LINKS_H

#include "runtime/actor.h"
#include "runtime/commands.h"
#include "runtime/db.h"

#include <stdint.h>

struct links {
    struct db *db;
    struct commands *commands;
    struct bus_socket *events;
    uint64_t position; /* of the log, as last hinted */
};

/* Opens all three with the actor's role. -1: some may be open; links_close() closes them. */
SB_MUST_CHECK int links_open(struct links *links, struct actor *actor, struct error *err);
void links_close(struct links *links);
/* Healthy: database connected and sequencer reachable. */
void links_report(const struct links *links, struct actor_report *report_out);
void links_dump(const struct links *links);

#endif
