/*
 * The raw ceiling of one writer: COPY BINARY, BATCH rows a transaction, one after the other on one
 * connection, into a table of the same columns, types and indexes as run_events. No heads, no
 * epoch, no idempotency: nothing but rows.
 */
#include "tests/bench/histogram.h"
#include "tests/bench/tool.h"

#include "runtime/base/buffer.h"

#include <getopt.h>
#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { COPY_RUNS = 64, COPY_COLUMNS = 7 };
/* Microseconds from 1970 to 2000, where PostgreSQL's clock begins. */
static const int64_t POSTGRES_EPOCH_US = 946684800LL * 1000000;

static const char COPY_SQL[] =
    "copy bench.copy_events (tenant_id, run_id, seq, position, event_type, payload, ts)"
    " from stdin (format binary)";

struct writer {
    PGconn *connection;
    struct buffer rows;
    char payload[TOOL_PAYLOAD_BYTES];
    int64_t seqs[COPY_RUNS];
    int64_t position;
    uint64_t random;
};

_Noreturn static void fail(PGconn *connection)
{
    fprintf(stderr, "copy_load: %s", PQerrorMessage(connection));
    exit(1);
}

static void put(struct buffer *out, uint64_t value, unsigned bytes)
{
    for (unsigned i = bytes; i > 0; i--) {
        buffer_append_byte(out, (uint8_t)(value >> (8 * (i - 1))));
    }
}

static void put_field(struct buffer *out, const void *bytes, size_t length)
{
    put(out, length, 4);
    buffer_append(out, bytes, length);
}

static void put_int8(struct buffer *out, int64_t value)
{
    put(out, 8, 4);
    put(out, (uint64_t)value, 8);
}

static void put_row(struct writer *writer)
{
    static const uint8_t tenant[16] = {1};
    uint8_t run[16] = {0xbe};
    unsigned index = (unsigned)(tool_random(&writer->random) % COPY_RUNS);
    run[15] = (uint8_t)index;
    put(&writer->rows, COPY_COLUMNS, 2);
    put_field(&writer->rows, tenant, sizeof tenant);
    put_field(&writer->rows, run, sizeof run);
    put_int8(&writer->rows, ++writer->seqs[index]);
    put_int8(&writer->rows, ++writer->position);
    put_field(&writer->rows, "MESSAGE_DELTA", 13);
    put_field(&writer->rows, writer->payload, sizeof writer->payload);
    put_int8(&writer->rows, tool_real_us() - POSTGRES_EPOCH_US);
}

static void expect(struct writer *writer, PGresult *result, ExecStatusType wanted)
{
    if (PQresultStatus(result) != wanted) {
        fail(writer->connection);
    }
    PQclear(result);
}

static void copy_batch(struct writer *writer, int64_t batch)
{
    static const char head[] = "PGCOPY\n\377\r\n\0\0\0\0\0\0\0\0";
    expect(writer, PQexec(writer->connection, COPY_SQL), PGRES_COPY_IN);
    buffer_clear(&writer->rows);
    buffer_append(&writer->rows, head, 19);
    for (int64_t i = 0; i < batch; i++) {
        put_row(writer);
    }
    put(&writer->rows, UINT64_MAX, 2);
    if (PQputCopyData(writer->connection, (char *)writer->rows.data, (int)writer->rows.length) !=
            1 ||
        PQputCopyEnd(writer->connection, NULL) != 1) {
        fail(writer->connection);
    }
    expect(writer, PQgetResult(writer->connection), PGRES_COMMAND_OK);
    PQclear(PQgetResult(writer->connection)); /* NULL: the end */
}

int main(int argc, char **argv)
{
    static const struct option names[] = {{"dsn", required_argument, NULL, 'd'},
                                          {"batch", required_argument, NULL, 'b'},
                                          {"ms", required_argument, NULL, 't'},
                                          {NULL, 0, NULL, 0}};
    struct writer writer = {.random = (uint64_t)tool_real_us() | 1};
    struct latencies latencies = {0};
    const char *dsn = "";
    int64_t batch = 1024;
    int64_t length_ms = 5000;
    int name;
    while ((name = getopt_long(argc, argv, "", names, NULL)) != -1) {
        switch (name) {
        case 'd':
            dsn = optarg;
            break;
        case 'b':
            batch = tool_number(optarg);
            break;
        case 't':
            length_ms = tool_number(optarg);
            break;
        default:
            return 2;
        }
    }
    writer.connection = PQconnectdb(dsn);
    if (PQstatus(writer.connection) != CONNECTION_OK) {
        fail(writer.connection);
    }
    tool_payload(writer.payload);
    expect(&writer, PQexec(writer.connection, "truncate bench.copy_events"), PGRES_COMMAND_OK);
    int64_t start_us = tool_now_us();
    int64_t now_us = start_us;
    while (now_us - start_us < length_ms * 1000) {
        copy_batch(&writer, batch);
        int64_t done_us = tool_now_us();
        latencies_add(&latencies, done_us - now_us);
        now_us = done_us;
    }
    double seconds = (double)(now_us - start_us) / 1e6;
    printf("{\"events\":%lld,\"seconds\":%.3f,\"events_per_s\":%.1f,\"cpu_s\":%.3f,",
           (long long)writer.position, seconds, (double)writer.position / seconds, tool_cpu_s());
    latencies_print(&latencies, "");
    puts("}");
    PQfinish(writer.connection);
    return 0;
}
