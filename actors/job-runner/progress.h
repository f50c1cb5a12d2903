/*
 * How far jobs are, told to the readers of their runs: live (JOB_NOTE, at most one in jobs.note_ms a
 * job) and as events JOB_PROGRESS (one in jobs.progress_ms). What comes in between is not lost but
 * replaced by what comes later: the last word is said when its time comes. Nothing waits for it, and
 * it may be lost with the process.
 */
#ifndef SIGNALBOX_JOB_RUNNER_PROGRESS_H
#define SIGNALBOX_JOB_RUNNER_PROGRESS_H

#include "runtime/base/uuid.h"

#include <stddef.h>

struct job_runner;
struct progress;

/* The claim that says it. Texts are copied. */
struct progress_word {
    struct uuid job;
    struct uuid token;
    struct uuid tenant;
    struct uuid run;
    const char *type; /* NULL: not known */
    unsigned attempt; /* 0: not known */
    int percent;      /* -1: not said */
    const char *note;
    size_t note_length; /* at most 512; 0: none */
};
void progress_say(struct progress *progress, const struct progress_word *word);
/* The claim has ended: what is left is not said any more. */
void progress_forget(struct progress *progress, const struct uuid *job);

struct progress *progress_create(struct job_runner *runner);
void progress_destroy(struct progress **progress);

#endif
