/* SQL on schedules. Shown rows come as JSON text, made by the database; every change writes its line
 * of the audit in the same statement. */
#ifndef SIGNALBOX_API_STORE_SCHEDULES_H
#define SIGNALBOX_API_STORE_SCHEDULES_H

#include "api/store_queues.h"

/* Of a tenant. */
enum { STORE_SCHEDULES_MAX = 1000 };

struct store_schedule {
    const char *name;
    const char *spec;
    const char *tz;
    const char *queue;
    const char *job_type;
    const char *concurrency_key; /* NULL: none */
    const char *missed;
    const char *payload; /* JSON */
    size_t payload_length;
    int32_t priority;
    int32_t max_attempts;
    bool enabled;
    int64_t next_us; /* used if its times have changed; INT64_MAX: never */
};

/* One row, one text: all, by name, without their payloads. */
void store_list_schedules(struct store *store, const struct uuid *tenant, db_done_fn *done,
                          void *arg);
/* The text of one; no row: there is none. */
void store_get_schedule(struct store *store, const struct uuid *tenant, const char *name,
                        db_done_fn *done, void *arg);
/* Its text, and whether it is new; no row: there are too many. */
void store_set_schedule(struct store *store, const struct uuid *tenant,
                        const struct store_schedule *schedule, const char *actor, db_done_fn *done,
                        void *arg);
/* Its text as it was; no row: there was none. */
void store_delete_schedule(struct store *store, const struct uuid *tenant, const char *name,
                           const char *actor, db_done_fn *done, void *arg);
bool store_read_schedule(const struct db_result *result, struct store_text *text_out);
bool store_read_schedule_is_new(const struct db_result *result);

#endif
