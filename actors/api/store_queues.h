/*
 * SQL on what operators and tenants ask of queues, and on how queues stand. Shown rows come as JSON
 * text, made by the database. Every change writes its line of the audit in the same statement, and
 * only when it changes something.
 */
#ifndef SIGNALBOX_API_STORE_QUEUES_H
#define SIGNALBOX_API_STORE_QUEUES_H

#include "api/store_internal.h"

/* Of unfinished jobs and of dead ones so many are counted; what comes behind them is not. */
enum { STORE_QUEUES_COUNTED = 100000, STORE_QUEUES_DEAD_COUNTED = 10000, STORE_QUEUES_MAX = 1000 };

/* One row, one text: all queues that have rules or unfinished or dead jobs, by name; `queue` not
 * NULL: that one, whether it has any or not. */
void store_get_queues(struct store *store, const struct uuid *tenant, const char *queue,
                      db_done_fn *done, void *arg);
/* The text of the row. */
struct store_text {
    const char *data;
    size_t length;
};
struct store_text store_read_queues(const struct db_result *result);

/* Rules of a queue that are given; the others stay as they are. */
enum store_queue_rule {
    STORE_QUEUE_CONCURRENCY,
    STORE_QUEUE_KEY_CONCURRENCY,
    STORE_QUEUE_RATE_PER_MINUTE,
    STORE_QUEUE_RATE_BURST,
    STORE_QUEUE_RULES
};
enum { STORE_QUEUE_AS_IT_IS = -1, STORE_QUEUE_DEFAULT = 0 };
struct store_queue_rules {
    int paused; /* 1, 0, STORE_QUEUE_AS_IT_IS */
    int32_t numbers[STORE_QUEUE_RULES];
};
/* One row: whether anything has changed. */
void store_set_queue(struct store *store, const struct uuid *tenant, const char *queue,
                     const struct store_queue_rules *rules, const char *actor, db_done_fn *done,
                     void *arg);
void store_reset_queue(struct store *store, const struct uuid *tenant, const char *queue,
                       const char *actor, db_done_fn *done, void *arg);
/* Of a job type; "": of the whole tenant. One row: whether anything has changed. */
void store_pause_jobs(struct store *store, const struct uuid *tenant, const char *job_type,
                      bool paused, const char *actor, db_done_fn *done, void *arg);
bool store_read_changed(const struct db_result *result);
/* The tenant has as many names with something asked of them as it may. */
bool store_read_refused(const struct db_result *result);

/* Dead jobs, oldest first, behind `after`: at most STORE_QUEUES_DEAD_COUNTED, of the first
 * STORE_DEAD_LOOKED_AT that there are. */
enum { STORE_DEAD_LOOKED_AT = 50000 };
struct store_dead_filter {
    struct uuid tenant;
    const char *queue; /* NULL: any, as the next */
    const char *type;
    struct uuid run; /* nil: any */
};
void store_select_dead(struct store *store, const struct store_dead_filter *filter, int64_t after,
                       db_done_fn *done, void *arg);
int store_dead_rows(const struct db_result *result);
void store_read_dead(const struct db_result *result, int row, struct uuid *job_out,
                     int64_t *number_out);
/* The number of the last one looked at; 0: all were. */
int64_t store_read_dead_edge(const struct db_result *result);

/* A line of the audit for jobs that were asked to be tried again. */
void store_note_retries(struct store *store, const struct store_dead_filter *filter, int64_t count,
                        const char *actor, db_done_fn *done, void *arg);

#endif
