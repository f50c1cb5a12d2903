/* See batch_params.h. One pass over the batch per array: rows are in cache, and libpq copies each
 * byte once. */
#include "sequencer/batch_params.h"

#include "runtime/trace.h"
#include "sequencer/sequencer.h"

#include <string.h>

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

static void put_timestamp_or_null(struct db_params *params, int64_t real_us)
{
    if (real_us == 0) {
        db_array_null(params);
    } else {
        db_array_timestamptz(params, real_us);
    }
}

static void put_int8_or_null(struct db_params *params, uint64_t value)
{
    if (value == 0) {
        db_array_null(params);
    } else {
        db_array_int8(params, (int64_t)value);
    }
}

/* One array, an entry each run that the batch creates. `create`, `command` and `pending` (it is not
 * started at once) are there for `put`. */
#define PUT_CREATES(params, batch, array, put)                                           \
    do {                                                                                 \
        db_array_begin((params), (array), (batch)->creates_count);                       \
        for (size_t i = 0; i < (batch)->creates_count; i++) {                            \
            const struct message_create_run *create = (batch)->creates[i].create;        \
            const struct command *command = (batch)->creates[i].command;                 \
            bool pending =                                                               \
                command != NULL && (batch)->lifecycle && command->result.first_seq == 0; \
            (void)create;                                                                \
            (void)pending;                                                               \
            put;                                                                         \
        }                                                                                \
        db_array_end(params);                                                            \
    } while (0)

enum { CREATE_COLUMNS = 18 };

static void put_creates(struct db_params *params, const struct batch *batch)
{
    /* Most batches have none, and eighteen empty arrays cost more than as many nulls. */
    for (unsigned column = 0; batch->creates_count == 0 && column < CREATE_COLUMNS; column++) {
        db_param_null(params);
    }
    if (batch->creates_count == 0) {
        return;
    }
    PUT_CREATES(params, batch, DB_ARRAY_UUID, db_array_uuid(params, create->run));
    PUT_CREATES(params, batch, DB_ARRAY_UUID, db_array_uuid(params, create->tenant));
    PUT_CREATES(params, batch, DB_ARRAY_UUID, put_uuid_or_null(params, create->thread));
    PUT_CREATES(params, batch, DB_ARRAY_UUID, put_uuid_or_null(params, create->parent));
    PUT_CREATES(params, batch, DB_ARRAY_JSONB,
                db_array_bytes(params, create->metadata.data, create->metadata.length));
    PUT_CREATES(params, batch, DB_ARRAY_TEXT,
                db_array_bytes(params, create->created_by.data, create->created_by.length));
    PUT_CREATES(params, batch, DB_ARRAY_TIMESTAMPTZ, db_array_timestamptz(params, batch->ts_us));
    PUT_CREATES(params, batch, DB_ARRAY_TEXT, put_span_or_null(params, create->key));
    PUT_CREATES(params, batch, DB_ARRAY_BYTEA,
                put_span_or_null(params, create->key.length == 0 ? create->key : create->hash));
    PUT_CREATES(params, batch, DB_ARRAY_TEXT, put_span_or_null(params, create->deliverable));
    PUT_CREATES(params, batch, DB_ARRAY_TIMESTAMPTZ,
                put_timestamp_or_null(params, pending ? create->start_at : 0));
    PUT_CREATES(params, batch, DB_ARRAY_INT4, db_array_int4(params, (int32_t)create->strategy));
    PUT_CREATES(params, batch, DB_ARRAY_TEXT, put_span_or_null(params, create->concurrency_key));
    PUT_CREATES(params, batch, DB_ARRAY_INT4,
                db_array_int4(params, (int32_t)create->concurrency_limit));
    PUT_CREATES(params, batch, DB_ARRAY_INT8, put_int8_or_null(params, create->liveness_ms));
    /* What its first event would keep. */
    struct message_span none = {NULL, 0};
    PUT_CREATES(params, batch, DB_ARRAY_JSON,
                put_span_or_null(params, pending ? create->started : none));
    PUT_CREATES(params, batch, DB_ARRAY_INT8,
                put_int8_or_null(params, pending ? command->sender : 0));
    PUT_CREATES(params, batch, DB_ARRAY_INT8,
                put_int8_or_null(params, pending ? command->number : 0));
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
    PUT_HEADS(params, batch, DB_ARRAY_BOOL,
              db_array_bool(params, status_is_closed(run->batch_status)));
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
        (void)command;                              \
        if (row->first == NULL) {                   \
            db_array_null(params);                  \
        } else {                                    \
            put;                                    \
        }                                           \
    })

/* The command's own run: strategies of a thread write into others, too. */
static bool is_own(const struct batch *batch, const struct row *row)
{
    return batch->heads[row->head - 1].run == row->first->run && row->first->work == NULL;
}

/* A run's creation key is kept with the run, not with its first event. */
static struct message_span key_of(const struct batch *batch, const struct row *row,
                                  struct message_span span)
{
    bool kept = row->first->key_scope == KEY_OF_RUN && is_own(batch, row);
    return kept ? span : (struct message_span){NULL, 0};
}

static int32_t events_of(const struct batch *batch, const struct row *row)
{
    const struct message_result *result = &row->first->result;
    return is_own(batch, row) ? (int32_t)(result->last_seq - result->first_seq + 1) : 1;
}

static int64_t origin_of(const struct batch *batch, const struct row *row)
{
    return is_own(batch, row) ? (int64_t)row->first->sender : 0;
}

static int64_t number_of(const struct batch *batch, const struct row *row)
{
    return is_own(batch, row) ? (int64_t)row->first->number : 0;
}

static void put_rows(struct db_params *params, const struct batch *batch)
{
    PUT_ROWS(params, batch, DB_ARRAY_INT4, db_array_int4(params, row->head));
    PUT_ROWS(params, batch, DB_ARRAY_INT8, db_array_int8(params, row->seq));
    PUT_ROWS(params, batch, DB_ARRAY_INT4, db_array_int4(params, row->type));
    PUT_ROWS(params, batch, DB_ARRAY_JSON,
             db_array_bytes(params, row->payload.data, row->payload.length));
    PUT_ROWS(params, batch, DB_ARRAY_TIMESTAMPTZ, db_array_timestamptz(params, batch->ts_us));
    PUT_FIRST(params, batch, DB_ARRAY_TEXT, put_span_or_null(params, command->actor));
    PUT_FIRST(params, batch, DB_ARRAY_TEXT,
              put_span_or_null(params, key_of(batch, row, command->key)));
    PUT_FIRST(params, batch, DB_ARRAY_BYTEA,
              put_span_or_null(params, key_of(batch, row, command->hash)));
    PUT_FIRST(params, batch, DB_ARRAY_INT4, db_array_int4(params, events_of(batch, row)));
    PUT_FIRST(params, batch, DB_ARRAY_INT8, db_array_int8(params, origin_of(batch, row)));
    PUT_FIRST(params, batch, DB_ARRAY_INT8, db_array_int8(params, number_of(batch, row)));
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

static bool has_trace(const struct row *row)
{
    return row->first != NULL && (row->first->trace_flags & TRACE_GIVEN) != 0;
}

/* An entry a row, or none at all when nobody named a trace. */
static void put_traces(struct db_params *params, const struct batch *batch)
{
    bool any = false;
    for (size_t i = 0; i < batch->rows_count && !any; i++) {
        any = has_trace(&batch->rows[i]);
    }
    db_array_begin(params, DB_ARRAY_UUID, any ? batch->rows_count : 0);
    for (size_t i = 0; i < batch->rows_count && any; i++) {
        if (has_trace(&batch->rows[i])) {
            db_array_uuid(params, batch->rows[i].first->trace.bytes);
        } else {
            db_array_null(params);
        }
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
    if (batch->lifecycle) {
        db_param_int8(params,
                      settings_int(sequencer->actor->settings, SETTING_RUNS_CANCEL_DEADLINE_MS));
    } else {
        db_param_null(params);
    }
    put_creates(params, batch);
    put_heads(params, batch);
    put_rows(params, batch);
    put_origins(params, batch);
    producers_params(sequencer, params);
    quota_params(sequencer, params, batch->ts_us);
    put_traces(params, batch);
}
