/* See jobs_retry.h. */
#include "ops/cli/jobs_retry.h"

#include "ops/cli/admin.h"

#include <stdio.h>
#include <unistd.h>

/* Asked on a terminal; anywhere else --yes has to be given. */
static bool is_confirmed(bool yes, long long count)
{
    char answer[8] = "";
    if (yes) {
        return true;
    }
    if (!isatty(STDIN_FILENO)) {
        fprintf(stderr, "signalbox: %lld %s; --yes retries\n", count, count == 1 ? "job" : "jobs");
        return false;
    }
    fprintf(stderr, "Retry %lld %s? [y/N] ", count, count == 1 ? "job" : "jobs");
    return fgets(answer, sizeof answer, stdin) != NULL && (answer[0] == 'y' || answer[0] == 'Y');
}

struct progress {
    long long retried;
    long long refused;
    long long count;
};

static void show_progress(const struct progress *progress)
{
    if (isatty(STDERR_FILENO)) {
        fprintf(stderr, "\r%lld of %lld", progress->retried + progress->refused, progress->count);
    }
}

/* A thousand a call, behind where the last one ended. */
static int retry_pages(const struct cli *cli, const json_t *filter, struct progress *progress)
{
    json_t *cursor = json_null();
    int code;
    do {
        json_t *answer = NULL;
        json_t *body = json_deep_copy(filter);
        json_object_set_new(body, "dry_run", json_false());
        json_object_set(body, "cursor", cursor);
        code = admin_call(cli, "POST", "/api/v1/jobs/retry", body, &answer);
        progress->retried += json_integer_value(json_object_get(answer, "retried"));
        progress->refused += json_integer_value(json_object_get(answer, "refused"));
        show_progress(progress);
        json_decref(cursor);
        cursor = json_incref(json_object_get(answer, "next_cursor"));
        json_decref(answer);
    } while (code == EXIT_CODE_DONE && json_is_string(cursor));
    json_decref(cursor);
    fputs(isatty(STDERR_FILENO) ? "\n" : "", stderr);
    return code;
}

int jobs_retry_all(const struct cli *cli, const json_t *filter, bool yes)
{
    json_t *answer = NULL;
    struct progress progress = {0};
    int code = admin_call(cli, "POST", "/api/v1/jobs/retry", json_deep_copy(filter), &answer);
    progress.count = json_integer_value(json_object_get(answer, "count"));
    json_decref(answer);
    if (code != EXIT_CODE_DONE) {
        return code;
    }
    if (progress.count > 0) {
        if (!is_confirmed(yes, progress.count)) {
            return EXIT_CODE_FAILED;
        }
        code = retry_pages(cli, filter, &progress);
    }
    if (cli->json) {
        json_t *document = json_pack("{s:I,s:I}", "retried", (json_int_t)progress.retried,
                                     "refused", (json_int_t)progress.refused);
        admin_print(document);
        json_decref(document);
    } else {
        printf("%lld %s again, %lld could not be retried\n", progress.retried,
               progress.retried == 1 ? "job waits" : "jobs wait", progress.refused);
    }
    return code;
}
