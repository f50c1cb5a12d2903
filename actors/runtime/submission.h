/*
 * What clients send to the log, judged: the text of a request, events to append, and the two
 * commands that ask something of a run. The one place where that is done, whatever the transport
 * (HTTP in the api, WebSocket in the streamer); it knows neither, and says what is wrong as a
 * refusal.
 *
 * Payloads travel as the bytes they came in, and nothing is allocated for an event but its place in
 * the frame.
 */
#ifndef SIGNALBOX_RUNTIME_SUBMISSION_H
#define SIGNALBOX_RUNTIME_SUBMISSION_H

#include "contracts/generated/event_types.h"
#include "runtime/base/buffer.h"
#include "runtime/base/settings.h"
#include "runtime/json.h"
#include "runtime/refusal.h"

#include <msgpack/sbuffer.h>
#include <stdbool.h>
#include <stdint.h>

enum {
    SUBMISSION_ALONE = -1, /* the place of an event that is the request itself */
    SUBMISSION_HASH_BYTES = 32,
    SUBMISSION_PRODUCER_ID_BYTES = 255
};
#define SUBMISSION_PRODUCER_NUMBER_MAX 9007199254740991LL /* 2^53 - 1 */

/* What events tell of models used; goes to the metrics when their command was carried out. */
struct submission_usage {
    int64_t input_tokens;
    int64_t output_tokens;
    int64_t cost_micros;
};

/* One for an actor; valid within one call from the loop, what is found stays until the next. */
struct submission {
    struct json_limits json; /* bounds, from the settings */
    size_t event_bytes_max;
    int64_t events_max;
    /* Found so far. */
    struct refusal refusal;        /* why a function returned -1 */
    struct msgpack_sbuffer events; /* checked, as the list of APPEND has them */
    uint32_t count;                /* of those */
    struct submission_usage usage; /* told by those */
    struct buffer flat;            /* a text without line breaks */
    struct buffer scratch;
};

/* Takes its bounds from `settings`. */
void submission_init(struct submission *submission, const struct settings *settings);
void submission_deinit(struct submission *submission);
/* Gives back what large requests have grown. Nothing that was found is valid any more. */
void submission_trim(struct submission *submission);

/* `text` must be JSON within the bounds, and an object. Line breaks between tokens have become
 * blanks: payload text is kept byte for byte except for those, which would end a line of a stream.
 * The object lies in `text` or in submission->flat. */
SB_MUST_CHECK int submission_object(struct submission *submission, struct json_span text,
                                    struct json_span *object_out);

/* ---- events ---- */

/* An event as the request has it; spans with data NULL are absent. */
struct submission_event {
    struct json_span type;
    struct json_span payload;
    struct json_span schema_version;
};

/* Members of a request to append. */
struct submission_append {
    struct submission_event single;
    struct json_span list;
    int64_t expected_seq; /* -1: none */
};

enum submission_taken { SUBMISSION_TAKEN, SUBMISSION_NOT_MINE, SUBMISSION_REFUSED };

/* No events yet. */
void submission_begin(struct submission *submission);
/* Adds one event, whose object this is, at `index` of the request ("/events/7"), or SUBMISSION_ALONE. */
SB_MUST_CHECK int submission_add(struct submission *submission, struct json_span object, int index);
/* Takes up a member of a request to append, if it is one. */
enum submission_taken submission_append_member(struct submission *submission,
                                               struct submission_append *append,
                                               struct json_span name, struct json_span value);
/* All members are there: the events are checked and stand in submission->events. */
SB_MUST_CHECK int submission_append_events(struct submission *submission,
                                           const struct submission_append *append);
void submission_add_usage(struct submission_usage *sum, const struct submission_usage *more);
/* An append with that usage was carried out: it is counted, unless it was a repetition, and
 * forgotten. */
void submission_count_usage(struct submission_usage *usage, bool duplicate);

/* What an append of a numbered producer says of it. */
struct submission_producer_texts {
    struct json_span id; /* plain text; spans with data NULL are absent */
    struct json_span epoch;
    struct json_span seq;
    bool keyed; /* there is an idempotency key beside it */
};

struct submission_producer {
    struct json_span id; /* length 0: none; borrowed from the texts */
    int64_t epoch;
    int64_t seq;
};

/* All three or none, and not beside a key. */
SB_MUST_CHECK int submission_producer_read(struct submission *submission,
                                           const struct submission_producer_texts *texts,
                                           struct submission_producer *producer_out);
/* 1..longest printable ASCII characters: what a key or a producer's id must be. */
bool submission_is_printable(const char *text, size_t length, size_t longest);

/* ---- lifecycle (submission_lifecycle.c) ---- */

/* Members of a request to cancel a run. */
struct submission_cancel {
    struct json_span reason; /* with its quotes */
};
enum submission_taken submission_cancel_member(struct submission *submission,
                                               struct submission_cancel *cancel,
                                               struct json_span name, struct json_span value);
/* Payload of RUN_CANCEL_REQUESTED. `actor` is who asks. */
void submission_cancel_payload(const struct submission_cancel *cancel, const char *actor,
                               struct buffer *payload_out);

/* Members of a request to resume a run. */
struct submission_resume {
    struct json_span clarification; /* with its quotes; absent: the run asks no question */
    struct json_span response;
};
enum submission_taken submission_resume_member(struct submission *submission,
                                               struct submission_resume *resume,
                                               struct json_span name, struct json_span value);
/* All members are there. Payload of CLARIFICATION_ANSWERED or RUN_RESUMED, and the hash of the
 * response. */
SB_MUST_CHECK int submission_resume_payload(struct submission *submission,
                                            const struct submission_resume *resume,
                                            const char *actor, struct buffer *payload_out,
                                            uint8_t hash_out[SUBMISSION_HASH_BYTES]);
/* What the sequencer's refusal of a RESUME_RUN means. */
void submission_resume_refused(struct submission *submission, const struct message_result *result);

#endif
