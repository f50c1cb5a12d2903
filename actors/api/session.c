/*
 * Browser sessions. The cookie holds a random secret of which only the keyed hash is stored; it is
 * made anew at every login and never taken from a client. Because a browser sends a cookie on its
 * own, a request with one has to show that a page of ours wrote it: by its Origin, and to change
 * anything also by the session's token in X-CSRF-Token and a JSON content type.
 */
#include "api/session.h"

#include "api/fields.h"
#include "api/listing.h"
#include "runtime/base/clock.h"
#include "runtime/base/log.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define COOKIE_NAME "__Host-signalbox-session"
#define COOKIE_RULES "; Path=/; Secure; HttpOnly; SameSite=Strict"

enum { COOKIE_SIZE = 256 };

/* ---- the cookie ---- */

static struct http_text trim(struct http_text text)
{
    while (text.length > 0 && (*text.data == ' ' || *text.data == '\t')) {
        text.data++;
        text.length--;
    }
    while (text.length > 0 &&
           (text.data[text.length - 1] == ' ' || text.data[text.length - 1] == '\t')) {
        text.length--;
    }
    return text;
}

bool session_cookie(const struct http_request *request, struct auth_credential *credential_out)
{
    static const char start[] = COOKIE_NAME "=";
    size_t start_length = sizeof start - 1;
    size_t fields = 0;
    size_t found = 0;
    struct http_text rest = http_request_field(request, "Cookie", &fields);
    struct http_text secret = {0};
    if (fields != 1) {
        return false;
    }
    while (rest.length > 0) {
        const char *semicolon = memchr(rest.data, ';', rest.length);
        size_t length = semicolon == NULL ? rest.length : (size_t)(semicolon - rest.data);
        struct http_text pair = trim((struct http_text){rest.data, length});
        if (pair.length > start_length && memcmp(pair.data, start, start_length) == 0) {
            secret = (struct http_text){pair.data + start_length, pair.length - start_length};
            found++;
        }
        size_t taken = semicolon == NULL ? length : length + 1;
        rest = (struct http_text){rest.data + taken, rest.length - taken};
    }
    /* Two of them: somebody else may have set one. */
    return found == 1 && auth_cookie(secret, credential_out);
}

/* ---- what a request with a cookie has to prove ---- */

static bool is(struct http_text text, const char *want)
{
    return text.length == strlen(want) && memcmp(text.data, want, text.length) == 0;
}

bool session_in_list(const char *list, struct http_text origin)
{
    while (*list != '\0') {
        size_t length = strcspn(list, ",");
        struct http_text one = trim((struct http_text){list, length});
        if (one.length > 0 && one.length == origin.length &&
            memcmp(one.data, origin.data, one.length) == 0) {
            return true;
        }
        list += length + (list[length] == ',' ? 1 : 0);
    }
    return false;
}

/* http or https: which of them a proxy before us speaks is not known here. */
bool session_is_own_origin(const struct exchange *exchange, struct http_text origin)
{
    static const char *const schemes[] = {"https://", "http://"};
    struct http_text host = http_request_field(exchange->request, "Host", NULL);
    for (size_t i = 0; i < 2; i++) {
        size_t length = strlen(schemes[i]);
        if (origin.length == length + host.length && host.length > 0 &&
            memcmp(origin.data, schemes[i], length) == 0 &&
            strncasecmp(origin.data + length, host.data, host.length) == 0) {
            return true;
        }
    }
    return session_in_list(settings_text(exchange->api->actor->settings, SETTING_AUTH_ORIGINS),
                           origin);
}

/* Reading may go without both fields, as a typed address or an old browser does. */
static bool comes_from_us(const struct exchange *exchange, bool reads)
{
    size_t origins = 0;
    size_t sites = 0;
    struct http_text origin = http_request_field(exchange->request, "Origin", &origins);
    struct http_text site = http_request_field(exchange->request, "Sec-Fetch-Site", &sites);
    if (origins > 0) {
        return origins == 1 && session_is_own_origin(exchange, origin);
    }
    if (sites > 0) {
        return sites == 1 && (is(site, "same-origin") || (reads && is(site, "none")));
    }
    return reads;
}

static bool has_token(const struct exchange *exchange)
{
    char want[AUTH_CSRF_SIZE];
    size_t count = 0;
    struct http_text token = http_request_field(exchange->request, "X-CSRF-Token", &count);
    auth_csrf_token(exchange->api->auth, exchange->who.public_id, want);
    return count == 1 && token.length == sizeof want - 1 &&
           sodium_memcmp(token.data, want, token.length) == 0;
}

static bool is_json(const struct exchange *exchange)
{
    static const char json[] = "application/json";
    size_t length = sizeof json - 1;
    size_t count = 0;
    struct http_text type = http_request_field(exchange->request, "Content-Type", &count);
    return count == 1 && type.length >= length && strncasecmp(type.data, json, length) == 0 &&
           (type.length == length || type.data[length] == ';' || type.data[length] == ' ');
}

static int refuse(struct exchange *exchange, const char *detail)
{
    LOG_INFO("request of a session refused", LOG_INT("request", exchange->number),
             LOG_TEXT("route", exchange->route->pattern), LOG_TEXT("reason", detail));
    exchange_problem(exchange, PROBLEM_CROSS_SITE_REQUEST, detail, NULL);
    return -1;
}

int session_guard(struct exchange *exchange)
{
    struct http_text method = http_request_method(exchange->request);
    bool reads = is(method, "GET") || is(method, "HEAD");
    bool empty = http_request_body(exchange->request).length == 0;
    if (!comes_from_us(exchange, reads)) {
        return refuse(exchange, "The request does not come from a page of this server.");
    }
    if (!reads && !has_token(exchange)) {
        return refuse(exchange, "X-CSRF-Token is not that of the session.");
    }
    if (!reads && !(is(method, "DELETE") && empty) && !is_json(exchange)) {
        exchange_problem(exchange, PROBLEM_UNSUPPORTED_MEDIA_TYPE,
                         "With a session the body must be application/json.", NULL);
        return -1;
    }
    return 0;
}

/* ---- POST /session ---- */

static void started(void *arg, enum db_status status, const struct db_result *result)
{
    struct exchange *exchange = arg;
    char cookie[COOKIE_SIZE];
    char token[AUTH_CSRF_SIZE];
    char more[AUTH_CSRF_SIZE + 32];
    int64_t life_s = (exchange->secret.expires_us - clock_real_us()) / 1000000;
    snprintf(cookie, sizeof cookie, COOKIE_NAME "=%s; Max-Age=%lld" COOKIE_RULES,
             exchange->secret.text, (long long)(life_s < 0 ? 0 : life_s));
    sodium_memzero(exchange->secret.text, sizeof exchange->secret.text);
    if (exchange_resume(exchange)) {
        if (status != DB_OK) {
            listing_failed(exchange, status);
        } else {
            auth_csrf_token(exchange->api->auth, exchange->secret.public_id, token);
            snprintf(more, sizeof more, "\"csrf_token\":\"%s\",", token);
            listing_one(exchange, 201, more, result,
                        (const struct http_field[]){{"Set-Cookie", cookie}, {NULL, NULL}});
        }
    }
    sodium_memzero(cookie, sizeof cookie);
}

void session_start(struct exchange *exchange)
{
    static const char *const known[] = {NULL};
    static const struct uuid nobody;
    struct api *api = exchange->api;
    const struct principal *who = &exchange->who;
    uint8_t hash[API_KEY_HASH_BYTES];
    struct buffer scopes = {0};
    json_t *body = fields_read(exchange, known);
    if (body == NULL) {
        return;
    }
    json_decref(body);
    if (who->kind == AUTH_SESSION) {
        exchange_problem(exchange, PROBLEM_FORBIDDEN,
                         "A session is opened with an api key or a token.", NULL);
        return;
    }
    int64_t ends_us =
        clock_real_us() + settings_int(api->actor->settings, SETTING_AUTH_SESSION_MS) * 1000;
    exchange->secret.expires_us = ends_us < who->expires_us ? ends_us : who->expires_us;
    auth_make_secret(api->auth, API_KEY_SESSION, exchange->secret.text, exchange->secret.public_id,
                     hash);
    scope_write(&scopes, who->scopes, false);
    const struct store_new_session session = {.id = uuid_new(),
                                              .tenant = who->tenant,
                                              .key = who->kind == AUTH_KEY ? who->key : nobody,
                                              .public_id = exchange->secret.public_id,
                                              .hash = hash,
                                              .scopes = buffer_text(&scopes),
                                              .user = who->user,
                                              .expires_us = exchange->secret.expires_us,
                                              .actor = who->actor};
    exchange_hold(exchange);
    store_make_session(api->store, &session, started, exchange);
    buffer_deinit(&scopes);
}

/* ---- GET /session ---- */

static void text_member(struct buffer *out, const char *name, const char *text)
{
    buffer_printf(out, "\"%s\":", name);
    buffer_append_json(out, text, strlen(text));
    buffer_append_byte(out, ',');
}

void session_show(struct exchange *exchange)
{
    static const char *const kinds[] = {
        [AUTH_KEY] = "key", [AUTH_TOKEN] = "token", [AUTH_SESSION] = "session"};
    const struct principal *who = &exchange->who;
    struct buffer *body = &exchange->api->text;
    char tenant[UUID_TEXT_SIZE];
    uuid_format(&who->tenant, tenant);
    buffer_clear(body);
    buffer_append_byte(body, '{');
    text_member(body, "kind", kinds[who->kind]);
    text_member(body, "tenant_id", tenant);
    text_member(body, "user", who->user);
    if (who->kind == AUTH_SESSION) {
        char token[AUTH_CSRF_SIZE];
        auth_csrf_token(exchange->api->auth, who->public_id, token);
        text_member(body, "csrf_token", token);
    }
    buffer_append_text(body, "\"scopes\":");
    scope_write(body, who->scopes, true);
    buffer_append_text(body, ",\"expires_at\":");
    if (who->expires_us == INT64_MAX) {
        buffer_append_text(body, "null}");
    } else {
        char text[CLOCK_TEXT_SIZE];
        clock_format(who->expires_us, text);
        buffer_printf(body, "\"%s\"}", text);
    }
    exchange_json(exchange, 200, body);
}

/* ---- DELETE /session ---- */

static void ended(void *arg, enum db_status status, const struct db_result *result SB_UNUSED)
{
    struct exchange *exchange = arg;
    if (!exchange_resume(exchange)) {
        return;
    }
    if (status != DB_OK) {
        listing_failed(exchange, status);
        return;
    }
    exchange_reply(exchange, 204, NULL,
                   (const struct http_field[]){
                       {"Set-Cookie", COOKIE_NAME "=; Max-Age=0" COOKIE_RULES}, {NULL, NULL}},
                   NULL);
}

void session_end(struct exchange *exchange)
{
    const struct principal *who = &exchange->who;
    if (who->kind != AUTH_SESSION) {
        exchange_problem(exchange, PROBLEM_NOT_FOUND, "The request comes with no session.", NULL);
        return;
    }
    exchange_hold(exchange);
    store_end_session(exchange->api->store, &who->tenant, &who->key, who->actor, ended, exchange);
}
