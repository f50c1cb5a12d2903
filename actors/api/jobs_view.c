/* See jobs_view.h. */
#include "api/jobs_view.h"

#include "runtime/base/clock.h"

/* Of `on_dep_fail`. */
static const char *dep_fail_name(enum job_dep_fail rule)
{
    static const char *const names[] = {[JOB_DEP_FAIL_CANCEL] = "cancel",
                                        [JOB_DEP_FAIL_FAIL] = "fail",
                                        [JOB_DEP_FAIL_CONTINUE] = "continue"};
    return names[rule];
}

/* ---- members ---- */

static void id_member(struct buffer *out, const char *name, const struct uuid *id)
{
    char text[UUID_TEXT_SIZE];
    uuid_format(id, text);
    buffer_printf(out, "\"%s\":\"%s\",", name, text);
}

static void time_member(struct buffer *out, const char *name, int64_t real_us)
{
    char text[CLOCK_TEXT_SIZE];
    if (real_us == 0) {
        buffer_printf(out, "\"%s\":null,", name);
        return;
    }
    clock_format(real_us, text);
    buffer_printf(out, "\"%s\":\"%s\",", name, text);
}

static void text_member(struct buffer *out, const char *name, struct json_span text)
{
    buffer_printf(out, "\"%s\":", name);
    if (text.data == NULL) {
        buffer_append_text(out, "null");
    } else {
        buffer_append_json(out, text.data, text.length);
    }
    buffer_append_byte(out, ',');
}

static void value_member(struct buffer *out, const char *name, struct json_span json,
                         const char *none)
{
    buffer_printf(out, "\"%s\":", name);
    if (json.data == NULL) {
        buffer_append_text(out, none);
    } else {
        buffer_append(out, json.data, json.length);
    }
    buffer_append_byte(out, ',');
}

static void bool_member(struct buffer *out, const char *name, bool value)
{
    buffer_printf(out, "\"%s\":%s,", name, value ? "true" : "false");
}

void jobs_view_write(struct buffer *out, const struct store_job *job)
{
    buffer_append_byte(out, '{');
    id_member(out, "id", &job->id);
    text_member(out, "job_key", job->key);
    text_member(out, "job_type", job->type);
    text_member(out, "artifact_kind", job->artifact_kind);
    text_member(out, "queue", job->queue);
    id_member(out, "run_id", &job->run);
    buffer_printf(out, "\"status\":\"%s\",\"priority\":%d,\"attempts\":%d,\"max_attempts\":%d,",
                  store_job_status_name(job->status), job->priority, job->attempts,
                  job->max_attempts);
    value_member(out, "payload", job->payload, "null");
    time_member(out, "run_at", job->run_at_us);
    value_member(out, "depends_on", job->depends_on, "[]");
    buffer_printf(out, "\"on_dep_fail\":\"%s\",", dep_fail_name(job->on_dep_fail));
    text_member(out, "concurrency_key", job->concurrency_key);
    bool_member(out, "detached", job->detached);
    text_member(out, "last_worker", job->worker);
    time_member(out, "heartbeat_at", job->heartbeat_us);
    bool_member(out, "cancel_requested", job->cancel_requested);
    value_member(out, "progress", job->progress, "null");
    value_member(out, "result", job->result, "null");
    value_member(out, "error", job->error, "null");
    text_member(out, "error_class", job->error_class);
    time_member(out, "created_at", job->created_us);
    time_member(out, "updated_at", job->updated_us);
    time_member(out, "finished_at", job->finished_us);
    out->data[out->length - 1] = '}'; /* in place of the last comma */
}

void jobs_view_write_short(struct buffer *out, const struct uuid *id, const char *key,
                           size_t key_length, enum job_status status)
{
    buffer_append_byte(out, '{');
    id_member(out, "id", id);
    text_member(out, "job_key", (struct json_span){key, key_length});
    buffer_printf(out, "\"status\":\"%s\"}", store_job_status_name(status));
}
