/*
 * The api: the public door. Takes HTTP requests, asks who sends them, answers reads from the
 * database, turns writes into commands to the sequencer, gives streams to streamers.
 *
 * Receives: HTTP on the inherited public listener; RESULT, JOBS_RESULT, NACK, BUSY (commands.h);
 *           JOB_GIVEN, JOB_BEATEN (runners.h).
 * Sends:    CREATE_RUN, APPEND and others to the sequencer; HANDOVER with a socket to a streamer;
 *           JOB_WANT, JOB_FORGET, JOB_BEAT, JOB_RULES to the job-runners.
 * Owns:     nothing that lasts: a cache of keys, requests under way.
 * On crash: requests under way get no answer; repeated with their Idempotency-Key they are right.
 *           Streams stay with the streamers. The listener lives on in the supervisor.
 */
#include "api/api.h"

#include "api/auth.h"
#include "api/cursor.h"
#include "api/exchange.h"
#include "api/front.h"
#include "api/handover.h"
#include "api/key_set.h"
#include "api/limit.h"
#include "api/runners.h"
#include "api/store.h"
#include "api/stream_heads.h"
#include "api/surplus.h"
#include "proto/child_contract.h"
#include "runtime/base/log.h"
#include "runtime/base/memory.h"
#include "runtime/commands.h"
#include "runtime/http_server.h"
#include "runtime/redis.h"

#include <sodium.h>
#include <stdlib.h>

enum { HOLD_MS = 1000 }; /* for the first connection to the database, longer than one takes */

/* ---- start ---- */

/* Until then connections wait in the listener, or go to another api: none is refused because this
 * one is new. */
static void database_connected(void *arg, bool up)
{
    struct api *api = arg;
    if (up && api->server != NULL) {
        http_server_accept(api->server);
    }
}

/* What is keyed by the installation's secret. */
static int start_keys(struct api *api, struct error *err)
{
    const struct settings *settings = api->actor->settings;
    struct api_key_pepper pepper;
    if (api_key_pepper_parse(settings_text(settings, SETTING_AUTH_PEPPER), &pepper, err) != 0) {
        api->actor->exit_code = EXIT_CODE_CONFIG;
        return -1;
    }
    api->cursor_key = memory_new(sizeof *api->cursor_key);
    cursor_key_derive(pepper.bytes, sizeof pepper.bytes, api->cursor_key);
    api->auth = auth_create(api->store, &pepper, settings, err);
    sodium_memzero(&pepper, sizeof pepper);
    if (api->auth == NULL) {
        api->actor->exit_code = EXIT_CODE_CONFIG;
        return error_prefix(err, "%s", "auth.jwks_file");
    }
    return 0;
}

static int start_server(struct api *api, struct error *err)
{
    struct actor *actor = api->actor;
    int listener = actor_listener(actor, CHILD_LISTENER_PUBLIC);
    if (listener < 0) {
        return error_set(err, "the public listener was not inherited");
    }
    api->server = http_server_create(&(struct http_server_options){.base = actor->base,
                                                                   .settings = actor->settings,
                                                                   .listener = listener,
                                                                   .hold_ms = HOLD_MS,
                                                                   .head = front_head,
                                                                   .handle = front_handle,
                                                                   .body = front_body,
                                                                   .abandoned = front_abandoned,
                                                                   .problem = front_problem,
                                                                   .arg = api},
                                     err);
    return api->server == NULL ? -1 : 0;
}

static int start(struct actor *actor, struct error *err)
{
    struct api *api = memory_new(sizeof *api);
    actor->state = api;
    api->actor = actor;
    list_init(&api->spare);
    submission_init(&api->submission, actor->settings);
    if (sodium_init() < 0) {
        return error_set(err, "libsodium cannot be used");
    }
    api->store = store_create(actor, database_connected, api);
    if (start_keys(api, err) != 0) {
        return -1;
    }
    api->key_set = key_set_create(api);
    api->commands = commands_create(actor, err);
    if (api->commands == NULL) {
        return -1;
    }
    api->surplus = surplus_create(actor, api->commands);
    api->runners = runners_create(actor, api->surplus, err);
    if (api->runners == NULL) {
        return -1;
    }
    api->redis = redis_open(actor->base, actor->settings);
    api->limit = limit_create(api);
    api->handover = handover_create(actor);
    api->stream_heads = stream_heads_create(api->store);
    return start_server(api, err);
}

/* Keys for tokens that cannot be used leave the old ones in force. */
static void reload(struct actor *actor)
{
    struct api *api = actor->state;
    struct error err;
    if (auth_reload(api->auth, actor->settings, key_set_text(api->key_set), &err) != 0) {
        LOG_ERROR("the new keys for tokens are not taken, the old ones stay",
                  LOG_TEXT("reason", err.text));
    }
}

/* ---- drain, stop ---- */

static void drained(void *arg)
{
    struct api *api = arg;
    actor_drained(api->actor);
}

static void drain(struct actor *actor, int64_t deadline_ms SB_UNUSED)
{
    struct api *api = actor->state;
    runners_end_waits(api->runners);
    http_server_drain(api->server, drained, api);
}

/* First who may still answer, then what the answers need: each tells its waiters as it goes. */
static void stop(struct actor *actor)
{
    struct api *api = actor->state;
    if (api == NULL) {
        return;
    }
    handover_destroy(&api->handover);
    http_server_destroy(&api->server);
    runners_destroy(&api->runners);
    surplus_destroy(&api->surplus);
    commands_destroy(&api->commands);
    redis_close(&api->redis);
    limit_destroy(&api->limit);
    store_destroy(&api->store);
    stream_heads_destroy(&api->stream_heads);
    key_set_destroy(&api->key_set);
    auth_destroy(&api->auth);
    exchange_free_spare(api);
    if (api->cursor_key != NULL) {
        sodium_memzero(api->cursor_key, sizeof *api->cursor_key);
        free(api->cursor_key);
    }
    buffer_deinit(&api->text);
    submission_deinit(&api->submission);
    free(api);
    actor->state = NULL;
}

static void report(struct actor *actor, struct actor_report *report_out)
{
    const struct api *api = actor->state;
    report_out->healthy = store_is_connected(api->store) && commands_reachable(api->commands);
    report_out->queued = handover_waiting(api->handover);
    report_out->in_flight = api->open;
}

static void dump(struct actor *actor)
{
    const struct api *api = actor->state;
    LOG_INFO("api", LOG_INT("connections", http_server_connections(api->server)),
             LOG_INT("exchanges", api->exchanges), LOG_INT("open", api->open),
             LOG_INT("commands", commands_in_flight(api->commands)),
             LOG_INT("streams_waiting", handover_waiting(api->handover)),
             LOG_INT("workers_waiting", runners_waiting(api->runners)));
}

static const struct actor_description description = {
    .name = "api",
    .database_role = "signalbox_api",
    .start = start,
    .reload = reload,
    .drain = drain,
    .stop = stop,
    .report = report,
    .dump = dump,
};

int main(void)
{
    return actor_main(&description);
}
