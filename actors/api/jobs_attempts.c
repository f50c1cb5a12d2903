/* See jobs_attempts.h. */
#include "api/jobs_attempts.h"

#include "runtime/base/clock.h"
#include "runtime/json.h"

#include <string.h>

void jobs_attempts_deinit(struct jobs_attempts *attempts)
{
    buffer_deinit(&attempts->list);
}

static bool is(const struct store_event *event, const char *type)
{
    return event->type_length == strlen(type) && memcmp(event->type, type, event->type_length) == 0;
}

/* A member of the payload as it stands there, or null. */
static void copy(struct buffer *out, const char *name, const struct store_event *event,
                 const char *member)
{
    struct json_span value =
        json_member((struct json_span){event->payload, event->payload_length}, member);
    buffer_printf(out, "\"%s\":", name);
    if (value.data == NULL) {
        buffer_append_text(out, "null");
    } else {
        buffer_append(out, value.data, value.length);
    }
}

static void add_time(struct buffer *out, const char *name, int64_t at_us)
{
    char text[CLOCK_TEXT_SIZE];
    clock_format(at_us, text);
    buffer_printf(out, ",\"%s\":\"%s\"", name, text);
}

static void begin(struct jobs_attempts *attempts, const struct store_event *event)
{
    struct buffer *out = &attempts->list;
    buffer_append_text(out, out->length > 0 ? ",{" : "{");
    copy(out, "attempt", event, "attempt");
    buffer_append_byte(out, ',');
    copy(out, "worker", event, "worker");
    add_time(out, "started_at", event->ts_us);
    attempts->open = true;
}

/* `event`: what ended it; NULL: nothing did, or nothing that has an event (it was given back). */
static void end(struct jobs_attempts *attempts, const struct store_event *event)
{
    struct buffer *out = &attempts->list;
    if (!attempts->open) {
        return;
    }
    if (event == NULL) {
        buffer_append_text(out, ",\"ended_at\":null,\"ended_by\":null,\"reason\":null}");
    } else {
        add_time(out, "ended_at", event->ts_us);
        buffer_printf(out, ",\"ended_by\":\"%.*s\",", (int)event->type_length, event->type);
        copy(out, "reason", event, "reason");
        buffer_append_byte(out, '}');
    }
    attempts->open = false;
}

void jobs_attempts_add(struct jobs_attempts *attempts, const struct store_event *event)
{
    if (is(event, "JOB_STARTED")) {
        end(attempts, NULL);
        begin(attempts, event);
    } else if (!is(event, "JOB_PROGRESS") && !is(event, "JOB_QUEUED")) {
        end(attempts, event);
    }
}

void jobs_attempts_write(struct buffer *out, struct jobs_attempts *attempts)
{
    end(attempts, NULL);
    buffer_append_byte(out, '[');
    buffer_append(out, attempts->list.data, attempts->list.length);
    buffer_append_byte(out, ']');
}
