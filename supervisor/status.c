/* See status.h. */
#include "supervisor/status.h"

#include "runtime/base/clock.h"
#include "supervisor/supervisor.h"

#include <limits.h>
#include <string.h>
#include <unistd.h>

static void write_text(struct buffer *out, const char *name, const char *value)
{
    buffer_printf(out, "\"%s\":", name);
    buffer_append_json(out, value, strlen(value));
}

static void write_pid(struct buffer *out, const struct child *child)
{
    if (child_alive(child)) {
        buffer_printf(out, "\"pid\":%d", (int)child->pid);
    } else {
        buffer_append_text(out, "\"pid\":null");
    }
}

/* What a child says, within what readers of JSON take for an integer. */
static long long told(uint64_t count)
{
    return count > INT64_MAX ? LLONG_MAX : (long long)count;
}

/* Null until it has said so. */
static void write_confinement(struct buffer *out, const struct child *child)
{
    static const char *const modes[CHILD_CONFINED_CALLS + 1] = {"off", "log", "kill", "unknown"};
    if (child->ready_ms == 0 || !child_alive(child)) {
        buffer_append_text(out, ",\"confined\":null");
        return;
    }
    buffer_printf(out, ",\"confined\":{\"seccomp\":\"%s\",\"landlock\":%lld}",
                  modes[child->confined & CHILD_CONFINED_CALLS],
                  (long long)(child->confined >> CHILD_CONFINED_ABI_SHIFT));
}

static void write_actor(struct buffer *out, const struct slot *slot, int64_t now_ms)
{
    const struct child *child = slot->current;
    buffer_append_byte(out, '{');
    write_text(out, "name", slot->name);
    buffer_append_byte(out, ',');
    write_text(out, "actor", slot->row->actor);
    buffer_append_byte(out, ',');
    write_pid(out, child);
    buffer_printf(out,
                  ",\"generation\":%llu,\"state\":\"%s\",\"healthy\":%s,\"restarts\":%llu,"
                  "\"planned_restarts\":%llu,\"uptime_ms\":%lld",
                  (unsigned long long)child->generation, child_state_name(child->state),
                  slot_healthy(slot) ? "true" : "false", (unsigned long long)slot->restarts,
                  (unsigned long long)slot->planned_restarts,
                  (long long)(child_alive(child) ? now_ms - child->started_ms : 0));
    write_confinement(out, child);
    buffer_printf(out,
                  ",\"queued\":%lld,\"in_flight\":%lld,\"last_end\":", told(child->beat.queued),
                  told(child->beat.in_flight));
    if (slot->last_end[0] == '\0') {
        buffer_append_text(out, "null}");
    } else {
        buffer_append_json(out, slot->last_end, strlen(slot->last_end));
        buffer_append_byte(out, '}');
    }
}

static void write_service(struct buffer *out, const struct slot *slot)
{
    buffer_append_byte(out, '{');
    write_text(out, "name", slot->name);
    buffer_append_byte(out, ',');
    write_pid(out, slot->current);
    buffer_printf(out, ",\"state\":\"%s\",\"restarts\":%llu,\"planned_restarts\":%llu}",
                  child_state_name(slot->current->state), (unsigned long long)slot->restarts,
                  (unsigned long long)slot->planned_restarts);
}

static void write_slots(struct buffer *out, const struct supervisor *supervisor,
                        enum roster_kind kind)
{
    int64_t now_ms = clock_monotonic_ms();
    const char *separator = "";
    for (size_t i = 0; i < supervisor->slot_count; i++) {
        const struct slot *slot = &supervisor->slots[i];
        if (slot->row->kind != kind) {
            continue;
        }
        buffer_append_text(out, separator);
        separator = ",";
        if (kind == ROSTER_ACTOR) {
            write_actor(out, slot, now_ms);
        } else {
            write_service(out, slot);
        }
    }
}

static void write_database(struct buffer *out, const struct settings *settings)
{
    const char *url = settings_text(settings, SETTING_DATABASE_URL);
    struct buffer text = {0};
    status_public_dsn(&text, url);
    if (settings_bool(settings, SETTING_DATABASE_EMBEDDED)) {
        buffer_append_text(
            &text, " user=signalbox_owner"); /* peer authentication needs a role to map to */
    }
    buffer_append_text(out, "\"database\":{");
    write_text(out, "dsn", buffer_text(&text));
    buffer_clear(&text);
    status_database_name(&text, url);
    buffer_append_byte(out, ',');
    write_text(out, "name", buffer_text(&text));
    buffer_append_byte(out, ',');
    write_text(out, "owner_role", "signalbox_owner");
    buffer_append_byte(out, '}');
    buffer_deinit(&text);
}

void status_write(struct buffer *out, const struct supervisor *supervisor)
{
    const struct settings *settings = supervisor->settings;
    buffer_append_byte(out, '{');
    write_text(out, "listen", supervisor->listeners.address);
    buffer_printf(out, ",\"generation\":%llu,\"supervisor\":{\"pid\":%d,",
                  (unsigned long long)supervisor->state.generation, (int)getpid());
    write_text(out, "version", SB_VERSION);
    buffer_printf(out, ",\"state\":\"%s\",\"log_lines_dropped\":%llu}",
                  supervisor->stage.phase == STAGE_STARTING  ? "starting"
                  : supervisor->stage.phase == STAGE_RUNNING ? "ready"
                                                             : "draining",
                  (unsigned long long)supervisor->output.dropped_total);
    buffer_append_text(out, ",\"actors\":[");
    write_slots(out, supervisor, ROSTER_ACTOR);
    buffer_append_text(out, "],\"services\":[");
    write_slots(out, supervisor, ROSTER_SERVICE);
    buffer_append_text(out, "],");
    write_database(out, settings);
    buffer_append_byte(out, ',');
    write_text(out, "run_dir", settings_text(settings, SETTING_INSTANCE_RUN_DIR));
    buffer_append_byte(out, ',');
    write_text(out, "data_dir", settings_text(settings, SETTING_INSTANCE_DATA_DIR));
    buffer_append_byte(out, '}');
}
