/*
 * Turns demand (executors of ours, workers that wait over HTTP) into claims: takes jobs from `ready`
 * for all demands of a turn of the loop, asks the sequencer for all of them in one CHANGE_JOBS, reads
 * their payloads meanwhile, and hands out what was granted. What does not come back granted was
 * taken, cancelled or finished by others and leaves the memory.
 */
#ifndef SIGNALBOX_JOB_RUNNER_CLAIM_H
#define SIGNALBOX_JOB_RUNNER_CLAIM_H

#include "job-runner/ready.h"
#include "proto/messages.h"

struct job_runner;
struct claim;
struct claim_demand;

/* One live claim. Borrowed for the call that gives it. */
struct claimed {
    int64_t id;
    struct uuid job;
    struct uuid token;
    struct uuid tenant;
    struct uuid run;
    const char *key;
    const char *type;
    const char *queue;
    unsigned attempt; /* from 1 */
    unsigned max_attempts;
    uint64_t lease_ms;
    struct message_span payload; /* JSON */
};

/* The demand's room is one less now. */
typedef void claim_given_fn(void *arg, const struct claimed *claimed);

struct claim_terms {
    struct ready_filter filter; /* copied, with all it points to */
    const char *worker;         /* copied */
    uint64_t lease_ms;
    uint64_t delivery_ms; /* until the first beat; 0: lease_ms */
    claim_given_fn *given;
    void *arg;
};

/* Returns a demand for nothing yet, caller closes with claim_close(): what is granted to it later is
 * released. */
struct claim_demand *claim_open(struct claim *claim, const struct claim_terms *terms);
void claim_close(struct claim_demand **demand);
/* So many jobs are wanted from now on; claims under way count, and are not fewer than are wanted. */
void claim_set_room(struct claim_demand *demand, size_t room);
/* Nothing more is claimed for it; what is under way is still given. */
void claim_stop(struct claim_demand *demand);
/* Nothing is under way for it, and it does not wait for a look at what is ready. */
bool claim_is_idle(const struct claim_demand *demand);
/* Something may be ready: looks once in this turn of the loop. */
void claim_kick(struct claim *claim);

/* ---- of the other files of this actor ---- */

/* Of changes.c, before a message leaves: takes jobs from ready for who wants them, if kicked. */
void claim_gather(struct claim *claim);
/* Claims whose outcome, or payload, is not yet here. */
size_t claim_under_way(const struct claim *claim);

struct claim *claim_create(struct job_runner *runner);
void claim_destroy(struct claim **claim);

#endif
