/*
 * What queued commands need from the table, read in bulk on the reading connection while a batch
 * commits on the other: heads of runs not in memory, client keys, and the answers of commands
 * re-asked from before this process.
 *
 * What comes back may be older than a batch that committed meanwhile. So a head is taken only when
 * the run is still not in memory (runs are not evicted while a query is under way), and a key that
 * was not found counts only together with the ring of recent keys.
 */
#include "runtime/base/log.h"
#include "runtime/base/memory.h"
#include "sequencer/commands.h"
#include "sequencer/store.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

typedef bool wants_fn(const struct command *command);

static bool wants_head(const struct command *command)
{
    return command->run == NULL && !uuid_is_nil(&command->run_id);
}

static bool wants_key(const struct command *command)
{
    return command->key_scope == KEY_OF_RUN && !uuid_is_nil(&command->key_hash);
}

static bool wants_create_key(const struct command *command)
{
    return command->key_scope == KEY_OF_TENANT && !uuid_is_nil(&command->key_hash);
}

static bool wants_answer(const struct command *command)
{
    return command->recover && command->work == NULL;
}

static bool wants_producer(const struct command *command)
{
    return !uuid_is_nil(&command->producer);
}

static bool wants_last_answer(const struct command *command)
{
    return lifecycle_concerns_last_answer(command);
}

static bool wants_questions(const struct command *command)
{
    return command->asks;
}

static size_t count_wanting(const struct sequencer *sequencer, wants_fn *wants)
{
    size_t count = 0;
    LIST_FOR_EACH(node, &sequencer->queue)
    {
        const struct command *command = LIST_ENTRY(node, struct command, node);
        count += command->need == NEED_ANSWER && wants(command) ? 1 : 0;
    }
    return count;
}

#define FOR_EACH_WANTING(command, sequencer, wants)                                  \
    LIST_FOR_EACH(command##_node, &(sequencer)->queue)                               \
    for (struct command *command = LIST_ENTRY(command##_node, struct command, node); \
         command != NULL && command->need == NEED_ANSWER && (wants)(command); command = NULL)

/* ---- what came back ---- */

static void attach(struct sequencer *sequencer, struct command *command)
{
    const struct key_entry *found = map_get(&sequencer->found_keys, &command->key_hash);
    command->need = NEED_NOTHING;
    command->key_checked = true;
    command->seen_commit = sequencer->resolving_commit;
    if (command->run == NULL) {
        command->run = runs_get(sequencer, &command->run_id);
        if (command->run != NULL) {
            command->run->users++;
        }
    }
    if (found != NULL && !uuid_is_nil(&command->key_hash)) {
        command->key_found = true;
        command->found = memory_copy(found, sizeof *found);
    }
    if (command->work != NULL) {
        (void)jobs_find(sequencer, command); /* so that what was found stays */
    }
}

static void clear_found(struct sequencer *sequencer)
{
    size_t cursor = 0;
    struct key_entry *entry;
    while ((entry = map_next(&sequencer->found_keys, &cursor)) != NULL) {
        free(entry);
    }
    map_deinit(&sequencer->found_keys);
}

/* Called once for each query; the last one hands everything out. */
void resolve_one_done(struct sequencer *sequencer)
{
    assert(sequencer->resolving > 0);
    if (--sequencer->resolving > 0) {
        return;
    }
    LIST_FOR_EACH(node, &sequencer->queue)
    {
        struct command *command = LIST_ENTRY(node, struct command, node);
        if (command->need == NEED_ANSWER) {
            attach(sequencer, command);
        }
    }
    clear_found(sequencer);
    runs_evict(sequencer); /* under load every commit finds a query under way */
    producers_evict(sequencer);
    jobs_evict(sequencer);
    event_active(sequencer->work, EV_TIMEOUT, 0);
}

/* A query that failed leaves its commands waiting for the next one. One from before the shard was
 * taken again may be older than what was forgotten then. */
bool resolve_is_usable(struct sequencer *sequencer, enum db_status status,
                       const struct db_result *result)
{
    if (status == DB_OK && sequencer->resolving_epoch == sequencer->epoch) {
        return true;
    }
    if (status == DB_REFUSED) {
        LOG_ERROR("resolve query refused", LOG_TEXT("sqlstate", db_sqlstate(result)),
                  LOG_TEXT("error", db_message(result)));
        db_reset(sequencer->reader); /* not at once again, but after its pause */
    }
    LIST_FOR_EACH(node, &sequencer->queue)
    {
        struct command *command = LIST_ENTRY(node, struct command, node);
        if (command->need == NEED_ANSWER) {
            command->need = NEED_LOOKUP;
        }
    }
    return false;
}

static void on_heads(void *arg, enum db_status status, const struct db_result *result)
{
    struct sequencer *sequencer = arg;
    if (resolve_is_usable(sequencer, status, result)) {
        for (int row = 0; row < db_rows(result); row++) {
            struct uuid id;
            struct uuid tenant;
            db_uuid(result, row, 0, &id);
            db_uuid(result, row, 1, &tenant);
            if (runs_get(sequencer, &id) == NULL) {
                struct uuid thread = runs_stored_thread(result, row, 6);
                struct run *run =
                    runs_add(sequencer, &id, &tenant, &thread, db_int8(result, row, 2),
                             runs_stored_status(result, row, 3));
                runs_load(run, result, row, 4, 5, 7);
            }
        }
    }
    resolve_one_done(sequencer);
}

static void keep_found(struct sequencer *sequencer, enum key_scope scope, const struct uuid *id,
                       const struct db_result *result, int row, int hash_column,
                       const struct key_entry *entry)
{
    size_t length;
    const char *text = db_bytes(result, row, 1, &length);
    struct message_span key = {(const uint8_t *)text, length};
    struct key_entry *copy = memory_copy(entry, sizeof *entry);
    const char *body = db_bytes(result, row, hash_column, &length);
    if (length == sizeof copy->body) {
        memcpy(copy->body, body, length);
    }
    copy->hash = keys_hash(scope, id, key);
    free(map_put(&sequencer->found_keys, &copy->hash, copy));
}

static void on_keys(void *arg, enum db_status status, const struct db_result *result)
{
    struct sequencer *sequencer = arg;
    if (resolve_is_usable(sequencer, status, result)) {
        for (int row = 0; row < db_rows(result); row++) {
            struct key_entry entry = {0};
            db_uuid(result, row, 0, &entry.run);
            entry.first_seq = (uint64_t)db_int8(result, row, 2);
            entry.last_seq = entry.first_seq + (uint64_t)db_int4(result, row, 3) - 1;
            keep_found(sequencer, KEY_OF_RUN, &entry.run, result, row, 4, &entry);
        }
    }
    resolve_one_done(sequencer);
}

static void on_create_keys(void *arg, enum db_status status, const struct db_result *result)
{
    struct sequencer *sequencer = arg;
    if (resolve_is_usable(sequencer, status, result)) {
        for (int row = 0; row < db_rows(result); row++) {
            /* One that is pending has none yet. */
            uint64_t seq = db_int8(result, row, 5) > 0 ? 1 : 0;
            struct key_entry entry = {
                .first_seq = seq, .last_seq = seq, .status = runs_stored_status(result, row, 4)};
            struct uuid tenant;
            db_uuid(result, row, 0, &tenant);
            db_uuid(result, row, 2, &entry.run);
            keep_found(sequencer, KEY_OF_TENANT, &tenant, result, row, 3, &entry);
        }
    }
    resolve_one_done(sequencer);
}

static void recover_command(struct sequencer *sequencer, const struct db_result *result, int row)
{
    struct uuid run;
    db_uuid(result, row, 0, &run);
    uint64_t origin = (uint64_t)db_int8(result, row, 1);
    uint64_t number = (uint64_t)db_int8(result, row, 2);
    uint64_t first = (uint64_t)db_int8(result, row, 3);
    uint64_t events = (uint64_t)db_int4(result, row, 4); /* 0: a run created to start later */
    FOR_EACH_WANTING(command, sequencer, wants_answer)
    {
        if (command->number == number && command->origin->origin == origin &&
            uuid_equal(&command->run_id, &run)) {
            command->recovered = true;
            command->result =
                (struct message_result){.outcome = OUTCOME_OK,
                                        .first_seq = first,
                                        .last_seq = events > 0 ? first + events - 1 : 0,
                                        .duplicate = true};
            memcpy(command->result.run, run.bytes, sizeof run.bytes);
        }
    }
}

static void on_commands(void *arg, enum db_status status, const struct db_result *result)
{
    struct sequencer *sequencer = arg;
    if (resolve_is_usable(sequencer, status, result)) {
        for (int row = 0; row < db_rows(result); row++) {
            recover_command(sequencer, result, row);
        }
    }
    resolve_one_done(sequencer);
}

static void on_producers(void *arg, enum db_status status, const struct db_result *result)
{
    struct sequencer *sequencer = arg;
    if (resolve_is_usable(sequencer, status, result)) {
        for (int row = 0; row < db_rows(result); row++) {
            struct uuid run;
            size_t length;
            struct producer_state state = {.known = !db_is_null(result, row, 2)};
            db_uuid(result, row, 0, &run);
            const char *id = db_bytes(result, row, 1, &length);
            if (state.known) {
                state.epoch = (uint64_t)db_int8(result, row, 2);
                state.number = (uint64_t)db_int8(result, row, 3);
            }
            producers_found(&sequencer->producers, &run, id, length, &state);
        }
    }
    resolve_one_done(sequencer);
}

/* One row a run; the query for heads has been answered before it. What this process has seen itself
 * is newer. */
static void on_last_answers(void *arg, enum db_status status, const struct db_result *result)
{
    struct sequencer *sequencer = arg;
    if (resolve_is_usable(sequencer, status, result)) {
        for (int row = 0; row < db_rows(result); row++) {
            struct uuid id;
            size_t length = 0;
            db_uuid(result, row, 0, &id);
            struct run *run = runs_get(sequencer, &id);
            const char *hash = db_is_null(result, row, 1) ? "" : db_bytes(result, row, 1, &length);
            if (run != NULL && !run->resumed_known) {
                run->resumed_known = true;
                if (length >= sizeof run->resumed.bytes) {
                    memcpy(run->resumed.bytes, hash, sizeof run->resumed.bytes);
                }
            }
        }
    }
    resolve_one_done(sequencer);
}

/* Places count the commands in question from the first in the queue, now as when it was asked. */
static void on_questions(void *arg, enum db_status status, const struct db_result *result)
{
    struct sequencer *sequencer = arg;
    if (resolve_is_usable(sequencer, status, result)) {
        int64_t place = 0;
        int row = 0;
        FOR_EACH_WANTING(command, sequencer, wants_questions)
        {
            command->asked_before = row < db_rows(result) && db_int8(result, row, 0) == place;
            row += command->asked_before ? 1 : 0;
            place++;
        }
    }
    resolve_one_done(sequencer);
}

/* ---- what is asked ---- */

void resolve_ask(struct sequencer *sequencer, int statement, struct db_params *params,
                 db_done_fn *done)
{
    sequencer->resolving++;
    db_query(sequencer->reader, &store_statements[statement], params, done, sequencer);
    db_params_clear(params);
}

static void ask_heads(struct sequencer *sequencer, struct db_params *params)
{
    size_t count = count_wanting(sequencer, wants_head);
    if (count == 0) {
        return;
    }
    db_array_begin(params, DB_ARRAY_UUID, count);
    FOR_EACH_WANTING(command, sequencer, wants_head)
    {
        db_array_uuid(params, command->run_id.bytes);
    }
    db_array_end(params);
    resolve_ask(sequencer, STORE_RESOLVE_HEADS, params, on_heads);
}

static void ask_keys(struct sequencer *sequencer, struct db_params *params, wants_fn *wants,
                     enum store_statement statement, db_done_fn *done)
{
    size_t count = count_wanting(sequencer, wants);
    if (count == 0) {
        return;
    }
    db_array_begin(params, DB_ARRAY_UUID, count);
    FOR_EACH_WANTING(command, sequencer, wants)
    {
        bool of_run = command->key_scope == KEY_OF_RUN;
        db_array_uuid(params, of_run ? command->run_id.bytes : command->tenant.bytes);
    }
    db_array_end(params);
    db_array_begin(params, DB_ARRAY_TEXT, count);
    FOR_EACH_WANTING(command, sequencer, wants)
    {
        db_array_bytes(params, command->key.data, command->key.length);
    }
    db_array_end(params);
    resolve_ask(sequencer, statement, params, done);
}

static void ask_producers(struct sequencer *sequencer, struct db_params *params)
{
    size_t count = count_wanting(sequencer, wants_producer);
    if (count == 0) {
        return;
    }
    db_array_begin(params, DB_ARRAY_UUID, count);
    FOR_EACH_WANTING(command, sequencer, wants_producer)
    {
        db_array_uuid(params, command->run_id.bytes);
    }
    db_array_end(params);
    db_array_begin(params, DB_ARRAY_TEXT, count);
    FOR_EACH_WANTING(command, sequencer, wants_producer)
    {
        struct message_span id = command->message.append.producer;
        db_array_bytes(params, id.data, id.length);
    }
    db_array_end(params);
    resolve_ask(sequencer, STORE_RESOLVE_PRODUCERS, params, on_producers);
}

static void ask_last_answers(struct sequencer *sequencer, struct db_params *params)
{
    size_t count = count_wanting(sequencer, wants_last_answer);
    if (count == 0) {
        return;
    }
    db_array_begin(params, DB_ARRAY_UUID, count);
    FOR_EACH_WANTING(command, sequencer, wants_last_answer)
    {
        db_array_uuid(params, command->run_id.bytes);
    }
    db_array_end(params);
    resolve_ask(sequencer, STORE_RESOLVE_LAST_ANSWERS, params, on_last_answers);
}

/* The next question an append asks. */
static bool next_question(struct message_list *events, struct message_append_event *event)
{
    while (message_append_event_next(events, event)) {
        if (event->type == EVENT_TYPE_CLARIFICATION_NEEDED && questions_valid_id(event->subject)) {
            return true;
        }
    }
    return false;
}

static size_t count_questions(const struct sequencer *sequencer)
{
    size_t count = 0;
    FOR_EACH_WANTING(command, sequencer, wants_questions)
    {
        struct message_list events = command->message.append.events;
        struct message_append_event event;
        while (next_question(&events, &event)) {
            count++;
        }
    }
    return count;
}

enum question_column { QUESTION_RUN, QUESTION_ID, QUESTION_PLACE };

static void put_questions(const struct sequencer *sequencer, struct db_params *params,
                          enum question_column column)
{
    int64_t place = 0;
    FOR_EACH_WANTING(command, sequencer, wants_questions)
    {
        struct message_list events = command->message.append.events;
        struct message_append_event event;
        while (next_question(&events, &event)) {
            switch (column) {
            case QUESTION_RUN:
                db_array_uuid(params, command->run_id.bytes);
                break;
            case QUESTION_ID:
                db_array_bytes(params, event.subject.data, event.subject.length);
                break;
            case QUESTION_PLACE:
                db_array_int8(params, place);
                break;
            }
        }
        place++;
    }
    db_array_end(params);
}

static void ask_questions(struct sequencer *sequencer, struct db_params *params)
{
    size_t count = count_questions(sequencer);
    if (count == 0) {
        return;
    }
    db_array_begin(params, DB_ARRAY_UUID, count);
    put_questions(sequencer, params, QUESTION_RUN);
    db_array_begin(params, DB_ARRAY_TEXT, count);
    put_questions(sequencer, params, QUESTION_ID);
    db_array_begin(params, DB_ARRAY_INT8, count);
    put_questions(sequencer, params, QUESTION_PLACE);
    resolve_ask(sequencer, STORE_RESOLVE_QUESTIONS, params, on_questions);
}

static void ask_commands(struct sequencer *sequencer, struct db_params *params)
{
    size_t count = count_wanting(sequencer, wants_answer);
    if (count == 0) {
        return;
    }
    db_array_begin(params, DB_ARRAY_UUID, count);
    FOR_EACH_WANTING(command, sequencer, wants_answer)
    {
        db_array_uuid(params, command->run_id.bytes);
    }
    db_array_end(params);
    db_array_begin(params, DB_ARRAY_INT8, count);
    FOR_EACH_WANTING(command, sequencer, wants_answer)
    {
        db_array_int8(params, (int64_t)command->origin->origin);
    }
    db_array_end(params);
    db_array_begin(params, DB_ARRAY_INT8, count);
    FOR_EACH_WANTING(command, sequencer, wants_answer)
    {
        db_array_int8(params, (int64_t)command->number);
    }
    db_array_end(params);
    resolve_ask(sequencer, STORE_RESOLVE_COMMANDS, params, on_commands);
}

void resolve_start(struct sequencer *sequencer)
{
    bool any = false;
    if (sequencer->resolving > 0 || !db_is_connected(sequencer->reader)) {
        return;
    }
    LIST_FOR_EACH(node, &sequencer->queue)
    {
        struct command *command = LIST_ENTRY(node, struct command, node);
        if (command->need == NEED_LOOKUP) {
            command->need = NEED_ANSWER;
            any = true;
        }
    }
    if (!any) {
        return;
    }
    struct db_params params = {0};
    sequencer->resolving = 1; /* held until all are asked */
    sequencer->resolving_epoch = sequencer->epoch;
    sequencer->resolving_commit = sequencer->commits;
    ask_heads(sequencer, &params);
    ask_keys(sequencer, &params, wants_key, STORE_RESOLVE_KEYS, on_keys);
    ask_keys(sequencer, &params, wants_create_key, STORE_RESOLVE_CREATE_KEYS, on_create_keys);
    ask_producers(sequencer, &params);
    ask_last_answers(sequencer, &params);
    ask_questions(sequencer, &params);
    ask_commands(sequencer, &params);
    jobs_ask(sequencer, &params);
    db_params_deinit(&params);
    resolve_one_done(sequencer);
}
