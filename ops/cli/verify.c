/*
 * `signalbox verify [RUN_ID]`: checks the promises of the run log in the database, in one
 * read-only snapshot, so that it may run beside a working server. Rows come one by one; memory
 * stays flat however long the log is.
 */
#include "ops/cli/cli.h"
#include "ops/cli/options.h"
#include "ops/cli/target.h"

#include "runtime/base/number.h"
#include "runtime/base/uuid.h"
#include "runtime/store_invariants.h"

#include <jansson.h>
#include <libpq-fe.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct verify {
    const struct cli *cli;
    const char *run_id;   /* NULL: all */
    const char *range[2]; /* what is asked */
    PGconn *connection;
    bool interactive;
    int64_t violations;
};

static const char *cell(const PGresult *row, int column)
{
    return PQgetisnull(row, 0, column) ? NULL : PQgetvalue(row, 0, column);
}

/* What PostgreSQL prints of a bigint that is not negative. */
static int64_t number_of(const char *text)
{
    int64_t value = 0;
    return number_parse(text, strlen(text), &value) == 0 ? value : 0;
}

static void print_json(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    json_error_t error;
    json_t *line = json_vpack_ex(&error, 0, format, args);
    va_end(args);
    char *text = json_dumps(line, JSON_COMPACT);
    puts(text != NULL ? text : "{}");
    free(text);
    json_decref(line);
}

static void violation(struct verify *verify, const struct invariant *check, const PGresult *row)
{
    const char *run_id = cell(row, 0);
    const char *seq = cell(row, 1);
    const char *detail = cell(row, 2);
    verify->violations++;
    if (verify->cli->json) {
        print_json("{s:s?, s:o, s:s, s:s?}", "run_id", run_id, "seq",
                   seq != NULL ? json_integer(number_of(seq)) : json_null(), "check", check->name,
                   "detail", detail);
    } else {
        printf("%s%s%s%s: %s  [%s]\n", run_id != NULL ? "run " : "the log",
               run_id != NULL ? run_id : "", seq != NULL ? " seq " : "", seq != NULL ? seq : "",
               detail != NULL ? detail : "", check->name);
    }
}

static int failed(const struct verify *verify, const char *what)
{
    const char *why = PQerrorMessage(verify->connection);
    return cli_fail(EXIT_CODE_FAILED, "%s: %.*s", what, (int)strcspn(why, "\n"), why);
}

/* Runs one check, row by row. 0, or an exit code when the database failed. */
static int run_check(struct verify *verify, const struct invariant *check)
{
    if (PQsendQueryParams(verify->connection, check->sql, 2, NULL, verify->range, NULL, NULL, 0) ==
        0) {
        return failed(verify, check->name);
    }
    PQsetSingleRowMode(verify->connection);
    int code = EXIT_CODE_DONE;
    for (PGresult *row = PQgetResult(verify->connection); row != NULL;
         row = PQgetResult(verify->connection)) {
        ExecStatusType status = PQresultStatus(row);
        if (status == PGRES_SINGLE_TUPLE) {
            violation(verify, check, row);
        } else if (status != PGRES_TUPLES_OK) {
            code = failed(verify, check->name);
        }
        PQclear(row);
    }
    return code;
}

static int execute(struct verify *verify, const char *sql)
{
    PGresult *result = PQexec(verify->connection, sql);
    int code = PQresultStatus(result) == PGRES_COMMAND_OK ? 0 : failed(verify, sql);
    PQclear(result);
    return code;
}

static int count(struct verify *verify, int64_t *runs_out, int64_t *events_out)
{
    PGresult *result = PQexecParams(verify->connection, invariants_count_sql, 2, NULL,
                                    verify->range, NULL, NULL, 0);
    int code = PQresultStatus(result) == PGRES_TUPLES_OK ? 0 : failed(verify, "count");
    if (code == 0) {
        *runs_out = number_of(PQgetvalue(result, 0, 0));
        *events_out = number_of(PQgetvalue(result, 0, 1));
    }
    PQclear(result);
    return code;
}

static void show_step(const struct verify *verify, const char *text)
{
    if (verify->interactive) {
        fprintf(stderr, "\r\033[K%s", text);
    }
}

static int run_checks(struct verify *verify, int64_t *runs_out, int64_t *events_out)
{
    int code = execute(verify, "begin isolation level repeatable read read only");
    if (code == 0) {
        code = count(verify, runs_out, events_out);
    }
    if (code == 0 && verify->run_id != NULL && *runs_out == 0 && *events_out == 0) {
        return cli_fail(EXIT_CODE_NOT_FOUND, "there is no run %s", verify->run_id);
    }
    for (size_t i = 0; i < invariants_count && code == 0; i++) {
        show_step(verify, invariants[i].promise);
        code = run_check(verify, &invariants[i]);
    }
    show_step(verify, "");
    return code != 0 ? code : execute(verify, "commit");
}

static int verify_database(struct verify *verify, const char *dsn)
{
    int64_t runs = 0;
    int64_t events = 0;
    verify->connection = PQconnectdb(dsn);
    if (PQstatus(verify->connection) != CONNECTION_OK) {
        return failed(verify, "the database cannot be reached");
    }
    int code = run_checks(verify, &runs, &events);
    if (code != 0) {
        return code;
    }
    if (verify->cli->json) {
        print_json("{s:I, s:I, s:I}", "runs", (json_int_t)runs, "events", (json_int_t)events,
                   "violations", (json_int_t)verify->violations);
    } else {
        printf("%lld runs, %lld events, %lld violations\n", (long long)runs, (long long)events,
               (long long)verify->violations);
    }
    return verify->violations > 0 ? EXIT_CODE_FAILED : EXIT_CODE_DONE;
}

int command_verify(const struct cli *cli, int argc, char **argv)
{
    const struct option_spec specs[] = {{0}};
    struct error err;
    struct uuid id;
    int positionals = options_parse(argc, argv, specs, 0, 1, &err);
    if (positionals < 0) {
        return cli_usage("verify", "%s", err.text);
    }
    struct verify verify = {.cli = cli,
                            .run_id = positionals == 1 ? argv[1] : NULL,
                            .interactive = isatty(STDERR_FILENO) == 1};
    if (verify.run_id != NULL && uuid_parse(verify.run_id, strlen(verify.run_id), &id) != 0) {
        return cli_fail(EXIT_CODE_NOT_FOUND, "there is no run %s", verify.run_id);
    }
    verify.range[0] = verify.run_id != NULL ? verify.run_id : INVARIANT_FIRST;
    verify.range[1] = verify.run_id != NULL ? verify.run_id : INVARIANT_LAST;
    char *dsn = NULL;
    if (target_database(cli, &dsn, &err) != 0) {
        return cli_fail(EXIT_CODE_NOT_RUNNING, "%s", err.text);
    }
    int code = verify_database(&verify, dsn);
    PQfinish(verify.connection);
    free(dsn);
    return code;
}
