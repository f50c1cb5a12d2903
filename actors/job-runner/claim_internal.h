/* What claim.c and claim_taken.c share: demands, and jobs on their way to them. */
#ifndef SIGNALBOX_JOB_RUNNER_CLAIM_INTERNAL_H
#define SIGNALBOX_JOB_RUNNER_CLAIM_INTERNAL_H

#include "job-runner/claim.h"
#include "job-runner/jobs.h"
#include "job-runner/runner.h"
#include "runtime/base/list.h"
#include "runtime/base/map.h"

struct claim_demand {
    struct list node;
    struct claim *claim;
    struct claim_terms terms; /* with what it points to: owned */
    size_t room;
    size_t under_way;
    bool stopped;
    bool closed; /* freed with the last of its claims */
};

/* One job on its way to a demand: its claim is asked for, and its payload read meanwhile. */
struct taken {
    struct list node; /* of claim->taken */
    struct claim_demand *demand;
    struct job *job; /* a copy of our own: the memory may forget it */
    int64_t begun_us;
    bool granted;
    bool read;      /* the payload is here */
    bool missing;   /* there is none: the job has gone */
    uint64_t asked; /* by which statement; 0: not yet */
    unsigned attempt;
    struct uuid run;
    char *key;
    unsigned max_attempts;
    uint8_t *payload;
    size_t payload_length;
};

struct claim {
    struct job_runner *runner; /* borrowed */
    struct list demands;
    struct list taken;
    struct map by_number; /* of those taken: a job is in one at a time */
    struct event *timer;  /* something becomes due */
    struct event *again;  /* payloads could not be read */
    bool kicked;
    uint64_t asked; /* statements, which are answered in their order */
    uint64_t answered;
    uint8_t random[16 * 64]; /* for tokens: one call for many */
    size_t random_left;
};

/* With what it points to. */
void claim_free_demand(struct claim_demand *demand);

/* ---- claim_taken.c: one job on its way ---- */

/* Asks for the claim; its payload is read with the next claim_read_payloads(). */
void claim_take(struct claim_demand *demand, struct job *job);
/* Of all that were taken and not asked for yet, in one statement. */
void claim_read_payloads(struct claim *claim);
/* It has arrived, or never will; frees it. */
void claim_forget(struct claim *claim, struct taken *taken);

#endif
