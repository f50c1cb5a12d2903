/* See lease.h. */
#include "job-runner/lease.h"

#include "job-runner/jobs.h"
#include "job-runner/lease_internal.h"
#include "job-runner/progress.h"
#include "job-runner/shards.h"
#include "runtime/base/clock.h"
#include "runtime/base/memory.h"
#include "runtime/base/metrics.h"

#include <stdlib.h>
#include <string.h>

/* ---- the set ---- */

static struct held *find(const struct lease *lease, int64_t id)
{
    struct uuid key = map_number_key((uint64_t)id);
    return map_get(&lease->by_number, &key);
}

struct held *lease_find(const struct lease *lease, int64_t id, const struct uuid *token)
{
    struct held *held = find(lease, id);
    return held != NULL && uuid_equal(&held->token, token) ? held : NULL;
}

size_t lease_count(const struct lease *lease)
{
    return lease->by_number.count;
}

static void free_held(struct held *held)
{
    buffer_deinit(&held->progress);
    free(held);
}

void lease_drop(struct lease *lease, struct held *held, bool lost)
{
    struct uuid key = map_number_key((uint64_t)held->id);
    lease_cancelled_fn *cancelled = held->told ? NULL : held->cancelled;
    void *arg = held->arg;
    map_remove(&lease->by_number, &key);
    map_remove(&lease->by_uuid, &held->job);
    progress_forget(lease->runner->progress, &held->job);
    free_held(held);
    if (lost && cancelled != NULL) {
        metric_add(METRIC_JOB_LEASES_LOST, 1);
        cancelled(arg, true);
    }
}

/* ---- beats ---- */

/* Its readers hear it, and now and then its log. */
static void pass_on(const struct lease *lease, const struct held *held, int percent,
                    const char *note, size_t note_length)
{
    const struct job *job = jobs_by_number(lease->runner->jobs, held->id);
    const struct progress_word word = {.job = held->job,
                                       .token = held->token,
                                       .tenant = held->tenant,
                                       .run = held->run,
                                       .type = job == NULL ? NULL : job->type,
                                       .attempt = job == NULL ? 0 : job->attempts + 1,
                                       .percent = percent,
                                       .note = note,
                                       .note_length = note_length};
    progress_say(lease->runner->progress, &word);
}

static void take_progress(struct lease *lease, struct held *held, int percent, const char *note,
                          size_t note_length)
{
    buffer_clear(&held->progress);
    buffer_append_text(&held->progress, "{\"percent\":");
    if (percent >= 0) {
        buffer_append_int(&held->progress, percent);
    } else {
        buffer_append_text(&held->progress, "null");
    }
    buffer_append_text(&held->progress, ",\"note\":");
    buffer_append_json(&held->progress, note, note_length);
    buffer_append_byte(&held->progress, '}');
    held->progress_sent = false;
    pass_on(lease, held, percent, note, note_length);
}

struct lease_answer lease_beat(struct lease *lease, const struct uuid *job,
                               const struct uuid *token, int percent, const char *note,
                               size_t note_length)
{
    struct held *held = map_get(&lease->by_uuid, job);
    if (held == NULL || held->ending || held->leaving) {
        return (struct lease_answer){.state = JOB_BEAT_ELSEWHERE};
    }
    if (!uuid_equal(&held->token, token)) {
        jobs_doubt(lease->runner->jobs, held->id); /* ours may be old: the table says */
        return (struct lease_answer){.state = JOB_BEAT_ELSEWHERE};
    }
    held->delivery = false;
    held->beaten = true;
    lease_live_from_now(lease, held, held->lease_ms);
    if (percent >= 0 || note_length > 0) {
        take_progress(lease, held, percent, note, note_length);
    }
    return (struct lease_answer){JOB_BEAT_ALIVE, held->kill_ms != 0, held->lease_ms};
}

/* ---- claims of ours ---- */

void lease_begin(struct lease *lease, int64_t id, const struct uuid *token, uint64_t lease_ms,
                 uint64_t delivery_ms, lease_cancelled_fn *cancelled, void *arg)
{
    struct held *held = lease_find(lease, id, token);
    if (held == NULL) {
        return;
    }
    held->lease_ms = lease_ms;
    held->delivery = delivery_ms != 0;
    held->cancelled = cancelled;
    held->arg = arg;
    lease_live_from_now(lease, held, delivery_ms != 0 ? delivery_ms : lease_ms);
    if (held->kill_ms != 0) {
        lease_mark_cancelled(lease, held);
    }
}

bool lease_is_watched(const struct lease *lease, int64_t id, const struct uuid *token)
{
    const struct held *held = lease_find(lease, id, token);
    return held != NULL && !held->leaving;
}

/* Until the outcome of its report is known it is watched like anybody's. */
void lease_end(struct lease *lease, int64_t id, const struct uuid *token)
{
    struct held *held = lease_find(lease, id, token);
    if (held == NULL) {
        return;
    }
    held->cancelled = NULL;
    if (shards_is_ours(lease->runner->shards, held->shard)) {
        lease_live_from_now(lease, held, held->lease_ms);
    } else {
        lease_drop(lease, held, false);
    }
}

/* ---- what the others say ---- */

/* Hex digits up to a slash; 0: something else. */
static uint64_t parse_origin(const char *text)
{
    static const char digits[] = "0123456789abcdef";
    uint64_t origin = 0;
    size_t count = strspn(text, digits);
    if (count == 0 || count > 16 || text[count] != '/') {
        return 0;
    }
    for (size_t i = 0; i < count; i++) {
        origin = origin << 4 | (uint64_t)(strchr(digits, text[i]) - digits);
    }
    return origin;
}

/* Of a claim of an executor of another job-runner, or of an earlier process of this one, the number
 * of that process; else 0. The database decides whether it lives. */
static uint64_t other_origin(const struct lease *lease, const char *worker)
{
    static const char name[] = "job-runner-";
    const char *slash =
        worker == NULL || strncmp(worker, name, sizeof name - 1) != 0 ? NULL : strchr(worker, '/');
    uint64_t origin = slash == NULL ? 0 : parse_origin(slash + 1);
    return origin == lease->runner->actor->origin ? 0 : origin;
}

static struct held *add(struct lease *lease, const struct job *job)
{
    struct held *held = memory_new(sizeof *held);
    struct uuid key = map_number_key((uint64_t)job->id);
    *held = (struct held){.id = job->id,
                          .job = job->job,
                          .token = job->token,
                          .tenant = job->tenant,
                          .run = job->run,
                          .shard = job->shard,
                          .lease_ms = job->lease_ms,
                          .renewed_ms = clock_monotonic_ms()};
    if (held->lease_ms == 0) {
        held->lease_ms =
            (uint64_t)settings_int(lease->runner->actor->settings, SETTING_JOBS_STALE_MS);
    }
    held->origin = other_origin(lease, job->worker);
    map_put(&lease->by_number, &key, held);
    map_put(&lease->by_uuid, &held->job, held);
    lease_live_from_now(lease, held, held->origin != 0 ? 0 : held->lease_ms);
    return held;
}

void lease_watch(struct lease *lease, const struct job *job)
{
    struct held *held = find(lease, job->id);
    if (held != NULL && !uuid_equal(&held->token, &job->token)) {
        lease_drop(lease, held, true);
        held = NULL;
    }
    if (held == NULL) {
        held = add(lease, job);
    } else if (held->leaving) {
        held->leaving = false; /* it has come back */
        lease_live_from_now(lease, held, held->lease_ms);
    }
    if (job->cancel) {
        lease_mark_cancelled(lease, held);
    }
    lease_due(lease, lease_due_ms(held));
}

void lease_hold(struct lease *lease, const struct job *job)
{
    lease_watch(lease, job);
}

void lease_heard(struct lease *lease, const struct job_news *news)
{
    struct held *held = find(lease, news->id);
    if (held == NULL) {
        return;
    }
    if (news->state == JOB_STATE_RUNNING && uuid_equal(&held->token, &news->token)) {
        if (news->cancel) {
            lease_mark_cancelled(lease, held);
        }
    } else {
        lease_over(lease, held->id);
    }
}

/* What runs in this process is ended by nothing that may be old: the database is asked. */
void lease_over(struct lease *lease, int64_t id)
{
    struct held *held = find(lease, id);
    if (held == NULL) {
        return;
    }
    if (held->cancelled != NULL) {
        held->beaten = true;
        event_active(lease->flush_event, EV_TIMEOUT, 0);
    } else {
        lease_drop(lease, held, false);
    }
}

static struct held *find_job(const struct lease *lease, const struct uuid *job,
                             const struct uuid *token)
{
    struct held *held = map_get(&lease->by_uuid, job);
    return held != NULL && uuid_equal(&held->token, token) ? held : NULL;
}

void lease_reported(struct lease *lease, const struct uuid *job, const struct uuid *token)
{
    struct held *held = find_job(lease, job, token);
    if (held != NULL && held->cancelled != NULL) {
        held->cancelled = NULL;
        lease_live_from_now(lease, held, held->lease_ms);
    }
}

void lease_settled(struct lease *lease, const struct uuid *job, const struct uuid *token)
{
    struct held *held = find_job(lease, job, token);
    if (held != NULL) {
        lease_drop(lease, held, false);
    }
}

/* Beats that were answered are written, now or behind the statement under way: the next owner sees
 * only them. While draining nothing is dropped: the process ends when all is written. */
void lease_lose_shard(struct lease *lease, unsigned shard)
{
    struct held **lost = memory_array(lease->by_number.count + 1, sizeof(struct held *));
    size_t count = 0;
    size_t cursor = 0;
    struct held *held;
    lease_flush(lease);
    while ((held = map_next(&lease->by_number, &cursor)) != NULL) {
        if (held->shard == shard && held->cancelled == NULL) {
            lost[count++] = held;
        }
    }
    for (size_t i = 0; i < count && !lease->runner->actor->draining; i++) {
        if (lost[i]->beaten || lost[i]->progress.length > 0) {
            lost[i]->leaving = true;
        } else {
            lease_drop(lease, lost[i], false);
        }
    }
    free(lost);
}

/* ---- life ---- */

static void on_flush(evutil_socket_t fd SB_UNUSED, short what SB_UNUSED, void *arg)
{
    lease_flush(arg);
}

bool lease_flush_now(struct lease *lease)
{
    lease_flush(lease);
    return lease->renewing.count == 0;
}

static void on_sweep(evutil_socket_t fd SB_UNUSED, short what SB_UNUSED, void *arg)
{
    lease_sweep(arg);
}

static struct event *every(struct lease *lease, int64_t ms, event_callback_fn call)
{
    struct event *event = event_new(lease->runner->actor->base, -1, EV_PERSIST, call, lease);
    event_add(event, &(struct timeval){ms / 1000, ms % 1000 * 1000});
    return event;
}

struct lease *lease_create(struct job_runner *runner)
{
    struct lease *lease = memory_new(sizeof *lease);
    const struct settings *settings = runner->actor->settings;
    lease->runner = runner;
    lease->due_ms = INT64_MAX;
    lease->due_event = event_new(runner->actor->base, -1, 0, lease_on_due, lease);
    lease->flush_event = every(lease, settings_int(settings, SETTING_JOBS_BEAT_FLUSH_MS), on_flush);
    lease->sweep_event =
        every(lease, settings_int(settings, SETTING_JOBS_STALE_CHECK_MS), on_sweep);
    return lease;
}

void lease_destroy(struct lease **lease)
{
    size_t cursor = 0;
    struct held *held;
    if (*lease == NULL) {
        return;
    }
    while ((held = map_next(&(*lease)->by_number, &cursor)) != NULL) {
        free_held(held);
    }
    map_deinit(&(*lease)->by_number);
    map_deinit(&(*lease)->by_uuid);
    event_free((*lease)->due_event);
    event_free((*lease)->flush_event);
    event_free((*lease)->sweep_event);
    free(*lease);
    *lease = NULL;
}
