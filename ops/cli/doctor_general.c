/*
 * `signalbox doctor` without a runbook: the first look. Do all processes run, are the dependencies
 * there, can the database keep what was acknowledged, does the schema fit, does publishing move, is
 * there room, are the actors confined.
 */
#include "ops/cli/doctor.h"
#include "ops/cli/migrations.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

enum { ROOM_PERCENT_MIN = 5 };

static const char durability_sql[] =
    "select current_setting('fsync'), current_setting('full_page_writes'),"
    "       current_setting('synchronous_commit')";

static void look_processes(struct doctor *doctor, struct doctor_finding *finding)
{
    struct buffer ill = {0};
    int64_t deaths = 0;
    if (doctor_ill_actors(doctor, &ill, &deaths) > 0) {
        doctor_problem(finding, "%.350s", buffer_text(&ill));
        doctor_todo(finding, "the log says why; docs/runbooks/run-stuck.md explains the messages");
    } else {
        doctor_ok(finding, "all ready and healthy, %lld deaths since the start", (long long)deaths);
    }
    buffer_deinit(&ill);
}

static void look_ready(struct doctor *doctor, struct doctor_finding *finding)
{
    struct buffer body = {0};
    struct error err = {""};
    int status = http_get(doctor->http, "/ready", &body, &err);
    if (status == 200) {
        doctor_ok(finding, "/ready answers 200");
    } else {
        doctor_problem(finding, "/ready answers %d: %.300s", status,
                       status == 0 ? err.text : buffer_text(&body));
        doctor_todo(finding, "what is not ready there is the cause; its log says more");
    }
    buffer_deinit(&body);
}

static void look_durability(struct doctor *doctor, struct doctor_finding *finding)
{
    PGresult *row = doctor_query(doctor, durability_sql, finding);
    if (row == NULL) {
        return;
    }
    bool safe = strcmp(PQgetvalue(row, 0, 0), "on") == 0 &&
                strcmp(PQgetvalue(row, 0, 1), "on") == 0 &&
                strcmp(PQgetvalue(row, 0, 2), "off") != 0;
    if (safe) {
        doctor_ok(finding, "fsync and full_page_writes are on, commits wait for the disk");
    } else {
        doctor_problem(finding, "fsync %s, full_page_writes %s, synchronous_commit %s",
                       PQgetvalue(row, 0, 0), PQgetvalue(row, 0, 1), PQgetvalue(row, 0, 2));
        doctor_todo(finding, "switch them on: what was acknowledged can be lost");
    }
    PQclear(row);
}

static bool has_service(const struct doctor *doctor, const char *wanted)
{
    size_t index;
    const json_t *service;
    json_array_foreach(json_object_get(doctor->status, "services"), index, service)
    {
        const char *name = json_string_value(json_object_get(service, "name"));
        if (name != NULL && strcmp(name, wanted) == 0) {
            return true;
        }
    }
    return false;
}

static void look_schema(struct doctor *doctor, struct doctor_finding *finding)
{
    struct store_target target = {.url = doctor->dsn, .embedded = has_service(doctor, "postgres")};
    struct migration_list list = {0};
    struct error err = {""};
    if (migrations_list(&target, &list, &err) != STORE_OK) {
        doctor_unknown(finding, "%.350s", err.text);
        return;
    }
    const struct migration *wrong = NULL;
    for (size_t i = 0; i < list.count && wrong == NULL; i++) {
        wrong = list.items[i].state == MIGRATION_APPLIED ? NULL : &list.items[i];
    }
    if (wrong == NULL) {
        doctor_ok(finding, "%zu migrations, all applied", list.count);
    } else {
        doctor_problem(finding, "migration %04d %s is %s", wrong->version, wrong->name,
                       migration_state_name(wrong->state));
        doctor_todo(finding, "signalbox migrate status");
    }
    migration_list_deinit(&list);
}

static void look_room(struct doctor *doctor, struct doctor_finding *finding)
{
    struct statvfs room;
    const char *dir = json_string_value(json_object_get(doctor->status, "data_dir"));
    if (dir == NULL || statvfs(dir, &room) != 0 || room.f_blocks == 0) {
        doctor_unknown(finding, "the folder of the data cannot be looked at");
        return;
    }
    unsigned long long free_mib =
        (unsigned long long)room.f_bavail * (unsigned long long)room.f_frsize >> 20;
    unsigned percent = (unsigned)(room.f_bavail * 100 / room.f_blocks);
    if (percent < ROOM_PERCENT_MIN) {
        doctor_problem(finding, "%llu MiB free (%u %%)", free_mib, percent);
        doctor_todo(finding, "make room: with a full disk writes wait, then get 503");
    } else {
        doctor_ok(finding, "%llu MiB free (%u %%)", free_mib, percent);
    }
}

/* What each actor said when it was ready; a mode that was switched off is no fault, but to be known. */
static void look_confinement(struct doctor *doctor, struct doctor_finding *finding)
{
    struct buffer open = {0};
    size_t index;
    const json_t *actor;
    const char *mode = "off";
    json_int_t abi = 0;
    json_array_foreach(json_object_get(doctor->status, "actors"), index, actor)
    {
        const json_t *confined = json_object_get(actor, "confined");
        const char *name = json_string_value(json_object_get(actor, "name"));
        const char *calls = json_string_value(json_object_get(confined, "seccomp"));
        json_int_t files = json_integer_value(json_object_get(confined, "landlock"));
        if (name == NULL || calls == NULL) {
            continue; /* not ready */
        }
        mode = calls;
        abi = files;
        if (strcmp(calls, "off") == 0 || files == 0) {
            buffer_printf(&open, "%s%s: seccomp %s, Landlock %s", open.length == 0 ? "" : "; ",
                          name, calls, files == 0 ? "not in force" : "in force");
        }
    }
    if (open.length > 0) {
        doctor_unknown(finding, "%.350s", buffer_text(&open));
        doctor_todo(finding, "security.seccomp, security.landlock, and what this kernel has");
    } else {
        doctor_ok(finding, "seccomp %s, Landlock of ABI %lld", mode, (long long)abi);
    }
    buffer_deinit(&open);
}

static const struct doctor_step steps[] = {
    {"Does every process run?", look_processes},
    {"Is what they need there?", look_ready},
    {"Does the database keep what it acknowledged?", look_durability},
    {"Is the schema the one of this program?", look_schema},
    {"How much is unpublished, over all runs?", doctor_look_unpublished},
    {"Is there room on the disk?", look_room},
    {"Are the actors confined?", look_confinement},
    {0}};

const struct doctor_book DOCTOR_GENERAL = {
    .name = "general", .about = "the first look", .steps = steps};
