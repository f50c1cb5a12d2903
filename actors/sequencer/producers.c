/* See producers.h. */
#include "sequencer/producers.h"

#include "runtime/base/log.h"
#include "runtime/base/memory.h"
#include "sequencer/commands.h"

#include <assert.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    PRODUCER_KEY_MARK = 2, /* first character of implicit keys; a client's key is printable */
    PRODUCER_ID_BYTES = 255,
    PRODUCER_KEY_BYTES = PRODUCER_ID_BYTES + 64
};

static const uint64_t PRODUCER_NUMBER_MAX = (UINT64_C(1) << 53) - 1;

/* An append is recognised by its number alone: all bodies count as the same one. */
static const uint8_t any_body[32];

struct producer {
    struct list node;    /* in producers.by_use */
    struct list touched; /* in producers.touched, while the batch under way moves it */
    struct uuid hash;
    struct uuid run;
    struct uuid tenant;
    struct producer_state stored;
    struct producer_state batch; /* as the batch leaves it, when touched */
    size_t id_length;
    uint8_t id[];
};

/* ---- in memory ---- */

void producers_init(struct producers *producers)
{
    *producers = (struct producers){0};
    list_init(&producers->by_use);
    list_init(&producers->touched);
}

static void forget(struct producers *producers, struct producer *producer)
{
    map_remove(&producers->by_hash, &producer->hash);
    list_remove(&producer->node);
    list_remove(&producer->touched);
    free(producer);
}

void producers_clear(struct producers *producers)
{
    struct list *first;
    while ((first = list_first(&producers->by_use)) != NULL) {
        forget(producers, LIST_ENTRY(first, struct producer, node));
    }
    map_deinit(&producers->by_hash);
    producers->touched_count = 0;
}

static struct uuid hash_of(const struct uuid *run, const void *id, size_t id_length)
{
    struct uuid hash;
    crypto_generichash_state state;
    crypto_generichash_init(&state, NULL, 0, sizeof hash.bytes);
    crypto_generichash_update(&state, run->bytes, sizeof run->bytes);
    crypto_generichash_update(&state, id, id_length);
    crypto_generichash_final(&state, hash.bytes, sizeof hash.bytes);
    return hash;
}

/* NULL: not in memory. */
static struct producer *find(struct producers *producers, const struct command *command)
{
    struct producer *producer = map_get(&producers->by_hash, &command->producer);
    if (producer != NULL) {
        list_remove(&producer->node);
        list_append(&producers->by_use, &producer->node);
    }
    return producer;
}

static const struct producer_state *state_of(const struct producer *producer)
{
    return list_is_linked(&producer->touched) ? &producer->batch : &producer->stored;
}

void producers_found(struct producers *producers, const struct uuid *run, const char *id,
                     size_t id_length, const struct producer_state *state)
{
    struct uuid hash = hash_of(run, id, id_length);
    if (map_get(&producers->by_hash, &hash) != NULL) {
        return;
    }
    struct producer *producer = memory_new(sizeof *producer + id_length);
    producer->hash = hash;
    producer->run = *run;
    producer->stored = *state;
    producer->id_length = id_length;
    memcpy(producer->id, id, id_length);
    list_init(&producer->node);
    list_init(&producer->touched);
    list_append(&producers->by_use, &producer->node);
    map_put(&producers->by_hash, &hash, producer);
}

void producers_evict(struct sequencer *sequencer)
{
    struct producers *producers = &sequencer->producers;
    size_t limit =
        (size_t)settings_int(sequencer->actor->settings, SETTING_SEQUENCER_PRODUCERS_CACHED);
    /* All that one look-up found must stay until the commands that asked have been judged. */
    limit = limit < sequencer->key_capacity ? sequencer->key_capacity : limit;
    if (sequencer->resolving > 0 || producers->by_hash.count <= limit) {
        return;
    }
    LIST_FOR_EACH(node, &producers->by_use)
    {
        struct producer *producer = LIST_ENTRY(node, struct producer, node);
        if (producers->by_hash.count <= limit) {
            return;
        }
        if (!list_is_linked(&producer->touched)) {
            forget(producers, producer);
        }
    }
}

/* ---- commands ---- */

/* As an Idempotency-Key: printable, so that every byte is text to the database. */
static bool is_printable(struct message_span text)
{
    for (size_t i = 0; i < text.length; i++) {
        if (text.data[i] < 0x20 || text.data[i] > 0x7e) {
            return false;
        }
    }
    return true;
}

bool producers_concern(const struct command *command)
{
    return command->kind->type == MESSAGE_APPEND && command->message.append.producer.length > 0;
}

void producers_adopt(struct command *command)
{
    const struct message_append *append = &command->message.append;
    if (append->producer.length > PRODUCER_ID_BYTES || !is_printable(append->producer) ||
        append->producer_epoch > PRODUCER_NUMBER_MAX ||
        append->producer_seq > PRODUCER_NUMBER_MAX) {
        return;
    }
    command->made_key = memory_new(PRODUCER_KEY_BYTES);
    int length =
        snprintf(command->made_key, PRODUCER_KEY_BYTES, "%c%.*s%c%llu%c%llu", PRODUCER_KEY_MARK,
                 (int)append->producer.length, (const char *)append->producer.data,
                 PRODUCER_KEY_MARK, (unsigned long long)append->producer_epoch, PRODUCER_KEY_MARK,
                 (unsigned long long)append->producer_seq);
    commands_key(command, KEY_OF_RUN,
                 (struct message_span){(const uint8_t *)command->made_key, (size_t)length},
                 (struct message_span){any_body, sizeof any_body});
    command->producer = hash_of(&command->run_id, append->producer.data, append->producer.length);
}

static enum producer_verdict judge(const struct producer *producer, const struct command *command,
                                   uint64_t *expected_out)
{
    const struct message_append *append = &command->message.append;
    return producer_judge(state_of(producer), append->producer_epoch, append->producer_seq,
                          expected_out);
}

bool producers_need_lookup(struct sequencer *sequencer, const struct command *command)
{
    uint64_t expected;
    if (uuid_is_nil(&command->producer)) {
        return false;
    }
    const struct producer *producer = find(&sequencer->producers, command);
    if (producer == NULL) {
        return true;
    }
    return !command->key_checked && keys_get(sequencer, &command->key_hash) == NULL &&
           judge(producer, command, &expected) == PRODUCER_DUPLICATE;
}

/* The first answer again. */
static void answer_duplicate(struct sequencer *sequencer, struct command *command)
{
    const struct key_entry *first = commands_known_key(sequencer, command);
    if (first != NULL) {
        commands_answer_by_key(sequencer, command, first);
    } else {
        LOG_ERROR("the first append of a duplicate is gone", LOG_UUID("run_id", &command->run_id));
        commands_refuse(command, OUTCOME_REFUSED);
    }
}

bool producers_settle(struct sequencer *sequencer, struct command *command, bool closed)
{
    uint64_t expected;
    if (uuid_is_nil(&command->producer)) {
        commands_refuse(command, OUTCOME_REFUSED);
        return true;
    }
    const struct producer *producer = find(&sequencer->producers, command);
    assert(producer != NULL);
    enum producer_verdict verdict = judge(producer, command, &expected);
    if (verdict == PRODUCER_DUPLICATE) {
        answer_duplicate(sequencer, command);
        return true;
    }
    if (closed || verdict == PRODUCER_NEXT) {
        return false;
    }
    commands_refuse(command, verdict == PRODUCER_STALE     ? OUTCOME_PRODUCER_FENCED
                             : verdict == PRODUCER_UNBEGUN ? OUTCOME_PRODUCER_EPOCH
                                                           : OUTCOME_PRODUCER_GAP);
    command->result.expected = expected;
    return true;
}

void producers_advance(struct sequencer *sequencer, const struct command *command)
{
    struct producers *producers = &sequencer->producers;
    const struct message_append *append = &command->message.append;
    struct producer *producer = find(producers, command);
    assert(producer != NULL);
    if (!list_is_linked(&producer->touched)) {
        list_append(&producers->touched, &producer->touched);
        producers->touched_count++;
    }
    producer->tenant = command->tenant; /* by now known to be the run's */
    producer->batch = (struct producer_state){
        .known = true, .epoch = append->producer_epoch, .number = append->producer_seq};
}

/* ---- the batch ---- */

static void let_go(struct sequencer *sequencer, bool moved)
{
    struct producers *producers = &sequencer->producers;
    struct list *first;
    while ((first = list_first(&producers->touched)) != NULL) {
        struct producer *producer = LIST_ENTRY(first, struct producer, touched);
        list_remove(first);
        if (moved) {
            producer->stored = producer->batch;
        }
    }
    producers->touched_count = 0;
}

void producers_commit(struct sequencer *sequencer)
{
    let_go(sequencer, true);
}

void producers_drop(struct sequencer *sequencer)
{
    let_go(sequencer, false);
}

#define PUT_TOUCHED(params, producers, kind, put)                                         \
    do {                                                                                  \
        db_array_begin((params), (kind), (producers)->touched_count);                     \
        LIST_FOR_EACH(node, &(producers)->touched)                                        \
        {                                                                                 \
            const struct producer *producer = LIST_ENTRY(node, struct producer, touched); \
            put;                                                                          \
        }                                                                                 \
        db_array_end(params);                                                             \
    } while (0)

static void put_old(struct db_params *params, const struct producer *producer, uint64_t value)
{
    if (producer->stored.known) {
        db_array_int8(params, (int64_t)value);
    } else {
        db_array_null(params);
    }
}

void producers_params(const struct sequencer *sequencer, struct db_params *params)
{
    const struct producers *producers = &sequencer->producers;
    PUT_TOUCHED(params, producers, DB_ARRAY_UUID, db_array_uuid(params, producer->run.bytes));
    PUT_TOUCHED(params, producers, DB_ARRAY_UUID, db_array_uuid(params, producer->tenant.bytes));
    PUT_TOUCHED(params, producers, DB_ARRAY_TEXT,
                db_array_bytes(params, producer->id, producer->id_length));
    PUT_TOUCHED(params, producers, DB_ARRAY_INT8,
                put_old(params, producer, producer->stored.epoch));
    PUT_TOUCHED(params, producers, DB_ARRAY_INT8,
                put_old(params, producer, producer->stored.number));
    PUT_TOUCHED(params, producers, DB_ARRAY_INT8,
                db_array_int8(params, (int64_t)producer->batch.epoch));
    PUT_TOUCHED(params, producers, DB_ARRAY_INT8,
                db_array_int8(params, (int64_t)producer->batch.number));
}
