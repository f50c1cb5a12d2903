/* See key_set.h. */
#include "api/key_set.h"

#include "api/auth.h"
#include "api/store_identity.h"
#include "runtime/base/log.h"
#include "runtime/base/memory.h"

#include <stdlib.h>
#include <string.h>

enum { READ_EVERY_S = 2 };

struct key_set {
    struct api *api;
    struct event *clock;
    char *text; /* last seen, usable or not; owned */
    bool asking;
};

static void take(struct key_set *key_set, const char *text, size_t length)
{
    struct error err;
    if (key_set->text != NULL && strlen(key_set->text) == length &&
        memcmp(key_set->text, text, length) == 0) {
        return;
    }
    free(key_set->text);
    key_set->text = memory_new(length + 1);
    memcpy(key_set->text, text, length);
    if (auth_reload(key_set->api->auth, key_set->api->actor->settings, key_set->text, &err) != 0) {
        LOG_ERROR("the fetched keys for tokens are not taken, the old ones stay",
                  LOG_TEXT("reason", err.text));
    } else {
        LOG_INFO("fetched keys for tokens taken over");
    }
}

static void found(void *arg, enum db_status status, const struct db_result *result)
{
    struct key_set *key_set = arg;
    key_set->asking = false;
    if (status == DB_OK && db_rows(result) == 1) {
        size_t length;
        const char *text = db_bytes(result, 0, 0, &length);
        take(key_set, text, length);
    }
}

static void look(evutil_socket_t fd SB_UNUSED, short what SB_UNUSED, void *arg)
{
    struct key_set *key_set = arg;
    if (!key_set->asking) {
        key_set->asking = true;
        store_find_key_set(key_set->api->store,
                           settings_text(key_set->api->actor->settings, SETTING_AUTH_JWKS_URL),
                           found, key_set);
    }
}

struct key_set *key_set_create(struct api *api)
{
    struct timeval every = {.tv_sec = READ_EVERY_S};
    if (settings_text(api->actor->settings, SETTING_AUTH_JWKS_URL)[0] == '\0') {
        return NULL;
    }
    struct key_set *key_set = memory_new(sizeof *key_set);
    key_set->api = api;
    key_set->clock = event_new(api->actor->base, -1, EV_PERSIST, look, key_set);
    event_add(key_set->clock, &every);
    event_active(key_set->clock, EV_TIMEOUT, 0);
    return key_set;
}

void key_set_destroy(struct key_set **key_set)
{
    if (*key_set == NULL) {
        return;
    }
    event_free((*key_set)->clock);
    free((*key_set)->text);
    free(*key_set);
    *key_set = NULL;
}

const char *key_set_text(const struct key_set *key_set)
{
    return key_set == NULL ? NULL : key_set->text;
}
