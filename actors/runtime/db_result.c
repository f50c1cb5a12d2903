/* Values of a result, in PostgreSQL's binary formats. See db.h. */
#include "runtime/db_result.h"

#include "runtime/db.h"

#include <assert.h>
#include <endian.h>
#include <string.h>

/* PostgreSQL counts timestamps from 2000-01-01. */
static const int64_t postgres_epoch_us = 946684800000000;

const char *db_sqlstate(const struct db_result *result)
{
    const char *state = PQresultErrorField(result->pg, PG_DIAG_SQLSTATE);
    return state == NULL ? "" : state;
}

const char *db_message(const struct db_result *result)
{
    const char *message = PQresultErrorField(result->pg, PG_DIAG_MESSAGE_PRIMARY);
    return message == NULL ? "" : message;
}

int db_rows(const struct db_result *result)
{
    return PQntuples(result->pg);
}

bool db_is_null(const struct db_result *result, int row, int column)
{
    return PQgetisnull(result->pg, row, column) != 0;
}

static const char *fixed(const struct db_result *result, int row, int column, int length)
{
    assert(PQgetlength(result->pg, row, column) == length);
    return PQgetvalue(result->pg, row, column);
}

int32_t db_int4(const struct db_result *result, int row, int column)
{
    uint32_t value;
    memcpy(&value, fixed(result, row, column, sizeof value), sizeof value);
    return (int32_t)be32toh(value);
}

int64_t db_int8(const struct db_result *result, int row, int column)
{
    uint64_t value;
    memcpy(&value, fixed(result, row, column, sizeof value), sizeof value);
    return (int64_t)be64toh(value);
}

bool db_bool(const struct db_result *result, int row, int column)
{
    return *fixed(result, row, column, 1) != 0;
}

void db_uuid(const struct db_result *result, int row, int column, struct uuid *uuid_out)
{
    memcpy(uuid_out->bytes, fixed(result, row, column, sizeof uuid_out->bytes),
           sizeof uuid_out->bytes);
}

int64_t db_timestamptz(const struct db_result *result, int row, int column)
{
    return db_int8(result, row, column) + postgres_epoch_us;
}

const char *db_bytes(const struct db_result *result, int row, int column, size_t *length_out)
{
    enum { OID_JSONB = 3802 };
    const char *value = PQgetvalue(result->pg, row, column);
    size_t length = (size_t)PQgetlength(result->pg, row, column);
    if (PQftype(result->pg, column) == OID_JSONB && length > 0) {
        value++;
        length--;
    }
    *length_out = length;
    return value;
}
