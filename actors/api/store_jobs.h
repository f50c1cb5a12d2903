/*
 * SQL on jobs: one, some by id, and lists, newest first. A list is read along an index that fits its
 * filter, and looks at no more than STORE_JOBS_LOOKED_AT rows of the tenant on its way; then it ends
 * with an edge, behind which the next page goes on.
 */
#ifndef SIGNALBOX_API_STORE_JOBS_H
#define SIGNALBOX_API_STORE_JOBS_H

#include "api/store_internal.h"
#include "proto/job.h"
#include "runtime/json.h"

enum { STORE_JOBS_LOOKED_AT = 10000 };

struct store_job {
    struct uuid id;
    int64_t number; /* in the tables: grows in the order of queueing */
    struct uuid run;
    enum job_status status;
    enum job_dep_fail on_dep_fail;
    int32_t priority;
    int32_t attempts;
    int32_t max_attempts;
    bool detached;
    bool cancel_requested;
    /* Borrowed from the result; data NULL: none. */
    struct json_span key;
    struct json_span type;
    struct json_span artifact_kind;
    struct json_span queue;
    struct json_span concurrency_key;
    struct json_span worker;
    struct json_span error_class;
    /* These are JSON. */
    struct json_span payload;
    struct json_span depends_on;
    struct json_span progress;
    struct json_span result;
    struct json_span error;
    int64_t run_at_us; /* times: 0, none */
    int64_t heartbeat_us;
    int64_t created_us;
    int64_t updated_us;
    int64_t finished_us;
    int64_t enqueue_seq;
    int64_t finish_seq; /* 0: none */
};

/* One row, or none. */
void store_get_job(struct store *store, const struct uuid *tenant, const struct uuid *job,
                   db_done_fn *done, void *arg);
/* Those that are there, newest first; fewer come when they are large. */
void store_get_jobs(struct store *store, const struct uuid *tenant, const struct uuid *jobs,
                    size_t count, db_done_fn *done, void *arg);
/* Which of these, written as texts, are keys of jobs: a row for each, in any order. */
void store_find_job_keys(struct store *store, const struct uuid *tenant, const struct uuid *names,
                         size_t count, db_done_fn *done, void *arg);
/* Its place among the names, from 0. */
size_t store_read_place(const struct db_result *result, int row);
/* A row of any of the first two. */
void store_read_job(const struct db_result *result, int row, struct store_job *job_out);

enum { STORE_JOB_STATUSES = JOB_STATUS_CANCELLED + 1 };
/* "pending" … "cancelled". */
const char *store_job_status_name(enum job_status status);
/* Whether it is one of those names. */
bool store_find_job_status(const char *name, size_t length, enum job_status *status_out);

struct store_jobs_filter {
    struct uuid tenant;
    unsigned statuses; /* 1 << enum job_status; 0: any */
    const char *queue; /* NULL: any, as the next two */
    const char *type;
    const char *key;
    struct uuid run; /* nil: any */
};

/* Newest first, those with a number below `before`; fewer than `limit` come when they are large, but
 * never none. */
void store_list_jobs(struct store *store, const struct store_jobs_filter *filter, int64_t before,
                     int32_t limit, db_done_fn *done, void *arg);
/* Rows of a list. */
int store_jobs_rows(const struct db_result *result);
/* The number at which the list stopped looking; 0: it did not. */
int64_t store_read_jobs_edge(const struct db_result *result);

/* Bytes of a row that count for the bound of a page. */
size_t store_job_bytes(const struct store_job *job);

/* Events of a job in the log of its run, in order: what was written from its queueing to its end, of
 * that the last STORE_JOBS_LOOKED_AT, and at most STORE_JOB_EVENTS. */
enum { STORE_JOB_EVENTS = 1000 };
void store_get_job_events(struct store *store, const struct uuid *tenant,
                          const struct store_job *job, db_done_fn *done, void *arg);
/* As store_read_event() of store.h reads them, but without head and trace. */
void store_read_job_event(const struct db_result *result, int row, struct store_event *event_out);

#endif
