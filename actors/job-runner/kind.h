/*
 * A built-in kind of job, one file each in kinds/, listed in kinds.c. A kind is begun with an
 * attempt and ends it exactly once, at once or later from the loop. It must bear to be begun again
 * after any crash: that is its idempotency, said in words, and a kind without it does not register.
 *
 * What an attempt writes to the run (attempt_event) is committed together with its end, and only
 * while its claim is live: the effect happens once. Effects outside cannot be fenced: give the callee
 * attempt_effect_key(), the same on every attempt.
 */
#ifndef SIGNALBOX_JOB_RUNNER_KIND_H
#define SIGNALBOX_JOB_RUNNER_KIND_H

#include "contracts/generated/event_types.h"
#include "proto/job.h"
#include "proto/messages.h"
#include "runtime/actor.h"
#include "runtime/base/error.h"
#include "runtime/base/uuid.h"
#include "runtime/commands.h"
#include "runtime/db.h"
#include "runtime/fetch.h"

#include <stdbool.h>
#include <stdint.h>

struct attempt;

struct kind {
    const char *type;        /* the job_type */
    const char *does;        /* one line, for --help and the docs */
    const char *idempotency; /* why running it twice is as good as once */
    /* Begins. The attempt stays valid until one of the ends below is called. */
    void (*begin)(struct attempt *attempt);
    /* The job is to stop (cancelled, lease lost, shutdown): end it before returning; what it reports
     * then may be refused. NULL: begin() has ended it when it returns. Not called after an end. */
    void (*cancel)(struct attempt *attempt);
    /* At a shutdown it goes on as long as there is time, instead of being cancelled at once. */
    bool finishes;
};

/* ---- what it is about; valid until its end ---- */
struct uuid attempt_job(const struct attempt *attempt);
struct uuid attempt_tenant(const struct attempt *attempt);
struct uuid attempt_run(const struct attempt *attempt);
const char *attempt_key(const struct attempt *attempt); /* job_key */
unsigned attempt_number(const struct attempt *attempt); /* from 1 */
/* JSON, `length_out` bytes, borrowed. */
const char *attempt_payload(const struct attempt *attempt, size_t *length_out);
/* Cancelled, or its lease lost: look before every expensive step. */
bool attempt_is_cancelled(const struct attempt *attempt);
/* Made of tenant, job_key and `step` ("" for the only one): the same on every attempt. The one of step ""
 * is what workers over HTTP are given. */
enum { ATTEMPT_EFFECT_KEY_SIZE = 65 };
void attempt_effect_key(const struct attempt *attempt, const char *step,
                        char key_out[ATTEMPT_EFFECT_KEY_SIZE]);

/* ---- what it works with; borrowed ---- */
struct actor *attempt_actor(const struct attempt *attempt);
struct db *attempt_db(const struct attempt *attempt);
struct fetch *attempt_fetch(const struct attempt *attempt);
struct commands *attempt_commands(const struct attempt *attempt);
/* The kind's own state, to free before the end. */
void attempt_set_state(struct attempt *attempt, void *state);
void *attempt_state(const struct attempt *attempt);

/* ---- what it says ---- */
/* 0..100, -1: not said; note: at most 512 bytes, "": none. Shown live, and stored now and then. */
void attempt_progress(struct attempt *attempt, int percent, const char *note);
/* An event of the job's run, written with the end if that is attempt_complete(). Copies. */
void attempt_event(struct attempt *attempt, enum event_type type, const char *payload,
                   size_t length);
/* The ends. `attempt` is gone afterwards. `result`: a JSON value, or NULL. retry_ms 0: the server's
 * rule. */
void attempt_complete(struct attempt *attempt, const char *result, size_t length);
void attempt_fail(struct attempt *attempt, enum job_class class, const char *reason,
                  int64_t retry_ms);
void attempt_release(struct attempt *attempt);

/* ---- kinds.c ---- */
enum { KINDS_MAX = 16 };
extern const struct kind *const kinds[];
extern const size_t kinds_count;
/* Whether it says all that a kind must say. */
bool kinds_may_register(const struct kind *kind);
/* `enabled`: value of jobs.kinds. -1 and err: it names no kind, or one there is not, or one that may
 * not register. */
SB_MUST_CHECK int kinds_check(const char *enabled, struct error *err);
/* Of the type, if registered and enabled; else NULL. */
const struct kind *kinds_find(const char *enabled, const char *type);
/* The types of those that are enabled; returns how many. */
size_t kinds_enabled(const char *enabled, const char *types_out[KINDS_MAX]);

#endif
