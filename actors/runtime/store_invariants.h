/*
 * The promises of the run log, each as one statement whose rows are what breaks it: for
 * `signalbox verify`, which looks at everything at once, and for the job-runner's reconcile, which
 * goes through the runs range by range.
 */
#ifndef SIGNALBOX_RUNTIME_STORE_INVARIANTS_H
#define SIGNALBOX_RUNTIME_STORE_INVARIANTS_H

#include <stddef.h>

enum invariant_scope {
    INVARIANT_RUNS,   /* reads the runs of the range only */
    INVARIANT_LOG,    /* reads the whole log, tells of the range */
    INVARIANT_TENANTS /* reads the whole log; empty for the range of one run */
};

/* The first and the last run of all. */
#define INVARIANT_FIRST "00000000-0000-0000-0000-000000000000"
#define INVARIANT_LAST "ffffffff-ffff-ffff-ffff-ffffffffffff"

/* $1::uuid to $2::uuid: the range of runs. Columns: run_id text or null, seq text or null, detail
 * text. */
struct invariant {
    const char *name;
    enum invariant_scope scope;
    const char *promise; /* one line for people */
    const char *sql;
};

extern const struct invariant invariants[];
extern const size_t invariants_count;

/* $1::uuid to $2::uuid; columns: runs, events. */
extern const char *const invariants_count_sql;

#endif
