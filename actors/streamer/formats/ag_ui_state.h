/*
 * What the AG-UI projection knows of a run, and the functions its files share. Ids are kept without
 * JSON escapes, so that two spellings of one id are one id; texts are spliced as they were sent.
 */
#ifndef SIGNALBOX_STREAMER_FORMATS_AG_UI_STATE_H
#define SIGNALBOX_STREAMER_FORMATS_AG_UI_STATE_H

#include "streamer/formats/projection.h"
#include "streamer/formats/transcript.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    AG_UI_OPEN_MAX = 64,       /* constructs open at once; more are shown when they are complete */
    AG_UI_DONE_MAX = 256,      /* constructs remembered after their end */
    AG_UI_QUESTIONS_MAX = 16,  /* as many as the sequencer lets a run have */
    AG_UI_USAGE_MAX = 16,      /* models counted one by one */
    AG_UI_TALK_MAX = 4 << 20,  /* bytes of conversation a late client is told */
    AG_UI_STATE_MAX = 2 << 20, /* bytes of shared state and its changes */
    AG_UI_SNAPSHOT_MAX = 256 << 10 /* a change of an old message is told by a snapshot up to this */
};

/* A text we own, never NULL while in use. */
struct ag_ui_text {
    char *data;
    size_t length;
};

enum ag_ui_kind { AG_UI_MESSAGE, AG_UI_REASONING, AG_UI_TOOL_CALL, AG_UI_STEP };

/* Something that was started and not ended. */
struct ag_ui_open {
    enum ag_ui_kind kind;
    bool hidden; /* clients do not know of it: nothing of it is written */
    struct ag_ui_text id;
    struct ag_ui_text name; /* of a step, as clients know it; of a message, its role */
    uint64_t text_hash;     /* of what was written of it, without escapes */
    uint64_t text_length;
};

/* Something that has ended. */
struct ag_ui_done {
    uint64_t key; /* of kind and id */
    uint64_t text_hash;
    uint64_t text_length;
    bool answered; /* a tool call: its result was written */
};

struct ag_ui_question {
    struct ag_ui_text id;
    struct ag_ui_text json; /* the interrupt as clients are sent it */
};

struct ag_ui_usage {
    struct ag_ui_text model; /* JSON strings */
    struct ag_ui_text provider;
    uint64_t input, output, cached, reasoning;
};

enum ag_ui_phase {
    AG_UI_BEFORE,
    AG_UI_RUNS,
    AG_UI_WAITS, /* clients were told that it waits; nothing but a new start may follow */
    AG_UI_OVER
};

struct ag_ui {
    enum ag_ui_phase phase;
    bool cancelling;       /* no question makes it wait any more */
    bool changed;          /* something happened that clients were not told, because it waits */
    bool has_input;        /* the client's own messages are in the transcript */
    bool messages_apart;   /* they are not: what we know is not the whole conversation */
    uint64_t customs;      /* CUSTOM events in the transcript, ever */
    uint64_t customs_told; /* of them, when clients were told that it waits */
    uint64_t seq;          /* last event taken */
    struct ag_ui_text thread_id; /* JSON strings with their quotes */
    struct ag_ui_text run_id;
    struct ag_ui_text parent_run_id; /* may be empty */
    struct ag_ui_text end;           /* the last event of a run that is over */
    struct ag_ui_text pause;         /* why it waits, when there is no question */
    struct transcript talk;
    struct transcript shared; /* the shared state: the last snapshot and what changed since */
    struct ag_ui_open open[AG_UI_OPEN_MAX];
    size_t open_count;
    struct ag_ui_done done[AG_UI_DONE_MAX];
    size_t done_count; /* ever; a ring */
    struct ag_ui_question questions[AG_UI_QUESTIONS_MAX];
    size_t questions_count;
    struct ag_ui_usage usage[AG_UI_USAGE_MAX];
    size_t usage_count;
};

/* One event on its way. */
struct ag_ui_take {
    struct ag_ui *state;
    const struct native_event *event;
    struct json_span payload;
    struct buffer *out; /* where clients' events go */
    size_t begin;       /* where the event begins that is being written */
    bool muted;         /* it waits: what is written is taken back */
    bool written;       /* something was */
};

/* Records of the transcript. Names are ids without escapes; where a text has two parts, a NUL is between
 * them. */
enum ag_ui_record {
    AG_UI_TALK_INPUT,          /* text: the client's messages, a JSON array */
    AG_UI_TALK_MESSAGE,        /* text: its role */
    AG_UI_TALK_TEXT,           /* text: more of a message, a JSON string without its quotes */
    AG_UI_TALK_EDIT,           /* text: instead of what it was */
    AG_UI_TALK_CALL,           /* text: the call's message and, as a JSON string, its name */
    AG_UI_TALK_ARGUMENTS,      /* as TEXT, of a call */
    AG_UI_TALK_RESULT,         /* name: the call; text: the message's id and a JSON string */
    AG_UI_TALK_REASONING,      /* text: empty */
    AG_UI_TALK_REASONING_TEXT, /* as TEXT */
    AG_UI_TALK_ACTIVITY,       /* text: a JSON object */
    AG_UI_TALK_CUSTOM,         /* text: the whole event */
    AG_UI_STATE_WHOLE,         /* text: a JSON value */
    AG_UI_STATE_CHANGE         /* text: a JSON patch */
};

/* ---- ag_ui_write.c: events as clients read them ---- */

/* Begins an event: {"type":TYPE; more members follow, then ag_ui_end. */
struct buffer *ag_ui_begin(struct ag_ui_take *take, const char *type);
void ag_ui_end(struct ag_ui_take *take);
/* A whole event of a type and one id. */
void ag_ui_write_id(struct ag_ui_take *take, const char *type, const char *member,
                    struct json_span id);
void ag_ui_member_id(struct buffer *out, const char *member, struct json_span id);
/* The id with a prefix of ours, which makes it another one. */
void ag_ui_member_ids(struct buffer *out, const char *member, const char *prefix,
                      struct json_span id);
void ag_ui_member_json(struct buffer *out, const char *member, struct json_span json);
/* The JSON of any value as the inside of a JSON string: a string's own inside, other values escaped. */
void ag_ui_string_body(struct buffer *out, struct json_span value);
void ag_ui_write_delta(struct ag_ui_take *take, const char *type, const char *member,
                       const char *prefix, struct json_span id, struct json_span body);
void ag_ui_write_custom(struct ag_ui_take *take, struct json_span name, struct json_span value,
                        bool keep);
/* RUN_STARTED of the run as clients know it now. */
void ag_ui_write_started(struct ag_ui_take *take);
/* RUN_FINISHED with everything the run waits for. */
void ag_ui_write_interrupted(struct ag_ui_take *take);
/* ,"usage":[…] unless there is none. */
void ag_ui_append_usage(struct buffer *out, const struct ag_ui *state);
void ag_ui_text_set(struct ag_ui_text *text, struct json_span value);
void ag_ui_text_clear(struct ag_ui_text *text);
struct json_span ag_ui_text_span(const struct ag_ui_text *text);
/* Whether the value is a JSON string, object …: its first byte. */
bool ag_ui_is(struct json_span value, char first);
/* Inside of a JSON string. */
struct json_span ag_ui_inside(struct json_span string);
/* The string member without escapes into `text`; -1 when it is not there or no string. */
int ag_ui_member_text(struct json_span object, const char *name, struct ag_ui_text *text);

/* ---- ag_ui_table.c: what is open, what is done ---- */

#define AG_UI_HASH_BASIS 0xcbf29ce484222325u

/* FNV-1a, piece by piece from AG_UI_HASH_BASIS. */
uint64_t ag_ui_hash(uint64_t so_far, const char *data, size_t length);
uint64_t ag_ui_key(enum ag_ui_kind kind, struct json_span id);
/* NULL: it is not open. Valid until the table changes. */
struct ag_ui_open *ag_ui_find_open(struct ag_ui *state, enum ag_ui_kind kind, struct json_span id);
/* NULL: too many are open. */
struct ag_ui_open *ag_ui_add_open(struct ag_ui *state, enum ag_ui_kind kind, struct json_span id);
void ag_ui_remove_open(struct ag_ui *state, struct ag_ui_open *open);
struct ag_ui_done *ag_ui_find_done(struct ag_ui *state, enum ag_ui_kind kind, struct json_span id);
/* The one that is there, or a new one in the place of the oldest. */
struct ag_ui_done *ag_ui_remember(struct ag_ui *state, enum ag_ui_kind kind, struct json_span id);
void ag_ui_note(struct ag_ui_take *take, enum ag_ui_record record, struct json_span name,
                struct json_span text);

/* ---- ag_ui_message.c: messages and reasoning ---- */

void ag_ui_message_started(struct ag_ui_take *take);
void ag_ui_message_delta(struct ag_ui_take *take);
void ag_ui_message_completed(struct ag_ui_take *take);
void ag_ui_message_edited(struct ag_ui_take *take);
void ag_ui_reasoning_started(struct ag_ui_take *take);
void ag_ui_reasoning_delta(struct ag_ui_take *take);
void ag_ui_reasoning_completed(struct ag_ui_take *take);
/* It ends as it stands. */
void ag_ui_close_text(struct ag_ui_take *take, struct ag_ui_open *open);
/* Its start and its text so far, for clients that have not seen them; notes nothing. */
void ag_ui_open_text(struct ag_ui_take *take, const struct ag_ui_open *open, struct json_span body);

/* ---- ag_ui_call.c: tool calls, steps ---- */

void ag_ui_call_started(struct ag_ui_take *take);
void ag_ui_call_arguments(struct ag_ui_take *take);
void ag_ui_call_ended(struct ag_ui_take *take, bool failed);
void ag_ui_task_started(struct ag_ui_take *take);
void ag_ui_task_ended(struct ag_ui_take *take);
void ag_ui_note_result(struct ag_ui_take *take, struct json_span call, struct json_span message,
                       struct json_span content);
/* Ends everything that is open. */
void ag_ui_close_all(struct ag_ui_take *take);
/* Any construct as ag_ui_open_text does; `name` is the tool's, a JSON string. */
void ag_ui_open_again(struct ag_ui_take *take, const struct ag_ui_open *open, struct json_span name,
                      struct json_span body);

/* ---- ag_ui_run.c: the run's beginning, its pauses, its end ---- */

enum projection_after ag_ui_started(struct ag_ui_take *take);
enum projection_after ag_ui_finished(struct ag_ui_take *take);
enum projection_after ag_ui_failed(struct ag_ui_take *take);
enum projection_after ag_ui_cancelled(struct ag_ui_take *take);
enum projection_after ag_ui_asked(struct ag_ui_take *take);
enum projection_after ag_ui_interrupted(struct ag_ui_take *take);
enum projection_after ag_ui_answered(struct ag_ui_take *take);
enum projection_after ag_ui_resumed(struct ag_ui_take *take);
void ag_ui_cancelling(struct ag_ui_take *take);
void ag_ui_drop_questions(struct ag_ui *state);

/* ---- ag_ui_shared.c: state that agent and client share, and what models were used ---- */

void ag_ui_state_whole(struct ag_ui_take *take);
/* False: clients would not take it. */
SB_MUST_CHECK bool ag_ui_state_change(struct ag_ui_take *take);
/* Without a word to clients. */
void ag_ui_state_set(struct ag_ui *state, enum ag_ui_record record, struct json_span value);
void ag_ui_used(struct ag_ui_take *take);

/* ---- ag_ui_snapshot.c: the run in short ---- */

/* MESSAGES_SNAPSHOT. `open_text`: with what has come of messages that are open; else they are there
 * without text, to be started again. */
void ag_ui_write_messages(struct ag_ui_take *take, bool open_text);
/* STATE_SNAPSHOT and the STATE_DELTAs since; nothing when no state is known, unless `always`. */
void ag_ui_write_state(struct ag_ui_take *take, bool always);
/* Everything between RUN_STARTED and what comes next: for a client that has seen nothing of it, or for
 * one that was told that the run waits. */
void ag_ui_write_so_far(struct ag_ui_take *take, bool for_new);

#endif
