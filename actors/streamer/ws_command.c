/*
 * Commands of a WebSocket's client on their way to the sequencer: how many there may be, and what is
 * answered. The same way (runtime/commands.h) and the same answers as over HTTP.
 */
#include "proto/messages.h"
#include "proto/outcome.h"
#include "runtime/base/clock.h"
#include "runtime/base/memory.h"
#include "runtime/base/metrics.h"
#include "streamer/keys.h"
#include "streamer/ws_internal.h"

#include <stdlib.h>
#include <string.h>

/* ---- how many ---- */

bool ws_command_has_room(const struct ws *ws)
{
    return ws->commands_count < ws->hub->commands_max &&
           ws_shares_has_room(&ws->hub->shares, &ws->tenant);
}

void ws_command_await_room(struct ws *ws)
{
    bool has_more = ws->readable || ws->held.length > 0;
    if (has_more && !list_is_linked(&ws->in_crowded) &&
        !ws_shares_has_room(&ws->hub->shares, &ws->tenant)) {
        list_append(&ws->hub->crowded, &ws->in_crowded);
    }
}

/* Who has no room still says so again in its turn. */
static void call_crowded(struct ws_hub *hub)
{
    struct list *first;
    while ((first = list_first(&hub->crowded)) != NULL) {
        list_remove(first);
        ws_mark(LIST_ENTRY(first, struct ws, in_crowded));
    }
}

int ws_command_charge(struct ws *ws)
{
    const struct gcra_rule *rate = &ws->hub->rate;
    struct refusal *refusal = &ws->hub->submission.refusal;
    struct gcra *used = keys_commands(ws->key);
    int64_t now_us = clock_monotonic_us();
    if (rate->count == 0) {
        return 0;
    }
    int64_t retry_us = gcra_look(used, rate, now_us).retry_us;
    if (retry_us == 0) {
        gcra_charge(used, rate, now_us, 1);
        return 0;
    }
    metric_add(METRIC_REQUESTS_LIMITED, 1);
    (void)refusal_set(refusal, PROBLEM_RATE_LIMITED,
                      "There were too many commands. Nothing was done; try again later.");
    refusal->extra.number_name = "retry_after_ms";
    refusal->extra.number = (retry_us + 999) / 1000;
    return -1;
}

/* ---- the answer ---- */

static void refused(struct ws *ws, struct json_span id)
{
    ws_answer_refusal(ws, id, &ws->hub->submission.refusal);
}

/* Off its connection, which may be listened to again. */
static void leave(struct ws_command *command)
{
    struct ws *ws = command->ws;
    if (ws != NULL) {
        list_remove(&command->in_ws);
        ws->commands_count--;
        ws_mark(ws);
        command->ws = NULL;
    }
}

static void end(struct ws_command *command)
{
    leave(command);
    ws_shares_end(&command->hub->shares, &command->tenant, command->bytes);
    call_crowded(command->hub);
    free(command);
}

static void tell(struct ws_command *command, enum command_state state,
                 const struct message_result *result)
{
    struct ws *ws = command->ws;
    struct submission *submission = &ws->hub->submission;
    struct json_span id = {command->id, command->id_length};
    if (state == COMMAND_UNKNOWN) {
        refusal_unknown(&submission->refusal);
        refused(ws, id);
    } else if (result->outcome == OUTCOME_OK && command->kind == WS_COMMAND_APPEND) {
        ws_answer_appended(ws, id, result);
    } else if (result->outcome == OUTCOME_OK) {
        ws_answer_status(ws, id, &command->run, result);
    } else if (command->kind == WS_COMMAND_RESUME) {
        submission_resume_refused(submission, result);
        refused(ws, id);
    } else {
        refusal_outcome(&submission->refusal, result, command->producer_seq);
        refused(ws, id);
    }
}

void ws_command_done(void *arg, enum command_state state, const struct message_result *result)
{
    struct ws_command *command = arg;
    if (state == COMMAND_DONE && result->outcome == OUTCOME_OK) {
        submission_count_usage(&command->usage, result->duplicate);
    }
    if (command->ws != NULL) {
        tell(command, state, result);
    }
    end(command);
}

/* ---- life ---- */

struct ws_command *ws_command_create(struct ws *ws, enum ws_command_kind kind, struct json_span id,
                                     const struct uuid *run, size_t bytes)
{
    struct ws_command *command = memory_new(sizeof *command + id.length);
    *command = (struct ws_command){.hub = ws->hub,
                                   .ws = ws,
                                   .kind = kind,
                                   .tenant = ws->tenant,
                                   .run = *run,
                                   .producer_seq = -1,
                                   .bytes = bytes,
                                   .id_length = id.length};
    memcpy(command->id, id.data, id.length);
    list_append(&ws->commands, &command->in_ws);
    ws->commands_count++;
    ws_shares_begin(&ws->hub->shares, &ws->tenant, bytes);
    return command;
}

void ws_command_sent(struct ws_command *command, int sent)
{
    if (sent != 0) {
        refusal_busy(&command->hub->submission.refusal);
        refused(command->ws, (struct json_span){command->id, command->id_length});
        end(command);
    }
}

void ws_command_orphan(struct ws *ws)
{
    LIST_FOR_EACH(node, &ws->commands)
    {
        leave(LIST_ENTRY(node, struct ws_command, in_ws));
    }
}
