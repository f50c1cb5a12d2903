/*
 * The one skeleton of every actor: inherited descriptors, settings, log, loop, beats, drain, stop.
 *
 * An actor's main file fills one description and passes it to actor_main(); everything it needs at
 * run time hangs off `struct actor`. Its own state is `actor->state`, made in start(), freed in
 * stop().
 */
#ifndef SIGNALBOX_RUNTIME_ACTOR_H
#define SIGNALBOX_RUNTIME_ACTOR_H

#include "runtime/base/error.h"
#include "runtime/base/settings.h"

#include <event2/event.h>
#include <stdbool.h>
#include <stdint.h>

struct bus;
struct actor;
struct spans;

/* What the actor shows in its beats and on /health. */
struct actor_report {
    bool healthy; /* dependencies fine */
    uint64_t queued;
    uint64_t in_flight;
};

struct actor_description {
    const char *name;          /* "sequencer" */
    const char *database_role; /* role to connect as, or NULL when the actor has no database */
    /* Makes actor->state and opens sockets. -1: the process exits with actor->exit_code (default
     * 1). Must not wait for dependencies: a missing database is a state, not an error. */
    int (*start)(struct actor *actor, struct error *err);
    /* Only for actors that take over: called at once, or after GO when started in HOLD. May be
     * NULL. */
    int (*go)(struct actor *actor, struct error *err);
    /* Take nothing new, finish what is there, then call actor_drained() (now or later). May be
     * NULL: nothing to do. */
    void (*drain)(struct actor *actor, int64_t deadline_ms);
    /* Frees actor->state (which may be NULL). */
    void (*stop)(struct actor *actor);
    void (*report)(struct actor *actor, struct actor_report *report_out);
    /* New values of RELOAD settings are in actor->settings. May be NULL. */
    void (*reload)(struct actor *actor);
    /* Writes its state to the log. May be NULL. */
    void (*dump)(struct actor *actor);
};

struct actor {
    const struct actor_description *description;
    struct event_base *base;
    struct bus *bus;
    struct settings *settings;
    struct spans *spans;  /* traces are exported there (runtime/spans.h); NULL: they are not */
    const char *instance; /* "api-1" */
    uint64_t generation;
    uint64_t origin; /* random 63-bit number of this process: names its commands for ever */
    bool held;       /* started in HOLD and not yet told to go */
    bool draining;
    int exit_code;
    void *state; /* owned by the description's start and stop */
};

/* Runs the actor until it is told to stop. Returns the process's exit code. */
int actor_main(const struct actor_description *description);

/* Descriptor of an inherited listener by its name in child_contract.h; -1 when this actor was not
 * given it. */
int actor_listener(const struct actor *actor, const char *name);
/* "RUN_DIR/file" into path (LIMIT_SOCKET_PATH_BYTES + 1 bytes). */
void actor_path(const struct actor *actor, const char *file, char *path);
/* As if told to stop: drains within that time and exits with actor->exit_code. */
void actor_drain(struct actor *actor, int64_t deadline_ms);
/* Draining is complete: the loop ends, the process exits 0. */
void actor_drained(struct actor *actor);
/* Ends the loop at once with this exit code (error.h), after telling the supervisor. */
void actor_fail(struct actor *actor, int exit_code);

#endif
