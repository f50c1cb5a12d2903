/* Jobs that commands name and memory does not have, read in bulk with the other resolve queries; and
 * all open jobs of a run that is about to end, read with no batch under way. See jobs.h. */
#include "sequencer/commands.h"
#include "sequencer/store.h"

#include "runtime/base/fault.h"
#include "runtime/base/log.h"

/* Columns of STORE_RESOLVE_JOBS behind those of the job. */
enum { RUN_LAST_SEQ = JOBS_COLUMNS, RUN_STATUS, RUN_LIVENESS, RUN_OPEN, RUN_THREAD, RUN_JOBS };

/* Columns of STORE_RESOLVE_JOB_KEYS. */
enum { KEY_TENANT, KEY_TEXT, KEY_JOB, KEY_PRUNED, KEY_STATUS };

#define FOR_EACH_MISSING(item, sequencer)                                                \
    LIST_FOR_EACH(item##_node, &(sequencer)->queue)                                      \
    for (struct command *item##_command = LIST_ENTRY(item##_node, struct command, node); \
         item##_command != NULL; item##_command = NULL)                                  \
        for (size_t item##_i = 0;                                                        \
             item##_command->need == NEED_ANSWER && item##_command->work != NULL &&      \
             item##_i < item##_command->work->items_count;                               \
             item##_i++)                                                                 \
            for (struct job_item *item = &item##_command->work->items[item##_i];         \
                 item != NULL && is_missing(item_command, item); item = NULL)

/* A run that has gone is read with its job. */
static bool is_missing(const struct command *command, const struct job_item *item)
{
    return item->job == NULL ||
           (command->work->changes_count > 0 && item->run == NULL && !item->job->pruned);
}

/* ---- what came back ---- */

static void load_run(struct sequencer *sequencer, const struct db_result *result, int row)
{
    struct uuid id;
    struct uuid tenant;
    db_uuid(result, row, 3, &id);
    db_uuid(result, row, 2, &tenant);
    if (runs_get(sequencer, &id) == NULL) {
        struct uuid thread = runs_stored_thread(result, row, RUN_THREAD);
        struct run *run =
            runs_add(sequencer, &id, &tenant, &thread, db_int8(result, row, RUN_LAST_SEQ),
                     runs_stored_status(result, row, RUN_STATUS));
        runs_load(run, result, row, RUN_LIVENESS, RUN_OPEN, RUN_JOBS);
    }
}

static void on_jobs(void *arg, enum db_status status, const struct db_result *result)
{
    struct sequencer *sequencer = arg;
    if (resolve_is_usable(sequencer, status, result)) {
        for (int row = 0; row < db_rows(result); row++) {
            load_run(sequencer, result, row);
            (void)jobs_load(sequencer, result, row, 0, false);
        }
    }
    resolve_one_done(sequencer);
}

static void add_pruned(struct sequencer *sequencer, const struct db_result *result, int row)
{
    struct job model = {.pruned = true};
    size_t length;
    const char *key = db_bytes(result, row, KEY_TEXT, &length);
    db_uuid(result, row, KEY_TENANT, &model.tenant);
    db_uuid(result, row, KEY_PRUNED, &model.job);
    model.key = (struct message_span){(const uint8_t *)key, length};
    model.now.status = (enum job_status)db_int4(result, row, KEY_STATUS);
    if (jobs_get(sequencer, &model.job) == NULL) {
        (void)jobs_add(sequencer, &model);
    }
}

/* The jobs themselves are asked for now, as part of the same look-up. */
static void ask_found(struct sequencer *sequencer, const struct db_result *result)
{
    struct db_params params = {0};
    size_t count = 0;
    for (int row = 0; row < db_rows(result); row++) {
        count += db_is_null(result, row, KEY_JOB) ? 0 : 1;
    }
    if (count > 0) {
        db_array_begin(&params, DB_ARRAY_UUID, count);
        for (int row = 0; row < db_rows(result); row++) {
            if (!db_is_null(result, row, KEY_JOB)) {
                struct uuid job;
                db_uuid(result, row, KEY_JOB, &job);
                db_array_uuid(&params, job.bytes);
            }
        }
        db_array_end(&params);
        resolve_ask(sequencer, STORE_RESOLVE_JOBS, &params, on_jobs);
        db_params_deinit(&params);
    }
}

static void on_keys(void *arg, enum db_status status, const struct db_result *result)
{
    struct sequencer *sequencer = arg;
    if (resolve_is_usable(sequencer, status, result)) {
        for (int row = 0; row < db_rows(result); row++) {
            if (!db_is_null(result, row, KEY_PRUNED)) {
                add_pruned(sequencer, result, row);
            }
        }
        ask_found(sequencer, result);
    }
    resolve_one_done(sequencer);
}

/* ---- what is asked ---- */

static size_t count_missing(const struct sequencer *sequencer, bool by_key)
{
    size_t count = 0;
    FOR_EACH_MISSING(item, sequencer)
    {
        count += (item->key.length > 0) == by_key ? 1 : 0;
    }
    return count;
}

static void put_ids(const struct sequencer *sequencer, struct db_params *params)
{
    db_array_begin(params, DB_ARRAY_UUID, count_missing(sequencer, false));
    FOR_EACH_MISSING(item, sequencer)
    {
        if (item->key.length == 0) {
            db_array_uuid(params, item->name.bytes);
        }
    }
    db_array_end(params);
}

static void put_keys(const struct sequencer *sequencer, struct db_params *params)
{
    size_t count = count_missing(sequencer, true);
    db_array_begin(params, DB_ARRAY_UUID, count);
    FOR_EACH_MISSING(item, sequencer)
    {
        if (item->key.length > 0) {
            db_array_uuid(params, item_command->tenant.bytes);
        }
    }
    db_array_end(params);
    db_array_begin(params, DB_ARRAY_TEXT, count);
    FOR_EACH_MISSING(item, sequencer)
    {
        if (item->key.length > 0) {
            db_array_bytes(params, item->key.data, item->key.length);
        }
    }
    db_array_end(params);
}

void jobs_ask(struct sequencer *sequencer, struct db_params *params)
{
    if (count_missing(sequencer, false) > 0) {
        put_ids(sequencer, params);
        resolve_ask(sequencer, STORE_RESOLVE_JOBS, params, on_jobs);
    }
    if (count_missing(sequencer, true) > 0) {
        put_keys(sequencer, params);
        resolve_ask(sequencer, STORE_RESOLVE_JOB_KEYS, params, on_keys);
    }
}

/* ---- the jobs of a run that is about to end ---- */

static bool ends_something(const struct command *command)
{
    if (command->kind->type != MESSAGE_APPEND) {
        return command->kind->type == MESSAGE_CANCEL_RUN || command->origin == NULL;
    }
    struct message_list events = command->message.append.events;
    struct message_append_event event;
    while (message_append_event_next(&events, &event)) {
        if (event_type_is_terminal((enum event_type)event.type) ||
            event.type == EVENT_TYPE_RUN_CANCEL_REQUESTED) {
            return true;
        }
    }
    return false;
}

static bool own_run_may_end(const struct command *command)
{
    return command->run != NULL && !jobs_are_known(command->run) && ends_something(command);
}

/* Of the runs that the command may end: those of its thread, too. */
static size_t put_unknown(const struct command *command, struct db_params *params)
{
    size_t count = own_run_may_end(command) ? 1 : 0;
    if (count > 0 && params != NULL) {
        db_array_uuid(params, command->run->id.bytes);
    }
    for (size_t i = 0; command->gate != NULL && i < command->gate->count; i++) {
        if (!jobs_are_known(command->gate->others[i])) {
            count++;
            if (params != NULL) {
                db_array_uuid(params, command->gate->others[i]->id.bytes);
            }
        }
    }
    for (size_t i = 0; command->work != NULL && i < command->work->changes_count; i++) {
        const struct job_item *item = &command->work->items[i];
        if (item->job != NULL && item->job->now.detached && item->run != NULL &&
            !jobs_are_known(item->run)) {
            count++;
            if (params != NULL) {
                db_array_uuid(params, item->run->id.bytes);
            }
        }
    }
    return count;
}

bool jobs_look_is_needed(const struct sequencer *sequencer, const struct command *command)
{
    (void)sequencer;
    return put_unknown(command, NULL) > 0;
}

/* All that are open have been read, with nothing under way. */
static void take_counts(const struct command *command)
{
    if (own_run_may_end(command)) {
        command->run->jobs_open = command->run->jobs_known;
    }
    for (size_t i = 0; command->gate != NULL && i < command->gate->count; i++) {
        command->gate->others[i]->jobs_open = command->gate->others[i]->jobs_known;
    }
    for (size_t i = 0; command->work != NULL && i < command->work->changes_count; i++) {
        struct run *run = command->work->items[i].run;
        if (run != NULL && command->work->items[i].job->now.detached) {
            run->jobs_open = run->jobs_known;
        }
    }
}

static void on_looked(void *arg, enum db_status status, const struct db_result *result)
{
    struct sequencer *sequencer = arg;
    struct command *command = sequencer->gate_command;
    if (--sequencer->gates_asked > 0 || command == NULL) {
        return; /* dropped meanwhile; the last query is the next one's */
    }
    sequencer->gate_command = NULL;
    event_active(sequencer->work, EV_TIMEOUT, 0);
    if (status != DB_OK) {
        if (status == DB_REFUSED) {
            LOG_ERROR("jobs of a run cannot be read", LOG_TEXT("error", db_message(result)));
            db_reset(sequencer->reader);
        }
        return; /* asked again */
    }
    for (int row = 0; row < db_rows(result); row++) {
        (void)jobs_load(sequencer, result, row, 0, false);
    }
    take_counts(command);
    sequencer->jobs.held = true;
    SB_FAULT("sequencer_jobs_looked");
}

void jobs_look(struct sequencer *sequencer, struct command *command)
{
    struct db_params params = {0};
    if (sequencer->gate_command == command || !db_is_connected(sequencer->reader)) {
        return;
    }
    db_array_begin(&params, DB_ARRAY_UUID, put_unknown(command, NULL));
    (void)put_unknown(command, &params);
    db_array_end(&params);
    sequencer->gate_command = command;
    sequencer->gates_asked++;
    db_query(sequencer->reader, &store_statements[STORE_RUN_JOBS], &params, on_looked, sequencer);
    db_params_deinit(&params);
}
