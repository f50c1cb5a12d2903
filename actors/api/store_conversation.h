/* What a conversation has to know of a run before its socket goes to a streamer. See store.h. */
#ifndef SIGNALBOX_API_STORE_CONVERSATION_H
#define SIGNALBOX_API_STORE_CONVERSATION_H

#include "api/store.h"

#include <stdbool.h>
#include <stdint.h>

struct store_conversation {
    struct uuid run;
    bool closed;
    bool interrupted;
    int64_t last_seq;
    int64_t paused_seq; /* interrupted: of the event at which its stream pauses last; else 0 */
};

/* A run; no row: not there, or another tenant's. */
void store_get_conversation(struct store *store, const struct uuid *tenant, const struct uuid *run,
                            db_done_fn *done, void *arg);
/* The thread's run that has not ended, the newest of several; no row: none. */
void store_find_conversation(struct store *store, const struct uuid *tenant,
                             const struct uuid *thread, db_done_fn *done, void *arg);
void store_read_conversation(const struct db_result *result, struct store_conversation *out);

/* Ids of the questions that wait for an answer, oldest first, of a run that is interrupted; row by
 * row, at most 64. */
void store_open_questions(struct store *store, const struct uuid *tenant, const struct uuid *run,
                          db_done_fn *done, void *arg);
const char *store_read_question(const struct db_result *result, int row, size_t *length_out);

#endif
