/* See routes.h. One line a route: one glance gives the whole interface. */
#include "api/routes.h"

#include "api/agui.h"
#include "api/ai_sdk.h"
#include "api/events.h"
#include "api/jobs.h"
#include "api/jobs_claim.h"
#include "api/keys.h"
#include "api/operations.h"
#include "api/queues.h"
#include "api/runs.h"
#include "api/schedules.h"
#include "api/session.h"
#include "api/socket.h"
#include "api/stream.h"
#include "api/stream_feed.h"
#include "api/tenants.h"

/* clang-format off */
#define READ(method, pattern, handler) {method, pattern, SCOPE_READ, handler, .append_body = false}
#define STREAM(method, pattern, handler) {method, pattern, SCOPE_READ, handler, .is_stream = true}
#define APPEND(method, pattern, handler) {method, pattern, SCOPE_APPEND, handler, .append_body = false}
#define ADMIN(method, pattern, handler) {method, pattern, SCOPE_ADMIN, handler, .append_body = false}
#define ANYBODY(method, pattern, handler) {method, pattern, SCOPE_TENANT | SCOPE_OPERATOR, handler, .append_body = false}
#define OPEN(method, pattern, handler) {method, pattern, SCOPE_OPEN, handler, .append_body = false}

const struct route routes[] = {
    APPEND("POST", "/api/v1/runs", runs_create),
    READ("GET", "/api/v1/runs", runs_list),
    APPEND("POST", "/api/v1/runs/cancel", runs_cancel_all),
    READ("GET", "/api/v1/runs/{}", runs_get),
    APPEND("POST", "/api/v1/runs/{}/cancel", runs_cancel),
    APPEND("POST", "/api/v1/runs/{}/resume", runs_resume),
    APPEND("POST", "/api/v1/runs/{}/fork", runs_fork),
    APPEND("POST", "/api/v1/runs/{}/heartbeat", runs_heartbeat),
    {"POST", "/api/v1/runs/{}/events", SCOPE_APPEND, events_append, .append_body = true},
    STREAM("GET", "/api/v1/runs/{}/events", events_page),
    STREAM("GET", "/api/v1/runs/{}/stream", stream_open),
    APPEND("POST", "/api/v1/runs/{}/jobs", jobs_enqueue),
    READ("GET", "/api/v1/runs/{}/jobs", jobs_list_run),
    READ("GET", "/api/v1/jobs", jobs_list),
    APPEND("POST", "/api/v1/jobs/retry", jobs_retry_all),
    ADMIN("PUT", "/api/v1/jobs/pause", queues_pause_all),
    ADMIN("DELETE", "/api/v1/jobs/pause", queues_resume_all),
    READ("GET", "/api/v1/jobs/{}", jobs_get),
    APPEND("POST", "/api/v1/jobs/{}/cancel", jobs_cancel),
    APPEND("POST", "/api/v1/jobs/{}/retry", jobs_retry),
    READ("GET", "/api/v1/queues", queues_list),
    {"GET", "/api/v1/queues/{}", SCOPE_READ, queues_get, .free_ids = true},
    {"PUT", "/api/v1/queues/{}", SCOPE_ADMIN, queues_set, .free_ids = true},
    {"DELETE", "/api/v1/queues/{}", SCOPE_ADMIN, queues_reset, .free_ids = true},
    {"PUT", "/api/v1/job-types/{}/pause", SCOPE_ADMIN, queues_pause_type, .free_ids = true},
    {"DELETE", "/api/v1/job-types/{}/pause", SCOPE_ADMIN, queues_resume_type, .free_ids = true},
    APPEND("POST", "/api/v1/jobs/claim", jobs_claim),
    APPEND("POST", "/api/v1/jobs/{}/heartbeat", jobs_heartbeat),
    APPEND("POST", "/api/v1/jobs/{}/progress", jobs_progress),
    APPEND("POST", "/api/v1/jobs/{}/complete", jobs_complete),
    APPEND("POST", "/api/v1/jobs/{}/fail", jobs_fail),
    APPEND("POST", "/api/v1/jobs/{}/release", jobs_release),
    READ("GET", "/api/v1/schedules", schedules_list),
    {"GET", "/api/v1/schedules/{}", SCOPE_READ, schedules_get, .free_ids = true},
    {"PUT", "/api/v1/schedules/{}", SCOPE_ADMIN, schedules_set, .free_ids = true},
    {"DELETE", "/api/v1/schedules/{}", SCOPE_ADMIN, schedules_delete, .free_ids = true},
    STREAM("GET", "/api/v1/threads/{}/stream", stream_feed_thread),
    STREAM("GET", "/api/v1/threads/{}/chat", stream_feed_chat),
    STREAM("GET", "/api/v1/stream", stream_feed_tenant),
    {"POST", "/api/v1/agui/{}", SCOPE_APPEND, agui_run, .shows_run = true, .free_ids = true},
    {"GET", "/api/v1/agui/{}/runs/{}", SCOPE_READ, agui_attach, .free_ids = true},
    {"POST", "/api/v1/ai-sdk/chat", SCOPE_APPEND, ai_sdk_chat, .shows_run = true},
    {"GET", "/api/v1/ai-sdk/chat/{}/stream", SCOPE_READ, ai_sdk_stream, .free_ids = true},
    {"POST", "/api/v1/ai-sdk/chat/{}/stop", SCOPE_APPEND, ai_sdk_stop, .free_ids = true},
    READ("GET", "/api/v1/ws", socket_open),
    ADMIN("GET", "/api/v1/keys", keys_list),
    ADMIN("POST", "/api/v1/keys", keys_create),
    ADMIN("DELETE", "/api/v1/keys/{}", keys_revoke),
    ADMIN("GET", "/api/v1/tenants", tenants_list),
    {"POST", "/api/v1/tenants", SCOPE_OPERATOR, tenants_create, .append_body = false},
    ADMIN("GET", "/api/v1/tenants/{}", tenants_get),
    ADMIN("GET", "/api/v1/tenants/{}/quota", tenants_get_quota),
    {"PUT", "/api/v1/tenants/{}/quota", SCOPE_OPERATOR, tenants_set_quota, .append_body = false},
    ADMIN("GET", "/api/v1/audit", tenants_audit),
    ANYBODY("POST", "/api/v1/session", session_start),
    ANYBODY("GET", "/api/v1/session", session_show),
    ANYBODY("DELETE", "/api/v1/session", session_end),
    OPEN("GET", "/health", operations_health),
    OPEN("GET", "/ready", operations_ready),
    {"GET", "/metrics", SCOPE_ADMIN, operations_metrics, .open_on_loopback = true},
    OPEN("GET", "/problems/{}", operations_problem),
};
/* clang-format on */
const size_t routes_count = sizeof routes / sizeof *routes;
