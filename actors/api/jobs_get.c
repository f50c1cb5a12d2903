/* GET /jobs/{id}: a job, what the log of its run says of it, and the attempts that follow from that. */
#include "api/events_format.h"
#include "api/jobs.h"
#include "api/jobs_attempts.h"
#include "api/jobs_view.h"
#include "api/store_jobs.h"
#include "runtime/base/memory.h"

#include <stdlib.h>

struct getting {
    struct exchange *exchange;
    struct buffer answer;
};

static void getting_destroy(struct getting *getting)
{
    buffer_deinit(&getting->answer);
    free(getting);
}

/* An answer from the database has come; NULL: nobody waits for it any more, or it was none. */
static struct exchange *resume(struct getting *getting, enum db_status status)
{
    struct exchange *exchange = getting->exchange;
    bool waiting = exchange_resume(exchange);
    if (!waiting || status != DB_OK) {
        getting_destroy(getting);
        if (waiting) {
            exchange_unavailable(exchange);
        }
        return NULL;
    }
    return exchange;
}

static void events_found(void *arg, enum db_status status, const struct db_result *result)
{
    struct getting *getting = arg;
    struct exchange *exchange = resume(getting, status);
    struct jobs_attempts attempts = {0};
    struct store_event event;
    if (exchange == NULL) {
        return;
    }
    struct buffer *out = &getting->answer;
    buffer_append_text(out, ",\"events\":[");
    for (int row = 0; row < db_rows(result); row++) {
        store_read_job_event(result, row, &event);
        events_format_add(out, EVENTS_JSON, NULL, &event, row == 0);
        jobs_attempts_add(&attempts, &event);
    }
    buffer_append_text(out, "],\"attempts_made\":");
    jobs_attempts_write(out, &attempts);
    buffer_append_byte(out, '}');
    exchange_json(exchange, 200, out);
    jobs_attempts_deinit(&attempts);
    getting_destroy(getting);
}

static void job_found(void *arg, enum db_status status, const struct db_result *result)
{
    struct getting *getting = arg;
    struct exchange *exchange = resume(getting, status);
    struct store_job job;
    if (exchange == NULL) {
        return;
    }
    if (db_rows(result) == 0) {
        getting_destroy(getting);
        exchange_problem(exchange, PROBLEM_NOT_FOUND, "There is no such job.", NULL);
        return;
    }
    store_read_job(result, 0, &job);
    jobs_view_write(&getting->answer, &job);
    getting->answer.length--; /* its last bracket: more follows */
    exchange_hold(exchange);
    store_get_job_events(exchange->api->store, &exchange->who.tenant, &job, events_found, getting);
}

void jobs_get(struct exchange *exchange)
{
    struct getting *getting = memory_new(sizeof *getting);
    getting->exchange = exchange;
    exchange_hold(exchange);
    store_get_job(exchange->api->store, &exchange->who.tenant, &exchange->id, job_found, getting);
}
