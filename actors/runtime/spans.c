/* See spans.h. */
#include "runtime/spans.h"

#include "runtime/base/log.h"
#include "runtime/base/memory.h"
#include "runtime/base/metrics.h"
#include "runtime/fetch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    SPANS_MAX = 4096, /* waiting, those under way among them */
    SPANS_BATCH = 512,
    SPANS_PERIOD_S = 1,
    SPANS_TIMEOUT_MS = 5000,
    SPANS_ANSWER_MAX = 64 << 10
};

struct spans {
    struct actor *actor; /* borrowed */
    struct fetch *fetch;
    struct event *timer; /* added while something waits and nothing is under way */
    const char *url;     /* in the settings */
    bool all;
    bool failing;
    size_t first;
    size_t count;
    size_t under_way; /* the first ones: with the collector */
    struct buffer body;
    struct span ring[SPANS_MAX];
};

/* The collector has taken the first `count`, or they are lost. */
static void release(struct spans *spans, size_t count, enum metric metric)
{
    spans->first = (spans->first + count) % SPANS_MAX;
    spans->count -= count;
    metric_add(metric, (int64_t)count);
}

static void schedule(struct spans *spans)
{
    if (spans->under_way > 0 || spans->count == 0) {
        return;
    }
    if (spans->count >= SPANS_BATCH) {
        event_active(spans->timer, EV_TIMEOUT, 0);
    } else if (!event_pending(spans->timer, EV_TIMEOUT, NULL)) {
        event_add(spans->timer, &(struct timeval){SPANS_PERIOD_S, 0});
    }
}

/* One line when it begins and one when it is over. */
static void note(struct spans *spans, bool failing, const char *reason)
{
    if (failing != spans->failing) {
        spans->failing = failing;
        LOG_AT(failing ? LOG_LEVEL_WARN : LOG_LEVEL_INFO,
               failing ? "the collector does not take spans" : "the collector takes spans again",
               LOG_TEXT("reason", reason));
    }
}

static void sent(void *arg, const struct message_fetched *answer)
{
    struct spans *spans = arg;
    size_t count = spans->under_way;
    bool taken = answer != NULL && answer->status >= 200 && answer->status < 300;
    char reason[128] = "no answer";
    if (answer != NULL && answer->status > 0) {
        snprintf(reason, sizeof reason, "status %d", (int)answer->status);
    } else if (answer != NULL) {
        snprintf(reason, sizeof reason, "%.*s", (int)answer->error.length,
                 (const char *)answer->error.data);
    }
    spans->under_way = 0;
    release(spans, count, taken ? METRIC_SPANS_EXPORTED : METRIC_SPANS_DROPPED);
    note(spans, !taken, taken ? NULL : reason);
    schedule(spans);
}

static void send_first(evutil_socket_t fd SB_UNUSED, short what SB_UNUSED, void *arg)
{
    static const char method[] = "POST";
    static const char headers[] = "Content-Type: application/json\n";
    struct spans *spans = arg;
    struct error err;
    size_t count = spans->count < SPANS_BATCH ? spans->count : SPANS_BATCH;
    if (spans->under_way > 0 || count == 0) {
        return;
    }
    buffer_clear(&spans->body);
    otlp_write(&spans->body, spans->actor->instance, spans->ring, SPANS_MAX, spans->first, count);
    struct message_fetch request = {
        .method = {(const uint8_t *)method, sizeof method - 1},
        .url = {(const uint8_t *)spans->url, strlen(spans->url)},
        .headers = {(const uint8_t *)headers, sizeof headers - 1},
        .body = {spans->body.data, spans->body.length},
        .timeout_ms = SPANS_TIMEOUT_MS,
        .answer_max = SPANS_ANSWER_MAX,
    };
    spans->under_way = count;
    if (fetch_send(spans->fetch, &request, sent, spans, &err) != 0) {
        spans->under_way = 0;
        release(spans, count, METRIC_SPANS_DROPPED);
        note(spans, true, err.text);
        schedule(spans);
    }
}

int spans_create(struct actor *actor, struct spans **spans_out, struct error *err)
{
    const char *url = settings_text(actor->settings, SETTING_TRACE_OTLP_URL);
    char port[16];
    *spans_out = NULL;
    if (url[0] == '\0') {
        return 0;
    }
    int number = otlp_port(url);
    if (number < 0) {
        return error_set(err, "trace.otlp_url is no http or https URL");
    }
    struct spans *spans = memory_new(sizeof *spans);
    spans->actor = actor;
    spans->url = url;
    spans->all = settings_bool(actor->settings, SETTING_TRACE_ALL);
    snprintf(port, sizeof port, "%d", number);
    /* Whoever runs the server chose the address, wherever it is: only that port is open. */
    spans->fetch = fetch_create_reaching(
        actor, &(struct fetch_reach){.http = true, .allow = "0.0.0.0/0, ::/0", .ports = port});
    spans->timer = event_new(actor->base, -1, 0, send_first, spans);
    *spans_out = spans;
    return 0;
}

void spans_destroy(struct spans **spans)
{
    if (*spans == NULL) {
        return;
    }
    (*spans)->failing = true; /* that a request is broken off now needs no line */
    fetch_destroy(&(*spans)->fetch);
    release(*spans, (*spans)->count, METRIC_SPANS_DROPPED);
    event_free((*spans)->timer);
    buffer_deinit(&(*spans)->body);
    free(*spans);
    *spans = NULL;
}

bool spans_want(const struct spans *spans, const struct trace *trace)
{
    return spans != NULL && (spans->all || (trace->given && trace->sampled));
}

void spans_add(struct spans *spans, const struct span *span)
{
    if (spans->count == SPANS_MAX) {
        metric_add(METRIC_SPANS_DROPPED, 1);
        return;
    }
    spans->ring[(spans->first + spans->count) % SPANS_MAX] = *span;
    spans->count++;
    schedule(spans);
}
