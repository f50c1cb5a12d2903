/* `signalbox schedules list|show|create|pause|resume|delete`: what queues jobs again and again, through
 * the running server. */
#include "ops/cli/admin.h"
#include "ops/cli/options.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The flags of create; NULL and false: not given. */
struct wish {
    const char *spec;
    const char *type;
    const char *tz;
    const char *queue;
    const char *payload;
    const char *priority;
    const char *attempts;
    const char *concurrency_key;
    const char *missed;
    bool paused;
};

/* ---- what is shown ---- */

static void print_line(const json_t *schedule)
{
    const char *next = admin_text(schedule, "next_at");
    const bool enabled = json_is_true(json_object_get(schedule, "enabled"));
    printf("%-24s  %-27s  %-20s %-16s  %s  %s\n", admin_text(schedule, "name"),
           !enabled          ? "paused"
           : next[0] == '\0' ? "never"
                             : next,
           admin_text(schedule, "spec"), admin_text(schedule, "tz"), admin_text(schedule, "queue"),
           admin_text(schedule, "job_type"));
}

static void print_lines(const json_t *answer)
{
    const json_t *schedule;
    size_t index;
    json_array_foreach(json_object_get(answer, "schedules"), index, schedule)
    {
        print_line(schedule);
    }
}

static void print_schedule(const json_t *schedule)
{
    static const char *const without[] = {NULL};
    admin_print_members(schedule, without);
}

static void print_deleted(const json_t *schedule)
{
    printf("%s is deleted\n", admin_text(schedule, "name"));
}

/* ---- create ---- */

/* JSON as it was typed; -1: it is none, and that has been said. */
static int add_json(json_t *body, const char *name, const char *flag, const char *text, bool number)
{
    if (text == NULL) {
        return 0;
    }
    json_t *value = json_loads(text, JSON_DECODE_ANY, NULL);
    if (value == NULL || (number && !json_is_integer(value))) {
        json_decref(value);
        (void)cli_usage("schedules", "%s must be %s", flag, number ? "a whole number" : "JSON");
        return -1;
    }
    json_object_set_new(body, name, value);
    return 0;
}

static int create(const struct cli *cli, const char *path, const struct wish *wish)
{
    if (wish->spec == NULL || wish->type == NULL) {
        return cli_usage("schedules", "%s is missing", wish->spec == NULL ? "--spec" : "--type");
    }
    json_t *body = json_pack("{s:b}", "enabled", !wish->paused);
    admin_member(body, "spec", wish->spec);
    admin_member(body, "job_type", wish->type);
    admin_member(body, "tz", wish->tz);
    admin_member(body, "queue", wish->queue);
    admin_member(body, "concurrency_key", wish->concurrency_key);
    admin_member(body, "missed", wish->missed);
    if (add_json(body, "payload", "--payload", wish->payload, false) != 0 ||
        add_json(body, "priority", "--priority", wish->priority, true) != 0 ||
        add_json(body, "max_attempts", "--attempts", wish->attempts, true) != 0) {
        json_decref(body);
        return EXIT_CODE_USAGE;
    }
    return admin_call_and_print(cli, "PUT", path, body, print_line);
}

/* ---- pause and resume ---- */

/* A schedule is said as a whole: as it is, but for whether it rests. */
static json_t *again(const json_t *schedule, bool enabled)
{
    static const char *const members[] = {"spec",    "tz",       "queue",        "job_type",
                                          "payload", "priority", "max_attempts", "concurrency_key",
                                          "missed"};
    json_t *body = json_pack("{s:b}", "enabled", enabled);
    for (size_t i = 0; i < sizeof members / sizeof *members; i++) {
        json_object_set(body, members[i], json_object_get(schedule, members[i]));
    }
    return body;
}

static int set_enabled(const struct cli *cli, const char *path, bool enabled)
{
    json_t *schedule = NULL;
    int code = admin_call(cli, "GET", path, NULL, &schedule);
    if (code == EXIT_CODE_DONE) {
        code = admin_call_and_print(cli, "PUT", path, again(schedule, enabled), print_line);
    }
    json_decref(schedule);
    return code;
}

/* ---- which ---- */

static int run_verb(const struct cli *cli, const char *verb, const char *path,
                    const struct wish *wish)
{
    if (strcmp(verb, "list") == 0) {
        return admin_call_and_print(cli, "GET", path, NULL, print_lines);
    }
    if (strcmp(verb, "show") == 0) {
        return admin_call_and_print(cli, "GET", path, NULL, print_schedule);
    }
    if (strcmp(verb, "create") == 0) {
        return create(cli, path, wish);
    }
    if (strcmp(verb, "delete") == 0) {
        return admin_call_and_print(cli, "DELETE", path, NULL, print_deleted);
    }
    return set_enabled(cli, path, strcmp(verb, "resume") == 0);
}

static bool is_verb(const char *verb, int words)
{
    static const char *const verbs[] = {"show", "create", "delete", "pause", "resume"};
    for (size_t i = 0; words == 1 && i < sizeof verbs / sizeof *verbs; i++) {
        if (strcmp(verb, verbs[i]) == 0) {
            return true;
        }
    }
    return words == 0 && strcmp(verb, "list") == 0;
}

/* Anything of create. */
static bool is_empty(const struct wish *wish)
{
    return wish->spec == NULL && wish->type == NULL && wish->tz == NULL && wish->queue == NULL &&
           wish->payload == NULL && wish->priority == NULL && wish->attempts == NULL &&
           wish->concurrency_key == NULL && wish->missed == NULL && !wish->paused;
}

int command_schedules(const struct cli *cli, int argc, char **argv)
{
    struct wish wish = {0};
    const struct option_spec specs[] = {{"--spec", &wish.spec, NULL},
                                        {"--type", &wish.type, NULL},
                                        {"--tz", &wish.tz, NULL},
                                        {"--queue", &wish.queue, NULL},
                                        {"--payload", &wish.payload, NULL},
                                        {"--priority", &wish.priority, NULL},
                                        {"--attempts", &wish.attempts, NULL},
                                        {"--concurrency-key", &wish.concurrency_key, NULL},
                                        {"--missed", &wish.missed, NULL},
                                        {"--paused", NULL, &wish.paused},
                                        {0}};
    struct error err;
    int count = options_parse(argc, argv, specs, 1, 2, &err);
    if (count < 0) {
        return cli_usage("schedules", "%s", err.text);
    }
    if (!is_verb(argv[1], count - 1)) {
        return cli_usage("schedules", "list, show, create, pause, resume or delete NAME");
    }
    if (strcmp(argv[1], "create") != 0 && !is_empty(&wish)) {
        return cli_usage("schedules", "only create takes these flags");
    }
    struct buffer path = {0};
    buffer_append_text(&path, "/api/v1/schedules");
    if (count == 2) {
        buffer_append_byte(&path, '/');
        admin_escape(&path, argv[2]);
    }
    int code = run_verb(cli, argv[1], buffer_text(&path), &wish);
    buffer_deinit(&path);
    return code;
}
