/* Parameters of a query in PostgreSQL's binary formats (src/backend/utils/adt *_recv). See db.h. */
#include "runtime/base/memory.h"
#include "runtime/db.h"

#include <assert.h>
#include <endian.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

/* Type oids, fixed in PostgreSQL's catalog (src/include/catalog/pg_type.dat). */
enum {
    OID_BOOL = 16,
    OID_BYTEA = 17,
    OID_INT8 = 20,
    OID_INT4 = 23,
    OID_TEXT = 25,
    OID_JSON = 114,
    OID_TIMESTAMPTZ = 1184,
    OID_UUID = 2950,
    OID_JSONB = 3802
};

/* PostgreSQL counts timestamps from 2000-01-01. */
static const int64_t postgres_epoch_us = 946684800000000;

static const struct {
    unsigned element;
    unsigned array;
} arrays[] = {
    [DB_ARRAY_UUID] = {OID_UUID, 2951},
    [DB_ARRAY_INT4] = {OID_INT4, 1007},
    [DB_ARRAY_INT8] = {OID_INT8, 1016},
    [DB_ARRAY_BOOL] = {OID_BOOL, 1000},
    [DB_ARRAY_TEXT] = {OID_TEXT, 1009},
    [DB_ARRAY_BYTEA] = {OID_BYTEA, 1001},
    [DB_ARRAY_JSON] = {OID_JSON, 199},
    [DB_ARRAY_JSONB] = {OID_JSONB, 3807},
    [DB_ARRAY_TIMESTAMPTZ] = {OID_TIMESTAMPTZ, 1185},
};

static uint8_t *room(struct db_params *params, size_t size)
{
    /* Also for no bytes at all: a null pointer would be sent as NULL. */
    if (params->bytes == NULL || params->used + size > params->capacity) {
        size_t capacity = params->capacity < 1024 ? 1024 : params->capacity;
        while (capacity < params->used + size) {
            capacity *= 2;
        }
        params->bytes = memory_grow(params->bytes, capacity, 1);
        params->capacity = capacity;
    }
    uint8_t *at = params->bytes + params->used;
    params->used += size;
    return at;
}

static void put_int4(struct db_params *params, uint32_t value)
{
    value = htobe32(value);
    memcpy(room(params, sizeof value), &value, sizeof value);
}

static void put_int8(struct db_params *params, int64_t value)
{
    uint64_t big = htobe64((uint64_t)value);
    memcpy(room(params, sizeof big), &big, sizeof big);
}

static void put_bytes(struct db_params *params, const void *bytes, size_t length)
{
    uint8_t *at = room(params, length);
    if (length > 0) {
        memcpy(at, bytes, length);
    }
}

/* Opens the next parameter; its length is set by end(). */
static void begin(struct db_params *params, unsigned type)
{
    assert(params->count < DB_PARAMS_MAX);
    params->offset[params->count] = params->used;
    params->type[params->count] = type;
    params->length[params->count] = 0;
    params->count++;
}

static void end(struct db_params *params)
{
    int at = params->count - 1;
    assert(params->used - params->offset[at] <= INT_MAX);
    params->length[at] = (int)(params->used - params->offset[at]);
}

void db_params_clear(struct db_params *params)
{
    params->count = 0;
    params->used = 0;
}

void db_params_deinit(struct db_params *params)
{
    free(params->bytes);
    *params = (struct db_params){0};
}

void db_param_null(struct db_params *params)
{
    begin(params, 0);
    params->length[params->count - 1] = -1;
}

void db_param_int4(struct db_params *params, int32_t value)
{
    begin(params, OID_INT4);
    put_int4(params, (uint32_t)value);
    end(params);
}

void db_param_int8(struct db_params *params, int64_t value)
{
    begin(params, OID_INT8);
    put_int8(params, value);
    end(params);
}

void db_param_bool(struct db_params *params, bool value)
{
    begin(params, OID_BOOL);
    *room(params, 1) = value ? 1 : 0;
    end(params);
}

void db_param_uuid(struct db_params *params, const struct uuid *value)
{
    begin(params, OID_UUID);
    put_bytes(params, value->bytes, sizeof value->bytes);
    end(params);
}

void db_param_text(struct db_params *params, const char *text, size_t length)
{
    begin(params, OID_TEXT);
    put_bytes(params, text, length);
    end(params);
}

void db_param_bytea(struct db_params *params, const void *bytes, size_t length)
{
    begin(params, OID_BYTEA);
    put_bytes(params, bytes, length);
    end(params);
}

void db_param_timestamptz(struct db_params *params, int64_t real_us)
{
    begin(params, OID_TIMESTAMPTZ);
    put_int8(params, real_us - postgres_epoch_us);
    end(params);
}

void db_array_begin(struct db_params *params, enum db_array kind, size_t count)
{
    begin(params, arrays[kind].array);
    put_int4(params, count == 0 ? 0 : 1); /* dimensions */
    put_int4(params, 1);                  /* may hold nulls */
    put_int4(params, arrays[kind].element);
    if (count > 0) {
        put_int4(params, (uint32_t)count);
        put_int4(params, 1); /* lower bound */
    }
}

void db_array_null(struct db_params *params)
{
    put_int4(params, UINT32_MAX);
}

void db_array_uuid(struct db_params *params, const void *bytes16)
{
    put_int4(params, 16);
    put_bytes(params, bytes16, 16);
}

void db_array_int4(struct db_params *params, int32_t value)
{
    put_int4(params, 4);
    put_int4(params, (uint32_t)value);
}

void db_array_int8(struct db_params *params, int64_t value)
{
    put_int4(params, 8);
    put_int8(params, value);
}

void db_array_bool(struct db_params *params, bool value)
{
    put_int4(params, 1);
    *room(params, 1) = value ? 1 : 0;
}

void db_array_bytes(struct db_params *params, const void *bytes, size_t length)
{
    /* jsonb's binary form is a version byte (1) and the text. */
    bool jsonb = params->type[params->count - 1] == arrays[DB_ARRAY_JSONB].array;
    put_int4(params, (uint32_t)length + (jsonb ? 1 : 0));
    if (jsonb) {
        *room(params, 1) = 1;
    }
    put_bytes(params, bytes, length);
}

void db_array_timestamptz(struct db_params *params, int64_t real_us)
{
    db_array_int8(params, real_us - postgres_epoch_us);
}

void db_array_end(struct db_params *params)
{
    end(params);
}
