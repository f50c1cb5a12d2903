/*
 * `signalbox replay --check RUN_ID FILE:LINE`: reads the run's log page by page, rebuilds the
 * conversation and compares it with the recorded line.
 */
#include "ops/cli/replay.h"

#include "ops/cli/cli.h"
#include "ops/cli/conversation.h"
#include "ops/cli/http.h"
#include "ops/cli/target.h"

#include "runtime/base/number.h"
#include "runtime/base/uuid.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CHECK_PAGE_EVENTS = 500, CHECK_PATH_BYTES = 160 };

/* FILE:LINE, split at the last colon; LINE counts from 1. */
static bool is_file_and_line(const char *text)
{
    const char *colon = strrchr(text, ':');
    int64_t number = 0;
    return colon != NULL && colon != text &&
           number_parse(colon + 1, strlen(colon + 1), &number) == 0 && number >= 1;
}

/* Takes what is_file_and_line; *line_out is owned by the caller. */
static int read_line(const char *file_and_line, char **line_out, size_t *length_out,
                     struct error *err)
{
    const char *colon = strrchr(file_and_line, ':');
    int64_t number = 0;
    if (colon == NULL || number_parse(colon + 1, strlen(colon + 1), &number) != 0) {
        return error_set(err, "%s is not FILE:LINE", file_and_line);
    }
    char *name = strndup(file_and_line, (size_t)(colon - file_and_line));
    FILE *file = name != NULL ? fopen(name, "re") : NULL;
    free(name);
    if (file == NULL) {
        return error_set(err, "%s: %s", file_and_line, strerror(errno));
    }
    size_t capacity = 0;
    ssize_t length = 0;
    *line_out = NULL;
    for (int64_t i = 0; i < number && length >= 0; i++) {
        length = getline(line_out, &capacity, file);
    }
    fclose(file);
    if (length < 0) {
        free(*line_out);
        return error_set(err, "%s: there is no such line", file_and_line);
    }
    *length_out = (size_t)length;
    return 0;
}

/* One page into `rebuild`. *after_seq moves on; *more_out: there may be another page. */
static int take_page(struct rebuild *rebuild, const struct buffer *body, json_int_t *after_seq,
                     bool *more_out, struct error *err)
{
    json_t *page = json_loadb((char *)body->data, body->length, 0, NULL);
    const json_t *events = json_object_get(page, "events");
    int status = json_is_array(events) ? 0 : error_set(err, "the answer is not a page of events");
    size_t index;
    json_t *event;
    json_array_foreach(events, index, event)
    {
        if (status == 0) {
            status = rebuild_event(rebuild, event, err);
            *after_seq = json_integer_value(json_object_get(event, "seq"));
        }
    }
    *more_out = *after_seq < json_integer_value(json_object_get(page, "last_seq")) &&
                json_array_size(events) > 0;
    json_decref(page);
    return status;
}

/* Returns an exit code; err says why it is not 0. */
static int read_log(struct http *http, const char *run_id, struct rebuild *rebuild,
                    struct error *err)
{
    struct buffer body = {0};
    json_int_t after_seq = 0;
    bool more = true;
    int code = EXIT_CODE_DONE;
    while (more && code == EXIT_CODE_DONE) {
        char path[CHECK_PATH_BYTES];
        snprintf(path, sizeof path, "/api/v1/runs/%s/events?after_seq=%lld&limit=%d", run_id,
                 (long long)after_seq, CHECK_PAGE_EVENTS);
        int status = http_get(http, path, &body, err);
        if (status != 200) {
            code = status == 404 ? EXIT_CODE_NOT_FOUND : EXIT_CODE_FAILED;
        } else if (take_page(rebuild, &body, &after_seq, &more, err) != 0) {
            code = EXIT_CODE_FAILED;
        }
    }
    buffer_deinit(&body);
    return code;
}

/* The fields beside `messages` are the run's metadata. */
static int check_metadata(struct http *http, const char *run_id, const char *line, size_t length,
                          struct error *err)
{
    char path[CHECK_PATH_BYTES];
    struct buffer body = {0};
    snprintf(path, sizeof path, "/api/v1/runs/%s", run_id);
    int status = http_get(http, path, &body, err) == 200 ? 0 : -1;
    json_t *run = json_loadb(status == 0 ? (char *)body.data : "", body.length, 0, NULL);
    json_t *recorded = json_loadb(line, length, 0, NULL);
    json_object_del(recorded, "messages");
    const json_t *metadata = json_object_get(run, "metadata");
    const char *name;
    json_t *value;
    json_object_foreach(recorded, name, value)
    {
        const json_t *logged = json_object_get(metadata, name);
        bool numbers = json_is_number(value) && json_is_number(logged) &&
                       json_number_value(value) >= json_number_value(logged) &&
                       json_number_value(value) <= json_number_value(logged);
        if (status == 0 && !numbers && !json_equal(value, logged)) {
            status = error_set(err, "metadata.%s differs", name);
        }
    }
    json_decref(recorded);
    json_decref(run);
    buffer_deinit(&body);
    return status;
}

static int check(struct http *http, const char *run_id, const char *line, size_t length,
                 struct error *err)
{
    struct rebuild *rebuild = rebuild_create();
    int code = read_log(http, run_id, rebuild, err);
    if (code == EXIT_CODE_DONE && (rebuild_compare(rebuild, line, length, err) != 0 ||
                                   check_metadata(http, run_id, line, length, err) != 0)) {
        code = EXIT_CODE_FAILED;
    }
    rebuild_destroy(&rebuild);
    return code;
}

static int report(const struct cli *cli, const char *run_id, int code, const struct error *err)
{
    if (cli->json) {
        json_t *line =
            json_pack("{s:s, s:b, s:o}", "run_id", run_id, "equal", code == EXIT_CODE_DONE,
                      "difference", code == EXIT_CODE_DONE ? json_null() : json_string(err->text));
        char *text = json_dumps(line, JSON_COMPACT);
        puts(text != NULL ? text : "{}");
        free(text);
        json_decref(line);
    } else if (code == EXIT_CODE_DONE) {
        printf("%s is identical to its input\n", run_id);
    } else {
        cli_fail(code, "%s: %s", run_id, err->text);
    }
    return code;
}

int replay_check(const struct cli *cli, const char *run_id, const char *file_and_line)
{
    struct uuid id;
    struct error err = {""};
    struct target target = {0};
    char *line = NULL;
    size_t length = 0;
    if (!is_file_and_line(file_and_line)) {
        return cli_fail(EXIT_CODE_USAGE, "%s is not FILE:LINE", file_and_line);
    }
    if (uuid_parse(run_id, strlen(run_id), &id) != 0) {
        return cli_fail(EXIT_CODE_NOT_FOUND, "there is no run %s", run_id);
    }
    if (read_line(file_and_line, &line, &length, &err) != 0) {
        return cli_fail(EXIT_CODE_FAILED, "%s", err.text);
    }
    int code = EXIT_CODE_NOT_RUNNING;
    if (target_find(cli, &target, &err) != 0) {
        cli_fail(code, "%s", err.text);
    } else {
        struct http *http = http_create(target.address, target.key);
        code = report(cli, run_id, check(http, run_id, line, length, &err), &err);
        http_destroy(&http);
    }
    target_deinit(&target);
    free(line);
    return code;
}
