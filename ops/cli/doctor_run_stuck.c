/*
 * docs/runbooks/run-stuck.md as steps: is the run published to its head, is its log whole, does
 * publishing move at all, what do the processes say, and what to restart. Nothing is ever repaired
 * by writing publication marks.
 */
#include "ops/cli/doctor.h"

#include "runtime/base/clock.h"
#include "runtime/store_invariants.h"

#include <stdio.h>
#include <string.h>

enum {
    MOVE_MS = 3000, /* the bus cursor is stored about once a second */
    LOOK_MS = 100,
    OVERDUE_S = 10,
    LOG_TAIL_BYTES = 1 << 20
};

static const char gap_sql[] =
    "select r.status, h.last_seq, h.closed,"
    "       (select coalesce(max(e.seq), 0) from run_events e"
    "         where e.run_id = h.run_id and e.position <= c.position) as published_seq,"
    "       (select coalesce(extract(epoch from clock_timestamp() - max(e.ts))::bigint, 0)"
    "          from run_events e where e.run_id = h.run_id) as silent_s,"
    "       coalesce(extract(epoch from clock_timestamp() - r.wake_at)::bigint, 0) as overdue_s"
    "  from run_heads h join runs r using (run_id), outbox_cursors c"
    " where h.run_id = $1::uuid and c.sink = 'bus'";
static const char unpublished_sql[] =
    "select sum(p.position - c.position)::bigint, sum(c.position)::bigint,"
    "       extract(epoch from clock_timestamp() - min(c.updated_at))::bigint"
    "  from shard_positions p join outbox_cursors c using (shard) where c.sink = 'bus'";

/* What a run in this state waits for; NULL: nothing to say. */
static const char *waits_for(const char *status, long long silent_s)
{
    if (strcmp(status, "running") == 0) {
        return silent_s > 60 ? "nobody appends: look at the producer and the answers it gets"
                             : NULL;
    }
    if (strcmp(status, "interrupted") == 0) {
        return "it waits for an answer: POST .../resume";
    }
    if (strcmp(status, "pending") == 0) {
        return "it waits for its start time, or for others of its thread or concurrency key to end";
    }
    return strcmp(status, "cancelling") == 0
               ? "its agent was asked to end it; at the deadline it is ended by force"
               : NULL;
}

/* Its head is published. Then only the clock may have been forgotten: a start, an expiry, a
 * deadline that lies behind us. */
static void describe_run(struct doctor *doctor, const PGresult *row, struct doctor_finding *finding)
{
    const char *status = PQgetvalue(row, 0, 0);
    long long silent_s = (long long)doctor_number(row, 0, 4);
    long long overdue_s = (long long)doctor_number(row, 0, 5);
    if (overdue_s > OVERDUE_S) {
        doctor_problem(finding, "no gap, but it is %s and was due %lld s ago", status, overdue_s);
        doctor_todo(finding, "the sequencer does not look at its timers: see steps 3 and 4");
        doctor->restart = "sequencer";
        return;
    }
    doctor_ok(finding, "no gap: %s, head %lld, published to %lld, last event %lld s ago", status,
              (long long)doctor_number(row, 0, 1), (long long)doctor_number(row, 0, 3), silent_s);
    const char *wait = waits_for(status, silent_s);
    if (wait != NULL) {
        doctor_todo(finding, "%s", wait);
    }
}

/* A gap under load comes and goes; one that stays while nothing moves is the fault. */
static void look_gap(struct doctor *doctor, struct doctor_finding *finding)
{
    int64_t before = -1;
    int64_t end_ms = clock_monotonic_ms() + MOVE_MS;
    for (;;) {
        PGresult *row = doctor_query(doctor, gap_sql, finding);
        if (row == NULL) {
            return;
        }
        int64_t head = doctor_number(row, 0, 1);
        int64_t published = doctor_number(row, 0, 3);
        bool moves = before >= 0 && published > before;
        if (published >= head || moves) {
            describe_run(doctor, row, finding);
            PQclear(row);
            return;
        }
        PQclear(row);
        before = published;
        if (clock_monotonic_ms() >= end_ms) {
            doctor_problem(finding, "head %lld, published to %lld, and it stays so",
                           (long long)head, (long long)published);
            doctor_todo(finding, "the sequencer does not publish: see steps 3 and 4");
            doctor->restart = "sequencer";
            return;
        }
        doctor_pause(LOOK_MS);
    }
}

/* Violations of one check; the first one's words are kept. */
static int64_t violations(struct doctor *doctor, const struct invariant *check, char *first,
                          size_t size)
{
    const char *const range[] = {doctor->run_id, doctor->run_id};
    PGresult *rows = PQexecParams(doctor->connection, check->sql, 2, NULL, range, NULL, NULL, 0);
    int64_t count = PQresultStatus(rows) == PGRES_TUPLES_OK ? PQntuples(rows) : -1;
    if (count > 0 && first[0] == '\0') {
        snprintf(first, size, "seq %s: %s", PQgetisnull(rows, 0, 1) ? "-" : PQgetvalue(rows, 0, 1),
                 PQgetvalue(rows, 0, 2));
    }
    PQclear(rows);
    return count;
}

static void look_rows(struct doctor *doctor, struct doctor_finding *finding)
{
    char first[200] = "";
    int64_t found = 0;
    for (size_t i = 0; i < invariants_count; i++) {
        if (invariants[i].scope != INVARIANT_RUNS) {
            continue; /* it reads the logs of all runs */
        }
        int64_t count = violations(doctor, &invariants[i], first, sizeof first);
        if (count < 0) {
            const char *why = PQerrorMessage(doctor->connection);
            doctor_problem(finding, "the database does not answer: %.*s", (int)strcspn(why, "\n"),
                           why);
            return;
        }
        found += count;
    }
    if (found == 0) {
        doctor_ok(finding, "every row from seq 1 to %lld is there", (long long)doctor->head);
        return;
    }
    doctor->rows_missing = true;
    doctor_problem(finding, "%lld violations, the first: %s", (long long)found, first);
    doctor_todo(finding,
                "append nothing to this run, keep a copy of the database, report it; think "
                "of a restored backup or of somebody's SQL");
}

void doctor_look_unpublished(struct doctor *doctor, struct doctor_finding *finding)
{
    int64_t before = -1;
    int64_t end_ms = clock_monotonic_ms() + MOVE_MS;
    for (;;) {
        PGresult *row = doctor_query(doctor, unpublished_sql, finding);
        if (row == NULL) {
            return;
        }
        int64_t open = doctor_number(row, 0, 0);
        int64_t cursor = doctor_number(row, 0, 1);
        int64_t age_s = doctor_number(row, 0, 2);
        PQclear(row);
        if (open == 0 || (before >= 0 && cursor > before)) {
            doctor_ok(finding, "%lld events unpublished%s", (long long)open,
                      open == 0 ? "" : ", and the cursor moves");
            return;
        }
        before = cursor;
        if (clock_monotonic_ms() >= end_ms) {
            doctor_problem(finding, "%lld events unpublished, the cursor has stood for %lld s",
                           (long long)open, (long long)age_s);
            doctor_todo(finding, "signalbox restart sequencer, then look again");
            doctor->restart = "sequencer";
            return;
        }
        doctor_pause(LOOK_MS);
    }
}

/* The last part of the log file; returns the number of ERROR lines, -1 when it cannot be read. */
static int64_t error_lines(const char *path, char *last, size_t size)
{
    static char line[8192];
    int64_t count = 0;
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        return -1;
    }
    if (fseek(file, 0, SEEK_END) == 0 && ftell(file) > LOG_TAIL_BYTES) {
        (void)!fseek(file, -LOG_TAIL_BYTES, SEEK_END);
        (void)!fgets(line, sizeof line, file); /* half a line */
    } else {
        rewind(file);
    }
    while (fgets(line, sizeof line, file) != NULL) {
        json_t *record = json_loads(line, 0, NULL);
        const char *level = json_string_value(json_object_get(record, "level"));
        const char *actor = json_string_value(json_object_get(record, "actor"));
        const char *message = json_string_value(json_object_get(record, "message"));
        if (level != NULL && strcmp(level, "error") == 0) {
            count++;
            snprintf(last, size, "%s: %s", actor == NULL ? "?" : actor,
                     message == NULL ? "" : message);
        }
        json_decref(record);
    }
    fclose(file);
    return count;
}

static void look_log(struct doctor *doctor, struct doctor_finding *finding)
{
    struct buffer ill = {0};
    char last[200] = "";
    int64_t deaths = 0;
    int count = doctor_ill_actors(doctor, &ill, &deaths);
    int64_t errors =
        doctor->log_path == NULL ? 0 : error_lines(doctor->log_path, last, sizeof last);
    if (count > 0) {
        doctor_problem(finding, "%.350s", buffer_text(&ill));
        doctor_todo(finding, "the log names what each of them lacks; docs/runbooks/run-stuck.md "
                             "explains the messages");
    } else if (errors < 0) {
        doctor_unknown(finding, "%.300s cannot be read", doctor->log_path);
    } else if (errors > 0) {
        doctor_problem(finding, "%lld ERROR lines, the last one of %s", (long long)errors, last);
        doctor_todo(finding, "docs/runbooks/run-stuck.md explains the messages");
    } else {
        doctor_ok(finding, "every process is ready and healthy, %lld deaths since the start%s",
                  (long long)deaths,
                  doctor->log_path == NULL ? "; the log was not read"
                                           : "; no ERROR line in the log");
        if (doctor->log_path == NULL) {
            doctor_todo(finding, "give the log with --log FILE (journalctl -o cat -u signalbox)");
        }
    }
    buffer_deinit(&ill);
}

static void look_recover(struct doctor *doctor, struct doctor_finding *finding)
{
    if (doctor->rows_missing) {
        doctor_problem(finding, "the log is damaged; no restart brings rows back");
        doctor_todo(finding, "keep a copy of the database; never write marks or heads by hand");
    } else if (doctor->restart != NULL) {
        doctor_problem(finding, "the %s does not do its work", doctor->restart);
        doctor_todo(finding, "signalbox restart %s; never write publication marks by hand",
                    doctor->restart);
    } else {
        doctor_ok(finding, "nothing to recover");
    }
}

static const struct doctor_step steps[] = {
    {"Is there a gap between what is published of the run and its head?", look_gap},
    {"Is an event's row missing?", look_rows},
    {"How much is unpublished, over all runs?", doctor_look_unpublished},
    {"What does the log say?", look_log},
    {"Recover by restarting the actor, and in no other way.", look_recover},
    {0}};

const struct doctor_book DOCTOR_RUN_STUCK = {
    .name = "run-stuck", .about = "a run does not move", .needs_run = true, .steps = steps};
