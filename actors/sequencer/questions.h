/* The open questions of one run: a small set of hashed clarification_ids. Pure; table-tested. */
#ifndef SIGNALBOX_SEQUENCER_QUESTIONS_H
#define SIGNALBOX_SEQUENCER_QUESTIONS_H

#include "proto/messages.h"
#include "runtime/base/uuid.h"

#include <stdbool.h>

enum {
    QUESTIONS_MAX = 16,
    QUESTIONS_ID_BYTES = 4 * 255 /* 255 characters */,
    QUESTIONS_HASH_BYTES = 32
};

struct questions {
    unsigned count;
    struct uuid open[QUESTIONS_MAX]; /* first half of the SHA-256 of each id */
};

/* Whether `id` may name a question. */
bool questions_valid_id(struct message_span id);
/* As `open` has it. */
struct uuid questions_hash(struct message_span id);
bool questions_has(const struct questions *questions, struct message_span id);
bool questions_has_hash(const struct questions *questions, const struct uuid *hash);
/* False: it is open already, or there are QUESTIONS_MAX. */
bool questions_ask(struct questions *questions, struct message_span id);
/* False: it is not open. */
bool questions_answer(struct questions *questions, struct message_span id);
/* From the table: SHA-256 hashes behind each other; what is too much is left out. */
void questions_load(struct questions *questions, const char *hashes, size_t length);

#endif
