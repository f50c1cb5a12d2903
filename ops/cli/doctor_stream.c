/*
 * A look at a stream as a client sees it: how soon bytes come, whether seqs are dense, how it ends,
 * how often it beats. Keeps counters only, however long the run is. Also reads numbers out of the
 * Prometheus text.
 */
#include "ops/cli/doctor.h"
#include "ops/cli/sse.h"

#include "runtime/base/clock.h"
#include "runtime/base/number.h"

#include <stdio.h>
#include <string.h>

struct look {
    const struct doctor_look *wanted;
    struct doctor_stream *seen;
    struct sse sse;
    int64_t started_ms;
    int64_t ping_ms; /* of the last one; 0: none yet */
    bool over;
    bool cut; /* by us: everything was seen */
};

static void take_run_event(struct look *look, const struct sse_event *event)
{
    struct doctor_stream *seen = look->seen;
    int64_t id = -1;
    bool numbered = event->id != NULL && number_parse(event->id, strlen(event->id), &id) == 0;
    json_t *data = json_loadb(event->data, event->data_length, 0, NULL);
    const char *type = json_string_value(json_object_get(data, "type"));
    if (!numbered || id != json_integer_value(json_object_get(data, "seq")) ||
        id != seen->last_seq + 1) {
        if (!seen->out_of_order) {
            error_set(&seen->fault, "seq %s follows seq %lld", event->id == NULL ? "-" : event->id,
                      (long long)seen->last_seq);
        }
        seen->out_of_order = true;
    } else if (seen->terminal[0] != '\0' && !seen->out_of_order) {
        seen->out_of_order = true;
        error_set(&seen->fault, "seq %lld stands behind the terminal event", (long long)id);
    }
    seen->first_seq = seen->events == 0 ? id : seen->first_seq;
    seen->last_seq = id;
    seen->events++;
    if (type != NULL && (strcmp(type, "RUN_FINISHED") == 0 || strcmp(type, "RUN_FAILED") == 0 ||
                         strcmp(type, "RUN_CANCELLED") == 0)) {
        snprintf(seen->terminal, sizeof seen->terminal, "%s", type);
    }
    json_decref(data);
}

static void take_ping(struct look *look)
{
    int64_t now_ms = clock_monotonic_ms();
    if (look->seen->pings > 0) {
        look->seen->ping_gap_ms = now_ms - look->ping_ms;
    }
    look->ping_ms = now_ms;
    look->seen->pings++;
}

static void take_event(void *arg, const struct sse_event *event)
{
    struct look *look = arg;
    if (strcmp(event->type, "message") == 0) {
        take_run_event(look, event);
    } else if (strcmp(event->type, "ping") == 0) {
        take_ping(look);
    } else if (strcmp(event->type, "reset") == 0) {
        json_t *data = json_loadb(event->data, event->data_length, 0, NULL);
        look->seen->reset_head = json_integer_value(json_object_get(data, "last_seq"));
        look->seen->last_seq = look->seen->reset_head;
        json_decref(data);
    }
}

/* An end that was reached comes by itself: the server closes behind the terminal event. */
static bool has_seen_all(const struct look *look)
{
    const struct doctor_look *wanted = look->wanted;
    return (wanted->until_reset && look->seen->reset_head >= 0) ||
           (wanted->until_seq > 0 && look->seen->last_seq >= wanted->until_seq) ||
           (wanted->until_pings > 0 && look->seen->pings >= wanted->until_pings);
}

/* -1 breaks the request off. */
static int take_chunk(void *arg, const void *bytes, size_t length)
{
    struct look *look = arg;
    if (look->seen->first_ms < 0) {
        look->seen->first_ms = clock_monotonic_ms() - look->started_ms;
    }
    int result = sse_feed(&look->sse, bytes, length, &look->seen->fault);
    look->cut = result == 0 && has_seen_all(look);
    return look->cut ? -1 : result;
}

static void take_answer(void *arg, const struct http_answer *answer)
{
    struct look *look = arg;
    look->over = true;
    look->seen->status = answer->status;
    look->seen->complete = answer->complete;
    if (answer->status != 200 && answer->status != 204) {
        http_problem(answer, &look->seen->fault);
    } else if (!answer->complete && !look->cut && look->seen->fault.text[0] == '\0') {
        error_set(&look->seen->fault, "%s", answer->reason);
    }
}

void doctor_stream_look(struct http *http, const struct doctor_look *wanted,
                        struct doctor_stream *stream_out)
{
    char path[128];
    char position[24];
    struct look look = {.wanted = wanted, .seen = stream_out, .started_ms = clock_monotonic_ms()};
    *stream_out = (struct doctor_stream){.looked = true,
                                         .first_ms = -1,
                                         .reset_head = -1,
                                         .ping_gap_ms = -1,
                                         .last_seq = wanted->after_seq};
    sse_init(&look.sse, take_event, &look);
    snprintf(path, sizeof path, "/api/v1/runs/%s/stream", wanted->run_id);
    snprintf(position, sizeof position, "%lld", (long long)wanted->after_seq);
    http_send(http, &(struct http_call){.method = "GET",
                                        .path = path,
                                        .last_event_id = wanted->after_seq > 0 ? position : NULL,
                                        .timeout_ms = wanted->patience_ms,
                                        .chunk = take_chunk,
                                        .done = take_answer,
                                        .arg = &look});
    while (!look.over) {
        http_run(http, 1000);
    }
    sse_deinit(&look.sse);
}

int64_t doctor_metric(const char *text, const char *name)
{
    int64_t sum = 0;
    bool found = false;
    size_t length = strlen(name);
    for (const char *line = text; line != NULL && *line != '\0';) {
        const char *end = strchr(line, '\n');
        size_t size = end == NULL ? strlen(line) : (size_t)(end - line);
        if (size > length && strncmp(line, name, length) == 0 && line[length] == '{') {
            size_t digits = 0;
            int64_t value = 0;
            while (digits < size && line[size - 1 - digits] != ' ') {
                digits++;
            }
            found = number_parse(line + size - digits, digits, &value) == 0 || found;
            sum += value;
        }
        line = end == NULL ? NULL : end + 1;
    }
    return found ? sum : -1;
}
