/* See keys.h. */
#include "streamer/keys.h"

#include "runtime/base/log.h"
#include "runtime/base/memory.h"
#include "streamer/feed.h"
#include "streamer/reader.h"
#include "streamer/run.h"
#include "streamer/store.h"
#include "streamer/streamer.h"

#include <stdlib.h>

struct key_use {
    struct uuid id;
    size_t streams;
    bool ended; /* revoked or expired */
};

struct key_use *keys_take(struct streamer *streamer, const struct uuid *id)
{
    struct key_use *key = map_get(&streamer->keys, id);
    if (key == NULL) {
        key = memory_new(sizeof *key);
        key->id = *id;
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
    size_t cursor = 0;
    struct run *run;
    struct run **runs = memory_array(streamer->runs.count + 1, sizeof *runs);
    while ((run = map_next(&streamer->runs, &cursor)) != NULL) {
        run_hold(run);
        runs[count++] = run;
    }
    for (size_t i = 0; i < count; i++) {
        LIST_FOR_EACH(node, &runs[i]->readers)
        {
            struct reader *reader = LIST_ENTRY(node, struct reader, in_run);
            if (reader->key->ended && !reader->frozen) {
                reader_close(reader, READER_CLOSE_BROKEN, "its key has ended");
            }
        }
        run_release(runs[i]);
    }
    free(runs);
    feed_break_off(streamer, true, "its key has ended");
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
            LOG_INFO("a key has ended, breaking off its streams", LOG_UUID("key_id", &id),
                     LOG_INT("streams", key->streams));
            key->ended = true;
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
    size_t cursor = 0;
    const struct key_use *key;
    db_array_begin(&params, DB_ARRAY_UUID, streamer->keys.count);
    while ((key = map_next(&streamer->keys, &cursor)) != NULL) {
        db_array_uuid(&params, key->id.bytes);
    }
    db_array_end(&params);
    streamer->keys_asking = true;
    db_query(streamer->db, &store_ended_keys, &params, on_ended, streamer);
    db_params_deinit(&params);
}

void keys_tick(struct streamer *streamer, int64_t now_ms)
{
    if (now_ms < streamer->next_key_check_ms || streamer->keys_asking ||
        streamer->keys.count == 0 || !db_is_connected(streamer->db)) {
        return;
    }
    streamer->next_key_check_ms = now_ms + STREAMER_KEY_CHECK_MS;
    ask(streamer);
}
