/* ENQUEUE_JOBS and CHANGE_JOBS as commands: how they are read, what they point to, how they are
 * answered. See jobs.h. */
#include "sequencer/commands.h"

#include "runtime/base/log.h"
#include "runtime/base/memory.h"
#include "runtime/utf8_stream.h"

#include <stdlib.h>
#include <string.h>

enum {
    JOBS_MAX = 1000,
    JOBS_PARENTS_MAX = 10000,
    JOBS_CHANGES_MAX = 256,
    JOBS_EVENTS_MAX = 1000,
    JOBS_KEY_BYTES = 512,
    JOBS_NAME_BYTES = 255,
    JOBS_JSON_BYTES = 64 << 10,
    JOBS_REASON_BYTES = 2 << 10,
    JOBS_PRIORITY_MAX = 1000,
    JOBS_ATTEMPTS_MAX = 1000
};

/* A year: times computed from it stay in range. */
static const uint64_t jobs_ms_max = UINT64_C(31622400000);

void jobs_work_destroy(struct job_work **work)
{
    struct job_work *old = *work;
    if (old == NULL) {
        return;
    }
    for (size_t i = 0; i < old->items_count; i++) {
        if (old->items[i].job != NULL) {
            old->items[i].job->users--;
        }
        if (old->items[i].run != NULL) {
            old->items[i].run->users--;
        }
    }
    free(old->jobs);
    free(old->parents);
    free(old->changes);
    free(old->events);
    free(old->items);
    free(old->answers);
    free(old);
    *work = NULL;
}

static struct uuid uuid_of(const uint8_t bytes[16])
{
    struct uuid uuid;
    memcpy(uuid.bytes, bytes, sizeof uuid.bytes);
    return uuid;
}

static void begin_work(struct job_work *work, size_t items, size_t answers)
{
    work->items_count = items;
    work->items = memory_array(items, sizeof *work->items);
    work->answers_count = answers;
    work->answers = memory_array(answers, sizeof *work->answers);
}

static void name_by_key(struct job_item *item, const struct uuid *tenant, struct message_span key)
{
    item->key = key;
    item->name = jobs_key_hash(tenant, key);
}

/* ---- ENQUEUE_JOBS ---- */

/* What the database takes as text: anything else would stop those that go with it. */
static bool is_name(struct message_span text, size_t max)
{
    struct utf8_stream utf8 = {0};
    return text.length > 0 && text.length <= max && memchr(text.data, '\0', text.length) == NULL &&
           utf8_stream_take(&utf8, text.data, text.length) && utf8_stream_is_whole(&utf8);
}

static bool is_text(struct message_span text, size_t max)
{
    return text.length == 0 || is_name(text, max);
}

static bool is_sound(const struct message_enqueue_jobs_job *job, bool has_run)
{
    static const uint8_t none[16];
    return memcmp(job->job, none, sizeof none) != 0 && is_name(job->key, JOBS_KEY_BYTES) &&
           is_name(job->type, JOBS_NAME_BYTES) && is_name(job->queue, JOBS_NAME_BYTES) &&
           is_text(job->artifact_kind, JOBS_NAME_BYTES) &&
           is_text(job->concurrency_key, JOBS_KEY_BYTES) && job->payload.length > 0 &&
           job->payload.length <= JOBS_JSON_BYTES && job->priority >= -JOBS_PRIORITY_MAX &&
           job->priority <= JOBS_PRIORITY_MAX && job->max_attempts >= 1 &&
           job->max_attempts <= JOBS_ATTEMPTS_MAX && job->run_at >= 0 &&
           job->run_at < INT64_C(253402300800000000) && job->on_dep_fail <= JOB_DEP_FAIL_CONTINUE &&
           job->debounce_ms <= jobs_ms_max &&
           (has_run || memcmp(job->child, none, sizeof none) != 0);
}

static bool read_jobs(struct job_work *work, struct message_list list, bool has_run)
{
    work->jobs = memory_array(list.count, sizeof *work->jobs);
    while (work->jobs_count < JOBS_MAX &&
           message_enqueue_jobs_job_next(&list, &work->jobs[work->jobs_count])) {
        if (!is_sound(&work->jobs[work->jobs_count++], has_run)) {
            return false;
        }
    }
    return list.count == 0;
}

static bool read_parents(struct job_work *work, struct message_list list)
{
    static const uint8_t none[16];
    work->parents = memory_array(list.count + 1, sizeof *work->parents);
    while (message_enqueue_jobs_parent_next(&list, &work->parents[work->parents_count])) {
        const struct message_enqueue_jobs_parent *parent = &work->parents[work->parents_count++];
        bool by_key = memcmp(parent->parent, none, sizeof none) == 0;
        if (parent->index >= work->jobs_count ||
            (by_key && !is_name(parent->key, JOBS_KEY_BYTES))) {
            return false;
        }
    }
    return true;
}

static void name_enqueued(struct command *command)
{
    static const uint8_t none[16];
    struct job_work *work = command->work;
    begin_work(work, work->jobs_count + work->parents_count, work->jobs_count);
    for (size_t i = 0; i < work->jobs_count; i++) {
        name_by_key(&work->items[i], &command->tenant, work->jobs[i].key);
    }
    for (size_t i = 0; i < work->parents_count; i++) {
        struct job_item *item = &work->items[work->jobs_count + i];
        if (memcmp(work->parents[i].parent, none, sizeof none) == 0) {
            name_by_key(item, &command->tenant, work->parents[i].key);
        } else {
            item->name = uuid_of(work->parents[i].parent);
        }
    }
}

bool job_enqueue_decode(struct command *command, struct message_header *header)
{
    struct message_enqueue_jobs message;
    if (message_enqueue_jobs_decode(command->frame, command->length, header, &message) != 0 ||
        message.jobs.count < 1 || message.jobs.count > JOBS_MAX ||
        message.parents.count > JOBS_PARENTS_MAX) {
        return false;
    }
    commands_address(command, message.origin, message.tenant, message.run);
    command->actor = message.actor;
    commands_trace(command, message.trace, message.span, message.trace_flags);
    command->work = memory_new(sizeof *command->work);
    if (!read_jobs(command->work, message.jobs, !uuid_is_nil(&command->run_id)) ||
        !read_parents(command->work, message.parents)) {
        return false;
    }
    name_enqueued(command);
    return true;
}

/* ---- CHANGE_JOBS ---- */

/* What is merely wrong is refused change by change, so that one poisoned change stops no other. */
static void read_changes(struct command *command, struct message_list list)
{
    struct job_work *work = command->work;
    work->changes = memory_array(list.count, sizeof *work->changes);
    while (message_change_jobs_change_next(&list, &work->changes[work->changes_count])) {
        struct message_change_jobs_change *change = &work->changes[work->changes_count++];
        if (!is_text(change->worker, JOBS_NAME_BYTES) ||
            !is_text(change->reason, JOBS_REASON_BYTES) ||
            change->result.length > JOBS_JSON_BYTES || change->lease_ms > INT32_MAX ||
            change->percent > 100) {
            change->what = 0;
        }
    }
    begin_work(work, work->changes_count, work->changes_count);
    for (size_t i = 0; i < work->changes_count; i++) {
        work->items[i].name = uuid_of(work->changes[i].job);
    }
}

static bool read_events(struct job_work *work, struct message_list list)
{
    work->events = memory_array(list.count + 1, sizeof *work->events);
    while (message_change_jobs_event_next(&list, &work->events[work->events_count])) {
        if (work->events[work->events_count++].index >= work->changes_count) {
            return false;
        }
    }
    return true;
}

bool job_change_decode(struct command *command, struct message_header *header)
{
    static const uint8_t none[16];
    struct message_change_jobs message;
    if (message_change_jobs_decode(command->frame, command->length, header, &message) != 0 ||
        message.changes.count < 1 || message.changes.count > JOBS_CHANGES_MAX ||
        message.events.count > JOBS_EVENTS_MAX) {
        return false;
    }
    commands_address(command, message.origin, message.tenant, none);
    command->actor = message.actor;
    commands_trace(command, message.trace, message.span, message.trace_flags);
    command->work = memory_new(sizeof *command->work);
    read_changes(command, message.changes);
    return read_events(command->work, message.events);
}

/* ---- what they point to ---- */

static bool concerns_run(const struct command *command)
{
    return command->work->changes_count > 0;
}

/* The run of a job may have changed since it was found. */
static bool find_run(struct sequencer *sequencer, struct job_item *item)
{
    const struct uuid *id = &jobs_now(sequencer, item->job)->run;
    if (item->run != NULL && !uuid_equal(&item->run->id, id)) {
        item->run->users--;
        item->run = NULL;
    }
    if (item->run == NULL) {
        item->run = runs_get(sequencer, id);
        if (item->run != NULL) {
            item->run->users++;
            jobs_link(item->job, item->run);
        }
    }
    return item->run != NULL || item->job->pruned;
}

static bool find_item(struct sequencer *sequencer, const struct command *command,
                      struct job_item *item, bool trusted)
{
    if (item->job == NULL) {
        item->job = item->key.length > 0 ? jobs_get_by_key(sequencer, &item->name)
                                         : jobs_get(sequencer, &item->name);
        if (item->job == NULL) {
            return trusted;
        }
        item->job->users++;
    }
    return !concerns_run(command) || find_run(sequencer, item);
}

bool jobs_find(struct sequencer *sequencer, struct command *command)
{
    /* What was not there may have been made, and forgotten, since. */
    bool trusted = command->key_checked && command->seen_commit >= sequencer->jobs.forgotten_commit;
    bool all = command->key_checked || command->run != NULL || uuid_is_nil(&command->run_id);
    for (size_t i = 0; i < command->work->items_count; i++) {
        all = find_item(sequencer, command, &command->work->items[i], trusted) && all;
    }
    return all;
}

/* ---- the answer ---- */

void jobs_send_result(struct sequencer *sequencer, const struct command *command)
{
    const struct job_work *work = command->work;
    const struct message_result *told = &command->result;
    struct message_jobs_result result = {.outcome = told->outcome,
                                         .status = told->status,
                                         .quota = told->quota,
                                         .quota_limit = told->quota_limit,
                                         .quota_used = told->quota_used};
    struct msgpack_sbuffer items;
    struct msgpack_sbuffer frame;
    msgpack_sbuffer_init(&items);
    msgpack_sbuffer_init(&frame);
    memcpy(result.run, command->run_id.bytes, sizeof result.run);
    for (size_t i = 0; i < work->answers_count && told->outcome == OUTCOME_OK; i++) {
        const struct job_answer *answer = &work->answers[i];
        struct message_jobs_result_job item = {.outcome = answer->outcome,
                                               .status = answer->status,
                                               .attempt = answer->attempt,
                                               .seq = (uint64_t)answer->seq};
        memcpy(item.job, answer->job.bytes, sizeof item.job);
        memcpy(item.run, answer->run.bytes, sizeof item.run);
        message_jobs_result_job_encode(&items, &item);
        result.jobs.count++;
    }
    result.jobs.data = (const uint8_t *)items.data;
    result.jobs.length = items.size;
    struct message_header header = intake_header(sequencer, command->number);
    message_jobs_result_encode(&frame, &header, &result);
    intake_reply(sequencer, &command->peer, &frame);
    msgpack_sbuffer_destroy(&frame);
    msgpack_sbuffer_destroy(&items);
}
