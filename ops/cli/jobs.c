/* `signalbox jobs list|show|enqueue|retry|cancel|pause|resume|queues`: background jobs, through the
 * running server. */
#include "ops/cli/admin.h"
#include "ops/cli/jobs_retry.h"
#include "ops/cli/options.h"
#include "runtime/base/buffer.h"
#include "runtime/base/number.h"
#include "runtime/base/uuid.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LIST_DEFAULT = 100, LIST_MAX = 100000, PAGE_MAX = 1000 };

/* The flags of all of them; NULL and false: not given. */
struct wish {
    const char *status;
    const char *queue;
    const char *type;
    const char *run;
    const char *key;
    const char *kind;
    const char *limit;
    const char *payload;
    const char *reason;
    bool all;
    bool yes;
};

/* ---- what they have in common ---- */

static bool is_id(const char *text)
{
    struct uuid id;
    return uuid_parse(text, strlen(text), &id) == 0;
}

static void add_parameter(struct buffer *path, const char *name, const char *value)
{
    if (value != NULL) {
        buffer_append_byte(path, strchr(buffer_text(path), '?') == NULL ? '?' : '&');
        buffer_printf(path, "%s=", name);
        admin_escape(path, value);
    }
}

/* ---- list ---- */

static void print_line(const json_t *job)
{
    printf("%s  %-9s  %lld/%lld  %-12s  %-20s  %s\n", admin_text(job, "id"),
           admin_text(job, "status"),
           (long long)json_integer_value(json_object_get(job, "attempts")),
           (long long)json_integer_value(json_object_get(job, "max_attempts")),
           admin_text(job, "queue"), admin_text(job, "job_type"), admin_text(job, "job_key"));
}

static void print_lines(const json_t *jobs)
{
    const json_t *job;
    size_t index;
    json_array_foreach(jobs, index, job)
    {
        print_line(job);
    }
}

/* Pages until there are `most` jobs or no more. */
static int gather(const struct cli *cli, const char *path, size_t most, json_t *jobs)
{
    struct buffer page_path = {0};
    json_t *page = NULL;
    const char *cursor = NULL;
    int code;
    do {
        size_t left = most - json_array_size(jobs);
        buffer_clear(&page_path);
        buffer_printf(&page_path, "%s%climit=%zu", path, strchr(path, '?') == NULL ? '?' : '&',
                      left < PAGE_MAX ? left : PAGE_MAX);
        add_parameter(&page_path, "cursor", cursor);
        json_decref(page);
        page = NULL;
        code = admin_call(cli, "GET", buffer_text(&page_path), NULL, &page);
        json_array_extend(jobs, json_object_get(page, "jobs"));
        cursor = json_string_value(json_object_get(page, "next_cursor"));
    } while (code == EXIT_CODE_DONE && cursor != NULL && json_array_size(jobs) < most);
    json_decref(page);
    buffer_deinit(&page_path);
    return code;
}

static int list(const struct cli *cli, const struct wish *wish)
{
    int64_t most = LIST_DEFAULT;
    struct buffer path = {0};
    if (wish->limit != NULL && (number_parse(wish->limit, strlen(wish->limit), &most) != 0 ||
                                most < 1 || most > LIST_MAX)) {
        return cli_usage("jobs", "--limit must be a number from 1 to %d", LIST_MAX);
    }
    buffer_append_text(&path, "/api/v1/jobs");
    add_parameter(&path, "status", wish->status);
    add_parameter(&path, "queue", wish->queue);
    add_parameter(&path, "job_type", wish->type);
    add_parameter(&path, "run_id", wish->run);
    add_parameter(&path, "job_key", wish->key);
    json_t *jobs = json_array();
    int code = gather(cli, buffer_text(&path), (size_t)most, jobs);
    if (code == EXIT_CODE_DONE && cli->json) {
        json_t *document = json_pack("{s:O}", "jobs", jobs);
        admin_print(document);
        json_decref(document);
    } else if (code == EXIT_CODE_DONE) {
        print_lines(jobs);
    }
    json_decref(jobs);
    buffer_deinit(&path);
    return code;
}

/* ---- show ---- */

static void print_attempt(const json_t *attempt)
{
    const char *ended = admin_text(attempt, "ended_at");
    printf("  %lld  %s  %s  %s %s  %s\n",
           (long long)json_integer_value(json_object_get(attempt, "attempt")),
           admin_text(attempt, "started_at"), ended[0] != '\0' ? ended : "-",
           admin_text(attempt, "ended_by"), admin_text(attempt, "reason"),
           admin_text(attempt, "worker"));
}

static void print_job(const json_t *job)
{
    static const char *const lists[] = {"events", "attempts_made", NULL};
    const json_t *value;
    size_t index;
    admin_print_members(job, lists);
    const json_t *attempts = json_object_get(job, "attempts_made");
    printf("%s", json_array_size(attempts) > 0 ? "attempts\n" : "");
    json_array_foreach(attempts, index, value)
    {
        print_attempt(value);
    }
    const json_t *events = json_object_get(job, "events");
    printf("%s", json_array_size(events) > 0 ? "events\n" : "");
    json_array_foreach(events, index, value)
    {
        printf("  %lld  %s  %s\n", (long long)json_integer_value(json_object_get(value, "seq")),
               admin_text(value, "ts"), admin_text(value, "type"));
    }
}

static int no_job(const char *id)
{
    return cli_fail(EXIT_CODE_NOT_FOUND, "there is no job %s", id);
}

static int show(const struct cli *cli, const char *id)
{
    char path[128];
    if (!is_id(id)) {
        return no_job(id);
    }
    snprintf(path, sizeof path, "/api/v1/jobs/%s", id);
    return admin_call_and_print(cli, "GET", path, NULL, print_job);
}

/* ---- enqueue ---- */

static int enqueue(const struct cli *cli, const char *type, const struct wish *wish)
{
    char path[128];
    if (wish->run == NULL) {
        return cli_usage("jobs", "--run is missing");
    }
    if (!is_id(wish->run)) {
        return cli_fail(EXIT_CODE_NOT_FOUND, "there is no run %s", wish->run);
    }
    json_t *body = json_pack("{s:s}", "job_type", type);
    if (body == NULL) {
        return cli_usage("jobs", "the type is not UTF-8");
    }
    if (wish->payload != NULL) {
        json_t *payload = json_loads(wish->payload, JSON_DECODE_ANY, NULL);
        if (payload == NULL) {
            json_decref(body);
            return cli_usage("jobs", "--payload must be JSON");
        }
        json_object_set_new(body, "payload", payload);
    }
    admin_member(body, "queue", wish->queue);
    admin_member(body, "job_key", wish->key);
    admin_member(body, "artifact_kind", wish->kind);
    snprintf(path, sizeof path, "/api/v1/runs/%s/jobs", wish->run);
    return admin_call_and_print(cli, "POST", path, body, print_line);
}

/* ---- cancel and retry of one ---- */

static int change(const struct cli *cli, const char *verb, const char *id, const struct wish *wish)
{
    char path[128];
    if (!is_id(id)) {
        return no_job(id);
    }
    json_t *body = json_object();
    admin_member(body, "reason", wish->reason);
    snprintf(path, sizeof path, "/api/v1/jobs/%s/%s", id, verb);
    return admin_call_and_print(cli, "POST", path, body, print_line);
}

/* ---- retry of many ---- */

static json_t *filter_of(const struct wish *wish)
{
    json_t *filter = json_pack("{s:s}", "status", wish->status != NULL ? wish->status : "error");
    admin_member(filter, "queue", wish->queue);
    admin_member(filter, "job_type", wish->type);
    admin_member(filter, "run_id", wish->run);
    return filter;
}

static int retry_all(const struct cli *cli, const struct wish *wish)
{
    json_t *filter = filter_of(wish);
    int code = jobs_retry_all(cli, filter, wish->yes);
    json_decref(filter);
    return code;
}

/* ---- queues, pauses ---- */

static void print_queue(const json_t *queue)
{
    const json_t *oldest = json_object_get(queue, "oldest_age_ms");
    printf("%-20s  %-7s %7lld waiting %7lld due %7lld running %7lld dead",
           admin_text(queue, "queue"),
           json_is_true(json_object_get(queue, "paused")) ? "paused" : "",
           (long long)json_integer_value(json_object_get(queue, "waiting")),
           (long long)json_integer_value(json_object_get(queue, "due")),
           (long long)json_integer_value(json_object_get(queue, "running")),
           (long long)json_integer_value(json_object_get(queue, "dead")));
    if (json_is_integer(oldest)) {
        printf("  oldest %lld s", (long long)json_integer_value(oldest) / 1000);
    }
    putchar('\n');
}

static void print_queues(const json_t *answer)
{
    const json_t *value;
    size_t index;
    json_array_foreach(json_object_get(answer, "queues"), index, value)
    {
        print_queue(value);
    }
    json_array_foreach(json_object_get(answer, "paused_job_types"), index, value)
    {
        printf("jobs of type %s are paused\n", json_string_value(value));
    }
    if (json_is_true(json_object_get(answer, "paused"))) {
        puts("all jobs are paused");
    }
    if (!json_is_true(json_object_get(answer, "exact"))) {
        puts("there are more than were counted");
    }
}

static void print_paused(const json_t *answer)
{
    const bool paused = json_is_true(json_object_get(answer, "paused"));
    puts(paused ? "paused; what runs goes on to its end" : "not paused any more");
}

static int pause_queue(const struct cli *cli, const char *queue, bool pause)
{
    struct buffer path = {0};
    buffer_append_text(&path, "/api/v1/queues/");
    admin_escape(&path, queue);
    int code = admin_call_and_print(cli, "PUT", buffer_text(&path),
                                    json_pack("{s:b}", "paused", pause), print_paused);
    buffer_deinit(&path);
    return code;
}

/* Exactly one of a queue, a type, and everything. */
static int pause_or_resume(const struct cli *cli, const struct wish *wish, bool pause)
{
    struct buffer path = {0};
    if ((wish->queue != NULL) + (wish->type != NULL) + wish->all != 1) {
        return cli_usage("jobs", "one of --queue, --type and --all says what");
    }
    if (wish->queue != NULL) {
        return pause_queue(cli, wish->queue, pause);
    }
    buffer_append_text(&path, wish->all ? "/api/v1/jobs" : "/api/v1/job-types/");
    admin_escape(&path, wish->all ? "" : wish->type);
    buffer_append_text(&path, "/pause");
    int code =
        admin_call_and_print(cli, pause ? "PUT" : "DELETE", buffer_text(&path), NULL, print_paused);
    buffer_deinit(&path);
    return code;
}

/* ---- which ---- */

/* One flag and whether the verb takes it. */
static const char *stray_flag(const struct wish *wish, const char *taken)
{
    const struct {
        const char *name;
        bool given;
    } flags[] = {{"--status", wish->status != NULL},
                 {"--queue", wish->queue != NULL},
                 {"--type", wish->type != NULL},
                 {"--run", wish->run != NULL},
                 {"--key", wish->key != NULL},
                 {"--kind", wish->kind != NULL},
                 {"--limit", wish->limit != NULL},
                 {"--payload", wish->payload != NULL},
                 {"--reason", wish->reason != NULL},
                 {"--all", wish->all},
                 {"--yes", wish->yes}};
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++) {
        if (flags[i].given && strstr(taken, flags[i].name) == NULL) {
            return flags[i].name;
        }
    }
    return NULL;
}

static int run_verb(const struct cli *cli, const char *verb, const char *what,
                    const struct wish *wish)
{
    if (strcmp(verb, "list") == 0) {
        return list(cli, wish);
    }
    if (strcmp(verb, "show") == 0) {
        return show(cli, what);
    }
    if (strcmp(verb, "enqueue") == 0) {
        return enqueue(cli, what, wish);
    }
    if (strcmp(verb, "queues") == 0) {
        return admin_call_and_print(cli, "GET", "/api/v1/queues", NULL, print_queues);
    }
    if (strcmp(verb, "pause") == 0 || strcmp(verb, "resume") == 0) {
        return pause_or_resume(cli, wish, verb[0] == 'p');
    }
    return what == NULL ? retry_all(cli, wish) : change(cli, verb, what, wish);
}

int command_jobs(const struct cli *cli, int argc, char **argv)
{
    static const struct {
        const char *name;
        int words; /* behind it */
        const char *flags;
    } verbs[] = {{"list", 0, "--status --queue --type --run --key --limit"},
                 {"show", 1, ""},
                 {"enqueue", 1, "--run --queue --key --kind --payload"},
                 {"retry", 1, "--reason"},
                 {"retry", 0, "--all --status --queue --type --run --yes"},
                 {"cancel", 1, "--reason"},
                 {"pause", 0, "--queue --type --all"},
                 {"resume", 0, "--queue --type --all"},
                 {"queues", 0, ""}};
    struct wish wish = {0};
    const struct option_spec specs[] = {
        {"--status", &wish.status, NULL}, {"--queue", &wish.queue, NULL},
        {"--type", &wish.type, NULL},     {"--run", &wish.run, NULL},
        {"--key", &wish.key, NULL},       {"--kind", &wish.kind, NULL},
        {"--limit", &wish.limit, NULL},   {"--payload", &wish.payload, NULL},
        {"--reason", &wish.reason, NULL}, {"--all", NULL, &wish.all},
        {"--yes", NULL, &wish.yes},       {0}};
    struct error err;
    int count = options_parse(argc, argv, specs, 1, 2, &err);
    if (count < 0) {
        return cli_usage("jobs", "%s", err.text);
    }
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++) {
        if (strcmp(argv[1], verbs[i].name) != 0 || count - 1 != verbs[i].words) {
            continue;
        }
        const char *stray = stray_flag(&wish, verbs[i].flags);
        if (stray != NULL) {
            return cli_usage("jobs", "%s does not take %s", argv[1], stray);
        }
        if (strcmp(argv[1], "retry") == 0 && count == 1 && !wish.all) {
            break;
        }
        return run_verb(cli, argv[1], count == 2 ? argv[2] : NULL, &wish);
    }
    return cli_usage("jobs",
                     "list, show ID, enqueue TYPE, retry ID, retry --all, cancel ID, pause, "
                     "resume or queues, each with its own flags");
}
