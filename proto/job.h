/* What is said of jobs between actors: values on the wire, never reused. The design is in
 * docs/jobs.md. */
#ifndef SIGNALBOX_PROTO_JOB_H
#define SIGNALBOX_PROTO_JOB_H

/* As stored and shown; a job is running while a claim on it is live. */
enum job_status {
    JOB_STATUS_PENDING = 1,
    JOB_STATUS_RUNNING = 2,
    JOB_STATUS_SUCCESS = 3,
    JOB_STATUS_ERROR = 4,
    JOB_STATUS_CANCELLED = 5
};

/* What becomes of a job when one of its parents ends without success. */
enum job_dep_fail {
    JOB_DEP_FAIL_CANCEL = 0,  /* it is cancelled */
    JOB_DEP_FAIL_FAIL = 1,    /* it fails */
    JOB_DEP_FAIL_CONTINUE = 2 /* it runs as if the parent were done */
};

enum job_change {
    JOB_CLAIM = 1,    /* a worker takes it */
    JOB_COMPLETE = 2, /* done; of one that is to stop: cancelled, the result is kept as partial */
    JOB_FAIL = 3,     /* the attempt failed: by class, another one or the end */
    JOB_RELEASE = 4,  /* given back; costs no attempt */
    JOB_EXPIRE = 5, /* its lease is over: the attempt is lost, or none when it was never taken up */
    JOB_PROGRESS = 6, /* one JOB_PROGRESS event */
    JOB_CANCEL = 7,   /* a waiting one ends; a running one is to stop */
    JOB_KILL = 8,     /* a running one that was to stop ends without its worker */
    JOB_RETRY = 9,    /* one that has ended without success waits again */
    JOB_SKIP = 10     /* a parent has ended without success: on_dep_fail decides */
};

enum job_class {
    JOB_CLASS_RETRYABLE = 0,
    JOB_CLASS_FATAL = 1,       /* no attempt is left */
    JOB_CLASS_RATE_LIMITED = 2 /* costs no attempt */
};

/* Of one job of ENQUEUE_JOBS, or of one change of CHANGE_JOBS. */
enum job_outcome {
    JOB_OUTCOME_OK = 0,         /* made, or changed; a repeated change too */
    JOB_OUTCOME_EXISTS = 1,     /* ENQUEUE: the key is known, that job is answered */
    JOB_OUTCOME_NOT_FOUND = 2,  /* no such job of this tenant */
    JOB_OUTCOME_LEASE_LOST = 3, /* the token is not the live claim's */
    JOB_OUTCOME_NOT_READY = 4,  /* CLAIM: taken, waiting for others or for its time, or ended */
    JOB_OUTCOME_ENDED = 5, /* CANCEL, PROGRESS: it has ended; RETRY: it has not, or with success */
    JOB_OUTCOME_REFUSED = 6,   /* malformed */
    JOB_OUTCOME_NO_PARENT = 7, /* ENQUEUE, of the whole message: a parent does not exist */
    /* COMPLETE with events that the run does not take; RETRY in a run that is being cancelled */
    JOB_OUTCOME_RUN_CLOSED = 8
};

/* Where a job is, for who decides what runs next. */
enum job_state {
    JOB_STATE_WAITING = 1, /* for its time, a place or a worker */
    JOB_STATE_BLOCKED = 2, /* for its parents */
    JOB_STATE_SKIPPED = 3, /* a parent has failed it: JOB_SKIP is due */
    JOB_STATE_RUNNING = 4,
    JOB_STATE_ENDED = 5
};

enum job_beat {
    JOB_BEAT_ALIVE = 1,
    JOB_BEAT_LOST = 2,     /* the token is not the live claim's */
    JOB_BEAT_ELSEWHERE = 3 /* the job is not known here */
};

/* What a step of PRUNE goes through. */
enum prune {
    PRUNE_JOBS = 1, /* ended jobs leave their keys, by their numbers */
    PRUNE_RUNS = 2  /* ended runs go whole, with their jobs, by the time they were made */
};

/* Shards of the jobs: a job is in the one of its (tenant, queue), see job_shard() in
 * migrations/0013_jobs.up.sql. */
enum { JOB_SHARDS = 16 };

#endif
