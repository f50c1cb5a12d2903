/*
 * A recorded agent conversation (one line of a JSONL file) as the events of a run, and back. Pure:
 * no I/O. What is compared after a replay is the list of turns: what somebody said, a tool call, a
 * tool's result, in order. An assistant message without text and with two calls is two turns.
 */
#ifndef SIGNALBOX_CLI_CONVERSATION_H
#define SIGNALBOX_CLI_CONVERSATION_H

#include "runtime/base/buffer.h"
#include "runtime/base/error.h"

#include <jansson.h>
#include <stddef.h>

enum { CONVERSATION_DELTA_CHARACTERS = 80 };

struct conversation_event {
    char *json; /* {"type":…,"payload":…}, owned */
    size_t length;
    size_t message; /* index of the message it comes from; the end of the run counts as one */
};

struct conversation {
    char *metadata; /* a JSON object: every field of the line but `messages`; owned */
    struct conversation_event *events;
    size_t event_count;
    size_t event_capacity;
};

/* Reads one line. Returns, caller destroys with conversation_destroy; NULL and err when the line is
 * not a conversation. */
struct conversation *conversation_create(const char *line, size_t length, struct error *err);
void conversation_destroy(struct conversation **conversation);

/* Rebuilds the turns from a log. Feed it every event of the run in order. */
struct rebuild;
struct rebuild *rebuild_create(void);
void rebuild_destroy(struct rebuild **rebuild);
/* `event` is {"seq","type","payload",…}. -1 when the log does not follow its own rules: a seq is
 * missing, deltas do not give the content, something stands after the end. */
SB_MUST_CHECK int rebuild_event(struct rebuild *rebuild, const json_t *event, struct error *err);
/* 0 when the log has ended and holds exactly the turns of `line`; -1 and the first difference in
 * err. */
SB_MUST_CHECK int rebuild_compare(const struct rebuild *rebuild, const char *line, size_t length,
                                  struct error *err);

#endif
