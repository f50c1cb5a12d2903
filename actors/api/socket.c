/* See socket.h. */
#include "api/socket.h"

#include "api/cursor.h"
#include "api/exchange.h"
#include "api/handover.h"
#include "api/session.h"

#include <string.h>
#include <strings.h>

#define VERSION "13"

static bool is(struct http_text text, const char *want)
{
    return text.length == strlen(want) && memcmp(text.data, want, text.length) == 0;
}

/* Whether one of the tokens of a list such as "keep-alive, Upgrade" is this one. */
static bool has_token(struct http_text list, const char *want)
{
    while (list.length > 0) {
        const char *comma = memchr(list.data, ',', list.length);
        size_t length = comma == NULL ? list.length : (size_t)(comma - list.data);
        const char *at = list.data;
        size_t left = length;
        while (left > 0 && (*at == ' ' || *at == '\t')) {
            at++;
            left--;
        }
        while (left > 0 && (at[left - 1] == ' ' || at[left - 1] == '\t')) {
            left--;
        }
        if (left == strlen(want) && strncasecmp(at, want, left) == 0) {
            return true;
        }
        length += comma == NULL ? 0 : 1;
        list = (struct http_text){list.data + length, list.length - length};
    }
    return false;
}

/* ---- what is wrong ---- */

static int refuse(struct exchange *exchange, enum problem problem, const char *detail)
{
    exchange_problem(exchange, problem, detail, NULL);
    return -1;
}

/* Says what would be spoken here. */
static int ask_for_upgrade(struct exchange *exchange, const char *detail)
{
    struct buffer body = {0};
    problem_write(&body, PROBLEM_UPGRADE_REQUIRED, detail, NULL);
    exchange_reply(exchange, 426, PROBLEM_MEDIA_TYPE,
                   (const struct http_field[]){
                       {"Upgrade", "websocket"}, {"Sec-WebSocket-Version", VERSION}, {NULL, NULL}},
                   &body);
    buffer_deinit(&body);
    return -1;
}

/* ---- the checks ---- */

/* Two of one of these could be read in two ways. */
static int check_counts(struct exchange *exchange)
{
    static const char *const names[] = {
        "Upgrade", "Connection", "Sec-WebSocket-Key", "Sec-WebSocket-Version", "Host", "Origin"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        size_t count = 0;
        (void)http_request_field(exchange->request, names[i], &count);
        if (count > 1) {
            return refuse(exchange, PROBLEM_INVALID_REQUEST,
                          "A field of the handshake is given twice.");
        }
    }
    return 0;
}

static int check_fields(struct exchange *exchange)
{
    const struct http_request *request = exchange->request;
    struct http_text version = http_request_field(request, "Sec-WebSocket-Version", NULL);
    struct http_text key = http_request_field(request, "Sec-WebSocket-Key", NULL);
    if (!is(http_request_method(request), "GET") ||
        !has_token(http_request_field(request, "Upgrade", NULL), "websocket") ||
        !has_token(http_request_field(request, "Connection", NULL), "Upgrade")) {
        return ask_for_upgrade(exchange, "This route is a WebSocket.");
    }
    if (!is(version, VERSION)) {
        return ask_for_upgrade(exchange, "Sec-WebSocket-Version must be " VERSION ".");
    }
    if (key.data == NULL || ws_accept(key.data, key.length, exchange->stream.accept) != 0) {
        return refuse(exchange, PROBLEM_INVALID_REQUEST,
                      "Sec-WebSocket-Key must be the base64 of 16 bytes.");
    }
    if (http_request_body(request).length > 0) {
        return refuse(exchange, PROBLEM_INVALID_REQUEST, "A handshake has no body.");
    }
    return 0;
}

/* What stands in an address ends in logs and histories: no key has a place there. */
static int check_query(struct exchange *exchange)
{
    if (http_request_query(exchange->request).length > 0) {
        return refuse(exchange, PROBLEM_INVALID_PARAMETER,
                      "This route takes no parameters; a key belongs into Authorization.");
    }
    return 0;
}

/* A browser sends cookies from any page, and always its Origin with a handshake: with a session it
 * must be there, and ours (which session_guard has seen to). */
static int check_origin(struct exchange *exchange)
{
    size_t count = 0;
    struct http_text origin = http_request_field(exchange->request, "Origin", &count);
    bool session = exchange->who.kind == AUTH_SESSION;
    if (count == 0 && session) {
        return refuse(exchange, PROBLEM_CROSS_SITE_REQUEST,
                      "With a session the handshake must say where it comes from (Origin).");
    }
    if (count > 0 && !session_is_own_origin(exchange, origin) &&
        (session ||
         !session_in_list(settings_text(exchange->api->actor->settings, SETTING_WEBSOCKET_ORIGINS),
                          origin))) {
        return refuse(exchange, PROBLEM_FORBIDDEN, "No WebSocket is opened for this Origin.");
    }
    return 0;
}

void socket_open(struct exchange *exchange)
{
    const struct cursor_key *secret = exchange->api->cursor_key;
    if (check_counts(exchange) != 0 || check_fields(exchange) != 0 || check_query(exchange) != 0 ||
        check_origin(exchange) != 0) {
        return;
    }
    exchange->stream.kind = STREAM_KIND_SOCKET;
    feed_tenant_key_derive(secret->bytes, sizeof secret->bytes, &exchange->who.tenant,
                           &exchange->stream.signing);
    handover_give(exchange->api->handover, exchange);
}
