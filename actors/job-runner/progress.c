/* See progress.h. A job is remembered from its first word until both pauses are over and nothing is
 * left to be said. */
#include "job-runner/progress.h"

#include "job-runner/changes.h"
#include "job-runner/runner.h"
#include "runtime/base/buffer.h"
#include "runtime/base/clock.h"
#include "runtime/base/map.h"
#include "runtime/base/memory.h"
#include "runtime/commands.h"

#include <stdlib.h>
#include <string.h>

struct entry {
    struct progress *progress;
    struct event *timer;
    struct progress_word word; /* type and note: in `texts` */
    struct buffer texts;
    int64_t note_ms; /* not before */
    int64_t event_ms;
    bool note_due;
    bool event_due;
};

struct progress {
    struct job_runner *runner; /* borrowed */
    struct map jobs;           /* struct entry, by job */
};

static void write_payload(struct buffer *out, const struct progress_word *word)
{
    char job[UUID_TEXT_SIZE];
    uuid_format(&word->job, job);
    buffer_printf(out, "{\"job_id\":\"%s\"", job);
    if (word->type != NULL) {
        buffer_append_text(out, ",\"job_type\":");
        buffer_append_json(out, word->type, strlen(word->type));
    }
    if (word->attempt > 0) {
        buffer_printf(out, ",\"attempt\":%u", word->attempt);
    }
    if (word->percent >= 0) {
        buffer_printf(out, ",\"percent\":%d", word->percent);
    }
    if (word->note_length > 0) {
        buffer_append_text(out, ",\"message\":");
        buffer_append_json(out, word->note, word->note_length);
    }
    buffer_append_byte(out, '}');
}

static void tell_readers(const struct entry *entry)
{
    struct buffer payload = {0};
    struct message_job_note note = {0};
    write_payload(&payload, &entry->word);
    memcpy(note.tenant, entry->word.tenant.bytes, sizeof note.tenant);
    memcpy(note.run, entry->word.run.bytes, sizeof note.run);
    note.payload = (struct message_span){payload.data, payload.length};
    commands_note(entry->progress->runner->links.commands, &note);
    buffer_deinit(&payload);
}

static void tell_log(const struct entry *entry)
{
    const struct progress_word *word = &entry->word;
    const struct change change = {
        .said = {.job = word->job,
                 .token = word->token,
                 .what = JOB_PROGRESS,
                 .reason = {(const uint8_t *)word->note, word->note_length},
                 .percent = word->percent}};
    changes_send(entry->progress->runner->changes, &change, NULL, NULL);
}

static void destroy(struct entry *entry)
{
    (void)map_remove(&entry->progress->jobs, &entry->word.job);
    event_free(entry->timer);
    buffer_deinit(&entry->texts);
    free(entry);
}

static void schedule(struct entry *entry, int64_t now_ms)
{
    /* Said next, or forgotten then. */
    int64_t last_ms = entry->note_ms > entry->event_ms ? entry->note_ms : entry->event_ms;
    int64_t at_ms = last_ms;
    if (entry->note_due) {
        at_ms = entry->note_ms;
    }
    if (entry->event_due && entry->event_ms < at_ms) {
        at_ms = entry->event_ms;
    }
    int64_t wait_ms = at_ms > now_ms ? at_ms - now_ms : 0;
    struct timeval wait = {.tv_sec = wait_ms / 1000, .tv_usec = wait_ms % 1000 * 1000};
    (void)event_add(entry->timer, &wait);
}

static void say_what_is_due(struct entry *entry, int64_t now_ms)
{
    const struct settings *settings = entry->progress->runner->actor->settings;
    if (entry->note_due && now_ms >= entry->note_ms) {
        tell_readers(entry);
        entry->note_due = false;
        entry->note_ms = now_ms + settings_int(settings, SETTING_JOBS_NOTE_MS);
    }
    if (entry->event_due && now_ms >= entry->event_ms) {
        tell_log(entry);
        entry->event_due = false;
        entry->event_ms = now_ms + settings_int(settings, SETTING_JOBS_PROGRESS_MS);
    }
}

static void on_timer(evutil_socket_t fd SB_UNUSED, short what SB_UNUSED, void *arg)
{
    struct entry *entry = arg;
    int64_t now_ms = clock_monotonic_ms();
    say_what_is_due(entry, now_ms);
    if (!entry->note_due && !entry->event_due && now_ms >= entry->note_ms &&
        now_ms >= entry->event_ms) {
        destroy(entry);
    } else {
        schedule(entry, now_ms);
    }
}

static void keep(struct entry *entry, const struct progress_word *word)
{
    size_t type_size = word->type == NULL ? 0 : strlen(word->type) + 1;
    buffer_clear(&entry->texts);
    if (type_size > 0) {
        buffer_append(&entry->texts, word->type, type_size);
    }
    buffer_append(&entry->texts, word->note, word->note_length);
    entry->word = *word;
    entry->word.type = type_size == 0 ? NULL : (const char *)entry->texts.data;
    entry->word.note = (const char *)entry->texts.data + type_size;
    entry->note_due = entry->event_due = true;
}

void progress_say(struct progress *progress, const struct progress_word *word)
{
    struct entry *entry = map_get(&progress->jobs, &word->job);
    int64_t now_ms = clock_monotonic_ms();
    if (entry == NULL) {
        entry = memory_new(sizeof *entry);
        entry->progress = progress;
        entry->timer = event_new(progress->runner->actor->base, -1, 0, on_timer, entry);
        (void)map_put(&progress->jobs, &word->job, entry);
    }
    keep(entry, word);
    say_what_is_due(entry, now_ms);
    schedule(entry, now_ms);
}

void progress_forget(struct progress *progress, const struct uuid *job)
{
    struct entry *entry = map_get(&progress->jobs, job);
    if (entry != NULL) {
        destroy(entry);
    }
}

struct progress *progress_create(struct job_runner *runner)
{
    struct progress *progress = memory_new(sizeof *progress);
    progress->runner = runner;
    return progress;
}

void progress_destroy(struct progress **progress_at)
{
    struct progress *progress = *progress_at;
    struct entry *entry;
    size_t cursor = 0;
    if (progress == NULL) {
        return;
    }
    while ((entry = map_next(&progress->jobs, &cursor)) != NULL) {
        event_free(entry->timer);
        buffer_deinit(&entry->texts);
        free(entry);
    }
    map_deinit(&progress->jobs);
    free(progress);
    *progress_at = NULL;
}
