/*
 * `signalbox rebuild`: replays the log into empty tables and compares them with those that the
 * server keeps (rebuild_tables.c says which). One repeatable-read snapshot, so it may run beside a
 * working server and stops no write; the new tables are temporary and gone at its end. Runs are
 * replayed part by part, differences come row by row: memory stays flat however long the log is.
 */
#include "ops/cli/cli.h"
#include "ops/cli/options.h"
#include "ops/cli/rebuild_tables.h"
#include "ops/cli/target.h"

#include "runtime/base/memory.h"
#include "runtime/base/number.h"

#include <jansson.h>
#include <libpq-fe.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct rebuild {
    const struct cli *cli;
    PGconn *connection;
    bool interactive;
    int64_t runs;
    int64_t events;
    int64_t differences;
};

static int failed(const struct rebuild *rebuild, const char *what)
{
    const char *why = PQerrorMessage(rebuild->connection);
    return cli_fail(EXIT_CODE_FAILED, "%s: %.*s", what, (int)strcspn(why, "\n"), why);
}

static int execute(struct rebuild *rebuild, const char *what, const char *sql, int count,
                   const char *const *values)
{
    PGresult *result = PQexecParams(rebuild->connection, sql, count, NULL, values, NULL, NULL, 0);
    int code = PQresultStatus(result) == PGRES_COMMAND_OK ? 0 : failed(rebuild, what);
    PQclear(result);
    return code;
}

static int64_t number_at(const PGresult *result, int column)
{
    int64_t value = 0;
    const char *text = PQgetvalue(result, 0, column);
    return number_parse(text, strlen(text), &value) == 0 ? value : 0;
}

static int count(struct rebuild *rebuild)
{
    PGresult *result = PQexec(rebuild->connection, REBUILD_COUNT_SQL);
    int code = PQresultStatus(result) == PGRES_TUPLES_OK ? 0 : failed(rebuild, "count");
    if (code == 0) {
        rebuild->runs = number_at(result, 0);
        rebuild->events = number_at(result, 1);
    }
    PQclear(result);
    return code;
}

static void show_progress(const struct rebuild *rebuild, int64_t done)
{
    if (rebuild->interactive) {
        int64_t shown = done < rebuild->runs ? done : rebuild->runs;
        fprintf(stderr, "\r\033[Kreplayed %lld of %lld runs", (long long)shown,
                (long long)rebuild->runs);
    }
}

/* The last run of the part behind `after`; *last_out: owned, NULL when the rest is one part. */
static int find_part(struct rebuild *rebuild, const char *after, char **last_out)
{
    PGresult *result =
        PQexecParams(rebuild->connection, REBUILD_NEXT_SQL, 1, NULL, &after, NULL, NULL, 0);
    int code = PQresultStatus(result) == PGRES_TUPLES_OK ? 0 : failed(rebuild, "next part");
    *last_out = code == 0 && PQntuples(result) > 0 ? memory_string(PQgetvalue(result, 0, 0)) : NULL;
    PQclear(result);
    return code;
}

static int replay_part(struct rebuild *rebuild, const char *after, const char *last)
{
    const char *const range[] = {after, last};
    int code = 0;
    for (size_t i = 0; i < REBUILD_TABLES_COUNT && code == 0; i++) {
        code = execute(rebuild, REBUILD_TABLES[i].name, REBUILD_TABLES[i].fill_sql, 2, range);
    }
    return code;
}

static int replay(struct rebuild *rebuild)
{
    char *after = NULL;
    int64_t done = 0;
    int code = 0;
    for (bool more = true; more && code == 0;) {
        char *last = NULL;
        code = find_part(rebuild, after, &last);
        code = code == 0 ? replay_part(rebuild, after, last) : code;
        more = last != NULL;
        free(after);
        after = last;
        show_progress(rebuild, done += REBUILD_PART_RUNS);
    }
    free(after);
    if (rebuild->interactive) {
        fputs("\r\033[K", stderr);
    }
    return code;
}

static void print_json(json_t *line)
{
    char *text = json_dumps(line, JSON_COMPACT);
    puts(text != NULL ? text : "{}");
    free(text);
    json_decref(line);
}

static void difference(struct rebuild *rebuild, const char *table, const PGresult *row)
{
    const char *run_id = PQgetvalue(row, 0, 0);
    const char *detail = PQgetvalue(row, 0, 1);
    rebuild->differences++;
    if (rebuild->cli->json) {
        print_json(
            json_pack("{s:s, s:s, s:s}", "table", table, "run_id", run_id, "detail", detail));
    } else {
        printf("%s, run %s: %s\n", table, run_id, detail);
    }
}

static int compare(struct rebuild *rebuild, const struct rebuild_table *table)
{
    if (PQsendQueryParams(rebuild->connection, table->compare_sql, 0, NULL, NULL, NULL, NULL, 0) ==
        0) {
        return failed(rebuild, table->name);
    }
    PQsetSingleRowMode(rebuild->connection);
    int code = EXIT_CODE_DONE;
    for (PGresult *row = PQgetResult(rebuild->connection); row != NULL;
         row = PQgetResult(rebuild->connection)) {
        ExecStatusType status = PQresultStatus(row);
        if (status == PGRES_SINGLE_TUPLE) {
            difference(rebuild, table->name, row);
        } else if (status != PGRES_TUPLES_OK) {
            code = failed(rebuild, table->name);
        }
        PQclear(row);
    }
    return code;
}

static int run_snapshot(struct rebuild *rebuild)
{
    int code = execute(rebuild, "begin", "begin isolation level repeatable read", 0, NULL);
    code = code == 0 ? count(rebuild) : code;
    for (size_t i = 0; i < REBUILD_TABLES_COUNT && code == 0; i++) {
        code = execute(rebuild, REBUILD_TABLES[i].name, REBUILD_TABLES[i].make_sql, 0, NULL);
    }
    code = code == 0 ? replay(rebuild) : code;
    for (size_t i = 0; i < REBUILD_TABLES_COUNT && code == 0; i++) {
        code = compare(rebuild, &REBUILD_TABLES[i]);
    }
    return code != 0 ? code : execute(rebuild, "rollback", "rollback", 0, NULL);
}

static int rebuild_database(struct rebuild *rebuild, const char *dsn)
{
    rebuild->connection = PQconnectdb(dsn);
    if (PQstatus(rebuild->connection) != CONNECTION_OK) {
        return failed(rebuild, "the database cannot be reached");
    }
    int code = run_snapshot(rebuild);
    if (code != 0) {
        return code;
    }
    if (rebuild->cli->json) {
        print_json(json_pack("{s:I, s:I, s:I}", "runs", (json_int_t)rebuild->runs, "events",
                             (json_int_t)rebuild->events, "differences",
                             (json_int_t)rebuild->differences));
    } else {
        printf("%lld runs, %lld events replayed, %lld differences\n", (long long)rebuild->runs,
               (long long)rebuild->events, (long long)rebuild->differences);
    }
    return rebuild->differences > 0 ? EXIT_CODE_FAILED : EXIT_CODE_DONE;
}

int command_rebuild(const struct cli *cli, int argc, char **argv)
{
    const struct option_spec specs[] = {{0}};
    struct rebuild rebuild = {.cli = cli, .interactive = isatty(STDERR_FILENO) == 1};
    struct error err;
    char *dsn = NULL;
    if (options_parse(argc, argv, specs, 0, 0, &err) < 0) {
        return cli_usage("rebuild", "%s", err.text);
    }
    if (target_database(cli, &dsn, &err) != 0) {
        return cli_fail(EXIT_CODE_NOT_RUNNING, "%s", err.text);
    }
    int code = rebuild_database(&rebuild, dsn);
    PQfinish(rebuild.connection);
    free(dsn);
    return code;
}
