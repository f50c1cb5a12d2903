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

/* What a chat's POST may be about: the thread's run that has not ended, else its newest; no row: it
 * has none. `message`: id of the client's message. */
struct store_chat {
    struct uuid run;
    bool closed;
    bool interrupted;
    const char
        *request; /* of the POST that began it; borrowed, as `questions`; length 0: another way */
    size_t request_length;
    const char *questions; /* ids of those that wait for an answer: a JSON list */
    size_t questions_length;
    int64_t answered_seq; /* of the first answer that the message gave; 0: none */
};
void store_find_chat(struct store *store, const struct uuid *tenant, const struct uuid *thread,
                     const char *message, size_t message_length, db_done_fn *done, void *arg);
void store_read_chat(const struct db_result *result, struct store_chat *out);

#endif
