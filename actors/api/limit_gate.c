/*
 * Asking Redis. A gate is one client for whom it is being asked: those in `asked` wait for the call
 * under way, those in `waiting` came since and go into the next one. There is a gate only while
 * somebody waits at it.
 */
#include "api/exchange.h"
#include "api/limit_internal.h"
#include "runtime/base/clock.h"
#include "runtime/base/memory.h"
#include "runtime/base/metrics.h"
#include "runtime/redis.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NUMBER_SIZE = 21, PROBE_PAUSE_US = 100000 };

struct gate {
    struct limit *limit; /* borrowed */
    struct uuid name;
    struct limit_subjects subjects;
    struct list waiting; /* struct exchange */
    struct list asked;   /* struct exchange */
    int64_t waiting_count;
    int64_t asked_count;
    uint64_t connection; /* the one it was asked on */
};

/* One that has waited. */
static void let_go(struct exchange *exchange, int64_t retry_us)
{
    if (exchange_resume(exchange)) {
        limit_go_on(exchange, retry_us);
    }
}

static struct exchange *take_asked(struct gate *gate)
{
    struct list *node = list_first(&gate->asked);
    if (node == NULL) {
        return NULL;
    }
    list_remove(node);
    gate->asked_count--;
    return LIST_ENTRY(node, struct exchange, node);
}

static void settle_here(struct gate *gate)
{
    struct exchange *exchange;
    while ((exchange = take_asked(gate)) != NULL) {
        metric_add(METRIC_LIMITS_LOCAL, 1);
        let_go(exchange, limit_decide_here(gate->limit, exchange, &gate->subjects));
    }
}

/* Redis has granted some: this process keeps count too, for the time when it has to decide alone. */
static int64_t keep_count(struct gate *gate, const struct gcra_state *states)
{
    int64_t now_us = clock_monotonic_us();
    int64_t retry_us = 0;
    for (size_t i = 0; i < gate->subjects.count; i++) {
        struct limit_bucket *bucket = gate->subjects.buckets[i];
        limit_bucket_match(&gate->limit->rules[gate->subjects.kinds[i]], bucket, states[i].free,
                           now_us);
        bucket->connection = gate->connection;
        bucket->refused_until_us = now_us + states[i].retry_us;
        retry_us = states[i].retry_us > retry_us ? states[i].retry_us : retry_us;
    }
    return retry_us;
}

/* The first `granted` in order of arrival get through. */
static void settle(struct gate *gate, int64_t granted, const struct gcra_state *states)
{
    int64_t retry_us = keep_count(gate, states);
    struct exchange *exchange;
    while ((exchange = take_asked(gate)) != NULL) {
        bool allowed = granted > 0;
        granted -= allowed ? 1 : 0;
        for (size_t i = 0; i < gate->subjects.count; i++) {
            struct gcra_state state = states[i];
            state.free += granted;
            limit_note_state(exchange, gate->subjects.kinds[i], &state);
        }
        let_go(exchange, allowed ? 0 : retry_us > 0 ? retry_us : 1);
    }
}

static void ask(struct gate *gate);

/* It is out of the map already. */
static void gate_destroy(struct gate *gate)
{
    for (size_t i = 0; i < gate->subjects.count; i++) {
        gate->subjects.buckets[i]->users--;
    }
    free(gate);
}

static void answered(void *arg, const int64_t *numbers, size_t count)
{
    struct gate *gate = arg;
    struct limit *limit = gate->limit;
    struct gcra_state states[LIMIT_SHARED_KINDS];
    if (count != 1 + 3 * gate->subjects.count) {
        limit->redis_slow = true;
        settle_here(gate);
    } else {
        for (size_t i = 0; i < gate->subjects.count; i++) {
            const int64_t *of = numbers + 1 + 3 * i;
            states[i] = (struct gcra_state){of[0], of[1], of[2]};
        }
        settle(gate, numbers[0], states);
    }
    if (gate->waiting_count > 0) {
        ask(gate);
    } else {
        (void)map_remove(&limit->gates, &gate->name);
        gate_destroy(gate);
    }
}

static int run_script(struct gate *gate)
{
    char keys[LIMIT_SHARED_KINDS][LIMIT_REDIS_KEY_SIZE];
    char numbers[1 + 4 * LIMIT_SHARED_KINDS][NUMBER_SIZE];
    const char *texts[LIMIT_SHARED_KINDS + 1 + 4 * LIMIT_SHARED_KINDS];
    int64_t now_us = clock_monotonic_us();
    size_t count = gate->subjects.count;
    (void)snprintf(numbers[0], NUMBER_SIZE, "%lld", (long long)gate->asked_count);
    texts[count] = numbers[0];
    for (size_t i = 0; i < count; i++) {
        const struct limit_rule *rule = &gate->limit->rules[gate->subjects.kinds[i]];
        const struct limit_bucket *bucket = gate->subjects.buckets[i];
        bool known = bucket->connection == gate->connection;
        const int64_t values[] = {rule->whole.count, rule->whole.period_us, rule->whole.burst,
                                  known ? 0 : limit_bucket_used(rule, bucket, now_us)};
        limit_bucket_key(rule, bucket, keys[i]);
        texts[i] = keys[i];
        for (size_t j = 0; j < 4; j++) {
            char *number = numbers[1 + 4 * i + j];
            (void)snprintf(number, NUMBER_SIZE, "%lld", (long long)values[j]);
            texts[count + 1 + 4 * i + j] = number;
        }
    }
    metric_add(METRIC_LIMIT_CALLS, 1);
    return redis_script_run(gate->limit->script, texts, count + 1 + 4 * count, count,
                            gate->limit->redis_ms, answered, gate);
}

bool limit_gate_usable(const struct limit *limit)
{
    return !limit->redis_slow && redis_script_ready(limit->script);
}

static void probed(void *arg, const int64_t *numbers, size_t count)
{
    struct limit *limit = arg;
    limit->probing = false;
    limit->probe_at_us = clock_monotonic_us() + PROBE_PAUSE_US;
    limit->redis_slow = numbers == NULL || count != 1;
}

/* Asks a slow Redis for nothing, to see how long it takes. */
void limit_gate_probe(struct limit *limit)
{
    static const char *const nothing[] = {"0"};
    if (limit->redis_slow && !limit->probing && clock_monotonic_us() >= limit->probe_at_us) {
        limit->probing =
            redis_script_run(limit->script, nothing, 1, 0, limit->redis_ms, probed, limit) == 0;
    }
}

/* All who wait go into one call. */
static void ask(struct gate *gate)
{
    struct list *node;
    while ((node = list_first(&gate->waiting)) != NULL) {
        list_remove(node);
        list_append(&gate->asked, node);
        gate->asked_count++;
    }
    gate->waiting_count = 0;
    gate->connection = redis_script_connection(gate->limit->script);
    if (limit_gate_usable(gate->limit) && run_script(gate) == 0) {
        return;
    }
    /* Those let go may bring new requests, which find no gate to wait at. */
    (void)map_remove(&gate->limit->gates, &gate->name);
    settle_here(gate);
    gate_destroy(gate);
}

static struct uuid name_of(const struct limit_subjects *subjects)
{
    struct uuid name;
    uint8_t both[LIMIT_SHARED_KINDS][1 + sizeof name.bytes] = {{0}};
    for (size_t i = 0; i < subjects->count; i++) {
        both[i][0] = (uint8_t)(1 + subjects->kinds[i]);
        memcpy(both[i] + 1, subjects->buckets[i]->subject.bytes, sizeof name.bytes);
    }
    (void)crypto_generichash(name.bytes, sizeof name.bytes, &both[0][0], sizeof both, NULL, 0);
    return name;
}

static struct gate *gate_create(struct limit *limit, const struct uuid *name,
                                const struct limit_subjects *subjects)
{
    struct gate *gate = memory_new(sizeof *gate);
    gate->limit = limit;
    gate->name = *name;
    gate->subjects = *subjects;
    for (size_t i = 0; i < subjects->count; i++) {
        subjects->buckets[i]->users++;
    }
    list_init(&gate->waiting);
    list_init(&gate->asked);
    (void)map_put(&limit->gates, name, gate);
    return gate;
}

void limit_gate_wait(struct limit *limit, struct exchange *exchange,
                     const struct limit_subjects *subjects)
{
    struct uuid name = name_of(subjects);
    struct gate *gate = map_get(&limit->gates, &name);
    bool first = gate == NULL;
    if (first) {
        gate = gate_create(limit, &name, subjects);
    }
    exchange_hold(exchange);
    list_append(&gate->waiting, &exchange->node);
    gate->waiting_count++;
    if (first) {
        ask(gate);
    }
}
