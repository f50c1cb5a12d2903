/*
 * Sources, files and data-* parts of the AI SDK's stream. A data part with an id replaces the one
 * before it, so what events change is always told whole.
 */
#include "streamer/formats/ai_sdk_internal.h"

#include <string.h>

/* ---- payloads as they are ---- */

struct data_part {
    const char *type;
    const char *id_member; /* of the payload */
    const char *id;        /* the same for all; NULL: none */
    const char *member;    /* what is sent of the payload; NULL: all */
    const char *status;    /* put before the payload's members */
    bool is_transient;     /* told, and not kept */
};

static const struct data_part parts[EVENT_TYPE_MAX + 1] = {
    [EVENT_TYPE_PLAN_CREATED] = {.type = "data-plan", .id_member = "plan_id"},
    [EVENT_TYPE_PLAN_UPDATED] = {.type = "data-plan", .id_member = "plan_id"},
    [EVENT_TYPE_RUN_PROGRESS] = {.type = "data-progress", .id = "run"},
    [EVENT_TYPE_MESSAGE_EDITED] = {.type = "data-message-edit", .id_member = "message_id"},
    [EVENT_TYPE_ENTITY_EXTRACTED] = {.type = "data-entity", .id_member = "entity_id"},
    [EVENT_TYPE_CITATION_ADDED] = {.type = "data-citation", .id_member = "citation_id"},
    [EVENT_TYPE_WEBSITE_GENERATION_DONE] = {.type = "data-website", .id_member = "artifact_id"},
    [EVENT_TYPE_JOB_QUEUED] = {.type = "data-job", .id_member = "job_id", .status = "queued"},
    [EVENT_TYPE_JOB_STARTED] = {.type = "data-job", .id_member = "job_id", .status = "running"},
    [EVENT_TYPE_JOB_PROGRESS] = {.type = "data-job", .id_member = "job_id", .status = "running"},
    [EVENT_TYPE_JOB_RETRYING] = {.type = "data-job", .id_member = "job_id", .status = "retrying"},
    [EVENT_TYPE_JOB_COMPLETED] = {.type = "data-job", .id_member = "job_id", .status = "completed"},
    [EVENT_TYPE_JOB_FAILED] = {.type = "data-job", .id_member = "job_id", .status = "failed"},
    [EVENT_TYPE_JOB_CANCELLED] = {.type = "data-job", .id_member = "job_id", .status = "cancelled"},
    [EVENT_TYPE_STATE_SNAPSHOT] = {.type = "data-state", .id = "run", .member = "snapshot"},
    [EVENT_TYPE_STATE_DELTA] = {.type = "data-state-delta",
                                .member = "delta",
                                .is_transient = true},
    [EVENT_TYPE_WARNING] = {.type = "data-warning"},
    [EVENT_TYPE_CUSTOM] = {.type = "data-custom"},
};

static bool name_is(struct json_span name, const char *want)
{
    return name.length == strlen(want) && memcmp(name.data, want, name.length) == 0;
}

/* {"status":"…", and the object's members but `left_out`; not closed. */
static void members(struct ai_sdk *told, struct json_span object, const char *status,
                    const char *left_out)
{
    struct json_span cursor = {0};
    struct json_span name;
    struct json_span value;
    bool first = status == NULL;
    buffer_append_byte(told->out, '{');
    if (status != NULL) {
        buffer_printf(told->out, "\"status\":\"%s\"", status);
    }
    while (json_pair(object, &cursor, &name, &value)) {
        if (name_is(name, left_out)) {
            continue;
        }
        buffer_append_text(told->out, first ? "\"" : ",\"");
        buffer_append(told->out, name.data, name.length);
        buffer_append_text(told->out, "\":");
        ai_sdk_splice(told->out, value);
        first = false;
    }
}

void ai_sdk_data(struct ai_sdk *told)
{
    const struct data_part *part = &parts[told->event->number];
    if (part->type == NULL) {
        return;
    }
    ai_sdk_ready(told);
    ai_sdk_part(told, part->type);
    if (part->id_member != NULL) {
        ai_sdk_value(told, "id", ai_sdk_member(told, part->id_member));
    } else if (part->id != NULL) {
        ai_sdk_text(told, "id", part->id, strlen(part->id));
    }
    if (part->status != NULL) {
        buffer_append_text(told->out, ",\"data\":");
        members(told, told->payload, part->status, "status");
        buffer_append_byte(told->out, '}');
    } else {
        ai_sdk_value(told, "data",
                     part->member == NULL ? told->payload : ai_sdk_member(told, part->member));
    }
    buffer_append_text(told->out, part->is_transient ? ",\"transient\":true" : "");
    ai_sdk_end(told);
}

/* ---- sources and artifacts ---- */

static void whole(struct ai_sdk *told, const char *type, const char *id_member)
{
    ai_sdk_part(told, type);
    ai_sdk_value(told, "id", ai_sdk_member(told, id_member));
    ai_sdk_value(told, "data", told->payload);
    ai_sdk_end(told);
}

void ai_sdk_source(struct ai_sdk *told)
{
    struct json_span url = ai_sdk_member(told, "url");
    struct json_span title = ai_sdk_member(told, "title");
    ai_sdk_ready(told);
    if (!ai_sdk_is_string(url)) {
        whole(told, "data-source", "source_id");
        return;
    }
    ai_sdk_part(told, "source-url");
    ai_sdk_value(told, "sourceId", ai_sdk_member(told, "source_id"));
    ai_sdk_value(told, "url", url);
    if (ai_sdk_is_string(title)) {
        ai_sdk_value(told, "title", title);
    }
    ai_sdk_end(told);
}

void ai_sdk_artifact(struct ai_sdk *told)
{
    struct json_span url = ai_sdk_member(told, "url");
    struct json_span media_type = ai_sdk_member(told, "media_type");
    ai_sdk_ready(told);
    whole(told, "data-artifact", "artifact_id");
    if (ai_sdk_is_string(url) && ai_sdk_is_string(media_type)) {
        ai_sdk_part(told, "file");
        ai_sdk_value(told, "url", url);
        ai_sdk_value(told, "mediaType", media_type);
        ai_sdk_end(told);
    }
}

/* ---- tasks ---- */

static const char *task_status(enum event_type type)
{
    return type == EVENT_TYPE_TASK_COMPLETED   ? "completed"
           : type == EVENT_TYPE_TASK_FAILED    ? "failed"
           : type == EVENT_TYPE_TASK_CANCELLED ? "cancelled"
                                               : "running";
}

/* What only the task's first event may say. */
static void keep_task(struct ai_sdk *told)
{
    static const char *const names[] = {"title", "parent_task_id"};
    struct open_items *open = &told->projection->open;
    struct open_item *item = open_find(open, OPEN_TASK, ai_sdk_member(told, "task_id"));
    struct buffer text = {0};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct json_span value = ai_sdk_member(told, names[i]);
        if (value.data == NULL && item != NULL && item->text.length > 0) {
            struct json_span kept = {(const char *)item->text.data, item->text.length};
            value = json_member(kept, names[i]);
        }
        if (value.data != NULL) {
            buffer_printf(&text, "%s\"%s\":", text.length == 0 ? "{" : ",", names[i]);
            ai_sdk_splice(&text, value);
        }
    }
    if (text.length > 0) {
        item = item == NULL ? open_add(open, OPEN_TASK, ai_sdk_member(told, "task_id")) : item;
        buffer_append_byte(&text, '}');
        open_forget_text(open, item);
        open_keep(open, item, (const char *)text.data, text.length);
    }
    buffer_deinit(&text);
}

/* Members that were kept and that this event lacks. */
static void kept_members(struct ai_sdk *told, const struct open_item *item)
{
    struct json_span object = {(const char *)item->text.data, item->text.length};
    struct json_span cursor = {0};
    struct json_span name;
    struct json_span value;
    while (object.length > 0 && json_pair(object, &cursor, &name, &value)) {
        char text[16];
        size_t length = name.length < sizeof text ? name.length : sizeof text - 1;
        memcpy(text, name.data, length);
        text[length] = '\0';
        if (ai_sdk_member(told, text).data == NULL) {
            ai_sdk_value(told, text, value);
        }
    }
}

void ai_sdk_task(struct ai_sdk *told)
{
    struct open_items *open = &told->projection->open;
    const char *status = task_status(told->event->number);
    ai_sdk_ready(told);
    keep_task(told);
    struct open_item *item = open_find(open, OPEN_TASK, ai_sdk_member(told, "task_id"));
    ai_sdk_part(told, "data-task");
    ai_sdk_value(told, "id", ai_sdk_member(told, "task_id"));
    buffer_append_text(told->out, ",\"data\":");
    members(told, told->payload, status, "status");
    if (item != NULL) {
        kept_members(told, item);
    }
    buffer_append_byte(told->out, '}');
    ai_sdk_end(told);
    if (item != NULL && strcmp(status, "running") != 0) {
        open_remove(open, item);
    }
}

/* ---- questions ---- */

void ai_sdk_question(struct ai_sdk *told)
{
    struct open_items *open = &told->projection->open;
    struct json_span id = ai_sdk_member(told, "clarification_id");
    ai_sdk_ready(told);
    struct open_item *item = open_find(open, OPEN_QUESTION, id);
    item = item == NULL ? open_add(open, OPEN_QUESTION, id) : item;
    open_forget_text(open, item);
    open_keep(open, item, told->payload.data, told->payload.length);
    whole(told, "data-clarification", "clarification_id");
}

void ai_sdk_questions(struct ai_sdk *told)
{
    const struct open_items *open = &told->projection->open;
    for (size_t i = 0; i < open->count; i++) {
        const struct open_item *item = &open->items[i];
        if (item->family == OPEN_QUESTION && item->text.length > 0) {
            ai_sdk_part(told, "data-clarification");
            ai_sdk_text(told, "id", item->id.data, item->id.length);
            ai_sdk_value(told, "data",
                         (struct json_span){(const char *)item->text.data, item->text.length});
            ai_sdk_end(told);
        }
    }
}

/* The question once more, with what was answered. */
void ai_sdk_answer(struct ai_sdk *told)
{
    struct open_items *open = &told->projection->open;
    struct json_span id = ai_sdk_member(told, "clarification_id");
    struct open_item *item = open_find(open, OPEN_QUESTION, id);
    ai_sdk_part(told, "data-clarification");
    ai_sdk_value(told, "id", id);
    buffer_append_text(told->out, ",\"data\":");
    if (item != NULL && item->text.length > 0) {
        members(told, (struct json_span){(const char *)item->text.data, item->text.length}, NULL,
                "response");
        ai_sdk_value(told, "response", ai_sdk_member(told, "response"));
        buffer_append_byte(told->out, '}');
    } else {
        ai_sdk_splice(told->out, told->payload);
    }
    ai_sdk_end(told);
    if (item != NULL) {
        open_remove(open, item);
    }
}
