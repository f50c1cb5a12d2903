/* See runs_view.h. */
#include "api/runs_view.h"

#include "runtime/base/clock.h"

#include <string.h>

static void id_member(struct buffer *out, const char *name, const struct uuid *id)
{
    char text[UUID_TEXT_SIZE];
    if (uuid_is_nil(id)) {
        buffer_printf(out, "\"%s\":null,", name);
        return;
    }
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

static void text_member(struct buffer *out, const char *name, const char *text, size_t length)
{
    buffer_printf(out, "\"%s\":", name);
    if (length == 0) {
        buffer_append_text(out, "null");
    } else {
        buffer_append_json(out, text, length);
    }
    buffer_append_byte(out, ',');
}

void runs_view_write(struct buffer *out, const struct store_run *run)
{
    buffer_append_byte(out, '{');
    id_member(out, "id", &run->id);
    buffer_printf(out, "\"status\":\"%.*s\",", (int)run->status_length, run->status);
    id_member(out, "thread_id", &run->thread);
    id_member(out, "parent_run_id", &run->parent);
    buffer_append_text(out, "\"metadata\":");
    buffer_append(out, run->metadata, run->metadata_length);
    buffer_append_byte(out, ',');
    text_member(out, "created_by", run->created_by, run->created_by_length);
    text_member(out, "deliverable_type", run->deliverable, run->deliverable_length);
    time_member(out, "start_at", run->start_us);
    buffer_append_text(out, "\"last_seq\":");
    buffer_append_int(out, run->last_seq);
    buffer_append_byte(out, ',');
    time_member(out, "created_at", run->created_us);
    time_member(out, "started_at", run->started_us);
    time_member(out, "completed_at", run->completed_us);
    buffer_append_text(out, "\"fork_seq\":");
    if (run->fork_seq == 0) {
        buffer_append_text(out, "null}");
    } else {
        buffer_append_int(out, run->fork_seq);
        buffer_append_byte(out, '}');
    }
}

void runs_view_as_created(struct store_run *run)
{
    run->status = run->began_pending ? "pending" : "running";
    run->status_length = strlen(run->status);
    run->last_seq = run->began_pending ? 0 : 1;
    run->started_us = run->began_pending ? 0 : run->started_us;
    run->completed_us = 0;
}
