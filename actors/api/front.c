/* See front.h. */
#include "api/front.h"

#include "api/exchange.h"
#include "api/ndjson.h"
#include "api/routes.h"
#include "api/session.h"
#include "runtime/base/log.h"
#include "runtime/base/number.h"
#include "runtime/base/uuid.h"

#include <string.h>

/* What is read of a request that will be refused anyway: enough that most clients get to read the
 * answer on a connection that stays open. */
enum { REFUSED_BODY_BYTES = 64 << 10 };

static enum match_result find(struct http_request *request, struct match *match)
{
    return match_route(routes, routes_count, http_request_method(request),
                       http_request_path(request), match);
}

static bool asks_for_key(const struct route *route, const struct http_request *request)
{
    return route->scope != SCOPE_OPEN &&
           !(route->open_on_loopback && http_request_is_loopback(request));
}

/* 401 says the same whatever was wrong. */
static void refuse(struct exchange *exchange, const char *reason)
{
    LOG_INFO("request not authenticated", LOG_INT("request", exchange->number),
             LOG_TRACE("trace_id", exchange->trace.id), LOG_TEXT("route", exchange->route->pattern),
             LOG_TEXT("reason", reason));
    if (limit_wrong_key(exchange)) {
        return;
    }
    exchange_problem(exchange, PROBLEM_UNAUTHENTICATED,
                     "This needs a valid api key or token in Authorization: Bearer.", NULL);
}

static void no_route(struct exchange *exchange, enum match_result result, const char *allow)
{
    struct buffer body = {0};
    if (result == MATCH_NO_PATH) {
        exchange_problem(exchange, PROBLEM_NOT_FOUND, "There is nothing at this path.", NULL);
        return;
    }
    problem_write(&body, PROBLEM_METHOD_NOT_ALLOWED, "This path does not have this method.", NULL);
    exchange_reply(exchange, 405, PROBLEM_MEDIA_TYPE,
                   (const struct http_field[]){{"Allow", allow}, {NULL, NULL}}, &body);
    buffer_deinit(&body);
}

/* Authorization decides alone when it is there: a cookie beside it is not looked at. */
static bool find_credential(const struct api *api, const struct http_request *request,
                            struct auth_credential *credential_out)
{
    size_t count = 0;
    struct http_text field = http_request_field(request, "Authorization", &count);
    if (count == 0) {
        return session_cookie(request, credential_out);
    }
    return count == 1 && auth_bearer(api->auth, field, credential_out);
}

/* Bytes the request says it will send: 0 when it does not say. */
static int64_t announced(const struct http_request *request)
{
    struct http_text length = http_request_field(request, "Content-Length", NULL);
    int64_t bytes = 0;
    if (length.data != NULL && number_parse(length.data, length.length, &bytes) != 0) {
        bytes = INT64_MAX;
    }
    return bytes;
}

/* A large body is refused before it is read when nobody would look at it. */
int64_t front_head(void *arg, struct http_request *request)
{
    struct api *api = arg;
    struct match match;
    struct auth_credential credential;
    bool refused =
        find(request, &match) != MATCH_FOUND ||
        (asks_for_key(match.route, request) && !find_credential(api, request, &credential));
    if (refused && announced(request) > REFUSED_BODY_BYTES) {
        front_handle(arg, request);
        return -1;
    }
    if (refused) {
        return REFUSED_BODY_BYTES;
    }
    if (match.route->append_body && ndjson_is_asked(request)) {
        http_request_stream_body(request);
        /* One in chunks is judged as it comes, so that the answer can say how far it was taken. */
        return announced(request) > 0
                   ? settings_int(api->actor->settings, SETTING_HTTP_NDJSON_BYTES)
                   : INT64_MAX;
    }
    return settings_int(api->actor->settings, match.route->append_body
                                                  ? SETTING_HTTP_APPEND_BODY_BYTES
                                                  : SETTING_HTTP_BODY_BYTES);
}

static bool is_allowed(const struct exchange *exchange)
{
    const struct route *route = exchange->route;
    return (exchange->who.scopes & (unsigned)route->scope) != 0 &&
           (!route->shows_run || (exchange->who.scopes & SCOPE_READ) != 0);
}

/* Who asks is known. */
static void enter(struct exchange *exchange)
{
    struct http_text segment = exchange->segment;
    if (!is_allowed(exchange)) {
        LOG_INFO("request forbidden", LOG_INT("request", exchange->number),
                 LOG_TRACE("trace_id", exchange->trace.id),
                 LOG_TEXT("route", exchange->route->pattern),
                 LOG_UUID("key_id", &exchange->who.key));
        exchange_problem(exchange, PROBLEM_FORBIDDEN, "The key lacks the scope this needs.", NULL);
        return;
    }
    if (segment.data != NULL && !exchange->route->free_ids &&
        uuid_parse(segment.data, segment.length, &exchange->id) != 0) {
        exchange_problem(exchange, PROBLEM_NOT_FOUND, "There is nothing with this id.", NULL);
        return;
    }
    exchange->route->handle(exchange);
}

static void judged(struct exchange *exchange, enum auth_verdict verdict,
                   const struct principal *who)
{
    switch (verdict) {
    case AUTH_OK:
        exchange->who = *who;
        if (who->kind != AUTH_SESSION || session_guard(exchange) == 0) {
            limit_pass(exchange, enter);
        }
        return;
    case AUTH_REFUSED:
        refuse(exchange, "the key is unknown, wrong, expired or revoked");
        return;
    case AUTH_BUSY:
        exchange_problem(exchange, PROBLEM_BUSY, "Too many keys are being looked up.", NULL);
        return;
    case AUTH_UNAVAILABLE:
        exchange_unavailable(exchange);
        return;
    case AUTH_WAIT:
        return;
    }
}

static void judged_later(void *arg, enum auth_verdict verdict, const struct principal *who)
{
    struct exchange *exchange = arg;
    if (exchange_resume(exchange)) {
        judged(exchange, verdict, who);
    }
}

static void identify(struct exchange *exchange)
{
    struct api *api = exchange->api;
    struct auth_credential credential;
    struct principal who;
    if (!find_credential(api, exchange->request, &credential)) {
        refuse(exchange, "no well-formed key");
        return;
    }
    exchange_hold(exchange);
    enum auth_verdict verdict = auth_check(api->auth, &credential, &who, judged_later, exchange);
    if (verdict != AUTH_WAIT && exchange_resume(exchange)) {
        judged(exchange, verdict, &who);
    }
}

void front_handle(void *arg, struct http_request *request)
{
    struct exchange *exchange = exchange_begin(arg, request);
    struct match match;
    enum match_result result = find(request, &match);
    if (result != MATCH_FOUND) {
        no_route(exchange, result, match.allow);
        return;
    }
    exchange->route = match.route;
    exchange->segment = match.segment;
    exchange->second = match.second;
    if (asks_for_key(match.route, request)) {
        identify(exchange);
    } else {
        limit_pass(exchange, match.route->handle);
    }
}

void front_body(void *arg SB_UNUSED, struct http_request *request SB_UNUSED, void *user,
                struct http_text piece, bool last)
{
    ndjson_take(user, piece, last); /* the only route that streams its body */
}

void front_abandoned(void *arg SB_UNUSED, struct http_request *request SB_UNUSED, void *user)
{
    if (user != NULL) {
        exchange_abandon(user);
    }
}

void front_problem(void *arg SB_UNUSED, int status SB_UNUSED, const char *slug, const char *detail,
                   struct buffer *body)
{
    enum problem problem;
    if (problem_find(slug, &problem) != 0) {
        problem = PROBLEM_INVALID_REQUEST;
    }
    problem_write(body, problem, detail, NULL);
}
