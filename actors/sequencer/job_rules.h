/*
 * What follows from a change of a job: its next state, the event that says so, and the outcome for
 * who asked. Pure: no I/O, no clock, no randomness; table-tested. The payloads are in job_text.c.
 */
#ifndef SIGNALBOX_SEQUENCER_JOB_RULES_H
#define SIGNALBOX_SEQUENCER_JOB_RULES_H

#include "contracts/generated/event_types.h"
#include "proto/job.h"
#include "proto/messages.h"
#include "runtime/base/uuid.h"

#include <stdbool.h>
#include <stdint.h>

/* What changes of a job. */
struct job_now {
    enum job_status status; /* JOB_STATUS_PENDING while it is open, also with a live claim */
    struct uuid run; /* whose log it is in: moves when it is tried again after its run's end */
    bool detached;   /* that run was made for it and ends with it */
    int64_t run_at_us;
    unsigned attempts;          /* that are over and counted */
    int32_t claim;              /* the fence in the table */
    struct uuid token;          /* of the live claim; nil: nobody works on it */
    struct uuid last_token;     /* of the claim that its worker ended */
    struct message_span worker; /* of the live claim, or the last one; empty: none yet */
    uint64_t lease_ms;
    unsigned
        deps_left; /* of one that has ended: at most so many, the table says it when it begins again */
    bool dep_failed; /* a parent has ended without success: JOB_SKIP is due */
    bool cancel;     /* it is to stop */
};

/* What does not, as far as it decides. */
struct job_terms {
    unsigned max_attempts;
    enum job_dep_fail on_dep_fail;
    bool run_takes;   /* its run is open and not being cancelled */
    bool run_stops;   /* its run is being cancelled */
    bool asked_again; /* the command has been decided before; its answer may have been lost */
};

/* The server's rule for the pause before another attempt. */
struct job_retry {
    int64_t base_ms;
    int64_t cap_ms;
    uint32_t chance; /* random, the whole range */
};

struct job_decision {
    enum job_outcome outcome;
    bool changes;          /* `next` is to be stored */
    struct job_now next;   /* as it was when nothing changes */
    enum event_type event; /* 0: none */
    int32_t event_claim;   /* the claim the event is about */
    unsigned attempt;      /* JOB_STARTED, JOB_PROGRESS, JOB_RETRYING, JOB_COMPLETED: which it is */
    const char *reason;    /* the server's own word; NULL: the request's */
    const char *class;     /* why an attempt or the job failed; NULL: it did not */
    bool partial;          /* cancelled, and the result is kept */
};

bool job_rules_is_open(const struct job_now *state);
bool job_rules_is_running(const struct job_now *state);
enum job_status job_rules_status(const struct job_now *state);
enum job_state job_rules_place(const struct job_now *state);

/* Half to all of min(cap, base * 2^(attempts-1)), in ms. */
int64_t job_rules_delay_ms(const struct job_retry *retry, unsigned attempts);
struct job_decision job_rules_change(const struct job_now *state, const struct job_terms *terms,
                                     const struct message_change_jobs_change *change,
                                     const struct job_retry *retry, int64_t now_us);
/* Its run ends, or is to: a waiting job is cancelled; a running one too (`ends`), or is told to stop. */
struct job_decision job_rules_run_ends(const struct job_now *state, bool ends);

#endif
