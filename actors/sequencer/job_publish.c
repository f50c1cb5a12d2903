/* JOBS frames for the runners, and their notes for the streamers. A hint: the table is the truth. Each
 * JOBS frame has the next counter; HINT frames repeat the last one. See jobs.h. */
#include "sequencer/commands.h"

#include "runtime/base/fault.h"
#include "runtime/base/limits.h"
#include "runtime/base/metrics.h"

#include <sodium.h>
#include <string.h>

enum { PUBLISH_JOBS_BYTES = LIMIT_EVENT_FRAME_BYTES / 2 };

/* As job_shard() in the database. */
static uint64_t shard_of(const struct job *job)
{
    uint8_t digest[crypto_hash_sha256_BYTES];
    crypto_hash_sha256_state state;
    crypto_hash_sha256_init(&state);
    crypto_hash_sha256_update(&state, job->tenant.bytes, sizeof job->tenant.bytes);
    crypto_hash_sha256_update(&state, job->queue.data, job->queue.length);
    crypto_hash_sha256_final(&state, digest);
    return digest[0] % JOB_SHARDS;
}

static void put_job(struct msgpack_sbuffer *items, const struct job *job)
{
    const struct job_now *now = &job->now;
    bool running = job_rules_is_running(now);
    struct message_jobs_job item = {.id = (uint64_t)job->id,
                                    .state = job_rules_place(now),
                                    .shard = shard_of(job),
                                    .queue = job->queue,
                                    .type = job->type,
                                    .priority = job->priority,
                                    .run_at = now->run_at_us,
                                    .concurrency_key = job->concurrency_key,
                                    .attempts = now->attempts,
                                    .lease_ms = running ? now->lease_ms : 0,
                                    .cancel = now->cancel};
    if (running) {
        item.worker = now->worker;
    }
    memcpy(item.job, job->job.bytes, sizeof item.job);
    memcpy(item.tenant, job->tenant.bytes, sizeof item.tenant);
    memcpy(item.run, now->run.bytes, sizeof item.run);
    memcpy(item.token, now->token.bytes, sizeof item.token);
    message_jobs_job_encode(items, &item);
}

static void send_jobs(struct sequencer *sequencer, struct msgpack_sbuffer *items, uint32_t count)
{
    struct message_header header = intake_header(sequencer, 0);
    struct message_jobs jobs = {.counter = ++sequencer->jobs.counter,
                                .jobs = {(const uint8_t *)items->data, items->size, count}};
    struct msgpack_sbuffer frame;
    msgpack_sbuffer_init(&frame);
    message_jobs_encode(&frame, &header, &jobs);
    (void)bus_send(sequencer->events, NULL, BUS_TOPIC_JOBS, frame.data, frame.size);
    msgpack_sbuffer_destroy(&frame);
    msgpack_sbuffer_clear(items);
}

void jobs_publish(struct sequencer *sequencer, const struct batch *batch)
{
    struct msgpack_sbuffer items;
    uint32_t count = 0;
    if (batch->jobs_count == 0) {
        return;
    }
    msgpack_sbuffer_init(&items);
    for (size_t i = 0; i < batch->jobs_count; i++) {
        put_job(&items, batch->jobs[i].job);
        count++;
        if (items.size > PUBLISH_JOBS_BYTES) {
            send_jobs(sequencer, &items, count);
            count = 0;
        }
    }
    if (count > 0) {
        send_jobs(sequencer, &items, count);
    }
    msgpack_sbuffer_destroy(&items);
    SB_FAULT("sequencer_jobs_published");
}

void jobs_note(struct sequencer *sequencer, const uint8_t *frame, size_t length)
{
    struct message_header header;
    struct message_job_note note;
    if (message_job_note_decode(frame, length, &header, &note) != 0 ||
        length > LIMIT_SMALL_FRAME_BYTES) {
        metric_add(METRIC_MESSAGES_REJECTED, 1);
        return;
    }
    (void)bus_send(sequencer->events, NULL, BUS_TOPIC_NOTES, frame, length);
}
