/* Status of a run, and what to do about other runs of its thread. Values are on the wire: never
 * reused; the order of run_status is that of the type in the database. */
#ifndef SIGNALBOX_PROTO_RUN_STATUS_H
#define SIGNALBOX_PROTO_RUN_STATUS_H

enum run_status {
    RUN_PENDING = 0, /* delayed or queued: no event yet */
    RUN_RUNNING = 1,
    RUN_INTERRUPTED = 2, /* waits for a person */
    RUN_CANCELLING = 3,
    RUN_FINISHED = 4, /* from here on the log is closed */
    RUN_FAILED = 5,
    RUN_CANCELLED = 6
};

/* A new run and the runs of its thread that have not ended. */
enum multitask_strategy {
    MULTITASK_NONE = 0,      /* side by side */
    MULTITASK_REJECT = 1,    /* the new one is refused */
    MULTITASK_ENQUEUE = 2,   /* the new one waits for them, in order of creation */
    MULTITASK_INTERRUPT = 3, /* they are asked to end; the new one waits for that */
    MULTITASK_ROLLBACK = 4   /* they are cancelled at once and do not count for the thread */
};

#endif
