/* What pages.c and pages_doubts.c share. */
#ifndef SIGNALBOX_JOB_RUNNER_PAGES_INTERNAL_H
#define SIGNALBOX_JOB_RUNNER_PAGES_INTERNAL_H

#include "job-runner/pages.h"
#include "job-runner/runner.h"

enum { ASK_MAX = 500, AGAIN_MS = 200 };

struct pages {
    struct job_runner *runner; /* borrowed */
    struct db *db;
    struct event *poll_event;
    struct event *go_event;
    uint32_t wanted;  /* shards to be read when the reading under way has ended */
    uint32_t reading; /* shards of the reading under way */
    uint64_t since;   /* stamp at its beginning */
    int64_t after;    /* number of its last row */
    size_t rows;      /* of it so far */
    size_t last_rows; /* of the one before */
    int64_t whole_due_ms;
    bool lost; /* everything is to be read, but not more often than once a second */
    int64_t lost_pause_until_ms;
    int64_t heard_ms;
    bool page_under_way;
    bool poll_under_way;
    uint64_t page_since;
    uint64_t poll_since;
    int64_t *asked; /* numbers in doubt, not yet asked for */
    size_t asked_count;
    size_t asked_capacity;
    int64_t asking[ASK_MAX]; /* of the statement under way */
    size_t asking_count;
    uint64_t asking_since;
};

/* Goes on then, or earlier if that was said before. */
void pages_go_in(struct pages *pages, int64_t ms);
/* Rows as they were after stamp `since`. */
void pages_take_rows(struct pages *pages, const struct db_result *result, uint64_t since);

/* ---- pages_doubts.c ---- */

/* Asks for what is in doubt, unless an answer is under way. */
void pages_settle_doubts(struct pages *pages);

#endif
