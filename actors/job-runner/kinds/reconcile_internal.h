/* What reconcile.c and reconcile_checks.c share: one attempt of it. */
#ifndef SIGNALBOX_JOB_RUNNER_KINDS_RECONCILE_INTERNAL_H
#define SIGNALBOX_JOB_RUNNER_KINDS_RECONCILE_INTERNAL_H

#include "job-runner/kind.h"
#include "runtime/base/buffer.h"
#include "runtime/base/error.h"
#include "runtime/base/uuid.h"
#include "runtime/db.h"

#include <stdbool.h>
#include <stdint.h>

enum { CHECKS_MAX = 32 };

enum phase { PHASE_RUNS, PHASE_WHOLE, PHASE_OVER };

struct reconcile {
    struct attempt *attempt;
    struct db *db;    /* its own */
    struct event *go; /* the next page, or the end */
    struct db_statement statements[CHECKS_MAX];
    bool all;
    int64_t runs_max;
    int64_t pause_ms;
    enum phase phase;
    bool begun;
    bool failed;
    struct error why;
    size_t waiting;      /* answers */
    size_t check;        /* PHASE_WHOLE: the next one */
    struct uuid after;   /* the last run looked at */
    int64_t after_us;    /* the tenant's: when it was made */
    struct uuid reached; /* the last run of the page */
    int64_t reached_us;
    int64_t page; /* runs on it */
    bool more;    /* pages after it */
    int64_t runs;
    int64_t violations;
    struct buffer shown; /* JSON, joined by commas */
    struct buffer skipped;
};

/* From the loop, never from an answer of the connection that goes with it. */
void reconcile_fail(struct reconcile *reconcile, const struct db_result *result);
/* Every check of the page has been answered. */
void reconcile_page_done(struct reconcile *reconcile);

/* ---- reconcile_checks.c ---- */

/* All checks of single runs, on these. */
void reconcile_check_range(struct reconcile *reconcile, const struct uuid *from,
                           const struct uuid *to);
/* The next one that reads everything; false: that was the last. */
bool reconcile_check_whole(struct reconcile *reconcile);

#endif
