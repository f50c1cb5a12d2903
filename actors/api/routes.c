/* See routes.h. One line a route: one glance gives the whole interface. */
#include "api/routes.h"

#include "api/events.h"
#include "api/operations.h"
#include "api/runs.h"
#include "api/stream.h"
#include "api/stream_feed.h"

/* clang-format off */
#define READ(method, pattern, handler) {method, pattern, SCOPE_READ, handler, false, false}
#define APPEND(method, pattern, handler) {method, pattern, SCOPE_APPEND, handler, false, false}
#define OPEN(method, pattern, handler) {method, pattern, SCOPE_OPEN, handler, false, false}

const struct route routes[] = {
    APPEND("POST", "/api/v1/runs", runs_create),
    READ("GET", "/api/v1/runs", runs_list),
    READ("GET", "/api/v1/runs/{}", runs_get),
    {"POST", "/api/v1/runs/{}/events", SCOPE_APPEND, events_append, .append_body = true, false},
    READ("GET", "/api/v1/runs/{}/events", events_page),
    READ("GET", "/api/v1/runs/{}/stream", stream_open),
    READ("GET", "/api/v1/threads/{}/stream", stream_feed_thread),
    READ("GET", "/api/v1/stream", stream_feed_tenant),
    OPEN("GET", "/health", operations_health),
    OPEN("GET", "/ready", operations_ready),
    {"GET", "/metrics", SCOPE_ADMIN, operations_metrics, false, .open_on_loopback = true},
    OPEN("GET", "/problems/{}", operations_problem),
};
/* clang-format on */
const size_t routes_count = sizeof routes / sizeof *routes;
