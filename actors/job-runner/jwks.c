/* See jwks.h. */
#include "job-runner/jwks.h"

#include "job-runner/store.h"
#include "runtime/base/log.h"
#include "runtime/base/memory.h"
#include "runtime/json.h"

#include <stdlib.h>
#include <string.h>

enum { TIMEOUT_MS = 15000, ANSWER_MAX = 64 << 10, AGAIN_MS = 30000, LEVELS = 8, KEYS = 1000 };

struct jwks {
    struct actor *actor; /* borrowed, as the next two */
    struct db *db;
    struct fetch *fetch;
    struct event *timer;
};

static void again_in(struct jwks *jwks, int64_t ms)
{
    struct timeval when = {ms / 1000, ms % 1000 * 1000};
    event_add(jwks->timer, &when);
}

/* Not before half a minute, and not later than the next regular time. */
static void failed(struct jwks *jwks, const char *why)
{
    int64_t regular_ms = settings_int(jwks->actor->settings, SETTING_AUTH_JWKS_REFRESH_MS);
    LOG_WARN("the keys of JWTs could not be fetched",
             LOG_TEXT("url", settings_text(jwks->actor->settings, SETTING_AUTH_JWKS_URL)),
             LOG_TEXT("reason", why));
    again_in(jwks, regular_ms < AGAIN_MS ? regular_ms : AGAIN_MS);
}

static void stored(void *arg, enum db_status status, const struct db_result *result)
{
    struct jwks *jwks = arg;
    if (status == DB_OK) {
        LOG_INFO("keys of JWTs stored");
        again_in(jwks, settings_int(jwks->actor->settings, SETTING_AUTH_JWKS_REFRESH_MS));
    } else {
        failed(jwks, status == DB_REFUSED ? db_message(result) : "the database is away");
    }
}

/* {"keys": […]} and nothing that is no JSON; what the keys are worth is the verifier's matter. */
static bool is_key_set(const char *text, size_t length)
{
    struct json_limits limits = {LEVELS, KEYS};
    struct error err;
    if (json_check(text, length, &limits, NULL, &err) != JSON_OK) {
        return false;
    }
    while (length > 0 && strchr(" \t\r\n", *text) != NULL) {
        text++;
        length--;
    }
    struct json_span keys = json_member((struct json_span){text, length}, "keys");
    return keys.data != NULL && keys.data[0] == '[';
}

static void fetched(void *arg, const struct message_fetched *answer)
{
    struct jwks *jwks = arg;
    char why[128];
    if (jwks->actor->draining) {
        return;
    }
    if (answer == NULL) {
        failed(jwks, "the fetcher ended");
        return;
    }
    if (answer->status != 200) {
        snprintf(why, sizeof why, "status %llu %.*s", (unsigned long long)answer->status,
                 (int)(answer->error.length > 80 ? 80 : answer->error.length),
                 (const char *)answer->error.data);
        failed(jwks, why);
        return;
    }
    if (!is_key_set((const char *)answer->body.data, answer->body.length)) {
        failed(jwks, "the answer is no key set");
        return;
    }
    const char *url = settings_text(jwks->actor->settings, SETTING_AUTH_JWKS_URL);
    struct db_params params = {0};
    db_param_text(&params, url, strlen(url));
    db_param_text(&params, (const char *)answer->body.data, answer->body.length);
    db_query(jwks->db, &store_put_jwks, &params, stored, jwks);
    db_params_deinit(&params);
}

static void fetch_now(evutil_socket_t fd SB_UNUSED, short what SB_UNUSED, void *arg)
{
    static const char method[] = "GET";
    static const char headers[] = "Accept: application/jwk-set+json, application/json\n";
    struct jwks *jwks = arg;
    struct error err;
    const char *url = settings_text(jwks->actor->settings, SETTING_AUTH_JWKS_URL);
    struct message_fetch request = {
        .method = {(const uint8_t *)method, sizeof method - 1},
        .url = {(const uint8_t *)url, strlen(url)},
        .headers = {(const uint8_t *)headers, sizeof headers - 1},
        .timeout_ms = TIMEOUT_MS,
        .answer_max = ANSWER_MAX,
    };
    if (fetch_send(jwks->fetch, &request, fetched, jwks, &err) != 0) {
        failed(jwks, err.text);
    }
}

struct jwks *jwks_create(struct actor *actor, struct db *db, struct fetch *fetch)
{
    if (settings_text(actor->settings, SETTING_AUTH_JWKS_URL)[0] == '\0') {
        return NULL;
    }
    struct jwks *jwks = memory_new(sizeof *jwks);
    *jwks = (struct jwks){.actor = actor, .db = db, .fetch = fetch};
    jwks->timer = event_new(actor->base, -1, 0, fetch_now, jwks);
    again_in(jwks, 0);
    return jwks;
}

void jwks_destroy(struct jwks **jwks)
{
    if (*jwks == NULL) {
        return;
    }
    event_free((*jwks)->timer);
    free(*jwks);
    *jwks = NULL;
}
