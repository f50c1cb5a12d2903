/*
 * One event of a request: its members, whether they are what the contract says, and its place in
 * the command that goes to the sequencer. Every transport that takes events goes through here.
 */
#ifndef SIGNALBOX_API_PAYLOAD_H
#define SIGNALBOX_API_PAYLOAD_H

#include "api/exchange.h"
#include "runtime/json.h"

#include <stdbool.h>

/* The place of an event that is the request itself. */
enum { PAYLOAD_ALONE = -1 };

/* An event as the request has it; spans with data NULL are absent. */
struct payload_event {
    struct json_span type;
    struct json_span payload;
    struct json_span schema_version;
};

/* Takes up a member that every event may have; false: it is none of those. */
bool payload_take(struct payload_event *event, struct json_span name, struct json_span value);
/* Checks the event and adds it to api->events. `index` is its place in "events", or PAYLOAD_ALONE.
 * When it is not as it should be, answers with pointers to what is wrong and returns -1. */
SB_MUST_CHECK int payload_add(struct exchange *exchange, const struct payload_event *event,
                              int index);
/* The command with those events was carried out: what they tell of usage goes to the metrics, unless
 * it was a repetition, and is forgotten. */
void payload_count_usage(struct exchange *exchange, bool duplicate);
/* Answers with the problem and a pointer to `member` ("/payload", or "" for the event itself) of the
 * event at `index`. Returns -1. */
int payload_wrong(struct exchange *exchange, enum problem problem, int index, const char *member,
                  const char *detail);
/* Answers that the event at `index` has a member nobody knows. Returns -1. */
int payload_unknown(struct exchange *exchange, int index, struct json_span name);

#endif
