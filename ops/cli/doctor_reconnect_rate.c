/*
 * docs/runbooks/reconnect-rate.md as steps: what lies between (a proxy), how often the server beats,
 * and what the clients do. A stream is opened on a run of the key in DIR/api-key; with --through
 * HOST:PORT a second one through what stands there.
 */
#include "ops/cli/doctor.h"

#include "runtime/base/clock.h"

#include <stdio.h>
#include <string.h>

enum {
    FIRST_BYTE_MS = 2000,
    PROXY_PATIENCE_MS = 5000,
    BEAT_PATIENCE_MS = 65000,
    BEAT_MS_MAX = 30000, /* common idle limits of balancers lie at 60 s */
    WATCH_MS = 3000,
    OPENED_FLOOR = 10 /* in WATCH_MS; below that it is nobody's storm */
};

/* A run that the key may read, live ones first; false when there is none. */
static bool find_run(struct doctor *doctor, bool live, char *id_out, size_t size)
{
    struct buffer body = {0};
    struct error err;
    bool found = false;
    size_t index;
    const json_t *run;
    if (http_get(doctor->http, "/api/v1/runs?limit=1000", &body, &err) == 200) {
        json_t *page = json_loadb((char *)body.data, body.length, 0, NULL);
        json_array_foreach(json_object_get(page, "runs"), index, run)
        {
            const char *id = json_string_value(json_object_get(run, "id"));
            const char *status = json_string_value(json_object_get(run, "status"));
            bool open = status != NULL &&
                        (strcmp(status, "running") == 0 || strcmp(status, "interrupted") == 0);
            if (!found && id != NULL && (open || !live)) {
                snprintf(id_out, size, "%s", id);
                found = true;
            }
        }
        json_decref(page);
    }
    buffer_deinit(&body);
    return found;
}

static void look_through(struct doctor *doctor, const char *run_id, int64_t direct_ms,
                         struct doctor_finding *finding)
{
    struct http *http = http_create(doctor->through, doctor->key);
    struct doctor_stream stream;
    struct doctor_look wanted = {
        .run_id = run_id, .until_seq = 1, .until_pings = 1, .patience_ms = PROXY_PATIENCE_MS};
    int64_t started_ms = clock_monotonic_ms();
    doctor_stream_look(http, &wanted, &stream);
    http_destroy(&http);
    bool silent = clock_monotonic_ms() - started_ms >= PROXY_PATIENCE_MS;
    if (stream.status != 200 && !silent) {
        doctor_problem(finding, "through %.100s: %.200s", doctor->through, stream.fault.text);
        doctor_todo(finding, "the proxy must pass HTTP/1.1 on and must not buffer");
    } else if (stream.first_ms < 0 || stream.first_ms > direct_ms + FIRST_BYTE_MS) {
        doctor_problem(finding, "directly the first bytes come after %lld ms, through %.100s %s",
                       (long long)direct_ms, doctor->through,
                       stream.first_ms < 0 ? "none within 5 s" : "seconds later");
        doctor_todo(finding, "it holds bytes back: X-Accel-Buffering is sent; nginx: "
                             "proxy_buffering off");
    } else {
        doctor_ok(finding, "first bytes after %lld ms directly, after %lld ms through %.100s",
                  (long long)direct_ms, (long long)stream.first_ms, doctor->through);
    }
}

static void look_proxy(struct doctor *doctor, struct doctor_finding *finding)
{
    char run_id[64];
    struct doctor_stream stream;
    if (!find_run(doctor, false, run_id, sizeof run_id)) {
        doctor_unknown(finding, "the key in DIR/api-key has no run to read");
        doctor_todo(finding, "create a run, then look again");
        return;
    }
    doctor_stream_look(
        doctor->http,
        &(struct doctor_look){
            .run_id = run_id, .until_seq = 1, .until_pings = 1, .patience_ms = PROXY_PATIENCE_MS},
        &stream);
    if (stream.status != 200 || stream.first_ms < 0 || stream.first_ms > FIRST_BYTE_MS) {
        doctor_problem(finding,
                       "the server itself is slow or refuses: status %d, first bytes "
                       "after %lld ms %.200s",
                       stream.status, (long long)stream.first_ms, stream.fault.text);
        doctor_todo(finding, "no proxy's fault: signalbox status, signalbox doctor");
    } else if (doctor->through != NULL) {
        look_through(doctor, run_id, stream.first_ms, finding);
    } else {
        doctor_ok(finding, "past every proxy the first bytes come after %lld ms",
                  (long long)stream.first_ms);
        doctor_todo(finding, "compare what clients connect to: --through HOST:PORT");
    }
}

static void look_heartbeat(struct doctor *doctor, struct doctor_finding *finding)
{
    char run_id[64];
    struct doctor_stream stream;
    if (!find_run(doctor, true, run_id, sizeof run_id)) {
        doctor_unknown(finding, "no live run to watch");
        doctor_todo(finding, "look again while a run is live; a ping is due every stream.ping_ms");
        return;
    }
    doctor_stream_look(
        doctor->http,
        &(struct doctor_look){.run_id = run_id,
                              .until_pings = 3,
                              /* the first comes at once */ .patience_ms = BEAT_PATIENCE_MS},
        &stream);
    if (stream.ping_gap_ms < 0 || stream.ping_gap_ms > BEAT_MS_MAX) {
        doctor_problem(finding, "%lld pings within %d s", (long long)stream.pings,
                       BEAT_PATIENCE_MS / 1000);
        doctor_todo(finding, "set stream.ping_ms below every idle limit on the way, then signalbox "
                             "reload");
    } else {
        doctor_ok(finding, "a ping every %lld ms", (long long)stream.ping_gap_ms);
        doctor_todo(finding, "every idle limit on the way must be longer");
    }
}

struct stream_numbers {
    int64_t open;
    int64_t opened;
    int64_t stalled;
};

static int read_numbers(struct doctor *doctor, struct stream_numbers *out, struct error *err)
{
    struct buffer body = {0};
    int status = http_get(doctor->http, "/metrics", &body, err);
    const char *text = buffer_text(&body);
    *out =
        (struct stream_numbers){.open = doctor_metric(text, "signalbox_streams"),
                                .opened = doctor_metric(text, "signalbox_streams_opened_total"),
                                .stalled = doctor_metric(text, "signalbox_streams_stalled_total")};
    buffer_deinit(&body);
    return status == 200 ? 0 : -1;
}

/* The clients' logs are theirs; what they do shows in the counters. */
static void look_clients(struct doctor *doctor, struct doctor_finding *finding)
{
    struct stream_numbers before;
    struct stream_numbers after;
    struct error err = {""};
    if (read_numbers(doctor, &before, &err) != 0) {
        doctor_unknown(finding, "no metrics: %.300s", err.text);
        return;
    }
    doctor_pause(WATCH_MS);
    if (read_numbers(doctor, &after, &err) != 0) {
        doctor_unknown(finding, "no metrics: %.300s", err.text);
        return;
    }
    long long opened = (long long)(after.opened - before.opened);
    long long stalled = (long long)(after.stalled - before.stalled);
    if (stalled > 0) {
        doctor_problem(finding, "%lld streams closed in 3 s because their reader took nothing",
                       stalled);
        doctor_todo(finding, "the clients do not read; nothing on the server helps");
    } else if (opened > OPENED_FLOOR && opened > after.open / 4) {
        doctor_problem(finding, "%lld streams opened in 3 s, %lld are open", opened,
                       (long long)after.open);
        doctor_todo(finding,
                    "read a client's log: does it send Last-Event-ID, keep the retry time, "
                    "stop at 204, take a body that breaks off for an error?");
    } else {
        doctor_ok(finding, "%lld streams open, %lld opened in 3 s, none stalled",
                  (long long)after.open, opened);
    }
}

static const struct doctor_step steps[] = {{"A proxy between buffers or cuts", look_proxy},
                                           {"The heartbeat", look_heartbeat},
                                           {"The client's log", look_clients},
                                           {0}};

const struct doctor_book DOCTOR_RECONNECT_RATE = {
    .name = "reconnect-rate", .about = "readers connect again and again", .steps = steps};
