/*
 * A job-runner started by hand beside a running server, for looking what is wrong with a job: it
 * asks the supervisor of DIR for the settings, makes for itself what the supervisor gives its
 * actors, and is one more runner.
 */
#ifndef SIGNALBOX_JOB_RUNNER_BY_HAND_H
#define SIGNALBOX_JOB_RUNNER_BY_HAND_H

#include "runtime/actor.h"

#include <stdbool.h>
#include <stdint.h>

/* What the command line says. */
struct by_hand_options {
    const char *dir;
    bool help;
    bool once;
    bool dry_run;
    int64_t max_jobs;       /* 0: no limit */
    int64_t poll_ms;        /* 0: as in the settings */
    int64_t stale_check_ms; /* 0: as in the settings */
};

/* -1 and err: wrong use. Pure. */
SB_MUST_CHECK int by_hand_parse(int argc, char **argv, struct by_hand_options *options_out,
                                struct error *err);
/* Runs the actor as the command line says. Returns the process's exit code. */
int by_hand_main(int argc, char **argv, const struct actor_description *description);

struct job_runner;
struct by_hand;

/* Within the actor: ends it when what was asked for is done. NULL when it is the supervisor's child.
 * Returns, caller destroys with by_hand_destroy(). */
struct by_hand *by_hand_create(struct job_runner *runner);
void by_hand_destroy(struct by_hand **by_hand);
/* Nothing is to be claimed: only by_hand_create() is wanted of the actor. */
bool by_hand_is_dry(const struct actor *actor);

#endif
