/* See keys.h. */
#include "streamer/keys.h"

#include "runtime/base/clock.h"
#include "runtime/base/log.h"
#include "runtime/base/memory.h"
#include "runtime/gcra.h"
#include "runtime/jwt.h"
#include "streamer/feed.h"
#include "streamer/position.h"
#include "streamer/run.h"
#include "streamer/store.h"
#include "streamer/streamer.h"
#include "streamer/ws.h"

#include <stdlib.h>

struct key_use {
    struct uuid id;
    struct uuid tenant;
    size_t streams;
    struct gcra commands;
    bool ended; /* revoked or expired */
};

struct key_use *keys_take(struct streamer *streamer, const struct uuid *id,
                          const struct uuid *tenant)
{
    struct key_use *key = map_get(&streamer->keys, id);
    if (key == NULL) {
        key = memory_new(sizeof *key);
        key->id = *id;
        key->tenant = *tenant;
        map_put(&streamer->keys, id, key);
    }
    key->streams++;
    return key;
}

void keys_release(struct streamer *streamer, struct key_use *key)
{
    if (--key->streams == 0) {
        map_remove(&streamer->keys, &key->id);
        free(key);
    }
}

const struct uuid *keys_id(const struct key_use *key)
{
    return &key->id;
}

struct gcra *keys_commands(struct key_use *key)
{
    return &key->commands;
}

bool keys_has_ended(const struct key_use *key)
{
    return key->ended;
}

size_t keys_streams(struct streamer *streamer, const struct uuid *id)
{
    const struct key_use *key = map_get(&streamer->keys, id);
    return key == NULL ? 0 : key->streams;
}

/* The runs are listed first: breaking off a run's last stream takes the run out of the map. */
static void break_off(struct streamer *streamer)
{
    size_t count = 0;
    struct run_cursor cursor = {0};
    struct run *run;
    struct run **runs = memory_array(streamer->run_count + 1, sizeof *runs);
    while ((run = run_next(streamer, &cursor)) != NULL) {
        run_hold(run);
        runs[count++] = run;
    }
    for (size_t i = 0; i < count; i++) {
        LIST_FOR_EACH(node, &runs[i]->positions)
        {
            struct position *position = LIST_ENTRY(node, struct position, in_shown);
            if (position->key->ended && !position->frozen) {
                position_break_off(position, "its key has ended");
            }
        }
        run_release(runs[i]);
    }
    free(runs);
    feed_break_off(streamer, true, "its key has ended");
    ws_end_keys(streamer);
}

static void end_key(struct key_use *key)
{
    LOG_INFO("a key has ended, breaking off its streams", LOG_UUID("key_id", &key->id),
             LOG_INT("streams", key->streams));
    key->ended = true;
}

static void on_ended(void *arg, enum db_status status, const struct db_result *result)
{
    struct streamer *streamer = arg;
    bool any = false;
    streamer->keys_asking = false;
    if (status != DB_OK) {
        return; /* asked again at the next turn */
    }
    for (int row = 0; row < db_rows(result); row++) {
        struct uuid id;
        db_uuid(result, row, STORE_ENDED_KEY, &id);
        struct key_use *key = map_get(&streamer->keys, &id);
        if (key != NULL) {
            end_key(key);
            any = true;
        }
    }
    if (any) {
        break_off(streamer);
    }
}

static void ask(struct streamer *streamer)
{
    struct db_params params = {0};
    struct db_params scope = {0};
    size_t cursor = 0;
    int64_t ignored;
    size_t count = 0;
    const struct key_use *key;
    const struct key_use **stored = memory_array(streamer->keys.count, sizeof *stored);
    while ((key = map_next(&streamer->keys, &cursor)) != NULL) {
        if (!jwt_id_expiry(&key->id, &ignored)) {
            stored[count++] = key;
        }
    }
    db_array_begin(&params, DB_ARRAY_UUID, count);
    for (size_t i = 0; i < count; i++) {
        db_array_uuid(&params, stored[i]->id.bytes);
    }
    db_array_end(&params);
    db_param_null(&scope);
    db_array_begin(&scope, DB_ARRAY_UUID, count);
    for (size_t i = 0; i < count; i++) {
        db_array_uuid(&scope, stored[i]->tenant.bytes);
    }
    db_array_end(&scope);
    free(stored);
    streamer->keys_asking = true;
    db_query_in(streamer->db, &(struct db_scope){&store_scope, &scope}, &store_ended_keys, &params,
                on_ended, streamer);
    db_params_deinit(&params);
    db_params_deinit(&scope);
}

/* Tokens have no row that could be asked. */
static void end_tokens(struct streamer *streamer)
{
    int64_t now_s = clock_real_us() / 1000000;
    int64_t expires_s;
    size_t cursor = 0;
    bool any = false;
    struct key_use *key;
    while ((key = map_next(&streamer->keys, &cursor)) != NULL) {
        if (jwt_id_expiry(&key->id, &expires_s) && expires_s <= now_s && !key->ended) {
            end_key(key);
            any = true;
        }
    }
    if (any) {
        break_off(streamer);
    }
}

void keys_tick(struct streamer *streamer, int64_t now_ms)
{
    if (now_ms < streamer->next_key_check_ms || streamer->keys_asking ||
        streamer->keys.count == 0) {
        return;
    }
    streamer->next_key_check_ms = now_ms + STREAMER_KEY_CHECK_MS;
    end_tokens(streamer);
    if (streamer->keys.count > 0 && db_is_connected(streamer->db)) {
        ask(streamer);
    }
}
