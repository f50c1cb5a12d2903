/* See slot.h. */
#include "supervisor/slot.h"

#include "runtime/base/clock.h"
#include "runtime/base/log.h"
#include "runtime/base/metrics.h"
#include "supervisor/supervisor.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

void slot_init(struct slot *slot, struct supervisor *supervisor, const struct roster_row *row,
               unsigned number, unsigned index)
{
    *slot = (struct slot){.supervisor = supervisor, .row = row, .number = number, .index = index};
    roster_name(row, number, slot->name);
    slot->current = child_create(slot);
}

void slot_deinit(struct slot *slot)
{
    child_destroy(&slot->current);
    child_destroy(&slot->successor);
    child_destroy(&slot->retiring);
}

static uint32_t random_bits(void)
{
    uint32_t bits;
    if (getrandom(&bits, sizeof bits, GRND_NONBLOCK) != (ssize_t)sizeof bits) {
        bits = (uint32_t)clock_monotonic_us() * 2654435761u; /* only spreads restarts */
    }
    return bits;
}

static struct restart_limits limits_of(const struct slot *slot)
{
    const struct settings *settings = slot->supervisor->settings;
    return (struct restart_limits){
        .early_deaths = settings_int(settings, SETTING_RESTART_EARLY_DEATHS),
        .late_deaths = settings_int(settings, SETTING_RESTART_LATE_DEATHS),
        .total_deaths = settings_int(settings, SETTING_RESTART_TOTAL_DEATHS),
        .window_ms = settings_int(settings, SETTING_RESTART_WINDOW_MS),
        .throttle_ms = settings_int(settings, SETTING_RESTART_THROTTLE_MS)};
}

bool slot_must_hold(const struct slot *slot, const struct child *child)
{
    return slot->row->singleton && (child == slot->successor || slot->retiring != NULL);
}

void slot_start(struct slot *slot)
{
    restart_forget(&slot->history);
    slot->throttled_since_ms = 0;
    slot->awaits_reload = false;
    child_start(slot->current);
}

void slot_release(struct slot *slot)
{
    if (slot->awaits_reload && !stage_draining(&slot->supervisor->stage)) {
        slot_start(slot);
    }
}

void slot_start_successor(struct slot *slot)
{
    assert(slot->successor == NULL);
    slot->successor = child_create(slot);
    child_start(slot->successor);
}

void slot_promote(struct slot *slot)
{
    assert(slot->successor != NULL && slot->retiring == NULL);
    slot->retiring = slot->current;
    slot->current = slot->successor;
    slot->successor = NULL;
    slot->planned_restarts++;
    child_drain(slot->retiring, roster_stop_ms(slot->row, slot->supervisor->settings));
}

void slot_drain(struct slot *slot, int64_t budget_ms)
{
    struct child *const children[] = {slot->successor, slot->current, slot->retiring};
    for (size_t i = 0; i < 3; i++) {
        if (children[i] != NULL) {
            child_drain(children[i], budget_ms);
        }
    }
}

void slot_each_child(struct slot *slot, slot_child_fn fn)
{
    struct child *const children[] = {slot->successor, slot->current, slot->retiring};
    for (size_t i = 0; i < 3; i++) {
        if (children[i] != NULL && child_alive(children[i])) {
            fn(children[i]);
        }
    }
}

struct child *slot_find(struct slot *slot, pid_t pid)
{
    struct child *const children[] = {slot->successor, slot->current, slot->retiring};
    for (size_t i = 0; i < 3; i++) {
        if (children[i] != NULL && children[i]->pid == pid) {
            return children[i];
        }
    }
    return NULL;
}

bool slot_gone(const struct slot *slot)
{
    return slot->successor == NULL && slot->retiring == NULL &&
           slot->current->state == CHILD_STATE_STOPPED;
}

bool slot_ready(const struct slot *slot)
{
    return slot->current->state == CHILD_STATE_READY;
}

bool slot_healthy(const struct slot *slot)
{
    return slot_ready(slot) && slot->current->beat.healthy != 0 && !slot->current->watch.warned;
}

bool slot_settled(const struct slot *slot)
{
    switch (slot->current->state) {
    case CHILD_STATE_READY:
    case CHILD_STATE_THROTTLED:
        return true;
    case CHILD_STATE_STOPPED:
        return slot->done || slot->awaits_reload;
    case CHILD_STATE_BACKOFF:
        /* A dependency is missing: the actors can start and wait for it themselves. */
        return slot->row->kind == ROSTER_ONE_SHOT;
    default:
        return false;
    }
}

void slot_child_ready(struct slot *slot, struct child *child)
{
    if (child == slot->successor) {
        roll_successor_ready(&slot->supervisor->rolls, slot);
    } else if (child == slot->current) {
        roll_current_ready(&slot->supervisor->rolls, slot);
    }
}

void slot_child_overdue(struct slot *slot, struct child *child)
{
    /* The epoch makes it safe to go on although the old one hangs. */
    if (child == slot->retiring) {
        child_go(slot->current);
    }
}

void slot_child_spawn_failed(struct slot *slot, struct child *child, const struct error *err)
{
    LOG_ERROR("cannot make a process", LOG_TEXT("name", slot->name), LOG_TEXT("reason", err->text));
    snprintf(slot->last_end, sizeof slot->last_end, "%s", err->text);
    if (child == slot->successor) {
        child_destroy(&slot->successor);
        roll_successor_ended(&slot->supervisor->rolls, slot);
        return;
    }
    int64_t wait_ms = restart_spawn_failed(&slot->history, random_bits());
    child_start_later(child, CHILD_STATE_BACKOFF, wait_ms);
    roll_current_ended(&slot->supervisor->rolls, slot);
}

/* A one-shot that will not succeed by being tried again ends everything. */
static bool one_shot_failed(const struct slot *slot, const struct restart_exit *exit)
{
    return slot->row->kind == ROSTER_ONE_SHOT && !exit->by_signal && exit->code != EXIT_CODE_DONE &&
           exit->code != EXIT_CODE_DEPENDENCY && exit->code != EXIT_CODE_MEMORY;
}

static void note_throttled(struct slot *slot, int64_t now_ms)
{
    if (slot->history.throttled && slot->throttled_since_ms == 0) {
        slot->throttled_since_ms = now_ms;
        LOG_ERROR("throttled after too many deaths", LOG_TEXT("name", slot->name),
                  LOG_TEXT("last", slot->last_end));
    } else if (!slot->history.throttled) {
        slot->throttled_since_ms = 0;
    }
}

/* Notes a death nobody asked for. False: too many over all actors, everything stops. */
static bool judge(struct slot *slot, const struct restart_exit *exit,
                  struct restart_decision *decision_out)
{
    struct supervisor *supervisor = slot->supervisor;
    struct restart_limits limits = limits_of(slot);
    int64_t now_ms = clock_monotonic_ms();
    slot->restarts += exit->permanent ? 1 : 0;
    metric_add(METRIC_DEATHS, exit->permanent ? 1 : 0);
    *decision_out = restart_next(&slot->history, &limits, exit, now_ms, random_bits());
    note_throttled(slot, now_ms);
    if (decision_out->late && restart_total(&supervisor->total, &limits, now_ms)) {
        LOG_ERROR("too many deaths over all actors, giving up",
                  LOG_INT("deaths", limits.total_deaths), LOG_INT("window_ms", limits.window_ms));
        stage_drain(supervisor, EXIT_CODE_FAILED);
        return false;
    }
    return true;
}

static void obey(struct slot *slot, const struct restart_decision *decision)
{
    switch (decision->verdict) {
    case RESTART_DONE:
        slot->done = true;
        return;
    case RESTART_UNTIL_RELOAD:
        slot->awaits_reload = true;
        LOG_ERROR("not started again before a reload", LOG_TEXT("name", slot->name),
                  LOG_TEXT("last", slot->last_end));
        return;
    case RESTART_THROTTLE:
        child_start_later(slot->current, CHILD_STATE_THROTTLED, decision->wait_ms);
        return;
    case RESTART_START:
        if (decision->wait_ms == 0) {
            child_start(slot->current);
        } else {
            LOG_INFO("started again later", LOG_TEXT("name", slot->name),
                     LOG_INT("wait_ms", decision->wait_ms));
            child_start_later(slot->current, CHILD_STATE_BACKOFF, decision->wait_ms);
        }
        return;
    }
}

/* Its successor, being started already, takes its place. */
static void replace_dead(struct slot *slot)
{
    child_destroy(&slot->current);
    slot->current = slot->successor;
    slot->successor = NULL;
    child_go(slot->current);
    roll_successor_took_over(&slot->supervisor->rolls, slot);
}

static void current_ended(struct slot *slot, const struct restart_exit *exit)
{
    struct supervisor *supervisor = slot->supervisor;
    struct restart_decision decision;
    if (stage_draining(&supervisor->stage)) {
        return;
    }
    if (slot->current->leaving) {
        slot->planned_restarts++;
        roll_current_stopped(&supervisor->rolls, slot);
    } else if (one_shot_failed(slot, exit)) {
        LOG_ERROR("cannot be made ready, stopping", LOG_TEXT("name", slot->name),
                  LOG_TEXT("reason", slot->last_end));
        stage_drain(supervisor, exit->code);
    } else if (!judge(slot, exit, &decision)) {
        return;
    } else if (slot->successor != NULL) {
        replace_dead(slot);
    } else {
        obey(slot, &decision);
        roll_current_ended(&supervisor->rolls, slot);
    }
}

void slot_child_ended(struct slot *slot, struct child *child, const struct restart_exit *exit)
{
    struct supervisor *supervisor = slot->supervisor;
    if (child == slot->successor) {
        child_destroy(&slot->successor);
        roll_successor_ended(&supervisor->rolls, slot);
    } else if (child == slot->retiring) {
        child_destroy(&slot->retiring);
        child_go(slot->current);
        roll_retired(&supervisor->rolls, slot);
    } else {
        assert(child == slot->current);
        current_ended(slot, exit);
    }
}

void slot_tick(struct slot *slot, int64_t now_ms)
{
    struct child *const children[] = {slot->successor, slot->retiring, slot->current};
    for (size_t i = 0; i < 3; i++) {
        /* A tick never destroys a child: only the reaper does. */
        if (children[i] != NULL) {
            child_tick(children[i], now_ms);
        }
    }
    if (slot_ready(slot) && now_ms - slot->current->ready_ms >= RESTART_SETTLED_MS &&
        slot->throttled_since_ms != 0) {
        restart_forget(&slot->history);
        slot->throttled_since_ms = 0;
        LOG_INFO("throttled no more", LOG_TEXT("name", slot->name));
    }
}

int64_t slot_due_ms(const struct slot *slot)
{
    const struct child *const children[] = {slot->successor, slot->current, slot->retiring};
    int64_t due_ms = INT64_MAX;
    for (size_t i = 0; i < 3; i++) {
        int64_t child_ms = children[i] == NULL ? INT64_MAX : child_due_ms(children[i]);
        due_ms = child_ms < due_ms ? child_ms : due_ms;
    }
    return due_ms;
}
