/* Samples of the messages about jobs, for proto_test.c: every field has a value of its own. */
#ifndef SIGNALBOX_TESTS_PROTO_JOB_SAMPLES_H
#define SIGNALBOX_TESTS_PROTO_JOB_SAMPLES_H

static void encode_enqueue_jobs(struct msgpack_sbuffer *out)
{
    struct msgpack_sbuffer jobs = {0};
    struct message_enqueue_jobs_job job = {.job = {9, 57},
                                           .key = span("key 9"),
                                           .type = span("type 10"),
                                           .artifact_kind = span("artifact_kind 11"),
                                           .queue = span("queue 12"),
                                           .payload = span("payload 13"),
                                           .priority = -14000042,
                                           .max_attempts = 15000045,
                                           .run_at = -16000048,
                                           .on_dep_fail = 17000051,
                                           .concurrency_key = span("concurrency_key 18"),
                                           .child = {20, 134},
                                           .debounce_ms = 20000060};
    message_enqueue_jobs_job_encode(&jobs, &job);
    message_enqueue_jobs_job_encode(&jobs, &job);
    struct msgpack_sbuffer parents = {0};
    struct message_enqueue_jobs_parent parent = {
        .index = 21000063, .parent = {23, 155}, .key = span("key 23")};
    message_enqueue_jobs_parent_encode(&parents, &parent);
    message_enqueue_jobs_parent_encode(&parents, &parent);
    struct message_enqueue_jobs message = {
        .origin = 1000003,
        .tenant = {3, 15},
        .run = {4, 22},
        .actor = span("actor 4"),
        .trace = {6, 36},
        .span = 6000018,
        .trace_flags = 7000021,
        .jobs = {(const uint8_t *)jobs.data, jobs.size, 2},
        .parents = {(const uint8_t *)parents.data, parents.size, 2}};
    message_enqueue_jobs_encode(out, &header, &message);
    msgpack_sbuffer_destroy(&jobs);
    msgpack_sbuffer_destroy(&parents);
}

static int decode_enqueue_jobs(const uint8_t *frame, size_t length, struct message_header *found)
{
    struct message_enqueue_jobs message;
    struct message_enqueue_jobs_job job;
    struct message_enqueue_jobs_parent parent;
    if (message_enqueue_jobs_decode(frame, length, found, &message) != 0) {
        return -1;
    }
    assert_true(message.origin == 1000003);
    assert_memory_equal(message.tenant, ((const uint8_t[16]){3, 15}), 16);
    assert_memory_equal(message.run, ((const uint8_t[16]){4, 22}), 16);
    assert_span(message.actor, span("actor 4"));
    assert_memory_equal(message.trace, ((const uint8_t[16]){6, 36}), 16);
    assert_true(message.span == 6000018);
    assert_true(message.trace_flags == 7000021);
    assert_int_equal(message.jobs.count, 2);
    while (message_enqueue_jobs_job_next(&message.jobs, &job)) {
        assert_memory_equal(job.job, ((const uint8_t[16]){9, 57}), 16);
        assert_span(job.key, span("key 9"));
        assert_span(job.type, span("type 10"));
        assert_span(job.artifact_kind, span("artifact_kind 11"));
        assert_span(job.queue, span("queue 12"));
        assert_span(job.payload, span("payload 13"));
        assert_true(job.priority == -14000042);
        assert_true(job.max_attempts == 15000045);
        assert_true(job.run_at == -16000048);
        assert_true(job.on_dep_fail == 17000051);
        assert_span(job.concurrency_key, span("concurrency_key 18"));
        assert_memory_equal(job.child, ((const uint8_t[16]){20, 134}), 16);
        assert_true(job.debounce_ms == 20000060);
    }
    assert_int_equal(message.parents.count, 2);
    while (message_enqueue_jobs_parent_next(&message.parents, &parent)) {
        assert_true(parent.index == 21000063);
        assert_memory_equal(parent.parent, ((const uint8_t[16]){23, 155}), 16);
        assert_span(parent.key, span("key 23"));
    }
    return 0;
}

static void encode_change_jobs(struct msgpack_sbuffer *out)
{
    struct msgpack_sbuffer changes = {0};
    struct message_change_jobs_change change = {.job = {31, 211},
                                                .what = 31000093,
                                                .token = {33, 225},
                                                .worker = span("worker 33"),
                                                .lease_ms = 34000102,
                                                .class = 35000105,
                                                .reason = span("reason 36"),
                                                .retry_ms = 37000111,
                                                .result = span("result 38"),
                                                .percent = -39000117};
    message_change_jobs_change_encode(&changes, &change);
    message_change_jobs_change_encode(&changes, &change);
    struct msgpack_sbuffer events = {0};
    struct message_change_jobs_event event = {
        .index = 40000120, .type = 41000123, .payload = span("payload 42")};
    message_change_jobs_event_encode(&events, &event);
    message_change_jobs_event_encode(&events, &event);
    struct message_change_jobs message = {
        .origin = 24000072,
        .tenant = {26, 176},
        .actor = span("actor 26"),
        .trace = {28, 190},
        .span = 28000084,
        .trace_flags = 29000087,
        .changes = {(const uint8_t *)changes.data, changes.size, 2},
        .events = {(const uint8_t *)events.data, events.size, 2}};
    message_change_jobs_encode(out, &header, &message);
    msgpack_sbuffer_destroy(&changes);
    msgpack_sbuffer_destroy(&events);
}

static int decode_change_jobs(const uint8_t *frame, size_t length, struct message_header *found)
{
    struct message_change_jobs message;
    struct message_change_jobs_change change;
    struct message_change_jobs_event event;
    if (message_change_jobs_decode(frame, length, found, &message) != 0) {
        return -1;
    }
    assert_true(message.origin == 24000072);
    assert_memory_equal(message.tenant, ((const uint8_t[16]){26, 176}), 16);
    assert_span(message.actor, span("actor 26"));
    assert_memory_equal(message.trace, ((const uint8_t[16]){28, 190}), 16);
    assert_true(message.span == 28000084);
    assert_true(message.trace_flags == 29000087);
    assert_int_equal(message.changes.count, 2);
    while (message_change_jobs_change_next(&message.changes, &change)) {
        assert_memory_equal(change.job, ((const uint8_t[16]){31, 211}), 16);
        assert_true(change.what == 31000093);
        assert_memory_equal(change.token, ((const uint8_t[16]){33, 225}), 16);
        assert_span(change.worker, span("worker 33"));
        assert_true(change.lease_ms == 34000102);
        assert_true(change.class == 35000105);
        assert_span(change.reason, span("reason 36"));
        assert_true(change.retry_ms == 37000111);
        assert_span(change.result, span("result 38"));
        assert_true(change.percent == -39000117);
    }
    assert_int_equal(message.events.count, 2);
    while (message_change_jobs_event_next(&message.events, &event)) {
        assert_true(event.index == 40000120);
        assert_true(event.type == 41000123);
        assert_span(event.payload, span("payload 42"));
    }
    return 0;
}

static void encode_prune(struct msgpack_sbuffer *out)
{
    struct message_prune message = {.origin = 43000129,
                                    .tenant = {45, 59},
                                    .run = {46, 66},
                                    .actor = span("actor 46"),
                                    .object = span("object 47"),
                                    .what = 48000144,
                                    .after = -49000147,
                                    .after_run = {51, 101},
                                    .success_before = -51000153,
                                    .error_before = -52000156,
                                    .max = 53000159,
                                    .dry = true};
    message_prune_encode(out, &header, &message);
}

static int decode_prune(const uint8_t *frame, size_t length, struct message_header *found)
{
    struct message_prune message;
    if (message_prune_decode(frame, length, found, &message) != 0) {
        return -1;
    }
    assert_true(message.origin == 43000129);
    assert_memory_equal(message.tenant, ((const uint8_t[16]){45, 59}), 16);
    assert_memory_equal(message.run, ((const uint8_t[16]){46, 66}), 16);
    assert_span(message.actor, span("actor 46"));
    assert_span(message.object, span("object 47"));
    assert_true(message.what == 48000144);
    assert_true(message.after == -49000147);
    assert_memory_equal(message.after_run, ((const uint8_t[16]){51, 101}), 16);
    assert_true(message.success_before == -51000153);
    assert_true(message.error_before == -52000156);
    assert_true(message.max == 53000159);
    assert_true(message.dry);
    return 0;
}

static void encode_jobs_result(struct msgpack_sbuffer *out)
{
    struct msgpack_sbuffer jobs = {0};
    struct message_jobs_result_job job = {.job = {62, 178},
                                          .outcome = 62000186,
                                          .status = 63000189,
                                          .attempt = 64000192,
                                          .run = {66, 206},
                                          .seq = 66000198};
    message_jobs_result_job_encode(&jobs, &job);
    message_jobs_result_job_encode(&jobs, &job);
    struct message_jobs_result message = {.outcome = 55000165,
                                          .run = {57, 143},
                                          .status = 57000171,
                                          .quota = 58000174,
                                          .quota_limit = 59000177,
                                          .quota_used = 60000180,
                                          .jobs = {(const uint8_t *)jobs.data, jobs.size, 2}};
    message_jobs_result_encode(out, &header, &message);
    msgpack_sbuffer_destroy(&jobs);
}

static int decode_jobs_result(const uint8_t *frame, size_t length, struct message_header *found)
{
    struct message_jobs_result message;
    struct message_jobs_result_job job;
    if (message_jobs_result_decode(frame, length, found, &message) != 0) {
        return -1;
    }
    assert_true(message.outcome == 55000165);
    assert_memory_equal(message.run, ((const uint8_t[16]){57, 143}), 16);
    assert_true(message.status == 57000171);
    assert_true(message.quota == 58000174);
    assert_true(message.quota_limit == 59000177);
    assert_true(message.quota_used == 60000180);
    assert_int_equal(message.jobs.count, 2);
    while (message_jobs_result_job_next(&message.jobs, &job)) {
        assert_memory_equal(job.job, ((const uint8_t[16]){62, 178}), 16);
        assert_true(job.outcome == 62000186);
        assert_true(job.status == 63000189);
        assert_true(job.attempt == 64000192);
        assert_memory_equal(job.run, ((const uint8_t[16]){66, 206}), 16);
        assert_true(job.seq == 66000198);
    }
    return 0;
}

static void encode_jobs(struct msgpack_sbuffer *out)
{
    struct msgpack_sbuffer jobs = {0};
    struct message_jobs_job job = {.id = 68000204,
                                   .job = {70, 234},
                                   .tenant = {71, 241},
                                   .run = {72, 248},
                                   .state = 72000216,
                                   .shard = 73000219,
                                   .queue = span("queue 74"),
                                   .type = span("type 75"),
                                   .priority = -76000228,
                                   .run_at = -77000231,
                                   .concurrency_key = span("concurrency_key 78"),
                                   .attempts = 79000237,
                                   .token = {81, 61},
                                   .worker = span("worker 81"),
                                   .lease_ms = 82000246,
                                   .cancel = true};
    message_jobs_job_encode(&jobs, &job);
    message_jobs_job_encode(&jobs, &job);
    struct message_jobs message = {.counter = 67000201,
                                   .jobs = {(const uint8_t *)jobs.data, jobs.size, 2}};
    message_jobs_encode(out, &header, &message);
    msgpack_sbuffer_destroy(&jobs);
}

static int decode_jobs(const uint8_t *frame, size_t length, struct message_header *found)
{
    struct message_jobs message;
    struct message_jobs_job job;
    if (message_jobs_decode(frame, length, found, &message) != 0) {
        return -1;
    }
    assert_true(message.counter == 67000201);
    assert_int_equal(message.jobs.count, 2);
    while (message_jobs_job_next(&message.jobs, &job)) {
        assert_true(job.id == 68000204);
        assert_memory_equal(job.job, ((const uint8_t[16]){70, 234}), 16);
        assert_memory_equal(job.tenant, ((const uint8_t[16]){71, 241}), 16);
        assert_memory_equal(job.run, ((const uint8_t[16]){72, 248}), 16);
        assert_true(job.state == 72000216);
        assert_true(job.shard == 73000219);
        assert_span(job.queue, span("queue 74"));
        assert_span(job.type, span("type 75"));
        assert_true(job.priority == -76000228);
        assert_true(job.run_at == -77000231);
        assert_span(job.concurrency_key, span("concurrency_key 78"));
        assert_true(job.attempts == 79000237);
        assert_memory_equal(job.token, ((const uint8_t[16]){81, 61}), 16);
        assert_span(job.worker, span("worker 81"));
        assert_true(job.lease_ms == 82000246);
        assert_true(job.cancel);
    }
    return 0;
}

static void encode_job_note(struct msgpack_sbuffer *out)
{
    struct message_job_note message = {
        .tenant = {85, 89}, .run = {86, 96}, .payload = span("payload 86")};
    message_job_note_encode(out, &header, &message);
}

static int decode_job_note(const uint8_t *frame, size_t length, struct message_header *found)
{
    struct message_job_note message;
    if (message_job_note_decode(frame, length, found, &message) != 0) {
        return -1;
    }
    assert_memory_equal(message.tenant, ((const uint8_t[16]){85, 89}), 16);
    assert_memory_equal(message.run, ((const uint8_t[16]){86, 96}), 16);
    assert_span(message.payload, span("payload 86"));
    return 0;
}

static void encode_job_want(struct msgpack_sbuffer *out)
{
    struct msgpack_sbuffer queues = {0};
    struct message_job_want_queue queue = {.name = span("name 93")};
    message_job_want_queue_encode(&queues, &queue);
    message_job_want_queue_encode(&queues, &queue);
    struct msgpack_sbuffer types = {0};
    struct message_job_want_type type = {.name = span("name 94")};
    message_job_want_type_encode(&types, &type);
    message_job_want_type_encode(&types, &type);
    struct message_job_want message = {.tenant = {88, 110},
                                       .worker = span("worker 88"),
                                       .max = 89000267,
                                       .lease_ms = 90000270,
                                       .delivery_ms = 91000273,
                                       .wait_ms = 92000276,
                                       .queues = {(const uint8_t *)queues.data, queues.size, 2},
                                       .types = {(const uint8_t *)types.data, types.size, 2}};
    message_job_want_encode(out, &header, &message);
    msgpack_sbuffer_destroy(&queues);
    msgpack_sbuffer_destroy(&types);
}

static int decode_job_want(const uint8_t *frame, size_t length, struct message_header *found)
{
    struct message_job_want message;
    struct message_job_want_queue queue;
    struct message_job_want_type type;
    if (message_job_want_decode(frame, length, found, &message) != 0) {
        return -1;
    }
    assert_memory_equal(message.tenant, ((const uint8_t[16]){88, 110}), 16);
    assert_span(message.worker, span("worker 88"));
    assert_true(message.max == 89000267);
    assert_true(message.lease_ms == 90000270);
    assert_true(message.delivery_ms == 91000273);
    assert_true(message.wait_ms == 92000276);
    assert_int_equal(message.queues.count, 2);
    while (message_job_want_queue_next(&message.queues, &queue)) {
        assert_span(queue.name, span("name 93"));
    }
    assert_int_equal(message.types.count, 2);
    while (message_job_want_type_next(&message.types, &type)) {
        assert_span(type.name, span("name 94"));
    }
    return 0;
}

static void encode_job_given(struct msgpack_sbuffer *out)
{
    struct msgpack_sbuffer jobs = {0};
    struct message_job_given_job job = {.job = {97, 173},
                                        .token = {98, 180},
                                        .key = span("key 98"),
                                        .type = span("type 99"),
                                        .queue = span("queue 100"),
                                        .run = {102, 208},
                                        .attempt = 102000306,
                                        .max_attempts = 103000309,
                                        .lease_ms = 104000312,
                                        .payload = span("payload 105")};
    message_job_given_job_encode(&jobs, &job);
    message_job_given_job_encode(&jobs, &job);
    struct message_job_given message = {.elsewhere = true,
                                        .jobs = {(const uint8_t *)jobs.data, jobs.size, 2}};
    message_job_given_encode(out, &header, &message);
    msgpack_sbuffer_destroy(&jobs);
}

static int decode_job_given(const uint8_t *frame, size_t length, struct message_header *found)
{
    struct message_job_given message;
    struct message_job_given_job job;
    if (message_job_given_decode(frame, length, found, &message) != 0) {
        return -1;
    }
    assert_true(message.elsewhere);
    assert_int_equal(message.jobs.count, 2);
    while (message_job_given_job_next(&message.jobs, &job)) {
        assert_memory_equal(job.job, ((const uint8_t[16]){97, 173}), 16);
        assert_memory_equal(job.token, ((const uint8_t[16]){98, 180}), 16);
        assert_span(job.key, span("key 98"));
        assert_span(job.type, span("type 99"));
        assert_span(job.queue, span("queue 100"));
        assert_memory_equal(job.run, ((const uint8_t[16]){102, 208}), 16);
        assert_true(job.attempt == 102000306);
        assert_true(job.max_attempts == 103000309);
        assert_true(job.lease_ms == 104000312);
        assert_span(job.payload, span("payload 105"));
    }
    return 0;
}

static void encode_job_forget(struct msgpack_sbuffer *out)
{
    struct message_job_forget message = {.reserved = 106000318};
    message_job_forget_encode(out, &header, &message);
}

static int decode_job_forget(const uint8_t *frame, size_t length, struct message_header *found)
{
    struct message_job_forget message;
    if (message_job_forget_decode(frame, length, found, &message) != 0) {
        return -1;
    }
    assert_true(message.reserved == 106000318);
    return 0;
}

static void encode_job_beat(struct msgpack_sbuffer *out)
{
    struct message_job_beat message = {.tenant = {108, 250},
                                       .job = {109, 7},
                                       .token = {110, 14},
                                       .percent = -110000330,
                                       .note = span("note 111")};
    message_job_beat_encode(out, &header, &message);
}

static int decode_job_beat(const uint8_t *frame, size_t length, struct message_header *found)
{
    struct message_job_beat message;
    if (message_job_beat_decode(frame, length, found, &message) != 0) {
        return -1;
    }
    assert_memory_equal(message.tenant, ((const uint8_t[16]){108, 250}), 16);
    assert_memory_equal(message.job, ((const uint8_t[16]){109, 7}), 16);
    assert_memory_equal(message.token, ((const uint8_t[16]){110, 14}), 16);
    assert_true(message.percent == -110000330);
    assert_span(message.note, span("note 111"));
    return 0;
}

static void encode_job_beaten(struct msgpack_sbuffer *out)
{
    struct message_job_beaten message = {.state = 112000336, .cancel = true, .lease_ms = 114000342};
    message_job_beaten_encode(out, &header, &message);
}

static int decode_job_beaten(const uint8_t *frame, size_t length, struct message_header *found)
{
    struct message_job_beaten message;
    if (message_job_beaten_decode(frame, length, found, &message) != 0) {
        return -1;
    }
    assert_true(message.state == 112000336);
    assert_true(message.cancel);
    assert_true(message.lease_ms == 114000342);
    return 0;
}

static void encode_job_rules(struct msgpack_sbuffer *out)
{
    struct message_job_rules message = {.tenant = {116, 56}};
    message_job_rules_encode(out, &header, &message);
}

static int decode_job_rules(const uint8_t *frame, size_t length, struct message_header *found)
{
    struct message_job_rules message;
    if (message_job_rules_decode(frame, length, found, &message) != 0) {
        return -1;
    }
    assert_memory_equal(message.tenant, ((const uint8_t[16]){116, 56}), 16);
    return 0;
}

#define PROTO_JOB_SAMPLES                                                             \
    {MESSAGE_ENQUEUE_JOBS, "ENQUEUE_JOBS", encode_enqueue_jobs, decode_enqueue_jobs}, \
        {MESSAGE_CHANGE_JOBS, "CHANGE_JOBS", encode_change_jobs, decode_change_jobs}, \
        {MESSAGE_PRUNE, "PRUNE", encode_prune, decode_prune},                         \
        {MESSAGE_JOBS_RESULT, "JOBS_RESULT", encode_jobs_result, decode_jobs_result}, \
        {MESSAGE_JOBS, "JOBS", encode_jobs, decode_jobs},                             \
        {MESSAGE_JOB_NOTE, "JOB_NOTE", encode_job_note, decode_job_note},             \
        {MESSAGE_JOB_WANT, "JOB_WANT", encode_job_want, decode_job_want},             \
        {MESSAGE_JOB_GIVEN, "JOB_GIVEN", encode_job_given, decode_job_given},         \
        {MESSAGE_JOB_FORGET, "JOB_FORGET", encode_job_forget, decode_job_forget},     \
        {MESSAGE_JOB_BEAT, "JOB_BEAT", encode_job_beat, decode_job_beat},             \
        {MESSAGE_JOB_BEATEN, "JOB_BEATEN", encode_job_beaten, decode_job_beaten},     \
    {                                                                                 \
        MESSAGE_JOB_RULES, "JOB_RULES", encode_job_rules, decode_job_rules            \
    }

#endif
