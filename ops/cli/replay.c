/*
 * `signalbox replay FILE.jsonl`: sends recorded conversations into a running Signalbox, one run a
 * line, N runs at a time.
 *
 * Each run is a lane: create, then its events in order, the next request only after the answer to
 * the one before. Every request carries an Idempotency-Key of its own, so whatever has no definite
 * outcome (a lost connection, 503) is sent again until it has one; killing any part of the server
 * meanwhile neither loses nor doubles an event. When nothing at all has been answered for
 * REPLAY_PATIENCE_MS the replay gives up.
 */
#include "ops/cli/replay.h"

#include "ops/cli/cli.h"
#include "ops/cli/conversation.h"
#include "ops/cli/http.h"
#include "ops/cli/options.h"
#include "ops/cli/target.h"

#include "runtime/base/clock.h"
#include "runtime/base/limits.h"
#include "runtime/base/list.h"
#include "runtime/base/memory.h"
#include "runtime/base/number.h"
#include "runtime/base/uuid.h"

#include <errno.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    REPLAY_CONCURRENCY_MAX = 1024,
    REPLAY_RATE_MAX = 1000000,
    REPLAY_REQUEST_MS = 30000,
    REPLAY_PATIENCE_MS = 120000,
    REPLAY_RETRY_MS_MIN = 50,
    REPLAY_RETRY_MS_MAX = 2000,
    REPLAY_BODY_BYTES_MAX = 1 << 20, /* a request is cut here, well below the server's 2 MiB */
    REPLAY_LINE_BYTES_MAX = 64 << 20,
    REPLAY_PROGRESS_MS = 200,
    REPLAY_PATH_BYTES = 128,
    REPLAY_KEY_BYTES = 96
};

struct replay {
    const struct cli *cli;
    const char *file_name;
    FILE *file;
    int64_t line_count; /* lines begun so far */
    bool at_end;
    int64_t concurrency;
    int64_t rate;     /* events a second; 0: as fast as possible */
    bool interactive; /* stderr is a terminal */
    struct target target;
    struct http *http;
    struct list lanes; /* struct lane.in_replay */
    int64_t next_send_us;
    int64_t last_answer_ms;
    int64_t last_find_ms;
    int64_t last_progress_ms;
    int64_t began_ms;
    int64_t events_sent;
    int64_t runs_done;
    int64_t runs_failed;
};

/* One run on its way. Waiting for an answer (in_flight), or for its time to send. */
struct lane {
    struct list in_replay;
    struct replay *replay;
    int64_t line;
    struct conversation *conversation;
    char run_id[UUID_TEXT_SIZE];
    bool created;
    size_t next_event;  /* first event not yet acknowledged */
    size_t sent_events; /* events in the request in flight */
    struct buffer body;
    bool body_ready; /* the request to repeat is in `body` */
    bool in_flight;
    int64_t send_at_ms;
    int64_t retry_ms;
    int64_t last_seq;
    bool over;
};

static void complain(const struct replay *replay, int64_t line, const char *text)
{
    fprintf(stderr, "%s%s:%lld: %s\n", replay->interactive ? "\r\033[K" : "", replay->file_name,
            (long long)line, text);
}

static void show_progress(struct replay *replay, bool last)
{
    int64_t now_ms = clock_monotonic_ms();
    if (!replay->interactive || (!last && now_ms - replay->last_progress_ms < REPLAY_PROGRESS_MS)) {
        return;
    }
    replay->last_progress_ms = now_ms;
    int64_t took_ms = now_ms - replay->began_ms;
    fprintf(stderr, "\r\033[K%lld runs, %lld events, %lld events/s%s", (long long)replay->runs_done,
            (long long)replay->events_sent,
            (long long)(took_ms > 0 ? replay->events_sent * 1000 / took_ms : 0), last ? "\n" : "");
}

static void lane_end(struct lane *lane, const char *failure)
{
    struct replay *replay = lane->replay;
    lane->over = true;
    if (failure != NULL) {
        replay->runs_failed++;
        complain(replay, lane->line, failure);
        return;
    }
    replay->runs_done++;
    if (replay->cli->json) {
        printf("{\"line\":%lld,\"run_id\":\"%s\",\"events\":%zu,\"last_seq\":%lld}\n",
               (long long)lane->line, lane->run_id, lane->conversation->event_count,
               (long long)lane->last_seq);
        fflush(stdout);
    } else if (isatty(STDOUT_FILENO)) {
        printf("%s%s  line %lld, %lld events\n", replay->interactive ? "\r\033[K" : "",
               lane->run_id, (long long)lane->line, (long long)lane->last_seq);
        fflush(stdout);
    }
}

static void prepare_create(struct lane *lane)
{
    buffer_printf(&lane->body, "{\"id\":\"%s\",\"metadata\":%s}", lane->run_id,
                  lane->conversation->metadata);
    lane->sent_events = 0;
}

/* One message a request, cut where a limit demands it; with a rate, one event. */
static void prepare_append(struct lane *lane)
{
    const struct conversation *conversation = lane->conversation;
    size_t first = lane->next_event;
    size_t most = lane->replay->rate > 0 ? 1 : LIMIT_APPEND_EVENTS;
    size_t at = first;
    buffer_append_text(&lane->body, "{\"events\":[");
    while (at < conversation->event_count && at - first < most &&
           conversation->events[at].message == conversation->events[first].message &&
           (at == first ||
            lane->body.length + conversation->events[at].length < REPLAY_BODY_BYTES_MAX)) {
        if (at > first) {
            buffer_append_byte(&lane->body, ',');
        }
        buffer_append(&lane->body, conversation->events[at].json, conversation->events[at].length);
        at++;
    }
    buffer_append_text(&lane->body, "]}");
    lane->sent_events = at - first;
}

static void lane_retry(struct lane *lane, const struct http_answer *answer)
{
    int64_t pause_ms = answer->retry_after_ms > 0 ? answer->retry_after_ms : lane->retry_ms;
    lane->retry_ms =
        lane->retry_ms * 2 < REPLAY_RETRY_MS_MAX ? lane->retry_ms * 2 : REPLAY_RETRY_MS_MAX;
    if (pause_ms > REPLAY_RETRY_MS_MAX) {
        pause_ms = REPLAY_RETRY_MS_MAX;
    }
    lane->send_at_ms = clock_monotonic_ms() + pause_ms / 2 + random() % (pause_ms / 2 + 1);
}

static void lane_acknowledged(struct lane *lane, const struct http_answer *answer)
{
    json_t *body = json_loadb((char *)answer->body->data, answer->body->length, 0, NULL);
    lane->last_seq = json_integer_value(json_object_get(body, "last_seq"));
    json_decref(body);
    lane->created = true;
    lane->next_event += lane->sent_events;
    lane->replay->events_sent += (int64_t)lane->sent_events;
    lane->retry_ms = REPLAY_RETRY_MS_MIN;
    lane->body_ready = false;
    buffer_clear(&lane->body);
    if (lane->next_event == lane->conversation->event_count) {
        lane_end(lane, NULL);
    }
}

/* No definite outcome, or a refusal that passes: the same request again is right and safe. */
static bool is_passing(int status)
{
    return status == 0 || status == 408 || status == 429 || status >= 500;
}

static void lane_answered(void *arg, const struct http_answer *answer)
{
    struct lane *lane = arg;
    lane->in_flight = false;
    if (answer->status != 0) {
        lane->replay->last_answer_ms = clock_monotonic_ms();
    }
    if (answer->status == 200 || answer->status == 201) {
        lane_acknowledged(lane, answer);
    } else if (is_passing(answer->status)) {
        lane_retry(lane, answer);
    } else {
        struct error problem;
        http_problem(answer, &problem);
        lane_end(lane, problem.text);
    }
}

static void lane_send(struct lane *lane)
{
    char path[REPLAY_PATH_BYTES] = "/api/v1/runs";
    char key[REPLAY_KEY_BYTES];
    if (!lane->body_ready) {
        lane->body_ready = true;
        if (lane->created) {
            prepare_append(lane);
        } else {
            prepare_create(lane);
        }
    }
    if (lane->created) {
        snprintf(path, sizeof path, "/api/v1/runs/%s/events", lane->run_id);
    }
    snprintf(key, sizeof key, "replay-%s-%zu", lane->run_id,
             lane->created ? lane->next_event + 1 : 0);
    lane->in_flight = true;
    http_send(lane->replay->http, &(struct http_call){.method = "POST",
                                                      .path = path,
                                                      .idempotency_key = key,
                                                      .body = (char *)lane->body.data,
                                                      .body_length = lane->body.length,
                                                      .timeout_ms = REPLAY_REQUEST_MS,
                                                      .done = lane_answered,
                                                      .arg = lane});
}

static void lane_destroy(struct lane *lane)
{
    list_remove(&lane->in_replay);
    conversation_destroy(&lane->conversation);
    buffer_deinit(&lane->body);
    free(lane);
}

/* Begins the next line of the file. False when there is none. */
static bool lane_begin(struct replay *replay)
{
    char *line = NULL;
    size_t capacity = 0;
    ssize_t length = replay->at_end ? -1 : getline(&line, &capacity, replay->file);
    if (length < 0) {
        replay->at_end = true;
        free(line);
        return false;
    }
    replay->line_count++;
    struct error err = {""};
    struct conversation *conversation = NULL;
    if (length > REPLAY_LINE_BYTES_MAX) {
        error_set(&err, "the line is longer than %d bytes", REPLAY_LINE_BYTES_MAX);
    } else {
        conversation = conversation_create(line, (size_t)length, &err);
    }
    free(line);
    if (conversation == NULL) {
        replay->runs_failed++;
        complain(replay, replay->line_count, err.text);
        return true;
    }
    struct lane *lane = memory_new(sizeof *lane);
    struct uuid id = uuid_new();
    lane->replay = replay;
    lane->line = replay->line_count;
    lane->conversation = conversation;
    lane->retry_ms = REPLAY_RETRY_MS_MIN;
    uuid_format(&id, lane->run_id);
    list_append(&replay->lanes, &lane->in_replay);
    return true;
}

/* Sends what may be sent now. Returns how long the caller may wait before the next turn. */
static int64_t send_due(struct replay *replay)
{
    int64_t now_us = clock_monotonic_us();
    int64_t wait_ms = REPLAY_PROGRESS_MS;
    LIST_FOR_EACH(node, &replay->lanes)
    {
        struct lane *lane = LIST_ENTRY(node, struct lane, in_replay);
        if (lane->in_flight) {
            continue;
        }
        int64_t due_us = lane->send_at_ms * 1000;
        if (replay->rate > 0 && lane->created && replay->next_send_us > due_us) {
            due_us = replay->next_send_us;
        }
        if (due_us <= now_us) {
            if (replay->rate > 0 && lane->created) {
                int64_t behind_us = now_us - 1000000; /* a pause is not caught up for ever */
                replay->next_send_us =
                    (replay->next_send_us > behind_us ? replay->next_send_us : behind_us) +
                    1000000 / replay->rate;
            }
            list_remove(&lane->in_replay); /* to the end, so that a rate is shared fairly */
            list_append(&replay->lanes, &lane->in_replay);
            lane_send(lane);
        } else if ((due_us - now_us) / 1000 < wait_ms) {
            wait_ms = (due_us - now_us) / 1000;
        }
    }
    return wait_ms;
}

/* Ends finished lanes, begins new ones. Returns how many there are. */
static int64_t tend_lanes(struct replay *replay)
{
    int64_t count = 0;
    LIST_FOR_EACH(node, &replay->lanes)
    {
        struct lane *lane = LIST_ENTRY(node, struct lane, in_replay);
        if (lane->over) {
            lane_destroy(lane);
        } else {
            count++;
        }
    }
    while (count < replay->concurrency && lane_begin(replay)) {
        count = 0;
        LIST_FOR_EACH(node, &replay->lanes)
        {
            count++;
        }
    }
    return count;
}

/* After a second of silence: the server may have come back at another address. */
static void find_again(struct replay *replay)
{
    int64_t now_ms = clock_monotonic_ms();
    if (now_ms - replay->last_answer_ms < 1000 || now_ms - replay->last_find_ms < 1000) {
        return;
    }
    replay->last_find_ms = now_ms;
    struct target target = {0};
    struct error err;
    if (target_find(replay->cli, &target, &err) == 0) {
        http_set_target(replay->http, target.address, target.key);
    }
    target_deinit(&target);
}

static int replay_all(struct replay *replay)
{
    replay->began_ms = replay->last_answer_ms = clock_monotonic_ms();
    replay->next_send_us = clock_monotonic_us();
    while (tend_lanes(replay) > 0) {
        http_run(replay->http, send_due(replay));
        show_progress(replay, false);
        find_again(replay);
        if (clock_monotonic_ms() - replay->last_answer_ms > REPLAY_PATIENCE_MS) {
            fprintf(stderr, "signalbox: no answer for %d s, giving up\n",
                    REPLAY_PATIENCE_MS / 1000);
            return EXIT_CODE_NOT_RUNNING;
        }
    }
    show_progress(replay, true);
    return replay->runs_failed > 0 ? EXIT_CODE_FAILED : EXIT_CODE_DONE;
}

static int parse_count(const char *text, const char *flag, int64_t most, int64_t *value_out)
{
    if (text != NULL &&
        (number_parse(text, strlen(text), value_out) != 0 || *value_out < 1 || *value_out > most)) {
        return cli_usage("replay", "%s takes a number from 1 to %lld", flag, (long long)most);
    }
    return 0;
}

static int replay_file(struct replay *replay)
{
    struct error err;
    replay->file = fopen(replay->file_name, "re");
    if (replay->file == NULL) {
        return cli_fail(EXIT_CODE_FAILED, "%s: %s", replay->file_name, strerror(errno));
    }
    int code = EXIT_CODE_NOT_RUNNING;
    if (target_find(replay->cli, &replay->target, &err) != 0) {
        cli_fail(code, "%s", err.text);
    } else {
        replay->http = http_create(replay->target.address, replay->target.key);
        code = replay_all(replay);
        LIST_FOR_EACH(node, &replay->lanes)
        {
            lane_destroy(LIST_ENTRY(node, struct lane, in_replay));
        }
        http_destroy(&replay->http);
    }
    target_deinit(&replay->target);
    fclose(replay->file);
    return code;
}

int command_replay(const struct cli *cli, int argc, char **argv)
{
    const char *check = NULL;
    const char *concurrency = NULL;
    const char *rate = NULL;
    const struct option_spec specs[] = {{"--check", &check, NULL},
                                        {"--concurrency", &concurrency, NULL},
                                        {"--rate", &rate, NULL},
                                        {0}};
    struct error err;
    if (options_parse(argc, argv, specs, 1, 1, &err) < 0) {
        return cli_usage("replay", "%s", err.text);
    }
    if (check != NULL) {
        return replay_check(cli, check, argv[1]);
    }
    struct replay replay = {.cli = cli,
                            .file_name = argv[1],
                            .concurrency = 1,
                            .interactive = isatty(STDERR_FILENO) == 1};
    int code =
        parse_count(concurrency, "--concurrency", REPLAY_CONCURRENCY_MAX, &replay.concurrency);
    if (code == 0) {
        code = parse_count(rate, "--rate", REPLAY_RATE_MAX, &replay.rate);
    }
    if (code != 0) {
        return code;
    }
    list_init(&replay.lanes);
    srandom((unsigned)clock_real_us());
    return replay_file(&replay);
}
