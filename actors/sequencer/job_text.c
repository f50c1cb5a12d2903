/* See job_text.h. */
#include "sequencer/job_text.h"

#include "runtime/base/clock.h"

#include <string.h>

enum { JOB_TEXT_ID_BYTES = 255, JOB_TEXT_INLINE_BYTES = 4096 };

static void begin(struct buffer *out, const struct job *job)
{
    char id[UUID_TEXT_SIZE];
    uuid_format(&job->job, id);
    buffer_append_text(out, "{\"job_id\":\"");
    buffer_append_text(out, id);
    buffer_append_byte(out, '"');
}

static void put_text(struct buffer *out, const char *name, struct message_span text)
{
    if (text.length > 0) {
        buffer_append_text(out, ",\"");
        buffer_append_text(out, name);
        buffer_append_text(out, "\":");
        buffer_append_json(out, (const char *)text.data, text.length);
    }
}

static void put_int(struct buffer *out, const char *name, int64_t value)
{
    buffer_append_text(out, ",\"");
    buffer_append_text(out, name);
    buffer_append_text(out, "\":");
    buffer_append_int(out, value);
}

static void put_time(struct buffer *out, const char *name, int64_t real_us)
{
    char text[CLOCK_TEXT_SIZE];
    clock_format(real_us, text);
    put_text(out, name, (struct message_span){(const uint8_t *)text, strlen(text)});
}

void job_text_queued(struct buffer *out, const struct job *job, int64_t run_at_us, int64_t now_us)
{
    begin(out, job);
    put_text(out, "job_type", job->type);
    if (job->key.length <= JOB_TEXT_ID_BYTES) { /* as long as the contract has ids */
        put_text(out, "job_key", job->key);
    }
    put_int(out, "max_attempts", job->max_attempts);
    if (run_at_us > now_us) {
        put_time(out, "run_at", run_at_us);
    }
    buffer_append_byte(out, '}');
}

static void put_failed(struct buffer *out, const struct job_said *said)
{
    put_int(out, "attempts", said->decision->next.attempts);
    put_int(out, "max_attempts", said->job->max_attempts);
    put_text(out, "reason", said->reason);
    put_text(out, "last_worker", said->worker);
}

static void put_retrying(struct buffer *out, const struct job_said *said)
{
    put_int(out, "attempt", said->decision->attempt);
    put_int(out, "max_attempts", said->job->max_attempts);
    put_text(out, "reason", said->reason);
    put_time(out, "retry_at", said->decision->next.run_at_us);
}

void job_text_event(struct buffer *out, const struct job_said *said)
{
    begin(out, said->job);
    put_text(out, "job_type", said->job->type);
    switch (said->decision->event) {
    case EVENT_TYPE_JOB_STARTED:
        put_int(out, "attempt", said->decision->attempt);
        put_text(out, "worker", said->worker);
        break;
    case EVENT_TYPE_JOB_PROGRESS:
        put_int(out, "attempt", said->decision->attempt);
        if (said->percent >= 0) {
            put_int(out, "percent", said->percent);
        }
        put_text(out, "message", said->reason);
        break;
    case EVENT_TYPE_JOB_RETRYING:
        put_retrying(out, said);
        break;
    case EVENT_TYPE_JOB_COMPLETED:
        put_int(out, "attempt", said->decision->attempt);
        if (said->result.length > 0 && said->result.length <= JOB_TEXT_INLINE_BYTES) {
            buffer_append_text(out, ",\"result\":");
            buffer_append(out, said->result.data, said->result.length);
        }
        break;
    case EVENT_TYPE_JOB_FAILED:
        put_failed(out, said);
        break;
    default: /* JOB_CANCELLED */
        put_text(out, "reason", said->reason);
        break;
    }
    buffer_append_byte(out, '}');
}

static const char *remediation(const struct job_decision *decision)
{
    if (strcmp(decision->class, "lost") == 0) {
        return "No worker gave a sign of life for the length of its lease. Look at the log of the "
               "last worker, send heartbeats or ask for a longer lease, then retry the job.";
    }
    if (strcmp(decision->class, "parent") == 0) {
        return "A job it depends on has ended without success. Retry that one, then this one.";
    }
    if (strcmp(decision->class, "fatal") == 0) {
        return "The worker says that trying again does not help. Mend the cause, then retry the "
               "job.";
    }
    return "All attempts are used up. Mend the cause that the error names, then retry the job.";
}

void job_text_error(struct buffer *out, const struct job_said *said)
{
    const char *words = remediation(said->decision);
    begin(out, said->job);
    put_text(out, "error",
             said->reason.length > 0 ? said->reason
                                     : (struct message_span){(const uint8_t *)"failed", 6});
    put_int(out, "attempts", said->decision->next.attempts);
    buffer_append_text(out, ",\"last_worker\":");
    if (said->worker.length > 0) {
        buffer_append_json(out, (const char *)said->worker.data, said->worker.length);
    } else {
        buffer_append_text(out, "null");
    }
    put_text(out, "remediation", (struct message_span){(const uint8_t *)words, strlen(words)});
    buffer_append_byte(out, '}');
}

void job_text_dedup(struct buffer *out, int64_t id, int32_t claim, enum event_type type)
{
    static const char *const kinds[] = {"queued",    "started", "progress", "retrying",
                                        "completed", "failed",  "cancelled"};
    buffer_append_text(out, "job:");
    buffer_append_int(out, id);
    buffer_append_byte(out, ':');
    buffer_append_int(out, claim);
    buffer_append_byte(out, ':');
    buffer_append_text(out, kinds[type - EVENT_TYPE_JOB_QUEUED]);
}
