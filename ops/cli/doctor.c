/*
 * `signalbox doctor [RUNBOOK]`: runs the steps of one book (see doctor.h) and prints their verdicts.
 * Reads only; may run beside a working server. Exit 1 when a step found a problem.
 */
#include "ops/cli/doctor.h"

#include "ops/cli/options.h"
#include "ops/cli/target.h"

#include "runtime/base/number.h"
#include "runtime/base/uuid.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const struct doctor_book *const books[] = {&DOCTOR_GENERAL, &DOCTOR_RUN_STUCK,
                                                  &DOCTOR_REBUILD_STREAM, &DOCTOR_RECONNECT_RATE};

enum { BOOKS = sizeof books / sizeof books[0] };

static const char *const verdict_names[] = {
    [DOCTOR_OK] = "ok", [DOCTOR_PROBLEM] = "problem", [DOCTOR_UNKNOWN] = "unknown"};

/* A run as doctor knows it. */
static const char run_sql[] = "select last_seq, closed from run_heads where run_id = $1::uuid";
static const char run_known_sql[] = "select count(*) from runs where run_id = $1::uuid";

/* ---- what steps use ---- */

static void say(struct doctor_finding *finding, enum doctor_verdict verdict, const char *format,
                va_list args)
{
    finding->verdict = verdict;
    vsnprintf(finding->seen, sizeof finding->seen, format, args);
}

void doctor_ok(struct doctor_finding *finding, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    say(finding, DOCTOR_OK, format, args);
    va_end(args);
}

void doctor_problem(struct doctor_finding *finding, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    say(finding, DOCTOR_PROBLEM, format, args);
    va_end(args);
}

void doctor_unknown(struct doctor_finding *finding, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    say(finding, DOCTOR_UNKNOWN, format, args);
    va_end(args);
}

void doctor_todo(struct doctor_finding *finding, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(finding->todo, sizeof finding->todo, format, args);
    va_end(args);
}

PGresult *doctor_query(struct doctor *doctor, const char *sql, struct doctor_finding *finding)
{
    /* Statements about everything have no parameter to give a type to. */
    int count = strstr(sql, "$1") != NULL ? 1 : 0;
    PGresult *result =
        PQexecParams(doctor->connection, sql, count, NULL, &doctor->run_id, NULL, NULL, 0);
    if (PQresultStatus(result) == PGRES_TUPLES_OK && PQntuples(result) > 0) {
        return result;
    }
    const char *why = PQerrorMessage(doctor->connection);
    doctor_problem(finding, "the database does not answer: %.*s", (int)strcspn(why, "\n"), why);
    doctor_todo(finding, "bring the database back first; its log says more");
    PQclear(result);
    return NULL;
}

int64_t doctor_number(const PGresult *result, int row, int column)
{
    int64_t value = 0;
    const char *text = PQgetvalue(result, row, column);
    bool negative = text[0] == '-';
    text += negative ? 1 : 0;
    if (number_parse(text, strlen(text), &value) != 0) {
        return 0;
    }
    return negative ? -value : value;
}

void doctor_pause(int64_t ms)
{
    struct timespec pause = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    nanosleep(&pause, NULL);
}

int doctor_ill_actors(const struct doctor *doctor, struct buffer *names, int64_t *deaths_out)
{
    size_t index;
    const json_t *actor;
    int ill = 0;
    *deaths_out = 0;
    json_array_foreach(json_object_get(doctor->status, "actors"), index, actor)
    {
        const char *name = json_string_value(json_object_get(actor, "name"));
        const char *state = json_string_value(json_object_get(actor, "state"));
        const char *end = json_string_value(json_object_get(actor, "last_end"));
        bool healthy = json_is_true(json_object_get(actor, "healthy"));
        *deaths_out += json_integer_value(json_object_get(actor, "restarts"));
        if (name == NULL || state == NULL || (strcmp(state, "ready") == 0 && healthy)) {
            continue;
        }
        ill++;
        buffer_printf(names, "%s%s is %s%s", names->length == 0 ? "" : ", ", name, state,
                      healthy ? "" : ", not healthy");
        if (end != NULL) {
            buffer_printf(names, " (the last one ended: %s)", end);
        }
    }
    return ill;
}

/* ---- output ---- */

static json_t *step_json(int number, const char *title, const struct doctor_finding *finding)
{
    return json_pack("{s:i, s:s, s:s, s:s, s:s?}", "step", number, "title", title, "verdict",
                     verdict_names[finding->verdict], "seen", finding->seen, "todo",
                     finding->todo[0] == '\0' ? NULL : finding->todo);
}

static void step_text(int number, const char *title, const struct doctor_finding *finding)
{
    printf("%d. %s\n   %-8s %s\n", number, title, verdict_names[finding->verdict], finding->seen);
    if (finding->todo[0] != '\0') {
        printf("   %-8s %s\n", "to do", finding->todo);
    }
    fflush(stdout);
}

static void print_json(const struct doctor_book *book, const struct doctor *doctor, json_t *steps,
                       bool problem)
{
    json_t *all =
        json_pack("{s:s, s:s?, s:s, s:o}", "runbook", book->name, "run_id", doctor->run_id,
                  "verdict", verdict_names[problem ? DOCTOR_PROBLEM : DOCTOR_OK], "steps", steps);
    if (book == &DOCTOR_GENERAL) {
        json_t *names = json_array();
        for (unsigned i = 1; i < BOOKS; i++) {
            json_array_append_new(names, json_string(books[i]->name));
        }
        json_object_set_new(all, "runbooks", names);
    }
    char *text = json_dumps(all, JSON_COMPACT);
    puts(text != NULL ? text : "{}");
    free(text);
    json_decref(all);
}

static void print_books(void)
{
    fputs("\nMore, with what each step means in docs/runbooks:\n", stdout);
    for (unsigned i = 1; i < BOOKS; i++) {
        printf("  signalbox doctor %s%-*s  %s\n", books[i]->name,
               (int)(23 - strlen(books[i]->name)), books[i]->needs_run ? " RUN_ID" : "",
               books[i]->about);
    }
}

static int run_book(const struct doctor_book *book, struct doctor *doctor)
{
    json_t *steps = json_array();
    bool problem = false;
    for (int i = 0; book->steps[i].title != NULL; i++) {
        struct doctor_finding finding = {.verdict = DOCTOR_UNKNOWN};
        book->steps[i].look(doctor, &finding);
        problem = problem || finding.verdict == DOCTOR_PROBLEM;
        if (doctor->cli->json) {
            json_array_append_new(steps, step_json(i + 1, book->steps[i].title, &finding));
        } else {
            step_text(i + 1, book->steps[i].title, &finding);
        }
    }
    if (doctor->cli->json) {
        print_json(book, doctor, steps, problem);
        return problem ? EXIT_CODE_FAILED : EXIT_CODE_DONE;
    }
    json_decref(steps);
    if (book == &DOCTOR_GENERAL) {
        print_books();
    }
    return problem ? EXIT_CODE_FAILED : EXIT_CODE_DONE;
}

/* ---- start ---- */

static const struct doctor_book *find(const char *name)
{
    for (unsigned i = 1; i < BOOKS; i++) {
        if (strcmp(books[i]->name, name) == 0) {
            return books[i];
        }
    }
    return NULL;
}

/* 0, or 4 when there is no such run. A database that is down is the steps' to tell. */
static int find_run(struct doctor *doctor)
{
    if (doctor->run_id == NULL || PQstatus(doctor->connection) != CONNECTION_OK) {
        return EXIT_CODE_DONE;
    }
    struct doctor_finding ignored;
    PGresult *known = doctor_query(doctor, run_known_sql, &ignored);
    PGresult *head = doctor_query(doctor, run_sql, &ignored);
    bool absent = known != NULL && doctor_number(known, 0, 0) == 0 && head == NULL;
    if (head != NULL) {
        doctor->head = doctor_number(head, 0, 0);
        doctor->closed = PQgetvalue(head, 0, 1)[0] == 't';
    }
    PQclear(known);
    PQclear(head);
    return absent ? cli_fail(EXIT_CODE_NOT_FOUND, "there is no run %s", doctor->run_id)
                  : EXIT_CODE_DONE;
}

static int examine(const struct doctor_book *book, struct doctor *doctor)
{
    struct error err;
    struct target target = {0};
    doctor->status = target_status(doctor->cli, &err);
    if (doctor->status == NULL) {
        return cli_fail(EXIT_CODE_NOT_RUNNING, "%s", err.text);
    }
    if (target_find(doctor->cli, &target, &err) != 0) {
        return cli_fail(EXIT_CODE_FAILED, "%s", err.text);
    }
    const json_t *database = json_object_get(doctor->status, "database");
    doctor->dsn = json_string_value(json_object_get(database, "dsn"));
    doctor->connection = PQconnectdb(doctor->dsn == NULL ? "" : doctor->dsn);
    doctor->http = http_create(target.address, target.key);
    doctor->key = target.key;
    target.key = NULL;
    target_deinit(&target);
    int code = find_run(doctor);
    return code != EXIT_CODE_DONE ? code : run_book(book, doctor);
}

static int check_arguments(const struct doctor_book *book, struct doctor *doctor, const char *after)
{
    struct uuid id;
    if (book->needs_run != (doctor->run_id != NULL)) {
        return cli_usage("doctor", "%s takes %s", book->name,
                         book->needs_run ? "the id of a run" : "no run");
    }
    if (doctor->run_id != NULL && uuid_parse(doctor->run_id, strlen(doctor->run_id), &id) != 0) {
        return cli_fail(EXIT_CODE_NOT_FOUND, "there is no run %s", doctor->run_id);
    }
    if (number_parse(after, strlen(after), &doctor->after_seq) != 0) {
        return cli_usage("doctor", "--after-seq takes a number");
    }
    return EXIT_CODE_DONE;
}

int command_doctor(const struct cli *cli, int argc, char **argv)
{
    const char *after = "0";
    struct doctor doctor = {.cli = cli};
    const struct option_spec specs[] = {{"--after-seq", &after, NULL},
                                        {"--log", &doctor.log_path, NULL},
                                        {"--through", &doctor.through, NULL},
                                        {0}};
    struct error err;
    int positionals = options_parse(argc, argv, specs, 0, 2, &err);
    if (positionals < 0) {
        return cli_usage("doctor", "%s", err.text);
    }
    const struct doctor_book *book = positionals == 0 ? &DOCTOR_GENERAL : find(argv[1]);
    doctor.run_id = positionals == 2 ? argv[2] : NULL;
    if (book == NULL) {
        return cli_usage("doctor", "there is no runbook %s", argv[1]);
    }
    int code = check_arguments(book, &doctor, after);
    code = code == EXIT_CODE_DONE ? examine(book, &doctor) : code;
    http_destroy(&doctor.http);
    PQfinish(doctor.connection);
    json_decref(doctor.status);
    free(doctor.key);
    return code;
}
