/*
 * The run as a whole: its beginning, the questions at which it pauses, its end. For clients a pause is
 * an end, and the answer begins another run on the same thread, under an id of the client's; what
 * happens in between is told when it goes on. See ag_ui_state.h.
 */
#include "streamer/formats/ag_ui_state.h"

#include <stdio.h>
#include <string.h>

static const struct json_span absent = {NULL, 0};

static struct json_span text_of(const char *text)
{
    return (struct json_span){text, strlen(text)};
}

/* Ids as the client that made the run wrote them, else ours. */
static void name_run(struct ag_ui_take *take)
{
    struct ag_ui *state = take->state;
    char own[UUID_TEXT_SIZE + 2];
    int length = snprintf(own, sizeof own, "\"%s\"", take->event->run_id);
    struct json_span run = {own, (size_t)length};
    struct json_span metadata = json_member(take->payload, "metadata");
    struct json_span client = ag_ui_is(metadata, '{') ? json_member(metadata, "client") : absent;
    struct json_span thread = json_member(take->payload, "thread_id");
    struct json_span parent = json_member(take->payload, "parent_run_id");
    ag_ui_text_set(&state->run_id, run);
    ag_ui_text_set(&state->thread_id, ag_ui_is(thread, '"') ? thread : run);
    if (ag_ui_is(parent, '"')) {
        ag_ui_text_set(&state->parent_run_id, parent);
    }
    if (ag_ui_is(client, '{')) {
        run = json_member(client, "run_id");
        thread = json_member(client, "thread_id");
        if (ag_ui_is(run, '"')) {
            ag_ui_text_set(&state->run_id, run);
        }
        if (ag_ui_is(thread, '"')) {
            ag_ui_text_set(&state->thread_id, thread);
        }
    }
}

enum projection_after ag_ui_started(struct ag_ui_take *take)
{
    name_run(take);
    take->state->phase = AG_UI_RUNS;
    ag_ui_write_started(take);
    return PROJECTION_GOES_ON;
}

/* Clients that were told that it waits are told that it runs again, and what they missed. */
static void go_on(struct ag_ui_take *take)
{
    struct ag_ui *state = take->state;
    if (state->phase != AG_UI_WAITS) {
        return;
    }
    state->phase = AG_UI_RUNS;
    take->muted = false;
    ag_ui_write_started(take);
    if (state->changed) {
        ag_ui_write_so_far(take, false);
    }
    state->changed = false;
}

/* Keeps the last event of the run for those who come later. */
static void end(struct ag_ui_take *take)
{
    struct buffer *out = take->out;
    ag_ui_text_set(&take->state->end, (struct json_span){(const char *)out->data + take->begin,
                                                         out->length - take->begin});
    ag_ui_end(take);
    take->state->phase = AG_UI_OVER;
}

static struct buffer *begin_finished(struct ag_ui_take *take)
{
    go_on(take);
    ag_ui_close_all(take);
    struct buffer *out = ag_ui_begin(take, "RUN_FINISHED");
    ag_ui_member_json(out, "threadId", ag_ui_text_span(&take->state->thread_id));
    ag_ui_member_json(out, "runId", ag_ui_text_span(&take->state->run_id));
    return out;
}

enum projection_after ag_ui_finished(struct ag_ui_take *take)
{
    struct json_span result = json_member(take->payload, "result");
    struct buffer *out = begin_finished(take);
    buffer_append_text(out, ",\"outcome\":{\"type\":\"success\"}");
    if (result.data != NULL && !ag_ui_is(result, 'n')) {
        ag_ui_member_json(out, "result", result);
    }
    ag_ui_append_usage(out, take->state);
    end(take);
    return PROJECTION_GOES_ON;
}

enum projection_after ag_ui_cancelled(struct ag_ui_take *take)
{
    struct buffer *out = begin_finished(take);
    buffer_append_text(out, ",\"outcome\":{\"type\":\"cancelled\"}");
    ag_ui_append_usage(out, take->state);
    end(take);
    return PROJECTION_GOES_ON;
}

/* The first of them that is a string. */
static struct json_span first_string(struct json_span a, struct json_span b)
{
    return ag_ui_is(a, '"') ? a : ag_ui_is(b, '"') ? b : absent;
}

enum projection_after ag_ui_failed(struct ag_ui_take *take)
{
    struct json_span error = json_member(take->payload, "error");
    struct json_span reason = json_member(take->payload, "reason");
    bool object = ag_ui_is(error, '{');
    struct json_span message = first_string(object ? json_member(error, "message") : error, reason);
    struct json_span code = first_string(object ? json_member(error, "code") : absent, reason);
    go_on(take);
    ag_ui_close_all(take);
    struct buffer *out = ag_ui_begin(take, "RUN_ERROR");
    ag_ui_member_json(out, "message",
                      message.data == NULL ? text_of("\"The run failed.\"") : message);
    if (code.data != NULL && code.data != message.data) {
        ag_ui_member_json(out, "code", code);
    }
    ag_ui_append_usage(out, take->state);
    end(take);
    return PROJECTION_GOES_ON;
}

/* ---- waiting ---- */

static size_t find_question(const struct ag_ui *state, struct json_span id)
{
    size_t i = 0;
    while (i < state->questions_count &&
           (state->questions[i].id.length != id.length ||
            memcmp(state->questions[i].id.data, id.data, id.length) != 0)) {
        i++;
    }
    return i;
}

static void ask(struct ag_ui_take *take)
{
    struct ag_ui *state = take->state;
    struct ag_ui_text id;
    struct buffer json = {0};
    struct json_span schema = json_member(take->payload, "schema");
    struct json_span expires = json_member(take->payload, "expires_at");
    if (ag_ui_member_text(take->payload, "clarification_id", &id) != 0 ||
        state->questions_count == AG_UI_QUESTIONS_MAX ||
        find_question(state, ag_ui_text_span(&id)) < state->questions_count) {
        ag_ui_text_clear(&id);
        return;
    }
    buffer_append_text(&json, "{\"reason\":\"input_required\"");
    ag_ui_member_id(&json, "id", ag_ui_text_span(&id));
    ag_ui_member_json(&json, "message", json_member(take->payload, "question"));
    if (ag_ui_is(schema, '{')) {
        ag_ui_member_json(&json, "responseSchema", schema);
    }
    if (ag_ui_is(expires, '"')) {
        ag_ui_member_json(&json, "expiresAt", expires);
    }
    buffer_append_byte(&json, '}');
    struct ag_ui_question *question = &state->questions[state->questions_count++];
    *question = (struct ag_ui_question){.id = id};
    ag_ui_text_set(&question->json, (struct json_span){(const char *)json.data, json.length});
    buffer_deinit(&json);
}

static void drop_question(struct ag_ui *state, size_t at)
{
    ag_ui_text_clear(&state->questions[at].id);
    ag_ui_text_clear(&state->questions[at].json);
    state->questions_count--;
    memmove(&state->questions[at], &state->questions[at + 1],
            (state->questions_count - at) * sizeof state->questions[0]);
}

/* An interruption without a question is answered under a name that says where it is. */
static void note_pause(struct ag_ui_take *take)
{
    struct buffer json = {0};
    struct json_span reason = json_member(take->payload, "reason");
    buffer_append_text(&json, "{\"id\":\"interrupted:");
    buffer_append_int(&json, (int64_t)take->event->seq);
    buffer_append_byte(&json, '"');
    ag_ui_member_json(&json, "reason", ag_ui_is(reason, '"') ? reason : text_of("\"interrupted\""));
    buffer_append_byte(&json, '}');
    ag_ui_text_set(&take->state->pause, (struct json_span){(const char *)json.data, json.length});
    buffer_deinit(&json);
}

static enum projection_after wait(struct ag_ui_take *take)
{
    struct ag_ui *state = take->state;
    if (state->cancelling) {
        return PROJECTION_GOES_ON;
    }
    if (state->phase == AG_UI_WAITS) { /* one more question: the last end was not the last word */
        take->muted = false;
        ag_ui_write_started(take);
    } else {
        ag_ui_close_all(take);
        if (!state->messages_apart) {
            ag_ui_write_messages(take, true);
        }
        ag_ui_write_state(take, false);
        state->customs_told = state->customs;
    }
    ag_ui_write_interrupted(take);
    state->phase = AG_UI_WAITS;
    return PROJECTION_PAUSES;
}

enum projection_after ag_ui_asked(struct ag_ui_take *take)
{
    ask(take);
    return wait(take);
}

enum projection_after ag_ui_interrupted(struct ag_ui_take *take)
{
    note_pause(take);
    return wait(take);
}

/* The run goes on as the one that the client chose for it with its answer. */
static void name_next_run(struct ag_ui_take *take)
{
    struct json_span id = json_member(take->payload, "client_run_id");
    if (ag_ui_is(id, '"')) {
        ag_ui_text_set(&take->state->run_id, id);
    }
}

enum projection_after ag_ui_answered(struct ag_ui_take *take)
{
    struct ag_ui *state = take->state;
    struct ag_ui_text id;
    if (ag_ui_member_text(take->payload, "clarification_id", &id) == 0) {
        size_t at = find_question(state, ag_ui_text_span(&id));
        if (at < state->questions_count) {
            drop_question(state, at);
        }
    }
    ag_ui_text_clear(&id);
    name_next_run(take);
    if (state->questions_count == 0) {
        go_on(take);
    }
    return PROJECTION_GOES_ON;
}

enum projection_after ag_ui_resumed(struct ag_ui_take *take)
{
    name_next_run(take);
    go_on(take);
    return PROJECTION_GOES_ON;
}

void ag_ui_drop_questions(struct ag_ui *state)
{
    while (state->questions_count > 0) {
        drop_question(state, state->questions_count - 1);
    }
}

void ag_ui_cancelling(struct ag_ui_take *take)
{
    take->state->cancelling = true;
    ag_ui_drop_questions(take->state);
    go_on(take);
}
