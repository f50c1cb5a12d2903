/*
 * Workers that wait over HTTP: a ROUTER on the slot's listener, to which every api process connects.
 * JOB_WANT becomes a demand on claim, and ends as JOB_GIVEN: with jobs, with none when the wait is
 * over, or "elsewhere" when nobody can wait here (any more). It is kept whether or not its queues are
 * in our shards, so that one that becomes ours finds its workers. A waiting one costs memory and one
 * timer, and asks nothing of the database.
 *
 * What was claimed and cannot be delivered is given back at once. JOB_BEAT goes to lease, JOB_RULES
 * to rules.
 */
#ifndef SIGNALBOX_JOB_RUNNER_WANTS_H
#define SIGNALBOX_JOB_RUNNER_WANTS_H

#include "runtime/base/error.h"

#include <stdbool.h>
#include <stddef.h>

struct job_runner;
struct wants;

struct wants *wants_create(struct job_runner *runner, struct error *err);
void wants_destroy(struct wants **wants);
/* Nobody waits here any more: who does is sent elsewhere as soon as nothing is under way for him. */
void wants_drain(struct wants *wants);
bool wants_is_idle(const struct wants *wants);
size_t wants_count(const struct wants *wants);

#endif
