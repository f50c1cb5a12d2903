/* See child.h. The table at the end of the actions is the whole machine. */
#include "supervisor/child.h"

#include "runtime/base/clock.h"
#include "runtime/base/log.h"
#include "runtime/base/memory.h"
#include "runtime/base/metrics.h"
#include "supervisor/birth.h"
#include "supervisor/record.h"
#include "supervisor/service.h"
#include "supervisor/slot.h"
#include "supervisor/spawn.h"
#include "supervisor/supervisor.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    CHILD_RECORDS_A_TURN = 32,
    CHILD_KILL_AGAIN_MS = 5000,
    CHILD_STRAY_MS = 100,
    CHILD_STRAY_TRIES = 20, /* politely; afterwards SIGKILL */
    CHILD_FDS_TEXT = 256
};

enum child_event {
    CHILD_EVENT_START,
    CHILD_EVENT_READY,
    CHILD_EVENT_DRAIN,
    CHILD_EVENT_TIMEOUT,
    CHILD_EVENT_KILL,
    CHILD_EVENT_EXIT,
    CHILD_EVENT_COUNT
};

struct child_fact {
    int64_t now_ms;
    int64_t budget_ms; /* DRAIN */
    int status;        /* EXIT: as from waitpid() */
};

typedef void (*child_action_fn)(struct child *child, const struct child_fact *fact);

static void on_control(struct loop_source *source, uint32_t events);
static void react(struct child *child, enum child_event event, const struct child_fact *fact);

const char *child_state_name(enum child_state state)
{
    static const char *const names[CHILD_STATE_COUNT] = {
        [CHILD_STATE_STOPPED] = "stopped",     [CHILD_STATE_BACKOFF] = "backoff",
        [CHILD_STATE_THROTTLED] = "throttled", [CHILD_STATE_STARTING] = "starting",
        [CHILD_STATE_READY] = "ready",         [CHILD_STATE_DRAINING] = "draining",
        [CHILD_STATE_ABORTING] = "draining",   [CHILD_STATE_KILLED] = "draining",
    };
    return names[state];
}

void child_exit_text(int status, char *text, size_t size)
{
    static const struct {
        int code;
        const char *meaning;
    } codes[] = {{EXIT_CODE_DONE, "done"},
                 {EXIT_CODE_FAILED, "failed"},
                 {EXIT_CODE_FENCED, "fenced"},
                 {EXIT_CODE_MEMORY, "out of memory"},
                 {EXIT_CODE_ORPHANED, "orphaned"},
                 {EXIT_CODE_DEPENDENCY, "dependency missing"},
                 {EXIT_CODE_CONFIG, "configuration wrong"},
                 {SPAWN_EXIT_FAILED, "could not be executed"}};
    if (WIFSIGNALED(status)) {
        snprintf(text, size, "signal %d (%s)", WTERMSIG(status), sigdescr_np(WTERMSIG(status)));
        return;
    }
    const char *meaning = "unknown";
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++) {
        if (codes[i].code == WEXITSTATUS(status)) {
            meaning = codes[i].meaning;
        }
    }
    snprintf(text, size, "exit code %d (%s)", WEXITSTATUS(status), meaning);
}

struct child *child_create(struct slot *slot)
{
    struct child *child = memory_new(sizeof *child);
    child->slot = slot;
    child->pidfd = child->probe_fd = -1;
    child->control = (struct loop_source){-1, on_control, child};
    return child;
}

void child_destroy(struct child **child)
{
    if (*child != NULL) {
        assert((*child)->pid == 0);
        free(*child);
        *child = NULL;
    }
}

bool child_alive(const struct child *child)
{
    return child->pid != 0;
}

static struct supervisor *owner(const struct child *child)
{
    return child->slot->supervisor;
}

static const struct settings *settings_of(const struct child *child)
{
    return owner(child)->settings;
}

static bool is_actor(const struct child *child)
{
    return child->slot->row->kind == ROSTER_ACTOR;
}

static void send_signal(const struct child *child, int number)
{
    if (child->pidfd >= 0 && pidfd_send_signal(child->pidfd, number, NULL, 0) != 0 &&
        errno != ESRCH) {
        LOG_ERROR("cannot send a signal", LOG_TEXT("name", child->slot->name),
                  LOG_INT("signal", number), LOG_TEXT("reason", error_errno(errno)));
    }
}

/* ---- control socket ---- */

static void forget_control(struct child *child)
{
    if (child->control.fd >= 0) {
        loop_remove(&owner(child)->loop, &child->control);
        close(child->control.fd);
        child->control.fd = -1;
    }
}

static bool send_record(const struct child *child, enum child_record_type type, int64_t value,
                        int fd)
{
    struct error err;
    if (record_send(child->control.fd, child->generation, type, value, fd, &err) != 0) {
        LOG_WARN("an actor cannot be told", LOG_TEXT("name", child->slot->name),
                 LOG_INT("record", type), LOG_TEXT("reason", err.text));
        return false;
    }
    return true;
}

bool child_tell(struct child *child, enum child_record_type type, int fd)
{
    return is_actor(child) && child_alive(child) && send_record(child, type, 0, fd);
}

void child_go(struct child *child)
{
    if (!child->hold) {
        return;
    }
    if (child->state != CHILD_STATE_READY) {
        child->go_due = true;
        return;
    }
    child->hold = child->go_due = false;
    if (send_record(child, CHILD_GO, 0, -1)) {
        LOG_INFO("takes over", LOG_TEXT("name", child->slot->name),
                 LOG_INT("child_generation", child->generation));
    }
}

static void handle_record(struct child *child, const struct child_record *record)
{
    int64_t now_ms = clock_monotonic_ms();
    switch ((enum child_record_type)record->type) {
    case CHILD_READY:
        child->confined = record->value;
        react(child, CHILD_EVENT_READY, &(struct child_fact){.now_ms = now_ms});
        return;
    case CHILD_BEAT: {
        int64_t silent_ms = watch_beat(&child->watch, record->tick, now_ms);
        child->beat = *record;
        if (silent_ms > 0) {
            LOG_WARN("beats again", LOG_TEXT("name", child->slot->name),
                     LOG_INT("silent_ms", silent_ms));
        }
        return;
    }
    case CHILD_STOPPING:
    case CHILD_DRAINED:
        LOG_DEBUG(record->type == CHILD_STOPPING ? "drains" : "is drained",
                  LOG_TEXT("name", child->slot->name));
        return;
    case CHILD_FATAL:
        LOG_WARN("gives up", LOG_TEXT("name", child->slot->name), LOG_INT("code", record->value));
        return;
    case CHILD_DRAIN:
    case CHILD_RELOAD:
    case CHILD_DUMP:
    case CHILD_GO:
        break;
    }
    LOG_WARN("a record makes no sense", LOG_TEXT("name", child->slot->name),
             LOG_INT("type", record->type));
}

static void on_control(struct loop_source *source, uint32_t events)
{
    struct child *child = source->owner;
    (void)events;
    for (int i = 0; i < CHILD_RECORDS_A_TURN && child->control.fd >= 0; i++) {
        struct child_record record;
        switch (record_receive(child->control.fd, child->generation, &record)) {
        case RECORD_TAKEN:
            handle_record(child, &record);
            break;
        case RECORD_NONE:
            return;
        case RECORD_FOREIGN:
            LOG_WARN("a record of another generation or version is dropped",
                     LOG_TEXT("name", child->slot->name));
            break;
        case RECORD_CLOSED:
            /* By an exiting actor; one that lives on without it will miss its beats. */
            forget_control(child);
            return;
        }
    }
}

/* ---- start ---- */

/* A killed postmaster's backends hold its shared memory for a moment; a server started meanwhile
 * would only fail. */
static bool strays_in_the_way(struct child *child, const struct child_fact *fact)
{
    if (child->slot->row->log_kind != LOG_LINE_POSTGRES) {
        return false;
    }
    int number = child->stray_tries < CHILD_STRAY_TRIES ? SIGQUIT : SIGKILL;
    size_t strays = service_postgres_end_strays(settings_of(child), number);
    if (strays == 0) {
        child->stray_tries = 0;
        service_postgres_forget_zombie(settings_of(child));
        return false;
    }
    child->stray_tries++;
    LOG_INFO("waits for processes of an earlier server", LOG_TEXT("name", child->slot->name),
             LOG_INT("processes", strays));
    child->state = CHILD_STATE_BACKOFF;
    child->deadline_ms = fact->now_ms + CHILD_STRAY_MS;
    return true;
}

static void act_start(struct child *child, const struct child_fact *fact)
{
    struct supervisor *supervisor = owner(child);
    struct error err;
    if (strays_in_the_way(child, fact)) {
        return;
    }
    child->generation = state_next_generation(&supervisor->state);
    child->hold = slot_must_hold(child->slot, child);
    child->go_due = false;
    if (birth_make(child, &err) != 0) {
        forget_control(child);
        log_pipe_release(&child->log);
        child->state = CHILD_STATE_STOPPED;
        slot_child_spawn_failed(child->slot, child, &err);
        return;
    }
    child->state = CHILD_STATE_STARTING;
    child->started_ms = fact->now_ms;
    child->ready_ms = 0;
    child->stop_step = 0;
    child->leaving = false;
    child->beat = (struct child_record){0};
    /* Services and one-shots take the time they need: a recovering PostgreSQL must not be killed
     * for being thorough. */
    child->deadline_ms =
        is_actor(child) ? fact->now_ms + settings_int(settings_of(child), SETTING_WATCHDOG_READY_MS)
                        : 0;
    LOG_INFO("started", LOG_TEXT("name", child->slot->name), LOG_INT("pid", child->pid),
             LOG_INT("child_generation", child->generation));
    supervisor_note_children(supervisor);
}

/* ---- life ---- */

static void act_ready(struct child *child, const struct child_fact *fact)
{
    child->state = CHILD_STATE_READY;
    child->deadline_ms = 0;
    child->ready_ms = fact->now_ms;
    watch_start(&child->watch, fact->now_ms);
    LOG_INFO("ready", LOG_TEXT("name", child->slot->name),
             LOG_INT("after_ms", fact->now_ms - child->started_ms));
    if (child->go_due) {
        child_go(child);
    }
    slot_child_ready(child->slot, child);
}

/* The watchdog: not ready in time, or no beat for too long. */
static void act_abort(struct child *child, const struct child_fact *fact)
{
    bool was_ready = child->ready_ms != 0;
    LOG_ERROR(was_ready ? "no beat for too long, aborting it" : "not ready in time, aborting it",
              LOG_TEXT("name", child->slot->name), LOG_INT("pid", child->pid),
              LOG_INT("silent_ms",
                      fact->now_ms - (was_ready ? child->watch.last_ms : child->started_ms)));
    send_signal(child, SIGABRT);
    child->state = CHILD_STATE_ABORTING;
    child->deadline_ms = fact->now_ms + settings_int(settings_of(child), SETTING_WATCHDOG_KILL_MS);
}

static void act_kill(struct child *child, const struct child_fact *fact)
{
    LOG_WARN("killing it", LOG_TEXT("name", child->slot->name), LOG_INT("pid", child->pid));
    send_signal(child, SIGKILL);
    child->state = CHILD_STATE_KILLED;
    child->deadline_ms = fact->now_ms + CHILD_KILL_AGAIN_MS;
}

/* ---- end ---- */

/* Step `n` of asking a process to go: 0 for a record instead of a signal. */
static struct service_stop_step stop_step(const struct child *child, unsigned n, int64_t budget_ms)
{
    struct service_stop_step steps[SERVICE_STOP_STEPS];
    struct service_stop_step step = {SIGKILL, CHILD_KILL_AGAIN_MS};
    if (child->slot->row->kind == ROSTER_SERVICE) {
        size_t count = service_leftover_steps(child->slot->name, steps);
        step = n < count ? steps[n] : step;
    } else if (n == 0) {
        step = (struct service_stop_step){is_actor(child) ? 0 : SIGTERM, (int)budget_ms};
    }
    if (budget_ms > 0 && step.wait_ms > budget_ms) {
        step.wait_ms = (int)budget_ms;
    }
    return step;
}

static void act_drain(struct child *child, const struct child_fact *fact)
{
    struct service_stop_step step = stop_step(child, 0, fact->budget_ms);
    child->leaving = true;
    child->stop_step = 0;
    child->state = CHILD_STATE_DRAINING;
    child->deadline_ms = fact->now_ms + step.wait_ms;
    LOG_INFO("draining", LOG_TEXT("name", child->slot->name), LOG_INT("within_ms", step.wait_ms));
    if (step.signal == 0) {
        send_record(child, CHILD_DRAIN, step.wait_ms, -1);
    } else {
        send_signal(child, step.signal);
    }
    send_signal(child, SIGCONT); /* a stopped process hears nothing else */
}

/* The time of this step is over: the next, harder one. */
static void act_escalate(struct child *child, const struct child_fact *fact)
{
    struct service_stop_step step = stop_step(child, ++child->stop_step, 0);
    LOG_WARN("did not stop in time", LOG_TEXT("name", child->slot->name),
             LOG_INT("next_signal", step.signal));
    if (step.signal == SIGKILL) {
        slot_child_overdue(child->slot, child);
        act_kill(child, fact);
        return;
    }
    send_signal(child, step.signal);
    child->deadline_ms = fact->now_ms + step.wait_ms;
}

/* It is being killed anyway; only its end is no death any more. */
static void act_leave(struct child *child, const struct child_fact *fact)
{
    (void)fact;
    child->leaving = true;
}

static void act_settle(struct child *child, const struct child_fact *fact)
{
    (void)fact;
    child->state = CHILD_STATE_STOPPED;
    child->deadline_ms = 0;
}

static void act_ended(struct child *child, const struct child_fact *fact)
{
    struct restart_exit exit = {
        .by_signal = WIFSIGNALED(fact->status),
        .code = WIFEXITED(fact->status) ? WEXITSTATUS(fact->status) : 0,
        .ready_for_ms = child->ready_ms == 0 ? -1 : fact->now_ms - child->ready_ms,
        .since_start_ms = fact->now_ms - child->started_ms,
        .permanent = child->slot->row->kind != ROSTER_ONE_SHOT,
    };
    char end[64];
    child_exit_text(fact->status, end, sizeof end);
    /* Whoever was killed had no last words to say about it. */
    bool killed = exit.by_signal && WTERMSIG(fact->status) == SIGKILL;
    bool silent = killed || (!exit.by_signal && exit.code == 0);
    const char *words = silent ? "" : log_pipe_last(child->log);
    snprintf(child->slot->last_end, sizeof child->slot->last_end, "%s%s%s", end,
             *words == '\0' ? "" : ": ", words);
    if (child->leaving) {
        LOG_INFO("stopped", LOG_TEXT("name", child->slot->name), LOG_INT("pid", child->pid),
                 LOG_TEXT("end", end));
    } else if (exit.permanent || exit.by_signal || exit.code != 0) {
        LOG_WARN("ended", LOG_TEXT("name", child->slot->name), LOG_INT("pid", child->pid),
                 LOG_TEXT("end", end));
    } else {
        LOG_INFO("finished", LOG_TEXT("name", child->slot->name));
    }
    /* Records that were on their way are read no more: they are of a dead generation. */
    forget_control(child);
    log_pipe_release(&child->log);
    close(child->pidfd);
    if (child->probe_fd >= 0) {
        close(child->probe_fd);
    }
    child->pidfd = child->probe_fd = -1;
    child->pid = 0;
    child->state = CHILD_STATE_STOPPED;
    child->deadline_ms = 0;
    child->go_due = child->hold = false;
    supervisor_note_children(owner(child));
    slot_child_ended(child->slot, child, &exit);
}

static void ignore(struct child *child, const struct child_fact *fact)
{
    (void)child;
    (void)fact;
}

/* clang-format off */
static const child_action_fn table[CHILD_STATE_COUNT][CHILD_EVENT_COUNT] = {
/*                           START      READY      DRAIN       TIMEOUT       KILL        EXIT      */
[CHILD_STATE_STOPPED]   = {act_start, ignore,    ignore,     ignore,       ignore,     ignore   },
[CHILD_STATE_BACKOFF]   = {act_start, ignore,    act_settle, act_start,    act_settle, ignore   },
[CHILD_STATE_THROTTLED] = {act_start, ignore,    act_settle, act_start,    act_settle, ignore   },
[CHILD_STATE_STARTING]  = {ignore,    act_ready, act_drain,  act_abort,    act_kill,   act_ended},
[CHILD_STATE_READY]     = {ignore,    ignore,    act_drain,  act_abort,    act_kill,   act_ended},
[CHILD_STATE_DRAINING]  = {ignore,    ignore,    ignore,     act_escalate, act_kill,   act_ended},
[CHILD_STATE_ABORTING]  = {ignore,    ignore,    act_leave,  act_kill,     act_kill,   act_ended},
[CHILD_STATE_KILLED]    = {ignore,    ignore,    act_leave,  act_kill,     act_kill,   act_ended},
};
/* clang-format on */

static void react(struct child *child, enum child_event event, const struct child_fact *fact)
{
    table[child->state][event](child, fact);
}

static void react_now(struct child *child, enum child_event event)
{
    react(child, event, &(struct child_fact){.now_ms = clock_monotonic_ms()});
}

void child_start(struct child *child)
{
    react_now(child, CHILD_EVENT_START);
}

void child_start_later(struct child *child, enum child_state state, int64_t wait_ms)
{
    assert(!child_alive(child));
    child->state = state;
    child->deadline_ms = clock_monotonic_ms() + wait_ms;
}

void child_drain(struct child *child, int64_t budget_ms)
{
    react(child, CHILD_EVENT_DRAIN,
          &(struct child_fact){.now_ms = clock_monotonic_ms(), .budget_ms = budget_ms});
}

void child_hurry(struct child *child)
{
    if (child->state == CHILD_STATE_DRAINING) {
        react_now(child, CHILD_EVENT_TIMEOUT);
    }
}

void child_halve(struct child *child)
{
    int64_t now_ms = clock_monotonic_ms();
    if (child->state == CHILD_STATE_DRAINING && child->deadline_ms > now_ms) {
        child->deadline_ms = now_ms + (child->deadline_ms - now_ms) / 2;
    }
}

void child_kill(struct child *child)
{
    child->leaving = true;
    react_now(child, CHILD_EVENT_KILL);
}

void child_reaped(struct child *child, int status)
{
    react(child, CHILD_EVENT_EXIT,
          &(struct child_fact){.now_ms = clock_monotonic_ms(), .status = status});
}

static struct watch_limits watch_limits(const struct child *child)
{
    return (struct watch_limits){
        .warn_ms = settings_int(settings_of(child), SETTING_WATCHDOG_WARN_MS),
        .abort_ms = settings_int(settings_of(child), SETTING_WATCHDOG_ABORT_MS)};
}

static bool is_watched(const struct child *child)
{
    return child->state == CHILD_STATE_READY && is_actor(child);
}

static void check_beats(struct child *child, int64_t now_ms)
{
    struct watch_limits limits = watch_limits(child);
    switch (watch_check(&child->watch, &limits, now_ms)) {
    case WATCH_FINE:
        return;
    case WATCH_WARN:
        metric_add(METRIC_BEATS_MISSED, 1);
        LOG_WARN("no beat", LOG_TEXT("name", child->slot->name),
                 LOG_INT("silent_ms", now_ms - child->watch.last_ms));
        return;
    case WATCH_ABORT:
        react(child, CHILD_EVENT_TIMEOUT, &(struct child_fact){.now_ms = now_ms});
        return;
    }
}

static bool is_probed(const struct child *child)
{
    return child->state == CHILD_STATE_STARTING && child->slot->row->kind == ROSTER_SERVICE;
}

static void probe(struct child *child, int64_t now_ms)
{
    enum service_state state = child->slot->row->log_kind == LOG_LINE_POSTGRES
                                   ? service_postgres_probe(settings_of(child), child->pid)
                                   : service_redis_probe(settings_of(child), &child->probe_fd);
    if (state == SERVICE_READY) {
        react(child, CHILD_EVENT_READY, &(struct child_fact){.now_ms = now_ms});
    }
}

void child_tick(struct child *child, int64_t now_ms)
{
    if (is_probed(child)) {
        probe(child, now_ms);
    } else if (is_watched(child)) {
        check_beats(child, now_ms);
    }
    if (child->deadline_ms != 0 && now_ms >= child->deadline_ms) {
        react(child, CHILD_EVENT_TIMEOUT, &(struct child_fact){.now_ms = now_ms});
    }
}

int64_t child_due_ms(const struct child *child)
{
    if (is_probed(child)) {
        return clock_monotonic_ms() + SERVICE_PROBE_MS;
    }
    if (is_watched(child)) {
        struct watch_limits limits = watch_limits(child);
        return watch_due_ms(&child->watch, &limits);
    }
    return child->deadline_ms == 0 ? INT64_MAX : child->deadline_ms;
}

void child_forgive(struct child *child, int64_t now_ms, int64_t hole_ms)
{
    watch_start(&child->watch, now_ms);
    if (child->deadline_ms != 0 && child_alive(child)) {
        child->deadline_ms += hole_ms;
    }
}
