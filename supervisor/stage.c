/* See stage.h. */
#include "supervisor/stage.h"

#include "runtime/base/clock.h"
#include "runtime/base/log.h"
#include "supervisor/notify.h"
#include "supervisor/supervisor.h"

enum { STAGE_SERVICE_RESERVE_MS = 10000 };

bool stage_draining(const struct stage *stage)
{
    return stage->phase == STAGE_DRAINING || stage->phase == STAGE_GONE;
}

static void start_group(struct supervisor *supervisor, unsigned group, int64_t now_ms)
{
    supervisor->stage.group = group;
    supervisor->stage.group_started_ms = now_ms;
    for (size_t i = 0; i < supervisor->slot_count; i++) {
        if (supervisor->slots[i].row->group == group) {
            slot_start(&supervisor->slots[i]);
        }
    }
}

void stage_start(struct supervisor *supervisor)
{
    supervisor->stage = (struct stage){.phase = STAGE_STARTING};
    start_group(supervisor, 0, clock_monotonic_ms());
}

static int64_t group_wait_ms(const struct supervisor *supervisor, unsigned group)
{
    int64_t wait_ms = settings_int(supervisor->settings, SETTING_WATCHDOG_READY_MS);
    for (size_t i = 0; i < supervisor->slot_count; i++) {
        const struct roster_row *row = supervisor->slots[i].row;
        if (row->group == group && row->start_wait_ms > 0) {
            wait_ms = row->start_wait_ms;
        }
    }
    return wait_ms;
}

static bool group_settled(const struct supervisor *supervisor, unsigned group)
{
    for (size_t i = 0; i < supervisor->slot_count; i++) {
        const struct slot *slot = &supervisor->slots[i];
        if (slot->row->group == group && !slot_settled(slot)) {
            return false;
        }
    }
    return true;
}

static void start_step(struct supervisor *supervisor, int64_t now_ms)
{
    struct stage *stage = &supervisor->stage;
    while (stage->phase == STAGE_STARTING) {
        bool settled = group_settled(supervisor, stage->group);
        if (!settled &&
            now_ms - stage->group_started_ms < group_wait_ms(supervisor, stage->group)) {
            return;
        }
        if (!settled) {
            LOG_WARN("not all of a group are ready, going on without them",
                     LOG_INT("group", stage->group));
        }
        if (stage->group + 1 == ROSTER_GROUPS) {
            stage->phase = STAGE_RUNNING;
            supervisor_announce(supervisor);
        } else {
            start_group(supervisor, stage->group + 1, now_ms);
        }
    }
}

/* Time that one slot may take now, so that the services still get theirs. */
static int64_t budget_ms(const struct supervisor *supervisor, const struct slot *slot,
                         int64_t now_ms)
{
    int64_t left_ms = supervisor->stage.deadline_ms - now_ms;
    int64_t stop_ms = roster_stop_ms(slot->row, supervisor->settings);
    if (slot->row->kind != ROSTER_SERVICE) {
        left_ms -= left_ms / 4 < STAGE_SERVICE_RESERVE_MS ? left_ms / 4 : STAGE_SERVICE_RESERVE_MS;
    }
    stop_ms = stop_ms < left_ms ? stop_ms : left_ms;
    return stop_ms > 1 ? stop_ms : 1;
}

static void kill_or_hurry(struct child *child)
{
    /* A database is never killed while it can still be told to stop at once. */
    if (child->slot->row->kind == ROSTER_SERVICE) {
        child_hurry(child);
    } else {
        child_kill(child);
    }
}

static void drain_group(struct supervisor *supervisor, unsigned group, int64_t now_ms)
{
    supervisor->stage.group = group;
    for (size_t i = 0; i < supervisor->slot_count; i++) {
        struct slot *slot = &supervisor->slots[i];
        if (slot->row->group == group) {
            slot_drain(slot, budget_ms(supervisor, slot, now_ms));
            if (supervisor->stage.hasty) {
                slot_each_child(slot, kill_or_hurry);
            }
        }
    }
}

static bool group_gone(const struct supervisor *supervisor, unsigned group)
{
    for (size_t i = 0; i < supervisor->slot_count; i++) {
        if (supervisor->slots[i].row->group == group && !slot_gone(&supervisor->slots[i])) {
            return false;
        }
    }
    return true;
}

static void drain_step(struct supervisor *supervisor, int64_t now_ms)
{
    struct stage *stage = &supervisor->stage;
    while (stage->phase == STAGE_DRAINING && group_gone(supervisor, stage->group)) {
        if (stage->group == 0) {
            stage->phase = STAGE_GONE;
            supervisor->finished = true;
        } else {
            drain_group(supervisor, stage->group - 1, now_ms);
        }
    }
}

void stage_drain(struct supervisor *supervisor, int exit_code)
{
    int64_t now_ms = clock_monotonic_ms();
    int64_t total_ms = settings_int(supervisor->settings, SETTING_STOP_TOTAL_MS);
    if (stage_draining(&supervisor->stage)) {
        return;
    }
    LOG_INFO("stopping", LOG_INT("within_ms", total_ms));
    notify_send("STOPPING=1");
    supervisor->exit_code = exit_code;
    supervisor->stage = (struct stage){.phase = STAGE_DRAINING, .deadline_ms = now_ms + total_ms};
    roll_cancel(&supervisor->rolls);
    drain_group(supervisor, ROSTER_GROUPS - 1, now_ms);
}

void stage_halve(struct supervisor *supervisor)
{
    int64_t now_ms = clock_monotonic_ms();
    struct stage *stage = &supervisor->stage;
    if (stage->phase != STAGE_DRAINING || stage->deadline_ms <= now_ms) {
        return;
    }
    stage->deadline_ms = now_ms + (stage->deadline_ms - now_ms) / 2;
    LOG_WARN("stopping in half the time", LOG_INT("within_ms", stage->deadline_ms - now_ms));
    for (size_t i = 0; i < supervisor->slot_count; i++) {
        slot_each_child(&supervisor->slots[i], child_halve);
    }
}

void stage_kill(struct supervisor *supervisor)
{
    if (supervisor->stage.phase != STAGE_DRAINING) {
        return;
    }
    LOG_WARN("stopping at once");
    supervisor->stage.hasty = true;
    for (size_t i = 0; i < supervisor->slot_count; i++) {
        if (supervisor->slots[i].row->kind != ROSTER_SERVICE) {
            slot_each_child(&supervisor->slots[i], kill_or_hurry);
        }
    }
    if (supervisor->stage.group == 0) {
        drain_group(supervisor, 0, clock_monotonic_ms());
    }
}

/* True when every instance of that actor has been throttled, and none is ready, for too long. */
static bool actor_is_lost(const struct supervisor *supervisor, const struct roster_row *row,
                          int64_t now_ms)
{
    int64_t end_ms = settings_int(supervisor->settings, SETTING_RESTART_THROTTLED_END_MS);
    for (size_t i = 0; i < supervisor->slot_count; i++) {
        const struct slot *slot = &supervisor->slots[i];
        if (slot->row == row && (slot_ready(slot) || slot->throttled_since_ms == 0 ||
                                 now_ms - slot->throttled_since_ms < end_ms)) {
            return false;
        }
    }
    return true;
}

static void check_vital(struct supervisor *supervisor, int64_t now_ms)
{
    for (size_t i = 0; i < supervisor->slot_count && !stage_draining(&supervisor->stage); i++) {
        const struct roster_row *row = supervisor->slots[i].row;
        if (row->vital && actor_is_lost(supervisor, row, now_ms)) {
            LOG_ERROR("a vital actor does not come up, giving up", LOG_TEXT("name", row->actor));
            stage_drain(supervisor, EXIT_CODE_FAILED);
        }
    }
}

void stage_tick(struct supervisor *supervisor, int64_t now_ms)
{
    switch (supervisor->stage.phase) {
    case STAGE_STARTING:
        check_vital(supervisor, now_ms);
        start_step(supervisor, now_ms);
        return;
    case STAGE_RUNNING:
        check_vital(supervisor, now_ms);
        return;
    case STAGE_DRAINING:
        drain_step(supervisor, now_ms);
        return;
    case STAGE_GONE:
        return;
    }
}

int64_t stage_due_ms(const struct supervisor *supervisor)
{
    const struct stage *stage = &supervisor->stage;
    return stage->phase == STAGE_STARTING
               ? stage->group_started_ms + group_wait_ms(supervisor, stage->group)
               : INT64_MAX;
}
