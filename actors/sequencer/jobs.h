/*
 * Jobs in memory (a bounded cache of committed state, like that of runs), what commands about jobs
 * borrow from it, and what a batch does to them. A command's way is that of the others: resolve finds
 * what memory does not have (job_resolve.c), evaluation decides (job_enqueue.c, job_change.c, by the
 * rules of job_rules.c), the batch's statement writes events and job rows together (job_params.c),
 * runners are told (job_publish.c).
 *
 * Nobody else changes what is kept here. What the statement itself works out (children of jobs that
 * have ended) it returns.
 */
#ifndef SIGNALBOX_SEQUENCER_JOBS_H
#define SIGNALBOX_SEQUENCER_JOBS_H

#include "sequencer/job_rules.h"
#include "proto/outcome.h"
#include "runtime/base/buffer.h"
#include "runtime/base/list.h"
#include "runtime/base/map.h"
#include "runtime/db.h"

struct batch;
struct command;
struct run;
struct sequencer;

struct job {
    struct list node;   /* in jobs.by_use, least recently used first */
    struct list of_run; /* in run->jobs while it is open and its run in memory */
    int64_t id;         /* its number in the tables */
    struct uuid job;
    struct uuid tenant;
    struct uuid key_hash;
    char *texts; /* owned; the spans below point into it */
    struct message_span key;
    struct message_span type;
    struct message_span queue;
    struct message_span concurrency_key;
    int32_t priority;
    unsigned max_attempts;
    enum job_dep_fail on_dep_fail;
    bool has_children;
    bool pruned;          /* only its key, id and status are known */
    struct job_now now;   /* as committed; its worker points to worker_text */
    char *worker_text;    /* owned */
    unsigned users;       /* queued commands that point here: not evicted */
    uint64_t made_commit; /* the commit here that made it; 0: it was read */
    int batch_job;        /* 1-based index into batch.jobs; 0: not part of it */
};

struct jobs {
    struct map by_id;  /* struct job by its uuid, owned */
    struct map by_key; /* the same by key_hash */
    struct list by_use;
    uint64_t
        forgotten_commit; /* the latest commit that made a job which has been forgotten since */
    uint64_t counter;     /* of JOBS frames */
    bool held;            /* the jobs of a run have been read for the next command */
    uint32_t chance;      /* state of the generator for retry pauses */
};

/* A job that a command names, and the run whose log it is in. */
struct job_item {
    struct message_span key; /* empty: `name` is its uuid, else the hash of tenant and key */
    struct uuid name;
    struct job *job; /* borrowed, a user; NULL: not known (yet) */
    struct run *run; /* the same; NULL: not needed, or not known */
};

struct job_answer {
    struct uuid job;
    enum job_outcome outcome;
    enum job_status status;
    unsigned attempt;
    struct uuid run;
    int64_t seq;
};

/* What a command about jobs has beside the common things; owned by it. */
struct job_work {
    size_t jobs_count; /* ENQUEUE_JOBS */
    struct message_enqueue_jobs_job *jobs;
    size_t parents_count;
    struct message_enqueue_jobs_parent *parents;
    size_t changes_count; /* CHANGE_JOBS */
    struct message_change_jobs_change *changes;
    size_t events_count;
    struct message_change_jobs_event *events;
    struct job_item *items; /* of the jobs, then of the parents; or of the changes */
    size_t items_count;
    struct job_answer *answers; /* of the jobs, or of the changes */
    size_t answers_count;
};

/* What the batch being built, or under way, does to a job. */
struct batch_job {
    struct job *job;
    struct job_now now;                            /* as the batch leaves it */
    const struct message_enqueue_jobs_job *queued; /* NULL: it was there before */
    size_t row;                                    /* queued: of its JOB_QUEUED, from 1 */
    struct message_span actor;                     /* queued: who asked */
    struct message_span payload;                   /* a new one; empty: as it was */
    bool finished;      /* an open row goes: it has ended in this batch, whatever came then */
    bool success;       /* how */
    bool again;         /* it has been begun again */
    bool recorded;      /* its wide row changes */
    int64_t queued_seq; /* again, in another run: its JOB_QUEUED */
    int64_t finish_seq; /* of its end */
    struct message_span result; /* of its end; empty: none */
    struct message_span error;  /* JSON */
    const char *class;          /* NULL: none */
    bool partial;
    struct message_span last_error; /* of an attempt; empty: as it was */
};

struct batch_dep {
    struct job *parent;
    struct job *child;
    bool ended; /* the parent has, as the batch leaves it */
};

/* ---- jobs.c: memory ---- */
void jobs_init(struct jobs *jobs);
void jobs_clear(struct sequencer *sequencer);
struct job *jobs_get(const struct sequencer *sequencer, const struct uuid *job);
struct job *jobs_get_by_key(const struct sequencer *sequencer, const struct uuid *key_hash);
struct uuid jobs_key_hash(const struct uuid *tenant, struct message_span key);
/* What does not change of a job that is not known yet: the texts are copied. Returns it, with no
 * state. */
struct job *jobs_add(struct sequencer *sequencer, const struct job *model);
/* A row of job_memory, from `column` on; what memory has is newer but for what only the statement of
 * a batch knows (`by_batch`). Returns the job. */
struct job *jobs_load(struct sequencer *sequencer, const struct db_result *result, int row,
                      int column, bool by_batch);
enum { JOBS_COLUMNS = 25 };
void jobs_evict(struct sequencer *sequencer);
/* Whether all open jobs of the run are in memory. */
bool jobs_are_known(const struct run *run);
/* Both are in memory: the run's list has the job while it is open. */
void jobs_link(struct job *job, struct run *run);
/* The run leaves the memory. */
void jobs_unlink_all(struct run *run);
/* Nobody points to it. */
void jobs_remove(struct sequencer *sequencer, struct job *job);
/* The same of one that is, or was, in the table: commands that looked before it was made look again. */
void jobs_forget(struct sequencer *sequencer, struct job *job);

/* ---- job_batch.c: what a batch does to them ---- */
/* As the batch being built leaves it. */
const struct job_now *jobs_now(const struct sequencer *sequencer, const struct job *job);
/* The job becomes part of the batch being built. Valid until the next one does. */
struct batch_job *jobs_join(struct batch *batch, struct job *job);
/* False: it is there already. */
bool jobs_add_dep(struct batch *batch, struct job *parent, struct job *child, bool ended);
/* An event of a job, or of a run on account of it: each counts as a command of its own. command NULL:
 * the server's. */
void jobs_add_row(struct sequencer *sequencer, struct run *run, enum event_type type,
                  struct message_span payload, const struct command *command);
/* The last row of the batch is about this claim of the job, and can be in the log once. */
void jobs_remember_row(struct batch *batch, const struct job *job, int32_t claim);
/* Memory of the batch: the bytes last until it has been published. */
struct message_span jobs_keep(struct batch *batch, const struct buffer *text);
/* After the commit, or what remains when there is none. */
void jobs_committed(struct sequencer *sequencer, struct batch *batch,
                    const struct db_result *result);
void jobs_let_go(struct batch *batch);
void jobs_take_back(struct sequencer *sequencer, struct batch *batch);
void jobs_empty(struct batch *batch);

/* ---- job_command.c: commands about jobs ---- */
void jobs_work_destroy(struct job_work **work);
/* Points the command's items to what memory has. False: the table must be asked. */
bool jobs_find(struct sequencer *sequencer, struct command *command);
void jobs_send_result(struct sequencer *sequencer, const struct command *command);

/* ---- job_resolve.c: what they need from the table ---- */
void jobs_ask(struct sequencer *sequencer, struct db_params *params);
bool jobs_look_is_needed(const struct sequencer *sequencer, const struct command *command);
void jobs_look(struct sequencer *sequencer, struct command *command);

/* ---- job_apply.c: decisions become rows ---- */
struct message_span jobs_words(const char *text);
/* What the decision says of the job is added to the batch. Returns the seq of the event, 0: none. */
struct job_step {
    const struct command *command; /* NULL: the end of its run */
    struct message_span actor;
    struct message_span reason; /* in words; empty: none */
    struct message_span result;
    int64_t percent;
};
int64_t jobs_apply(struct sequencer *sequencer, struct job *job, struct run *run,
                   const struct job_decision *decision, const struct job_step *step);
/* ---- job_runs.c ---- */
/* A run that the batch makes and starts; id NULL: a new one. */
struct run *job_runs_make(struct sequencer *sequencer, const struct command *command,
                          const struct uuid *parent, const struct uuid *id,
                          const struct uuid *tenant);
/* An event is about to be written that ends the run, or asks it to end: its jobs go first. */
void jobs_run_changes(struct sequencer *sequencer, struct run *run, enum event_type type);
/* The server ends the run on account of its job, unless it has ended. */
void jobs_run_end(struct sequencer *sequencer, struct run *run, enum event_type type,
                  const char *payload);
/* The command, accepted, has asked its run to end. One that was made for a job which this has ended
 * waits for nobody: it ends, too. */
void jobs_run_cancelling(struct sequencer *sequencer, struct command *command);
#define JOBS_RUN_CANCELLED "{\"reason\":\"job_cancelled\"}"

/* ---- job_params.c, job_publish.c ---- */
/* Behind the parameters of the append statement, or (`alone`) behind shard, epoch and position. */
void jobs_params(struct sequencer *sequencer, struct batch *batch);
void jobs_publish(struct sequencer *sequencer, const struct batch *batch);
/* A JOB_NOTE of a runner. */
void jobs_note(struct sequencer *sequencer, const uint8_t *frame, size_t length);

#endif
