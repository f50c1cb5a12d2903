/*
 * The streamer: delivers the events of runs to any number of readers, in order, each exactly once
 * after its position.
 *
 * Receives: sockets of streams (HANDOVER from an api, HANDOFF from a streamer that drains), EVENTS
 * and HINT frames from the sequencer. Sends: server-sent events; HANDOFF while draining. Reads
 * events, heads and keys from the table; writes nothing. Owns: sockets, a position per stream, and
 * windows of recent events that can be dropped at any time. On crash: nothing is lost; clients come
 * back with Last-Event-ID and are served from the table.
 */
#include "streamer/streamer.h"

#include "runtime/base/clock.h"
#include "runtime/base/log.h"
#include "runtime/base/memory.h"
#include "streamer/catch_up.h"
#include "streamer/feed.h"
#include "streamer/feed_pages.h"
#include "streamer/feed_tail.h"
#include "streamer/handoff.h"
#include "streamer/handover.h"
#include "streamer/heads.h"
#include "streamer/intake.h"
#include "streamer/keys.h"
#include "streamer/pings.h"
#include "streamer/reader.h"
#include "streamer/run.h"
#include "streamer/view.h"
#include "streamer/ws.h"

#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

/* ---- the loop ---- */

static void on_wake(evutil_socket_t fd, short what, void *arg)
{
    struct streamer *streamer = arg;
    (void)fd;
    (void)what;
    streamer->waking = true;
    run_serve_changed(streamer);
    heads_go(streamer);
    catch_up_go(streamer);
    feed_serve_changed(streamer);
    feed_pages_go(streamer);
    ws_serve(streamer);
    streamer->waking = false;
}

/* The allocator keeps what is freed inside its heap; after a busy time that can be most of the
 * process. */
static void give_memory_back(struct streamer *streamer, int64_t now_ms)
{
    if (streamer->trim_due && now_ms >= streamer->next_trim_ms &&
        streamer->catch_up.in_flight == 0 && streamer->feed_pages.in_flight == 0) {
        streamer->trim_due = false;
        streamer->next_trim_ms = now_ms + STREAMER_TRIM_MS;
        malloc_trim(0);
    }
}

/* One line for many: the log must not drown in what an overload refuses. */
static void tell_refused(struct streamer *streamer, int64_t now_ms)
{
    if (streamer->refused > 0 && now_ms >= streamer->next_refused_ms) {
        LOG_WARN("streams refused, a limit is reached", LOG_INT("streams", streamer->refused),
                 LOG_INT("open", streamer->readers));
        streamer->refused = 0;
        streamer->next_refused_ms = now_ms + STREAMER_COMPLAINT_MS;
    }
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    struct streamer *streamer = arg;
    int64_t now_ms = clock_monotonic_ms();
    (void)fd;
    (void)what;
    pings_tick(streamer);
    reader_check_stalled(streamer, now_ms);
    intake_tick(streamer, now_ms);
    heads_tick(streamer, now_ms);
    catch_up_tick(streamer, now_ms);
    feed_tail_tick(streamer, now_ms);
    feed_pages_tick(streamer, now_ms);
    view_tick(streamer, now_ms);
    keys_tick(streamer, now_ms);
    ws_tick(streamer, now_ms);
    run_drop_idle_windows(streamer, now_ms);
    feed_drop_idle_windows(streamer, now_ms);
    give_memory_back(streamer, now_ms);
    tell_refused(streamer, now_ms);
    streamer_show_counts(streamer);
}

static void on_database(void *arg, bool up)
{
    struct streamer *streamer = arg;
    if (up) {
        streamer->heads.pause_until_ms = 0;
        streamer->catch_up.pause_until_ms = 0;
        streamer_wake(streamer);
    }
}

static void on_feed_database(void *arg, bool up)
{
    struct streamer *streamer = arg;
    if (up) {
        streamer->tail.pause_until_ms = 0;
        streamer->feed_pages.pause_until_ms = 0;
        streamer_wake(streamer);
    }
}

/* ---- start, drain, stop ---- */

static void read_limits(struct stream_limits *limits, const struct settings *settings)
{
    *limits = (struct stream_limits){
        .per_key = (size_t)settings_int(settings, SETTING_STREAM_PER_KEY),
        .per_process = (size_t)settings_int(settings, SETTING_STREAM_PER_PROCESS),
        .ping_ms = settings_int(settings, SETTING_STREAM_PING_MS),
        .stall_ms = settings_int(settings, SETTING_STREAM_WRITE_STALL_MS),
        .page_events = settings_int(settings, SETTING_STREAM_PAGE_EVENTS),
        .page_bytes = settings_int(settings, SETTING_STREAM_PAGE_BYTES),
        .window_bytes = (size_t)settings_int(settings, SETTING_STREAM_WINDOW_BYTES),
        .sweep_ms = settings_int(settings, SETTING_STREAM_SWEEP_MS),
    };
}

/* A descriptor per stream: as many as we may have. */
static void raise_descriptor_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        if (setrlimit(RLIMIT_NOFILE, &limit) != 0) {
            LOG_WARN("cannot raise the limit of descriptors",
                     LOG_TEXT("error", error_errno(errno)));
        }
    }
}

static void init_lists(struct streamer *streamer)
{
    struct list *lists[] = {&streamer->blocked,          &streamer->changed,
                            &streamer->recent,           &streamer->heads.dirty,
                            &streamer->heads.suspects,   &streamer->catch_up.queue,
                            &streamer->catch_up.pages,   &streamer->feeds,
                            &streamer->changed_feeds,    &streamer->recent_feeds,
                            &streamer->feed_pages.queue, &streamer->feed_pages.pages};
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++) {
        list_init(lists[i]);
    }
}

static int open_loop(struct streamer *streamer, struct error *err)
{
    struct event_base *base = streamer->actor->base;
    int64_t tick_ms = pings_tick_ms(streamer);
    const struct timeval tick = {tick_ms / 1000, tick_ms % 1000 * 1000};
    streamer->sockets = epoll_create1(EPOLL_CLOEXEC);
    if (streamer->sockets < 0) {
        return error_set(err, "cannot make an epoll: %s", error_errno(errno));
    }
    streamer->sockets_event =
        event_new(base, streamer->sockets, EV_READ | EV_PERSIST, reader_on_sockets, streamer);
    streamer->wake_event = event_new(base, -1, 0, on_wake, streamer);
    streamer->tick_event = event_new(base, -1, EV_PERSIST, on_tick, streamer);
    event_add(streamer->sockets_event, NULL);
    event_add(streamer->tick_event, &tick);
    return 0;
}

/* Plans as the sequencer's: made once, for a table of any size (docs/decisions/0010). */
#define FEED_SESSION                                               \
    "-c plan_cache_mode=force_generic_plan -c enable_seqscan=off " \
    "-c enable_hashjoin=off -c enable_mergejoin=off -c jit=off"

static int start(struct actor *actor, struct error *err)
{
    struct streamer *streamer = memory_new(sizeof *streamer);
    struct db_options database = {.settings = actor->settings,
                                  .role = actor->description->database_role,
                                  .application_name = actor->instance,
                                  .connected = on_database,
                                  .arg = streamer};
    actor->state = streamer;
    arc4random_buf(&streamer->random, sizeof streamer->random);
    streamer->random |= 1; /* never 0, of which it would come no further */
    streamer->actor = actor;
    streamer->sockets = -1;
    init_lists(streamer);
    pool_init(&streamer->reader_pool, sizeof(struct reader));
    pool_init(&streamer->run_pool, sizeof(struct run));
    pool_init(&streamer->feed_pool, sizeof(struct feed));
    read_limits(&streamer->limits, actor->settings);
    feed_tail_init(streamer);
    view_states_init(&streamer->view_states);
    streamer->heads.next_sweep_ms = clock_monotonic_ms() + streamer->limits.sweep_ms;
    raise_descriptor_limit();
    pings_start(streamer);
    if (open_loop(streamer, err) != 0) {
        return -1;
    }
    streamer->db = db_open(actor->base, &database);
    database.connected = on_feed_database;
    database.session_settings = FEED_SESSION;
    streamer->feed_db = db_open(actor->base, &database);
    if (ws_start(streamer, err) != 0 || intake_start(streamer, err) != 0) {
        return -1;
    }
    streamer->handover = handover_create(streamer, err);
    return streamer->handover == NULL ? -1 : 0;
}

static void drain(struct actor *actor, int64_t deadline_ms)
{
    struct streamer *streamer = actor->state;
    handover_stop(streamer->handover);
    handoff_start(streamer, deadline_ms);
}

static void close_readers(struct streamer *streamer)
{
    size_t cursor = 0;
    struct run *run;
    while ((run = map_next(&streamer->runs, &cursor)) != NULL) {
        run_hold(run);
        LIST_FOR_EACH(node, &run->positions)
        {
            position_break_off(LIST_ENTRY(node, struct position, in_shown), "stopping");
        }
        run_release(run);
        cursor = 0; /* the map has changed */
    }
    feed_break_off(streamer, false, "stopping");
}

static void free_event(struct event **event)
{
    if (*event != NULL) {
        event_free(*event);
        *event = NULL;
    }
}

static void stop(struct actor *actor)
{
    struct streamer *streamer = actor->state;
    if (streamer == NULL) {
        return;
    }
    intake_stop(streamer);
    db_close(&streamer->db); /* its last answers still find everything in place */
    db_close(&streamer->feed_db);
    handoff_destroy(streamer); /* gives back what is on its way: before it is closed */
    ws_stop(streamer);
    handover_destroy(&streamer->handover);
    close_readers(streamer);
    free_event(&streamer->sockets_event);
    free_event(&streamer->tick_event);
    free_event(&streamer->wake_event);
    if (streamer->sockets >= 0) {
        close(streamer->sockets);
    }
    pings_stop(streamer);
    pool_deinit(&streamer->reader_pool);
    pool_deinit(&streamer->run_pool);
    pool_deinit(&streamer->feed_pool);
    map_deinit(&streamer->runs);
    buffer_deinit(&streamer->view_scratch);
    map_deinit(&streamer->tenants);
    map_deinit(&streamer->keys);
    free(streamer);
    actor->state = NULL;
}

static void report(struct actor *actor, struct actor_report *report_out)
{
    const struct streamer *streamer = actor->state;
    report_out->healthy = streamer->db != NULL && db_is_connected(streamer->db) &&
                          streamer->feed_db != NULL && db_is_connected(streamer->feed_db);
    report_out->queued = (uint64_t)streamer->catching_up;
    report_out->in_flight = streamer->catch_up.in_flight + streamer->feed_pages.in_flight;
}

static void dump(struct actor *actor)
{
    const struct streamer *streamer = actor->state;
    LOG_INFO("state", LOG_INT("streams", streamer->readers),
             LOG_INT("websockets", ws_connections(streamer)), LOG_INT("runs", streamer->run_count),
             LOG_INT("keys", streamer->keys.count), LOG_INT("window_bytes", streamer->recent_bytes),
             LOG_INT("feed_bytes", streamer->feed_bytes),
             LOG_INT("position", streamer->tail.settled),
             LOG_INT("page_bytes", streamer->catch_up.pages_bytes),
             LOG_INT("pages_in_flight", streamer->catch_up.in_flight),
             LOG_INT("view_bytes", streamer->view_states.bytes),
             LOG_INT("epoch", streamer->publisher.epoch),
             LOG_INT("frames", streamer->publisher.counter));
}

int main(void)
{
    static const struct actor_description description = {
        .name = "streamer",
        .database_role = "signalbox_streamer",
        .start = start,
        .drain = drain,
        .stop = stop,
        .report = report,
        .dump = dump,
    };
    return actor_main(&description);
}
