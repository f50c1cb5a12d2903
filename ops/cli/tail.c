/*
 * `signalbox tail RUN_ID`: follows one run's stream from a position to its terminal event.
 *
 * A lost connection is made again after the stream's own `retry:` time (with jitter), with
 * Last-Event-ID, so that nothing is shown twice and nothing is missed. Seqs must be dense: a hole
 * or a step back ends the command with exit code 1, because that is a fault of the server.
 */
#include "ops/cli/cli.h"
#include "ops/cli/http.h"
#include "ops/cli/options.h"
#include "ops/cli/sse.h"
#include "ops/cli/target.h"

#include "runtime/base/clock.h"
#include "runtime/base/number.h"
#include "runtime/base/uuid.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    TAIL_SILENCE_MS = 45000, /* three pings of 15 s */
    TAIL_PATIENCE_MS = 120000,
    TAIL_RETRY_MS = 1000,
    TAIL_RETRY_MS_MAX = 30000,
    TAIL_TEXT_BYTES = 100,
    TAIL_PATH_BYTES = 128
};

struct tail {
    const struct cli *cli;
    const char *run_id;
    bool color; /* stdout is a terminal */
    int64_t last_seq;
    bool ended;
    bool broken; /* the server broke a rule; `fault` says which */
    struct error fault;
    struct sse sse;
    bool answered; /* of the current request */
    struct http_answer answer;
    struct error problem;
    int64_t last_answer_ms;
};

/* Control characters of a payload must not reach the terminal. */
static void print_clean(const char *text, size_t length)
{
    size_t shown = length < TAIL_TEXT_BYTES ? length : TAIL_TEXT_BYTES;
    while (shown < length && shown > 0 && ((unsigned char)text[shown] & 0xc0) == 0x80) {
        shown--; /* not in the middle of a character */
    }
    for (size_t i = 0; i < shown; i++) {
        unsigned char byte = (unsigned char)text[i];
        bool c1 = byte == 0xc2 && i + 1 < shown && (unsigned char)text[i + 1] < 0xa0;
        putchar(byte < 0x20 || byte == 0x7f || c1 ? ' ' : byte);
        i += c1 ? 1 : 0;
    }
    fputs(shown < length ? "…" : "", stdout);
}

/* The one field of a payload that says most; absent ones print nothing. */
static void print_summary(const json_t *payload)
{
    static const char *const fields[] = {"role", "name", "title", "percent", "model"};
    static const char *const texts[] = {"delta", "content", "arguments", "result", "reason"};
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        const json_t *value = json_object_get(payload, fields[i]);
        if (json_is_string(value)) {
            fputs("  ", stdout);
            print_clean(json_string_value(value), json_string_length(value));
        } else if (json_is_integer(value)) {
            printf("  %lld", (long long)json_integer_value(value));
        }
    }
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        const json_t *value = json_object_get(payload, texts[i]);
        if (json_is_string(value)) {
            fputs("  ", stdout);
            print_clean(json_string_value(value), json_string_length(value));
            return;
        }
    }
}

static const char *text_of(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));
    return text != NULL ? text : "";
}

static void print_event(const struct tail *tail, const json_t *event, const struct sse_event *raw)
{
    if (tail->cli->json) {
        fwrite(raw->data, 1, raw->data_length, stdout);
        putchar('\n');
    } else {
        const char *ts = text_of(event, "ts");
        const char *type = text_of(event, "type");
        printf("%6lld  %.12s  %s%-19s%s", (long long)tail->last_seq,
               strlen(ts) > 23 ? ts + 11 : "            ", tail->color ? "\033[1m" : "", type,
               tail->color ? "\033[0m" : "");
        print_summary(json_object_get(event, "payload"));
        putchar('\n');
    }
    fflush(stdout);
}

static bool is_terminal(const char *type)
{
    return strcmp(type, "RUN_FINISHED") == 0 || strcmp(type, "RUN_FAILED") == 0 ||
           strcmp(type, "RUN_CANCELLED") == 0;
}

static void take_run_event(struct tail *tail, const struct sse_event *raw)
{
    json_t *event = json_loadb(raw->data, raw->data_length, 0, NULL);
    json_int_t seq = json_integer_value(json_object_get(event, "seq"));
    int64_t id = -1;
    if (event == NULL || raw->id == NULL || number_parse(raw->id, strlen(raw->id), &id) != 0 ||
        id != seq) {
        tail->broken = true;
        error_set(&tail->fault, "an event whose id is not its seq: %.200s", raw->data);
    } else if (seq != tail->last_seq + 1 || tail->ended) {
        tail->broken = true;
        error_set(&tail->fault, "seq %lld follows seq %lld%s", (long long)seq,
                  (long long)tail->last_seq, tail->ended ? ", the end" : "");
    } else {
        tail->last_seq = seq;
        tail->ended = is_terminal(text_of(event, "type"));
        print_event(tail, event, raw);
    }
    json_decref(event);
}

/* Our position lies beyond the head: the server goes on live from its head. */
static void take_reset(struct tail *tail, const struct sse_event *raw)
{
    json_t *data = json_loadb(raw->data, raw->data_length, 0, NULL);
    int64_t head = json_integer_value(json_object_get(data, "last_seq"));
    json_decref(data);
    fprintf(stderr, "signalbox: position %lld is beyond the head, going on after seq %lld\n",
            (long long)tail->last_seq, (long long)head);
    tail->last_seq = head;
}

static void take_event(void *arg, const struct sse_event *event)
{
    struct tail *tail = arg;
    if (tail->broken) {
        return;
    }
    if (strcmp(event->type, "message") == 0) {
        take_run_event(tail, event);
    } else if (strcmp(event->type, "reset") == 0) {
        take_reset(tail, event);
    }
}

static int take_chunk(void *arg, const void *bytes, size_t length)
{
    struct tail *tail = arg;
    tail->last_answer_ms = clock_monotonic_ms();
    if (sse_feed(&tail->sse, bytes, length, &tail->fault) != 0) {
        tail->broken = true;
    }
    return tail->broken ? -1 : 0;
}

static void take_answer(void *arg, const struct http_answer *answer)
{
    struct tail *tail = arg;
    tail->answered = true;
    tail->answer = *answer;
    tail->answer.body = NULL;
    if (answer->status != 0) {
        tail->last_answer_ms = clock_monotonic_ms();
    }
    http_problem(answer, &tail->problem);
}

static void follow_once(struct tail *tail, struct http *http)
{
    char path[TAIL_PATH_BYTES];
    char position[24];
    snprintf(path, sizeof path, "/api/v1/runs/%s/stream", tail->run_id);
    snprintf(position, sizeof position, "%lld", (long long)tail->last_seq);
    sse_reset(&tail->sse);
    tail->answered = false;
    http_send(http, &(struct http_call){.method = "GET",
                                        .path = path,
                                        .last_event_id = position,
                                        .silence_ms = TAIL_SILENCE_MS,
                                        .chunk = take_chunk,
                                        .done = take_answer,
                                        .arg = tail});
    while (!tail->answered && !tail->ended) {
        http_run(http, 1000);
    }
}

enum tail_next { TAIL_AGAIN, TAIL_OVER };

/* What the end of one connection means. *code_out is set when it is over. */
static enum tail_next judge(const struct tail *tail, int *code_out)
{
    int status = tail->answer.status;
    if (tail->broken) {
        *code_out = cli_fail(EXIT_CODE_FAILED, "run %s: %s", tail->run_id, tail->fault.text);
        return TAIL_OVER;
    }
    if (tail->ended || status == 204) {
        *code_out = EXIT_CODE_DONE;
        return TAIL_OVER;
    }
    if (status == 404) {
        *code_out = cli_fail(EXIT_CODE_NOT_FOUND, "there is no run %s", tail->run_id);
        return TAIL_OVER;
    }
    if (status >= 400 && status < 500 && status != 408 && status != 429) {
        *code_out = cli_fail(EXIT_CODE_FAILED, "%s", tail->problem.text);
        return TAIL_OVER;
    }
    if (status == 200 && tail->answer.complete) {
        *code_out = cli_fail(EXIT_CODE_FAILED, "run %s: the stream ended tidily before the run did",
                             tail->run_id);
        return TAIL_OVER;
    }
    if (clock_monotonic_ms() - tail->last_answer_ms > TAIL_PATIENCE_MS) {
        *code_out = cli_fail(EXIT_CODE_NOT_RUNNING, "no answer for %d s, giving up: %s",
                             TAIL_PATIENCE_MS / 1000, tail->problem.text);
        return TAIL_OVER;
    }
    return TAIL_AGAIN;
}

/* The server's own wish when the stream named one, spread by up to half. */
static void pause_before_retry(const struct tail *tail)
{
    int64_t wait_ms = tail->sse.retry_ms >= 0 ? tail->sse.retry_ms : TAIL_RETRY_MS;
    wait_ms = tail->answer.retry_after_ms > wait_ms ? tail->answer.retry_after_ms : wait_ms;
    wait_ms = wait_ms < TAIL_RETRY_MS_MAX ? wait_ms : TAIL_RETRY_MS_MAX;
    wait_ms += random() % (wait_ms / 2 + 1);
    struct timespec pause = {.tv_sec = wait_ms / 1000, .tv_nsec = wait_ms % 1000 * 1000000};
    nanosleep(&pause, NULL);
}

static int follow(struct tail *tail, struct http *http)
{
    int code = EXIT_CODE_DONE;
    tail->last_answer_ms = clock_monotonic_ms();
    follow_once(tail, http);
    while (judge(tail, &code) == TAIL_AGAIN) {
        if (tail->color && isatty(STDERR_FILENO) == 1) {
            fprintf(stderr, "       … connection lost after seq %lld, connecting again\n",
                    (long long)tail->last_seq);
        }
        pause_before_retry(tail);
        struct target target = {0};
        struct error err;
        if (target_find(tail->cli, &target, &err) == 0) { /* it may have moved */
            http_set_target(http, target.address, target.key);
        }
        target_deinit(&target);
        follow_once(tail, http);
    }
    return code;
}

int command_tail(const struct cli *cli, int argc, char **argv)
{
    const char *after = "0";
    const struct option_spec specs[] = {{"--after-seq", &after, NULL}, {0}};
    struct error err;
    struct uuid id;
    struct tail tail = {.cli = cli, .color = !cli->json && isatty(STDOUT_FILENO) == 1};
    if (options_parse(argc, argv, specs, 1, 1, &err) < 0) {
        return cli_usage("tail", "%s", err.text);
    }
    tail.run_id = argv[1];
    if (uuid_parse(tail.run_id, strlen(tail.run_id), &id) != 0) {
        return cli_fail(EXIT_CODE_NOT_FOUND, "there is no run %s", tail.run_id);
    }
    if (number_parse(after, strlen(after), &tail.last_seq) != 0) {
        return cli_usage("tail", "--after-seq takes a number");
    }
    struct target target = {0};
    if (target_find(cli, &target, &err) != 0) {
        return cli_fail(EXIT_CODE_NOT_RUNNING, "%s", err.text);
    }
    srandom((unsigned)clock_real_us());
    sse_init(&tail.sse, take_event, &tail);
    struct http *http = http_create(target.address, target.key);
    target_deinit(&target);
    int code = follow(&tail, http);
    http_destroy(&http);
    sse_deinit(&tail.sse);
    return code;
}
