/* Runs in the database: one of them, pages of them by filter, counts. See store.h. */
#ifndef SIGNALBOX_API_STORE_RUNS_H
#define SIGNALBOX_API_STORE_RUNS_H

#include "api/store.h"
#include "proto/run_status.h"
#include "runtime/base/buffer.h"

enum {
    STORE_RUN_STATUSES = RUN_CANCELLED + 1,
    STORE_WALK_ROWS = 10000, /* rows looked at for one page */
    STORE_COUNT_MAX = 10000, /* a count stops here */
    /* Digits of the beginning of an id that make it rare. Ids made here begin with their time: runs
     * of three days have five digits in common. */
    STORE_RARE_DIGITS = 5
};

/* Which runs; the parts are combined by "and". Zero-initialised but for the tenant it is all. */
struct store_runs_filter {
    struct uuid tenant;
    unsigned statuses;  /* bit 1 << enum run_status for each that is wanted; 0: any */
    struct uuid thread; /* nil: any */
    struct uuid parent; /* nil: any */
    int64_t after_us;   /* created later than this; 0: any */
    int64_t before_us;  /* created earlier than this; 0: any */
    bool by_id;         /* ids from id_low to id_high only */
    struct uuid id_low;
    struct uuid id_high;
    struct buffer metadata; /* JSON object the metadata must contain; empty: any. Owned */
};

/* Newest first, those behind (before_us, before_id). */
struct store_runs_page {
    int64_t before_us;
    struct uuid before_id;
    int32_t limit; /* rows wanted; fewer come when their metadata is large */
};

struct store_run {
    struct uuid id;
    struct uuid thread; /* nil: none */
    struct uuid parent; /* nil: none */
    const char *status; /* borrowed, with its length, as all texts */
    size_t status_length;
    const char *metadata; /* a JSON object */
    size_t metadata_length;
    const char *created_by; /* length 0: not known */
    size_t created_by_length;
    const char *deliverable; /* length 0: not said */
    size_t deliverable_length;
    bool began_pending; /* its creation did not start it */
    int64_t start_us;   /* 0: at once */
    int64_t last_seq;
    int64_t created_us;
    int64_t started_us;   /* 0: not yet */
    int64_t completed_us; /* 0: not yet */
    int64_t fork_seq;     /* 0: not a fork */
};

/* No row: not there, or another tenant's. */
void store_get_run(struct store *store, const struct uuid *tenant, const struct uuid *run,
                   db_done_fn *done, void *arg);

/* A page by walking along the index that fits the filter best, at most STORE_WALK_ROWS rows far.
 * Whether more lies behind: store_read_edge. */
void store_walk_runs(struct store *store, const struct store_runs_filter *filter,
                     const struct store_runs_page *page, db_done_fn *done, void *arg);
/* Where the walk stopped, if it stopped before the end of the list; false: it reached the end. The
 * page holds every match up to there. */
bool store_read_edge(const struct db_result *result, int64_t *created_us_out, struct uuid *id_out);
/* Rows of runs in a page; a page without runs may still have a row, which tells the edge. */
int store_page_rows(const struct db_result *result);

/* How many digits the ids of a filter have in common: 0 when it is not about ids, 32 when it
 * matches none. */
int store_common_digits(const struct store_runs_filter *filter);
/* The same page from the index of what is rare: of ids, or of metadata. Only with STORE_RARE_DIGITS
 * or metadata. Finds everything, however far behind. */
void store_find_runs(struct store *store, const struct store_runs_filter *filter,
                     const struct store_runs_page *page, db_done_fn *done, void *arg);

/* One row: how many match, at most STORE_COUNT_MAX + 1. */
void store_count_runs(struct store *store, const struct store_runs_filter *filter, db_done_fn *done,
                      void *arg);
int64_t store_read_count(const struct db_result *result);

/* Ids of the `limit` oldest runs that match, each row with the count of all that do. */
void store_select_runs(struct store *store, const struct store_runs_filter *filter, int32_t limit,
                       db_done_fn *done, void *arg);
struct uuid store_read_selected(const struct db_result *result, int row);
int64_t store_read_selected_count(const struct db_result *result);

void store_read_run(const struct db_result *result, int row, struct store_run *run_out);

#endif
