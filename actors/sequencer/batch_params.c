/* See batch_params.h. One pass over the batch per array: rows are in cache, and libpq copies each
 * byte once. */
#include "sequencer/batch_params.h"

#include "sequencer/sequencer.h"

#include <string.h>

#define FOR_EACH_COMMAND(command, batch)                                                   \
    LIST_FOR_EACH(command##_node, &(batch)->commands)                                      \
    for (const struct command *command = LIST_ENTRY(command##_node, struct command, node); \
         command != NULL; command = NULL)

static bool creates(const struct command *command)
{
    return command->type == MESSAGE_CREATE_RUN && command->has_rows;
}

static void put_uuid_or_null(struct db_params *params, const uint8_t bytes[16])
{
    static const uint8_t none[16];
    if (memcmp(bytes, none, sizeof none) == 0) {
        db_array_null(params);
    } else {
        db_array_uuid(params, bytes);
    }
}

static void put_span_or_null(struct db_params *params, struct message_span span)
{
    if (span.length == 0) {
        db_array_null(params);
    } else {
        db_array_bytes(params, span.data, span.length);
    }
}

enum create_column {
    CREATE_RUN_ID,
    CREATE_TENANT,
    CREATE_THREAD,
    CREATE_PARENT,
    CREATE_METADATA,
    CREATE_BY,
    CREATE_TS,
    CREATE_KEY,
    CREATE_HASH,
    CREATE_COLUMNS
};

static void put_create(struct db_params *params, enum create_column column,
                       const struct message_create_run *create, int64_t ts_us)
{
    switch (column) {
    case CREATE_RUN_ID:
        db_array_uuid(params, create->run);
        return;
    case CREATE_TENANT:
        db_array_uuid(params, create->tenant);
        return;
    case CREATE_THREAD:
        put_uuid_or_null(params, create->thread);
        return;
    case CREATE_PARENT:
        put_uuid_or_null(params, create->parent);
        return;
    case CREATE_METADATA:
        db_array_bytes(params, create->metadata.data, create->metadata.length);
        return;
    case CREATE_BY:
        db_array_bytes(params, create->created_by.data, create->created_by.length);
        return;
    case CREATE_TS:
        db_array_timestamptz(params, ts_us);
        return;
    case CREATE_KEY:
        put_span_or_null(params, create->key);
        return;
    case CREATE_HASH:
        put_span_or_null(params, create->key.length == 0 ? create->key : create->hash);
        return;
    case CREATE_COLUMNS:
        return;
    }
}

static void put_creates(struct db_params *params, const struct batch *batch)
{
    static const enum db_array kinds[CREATE_COLUMNS] = {
        DB_ARRAY_UUID, DB_ARRAY_UUID,        DB_ARRAY_UUID, DB_ARRAY_UUID, DB_ARRAY_JSONB,
        DB_ARRAY_TEXT, DB_ARRAY_TIMESTAMPTZ, DB_ARRAY_TEXT, DB_ARRAY_BYTEA};
    size_t count = 0;
    FOR_EACH_COMMAND(command, batch)
    {
        count += creates(command) ? 1 : 0;
    }
    for (unsigned column = 0; column < CREATE_COLUMNS; column++) {
        db_array_begin(params, kinds[column], count);
        FOR_EACH_COMMAND(command, batch)
        {
            if (creates(command)) {
                put_create(params, (enum create_column)column, &command->message.create,
                           batch->ts_us);
            }
        }
        db_array_end(params);
    }
}

#define PUT_HEADS(params, batch, kind, put)                     \
    do {                                                        \
        db_array_begin((params), (kind), (batch)->heads_count); \
        for (size_t i = 0; i < (batch)->heads_count; i++) {     \
            const struct run *run = (batch)->heads[i].run;      \
            put;                                                \
        }                                                       \
        db_array_end(params);                                   \
    } while (0)

static void put_heads(struct db_params *params, const struct batch *batch)
{
    PUT_HEADS(params, batch, DB_ARRAY_UUID, db_array_uuid(params, run->id.bytes));
    PUT_HEADS(params, batch, DB_ARRAY_UUID, db_array_uuid(params, run->tenant.bytes));
    PUT_HEADS(params, batch, DB_ARRAY_INT8, db_array_int8(params, run->last_seq));
    PUT_HEADS(params, batch, DB_ARRAY_INT8, db_array_int8(params, run->batch_seq));
    PUT_HEADS(params, batch, DB_ARRAY_BOOL, db_array_bool(params, run->batch_closed));
}

#define PUT_ROWS(params, batch, kind, put)                     \
    do {                                                       \
        db_array_begin((params), (kind), (batch)->rows_count); \
        for (size_t i = 0; i < (batch)->rows_count; i++) {     \
            const struct row *row = &(batch)->rows[i];         \
            (void)row;                                         \
            put;                                               \
        }                                                      \
        db_array_end(params);                                  \
    } while (0)

/* The same, for columns that only the first event of a command has. */
#define PUT_FIRST(params, batch, kind, put)         \
    PUT_ROWS(params, batch, kind, {                 \
        const struct command *command = row->first; \
        if (command == NULL) {                      \
            db_array_null(params);                  \
        } else {                                    \
            put;                                    \
        }                                           \
    })

static struct message_span actor_of(const struct command *command)
{
    return command->type == MESSAGE_APPEND ? command->message.append.actor
                                           : command->message.create.created_by;
}

/* A run's creation key is kept with the run, not with its first event. */
static struct message_span append_span(const struct command *command, bool hash)
{
    const struct message_append *append = &command->message.append;
    if (command->type != MESSAGE_APPEND || append->key.length == 0) {
        return (struct message_span){NULL, 0};
    }
    return hash ? append->hash : append->key;
}

static int32_t events_of(const struct command *command)
{
    return (int32_t)(command->result.last_seq - command->result.first_seq + 1);
}

static void put_rows(struct db_params *params, const struct batch *batch)
{
    PUT_ROWS(params, batch, DB_ARRAY_INT4, db_array_int4(params, row->head));
    PUT_ROWS(params, batch, DB_ARRAY_INT8, db_array_int8(params, row->seq));
    PUT_ROWS(params, batch, DB_ARRAY_INT4, db_array_int4(params, row->type));
    PUT_ROWS(params, batch, DB_ARRAY_JSON,
             db_array_bytes(params, row->payload.data, row->payload.length));
    PUT_ROWS(params, batch, DB_ARRAY_TIMESTAMPTZ, db_array_timestamptz(params, batch->ts_us));
    PUT_FIRST(params, batch, DB_ARRAY_TEXT, put_span_or_null(params, actor_of(command)));
    PUT_FIRST(params, batch, DB_ARRAY_TEXT, put_span_or_null(params, append_span(command, false)));
    PUT_FIRST(params, batch, DB_ARRAY_BYTEA, put_span_or_null(params, append_span(command, true)));
    PUT_FIRST(params, batch, DB_ARRAY_INT4, db_array_int4(params, events_of(command)));
    PUT_FIRST(params, batch, DB_ARRAY_INT8,
              db_array_int8(params, (int64_t)command->origin->origin));
    PUT_FIRST(params, batch, DB_ARRAY_INT8, db_array_int8(params, (int64_t)command->number));
}

static void put_origins(struct db_params *params, const struct batch *batch)
{
    db_array_begin(params, DB_ARRAY_INT8, batch->origins_count);
    for (size_t i = 0; i < batch->origins_count; i++) {
        db_array_int8(params, (int64_t)batch->origins[i]->origin);
    }
    db_array_end(params);
    db_array_begin(params, DB_ARRAY_INT8, batch->origins_count);
    for (size_t i = 0; i < batch->origins_count; i++) {
        db_array_int8(params, (int64_t)batch->origins[i]->batch_number);
    }
    db_array_end(params);
}

void batch_params(struct sequencer *sequencer)
{
    struct batch *batch = sequencer->batch;
    struct db_params *params = &batch->params;
    db_params_clear(params);
    db_param_int4(params, SEQUENCER_SHARD);
    db_param_int8(params, (int64_t)sequencer->epoch);
    db_param_int8(params, sequencer->position);
    put_creates(params, batch);
    put_heads(params, batch);
    put_rows(params, batch);
    put_origins(params, batch);
    producers_params(sequencer, params);
    quota_params(sequencer, params, batch->ts_us);
}
