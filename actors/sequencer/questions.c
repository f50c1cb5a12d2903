/* See questions.h. */
#include "sequencer/questions.h"

#include <sodium.h>
#include <string.h>

struct uuid questions_hash(struct message_span id)
{
    uint8_t hash[crypto_hash_sha256_BYTES];
    struct uuid half;
    crypto_hash_sha256(hash, id.data, id.length);
    memcpy(half.bytes, hash, sizeof half.bytes);
    return half;
}

/* Its place, or QUESTIONS_MAX. */
static unsigned find(const struct questions *questions, const struct uuid *hash)
{
    for (unsigned i = 0; i < questions->count; i++) {
        if (uuid_equal(&questions->open[i], hash)) {
            return i;
        }
    }
    return QUESTIONS_MAX;
}

bool questions_valid_id(struct message_span id)
{
    return id.length > 0 && id.length <= QUESTIONS_ID_BYTES;
}

bool questions_has(const struct questions *questions, struct message_span id)
{
    struct uuid hash = questions_hash(id);
    return find(questions, &hash) < QUESTIONS_MAX;
}

bool questions_has_hash(const struct questions *questions, const struct uuid *hash)
{
    return find(questions, hash) < QUESTIONS_MAX;
}

bool questions_ask(struct questions *questions, struct message_span id)
{
    struct uuid hash = questions_hash(id);
    if (questions->count == QUESTIONS_MAX || find(questions, &hash) < QUESTIONS_MAX) {
        return false;
    }
    questions->open[questions->count++] = hash;
    return true;
}

bool questions_answer(struct questions *questions, struct message_span id)
{
    struct uuid hash = questions_hash(id);
    unsigned at = find(questions, &hash);
    if (at == QUESTIONS_MAX) {
        return false;
    }
    questions->open[at] = questions->open[--questions->count];
    return true;
}

void questions_load(struct questions *questions, const char *hashes, size_t length)
{
    questions->count = 0;
    for (size_t at = 0; at + QUESTIONS_HASH_BYTES <= length && questions->count < QUESTIONS_MAX;
         at += QUESTIONS_HASH_BYTES) {
        memcpy(questions->open[questions->count++].bytes, hashes + at, sizeof(struct uuid));
    }
}
