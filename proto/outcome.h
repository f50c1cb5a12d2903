/* Definite outcomes of a command to the sequencer, as carried in RESULT. Values are on the wire:
 * never reused. */
#ifndef SIGNALBOX_PROTO_OUTCOME_H
#define SIGNALBOX_PROTO_OUTCOME_H

enum command_outcome {
    OUTCOME_OK = 0,
    OUTCOME_EXISTS = 1,               /* CREATE_RUN: the tenant's own run has this id already */
    OUTCOME_ID_TAKEN = 2,             /* CREATE_RUN: somebody else's run has this id */
    OUTCOME_NOT_FOUND = 3,            /* no such run of this tenant */
    OUTCOME_RUN_CLOSED = 4,           /* after a terminal event */
    OUTCOME_RUN_PENDING = 5,          /* not started yet */
    OUTCOME_SEQ_CONFLICT = 6,         /* expected_seq is not the head */
    OUTCOME_KEY_MISMATCH = 7,         /* Idempotency-Key used before with another body */
    OUTCOME_REFUSED = 8,              /* the database refused the data */
    OUTCOME_PRODUCER_GAP = 9,         /* producer_seq is beyond the next number: `expected` */
    OUTCOME_PRODUCER_FENCED = 10,     /* a newer epoch of the producer is known: `expected` */
    OUTCOME_PRODUCER_EPOCH = 11,      /* a new epoch that does not begin with number 0 */
    OUTCOME_QUOTA = 12,               /* a quota of the tenant is used up */
    OUTCOME_THREAD_BUSY = 13,         /* CREATE_RUN with MULTITASK_REJECT */
    OUTCOME_NOT_INTERRUPTED = 14,     /* RESUME_RUN: the run waits for nothing */
    OUTCOME_WRONG_CLARIFICATION = 15, /* no such question is open */
    OUTCOME_SEQ_BEYOND_HEAD = 16,     /* FORK_RUN: `last_seq` is the head, or the run's end */
    OUTCOME_QUESTION_ASKED = 17       /* APPEND: a question's id was used in the run before */
};

#endif
