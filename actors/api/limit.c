/*
 * See limit.h. A gate is one client for whom Redis is being asked: those in `asked` wait for the
 * call under way, those in `waiting` came since and go into the next one.
 */
#include "api/limit.h"

#include "api/exchange.h"
#include "api/limit_bucket.h"
#include "api/routes.h"
#include "runtime/base/clock.h"
#include "runtime/base/log.h"
#include "runtime/base/memory.h"
#include "runtime/base/metrics.h"
#include "runtime/redis.h"

#include <assert.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SHARED_KINDS = 2, NUMBER_SIZE = 21, PROBE_PAUSE_US = 100000 };

/* How routes differ; all others are ordinary. */
enum limit_class { CLASS_ORDINARY, CLASS_FREE, CLASS_LOGIN };
static const struct {
    const char *method;
    const char *pattern;
    enum limit_class class;
} special[] = {
    {"GET", "/health", CLASS_FREE}, /* who watches the server is never shut out */
    {"GET", "/ready", CLASS_FREE},
    {"GET", "/metrics", CLASS_FREE},
    {"POST", "/api/v1/keys", CLASS_LOGIN},
    {"POST", "/api/v1/session", CLASS_LOGIN},
    {"POST", "/api/v1/tenants", CLASS_LOGIN},
};

struct limit {
    struct api *api; /* borrowed */
    struct redis_script *script;
    struct limit_rule rules[LIMIT_KINDS];
    enum limit_class *classes; /* of routes, in their order */
    bool on_loopback;
    int64_t redis_ms;
    bool redis_slow;     /* nobody waits for it until a probe was answered in time */
    bool probing;        /* one is under way */
    int64_t probe_at_us; /* not before */
    struct map gates;    /* struct gate by name, owned */
};

/* The limits that apply to a request. */
struct subjects {
    size_t count;
    enum limit_kind kinds[SHARED_KINDS];
    struct limit_bucket *buckets[SHARED_KINDS];
};

struct gate {
    struct limit *limit; /* borrowed */
    struct uuid name;
    struct subjects subjects;
    struct list waiting; /* struct exchange */
    struct list asked;   /* struct exchange */
    int64_t waiting_count;
    int64_t asked_count;
    uint64_t connection; /* the one it was asked on */
};

/* ---- life ---- */

static enum limit_class class_of(const struct route *route)
{
    for (size_t i = 0; i < sizeof special / sizeof *special; i++) {
        if (strcmp(route->method, special[i].method) == 0 &&
            strcmp(route->pattern, special[i].pattern) == 0) {
            return special[i].class;
        }
    }
    return CLASS_ORDINARY;
}

static void init_rules(struct limit *limit, const struct settings *settings)
{
    int64_t processes = settings_int(settings, SETTING_API_COUNT);
    limit_rule_init(&limit->rules[LIMIT_KEY], "key",
                    settings_int(settings, SETTING_LIMIT_KEY_PER_S), 1000000,
                    settings_int(settings, SETTING_LIMIT_KEY_BURST), processes);
    limit_rule_init(&limit->rules[LIMIT_ADDRESS], "address",
                    settings_int(settings, SETTING_LIMIT_ADDRESS_PER_S), 1000000,
                    settings_int(settings, SETTING_LIMIT_ADDRESS_BURST), processes);
    limit_rule_init(&limit->rules[LIMIT_LOGIN], "login",
                    settings_int(settings, SETTING_LIMIT_LOGIN_PER_MIN), 60000000,
                    settings_int(settings, SETTING_LIMIT_LOGIN_BURST), processes);
}

struct limit *limit_create(struct api *api)
{
    const struct settings *settings = api->actor->settings;
    struct limit *limit = memory_new(sizeof *limit);
    limit->api = api;
    limit->on_loopback = settings_bool(settings, SETTING_LIMIT_LOOPBACK);
    limit->redis_ms = settings_int(settings, SETTING_LIMIT_REDIS_MS);
    init_rules(limit, settings);
    limit->classes = memory_array(routes_count, sizeof *limit->classes);
    for (size_t i = 0; i < routes_count; i++) {
        limit->classes[i] = class_of(&routes[i]);
    }
    limit->script = redis_script_add(api->redis, gcra_script);
    return limit;
}

void limit_destroy(struct limit **limit)
{
    if (*limit == NULL) {
        return;
    }
    assert((*limit)->gates.count == 0);
    map_deinit(&(*limit)->gates);
    for (size_t i = 0; i < LIMIT_KINDS; i++) {
        limit_rule_deinit(&(*limit)->rules[i]);
    }
    free((*limit)->classes);
    free(*limit);
    *limit = NULL;
}

/* ---- who ---- */

/* IPv6 clients have a /64 each. False: this address has no limit. */
static bool find_address(const struct limit *limit, const struct exchange *exchange,
                         struct uuid *address_out)
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    if (!http_request_address(exchange->request, address_out)) {
        *address_out = (struct uuid){0}; /* all of loopback is one client */
        return limit->on_loopback;
    }
    if (memcmp(address_out->bytes, mapped, sizeof mapped) != 0) {
        memset(address_out->bytes + 8, 0, 8);
    }
    return true;
}

static void add_subject(struct limit *limit, struct subjects *subjects, enum limit_kind kind,
                        const struct uuid *subject)
{
    subjects->kinds[subjects->count] = kind;
    subjects->buckets[subjects->count++] = limit_bucket_use(&limit->rules[kind], subject);
}

static void find_subjects(struct limit *limit, const struct exchange *exchange,
                          struct subjects *subjects)
{
    const struct principal *who = &exchange->who;
    struct uuid address;
    subjects->count = 0;
    if (limit->rules[LIMIT_KEY].on && !uuid_is_nil(&who->tenant)) {
        add_subject(limit, subjects, LIMIT_KEY, uuid_is_nil(&who->key) ? &who->tenant : &who->key);
    }
    if (limit->rules[LIMIT_ADDRESS].on && find_address(limit, exchange, &address)) {
        add_subject(limit, subjects, LIMIT_ADDRESS, &address);
    }
}

/* ---- verdicts ---- */

static void note(struct exchange *exchange, enum limit_kind kind, const struct gcra_state *state)
{
    struct limit_note *told = &exchange->limit;
    told->kinds |= 1U << kind;
    told->free[kind] = state->free;
    told->reset_s[kind] = (state->reset_us + 999999) / 1000000;
}

static void refuse(struct exchange *exchange, int64_t retry_us)
{
    exchange->limit.retry_s = retry_us <= 0 ? 1 : (retry_us + 999999) / 1000000;
    metric_add(METRIC_REQUESTS_LIMITED, 1);
    exchange_problem(exchange, PROBLEM_RATE_LIMITED,
                     "There were too many requests. Nothing was done; try again later.", NULL);
}

/* Decides by what this process knows. 0: let through, and charged; else the time to wait. */
static int64_t decide_here(struct limit *limit, struct exchange *exchange,
                           const struct subjects *subjects)
{
    int64_t now_us = clock_monotonic_us();
    int64_t retry_us = 0;
    for (size_t i = 0; i < subjects->count; i++) {
        const struct gcra_rule *share = &limit->rules[subjects->kinds[i]].share;
        struct gcra_state state = gcra_look(&subjects->buckets[i]->here, share, now_us);
        retry_us = state.retry_us > retry_us ? state.retry_us : retry_us;
    }
    for (size_t i = 0; i < subjects->count; i++) {
        const struct gcra_rule *share = &limit->rules[subjects->kinds[i]].share;
        if (retry_us == 0) {
            gcra_charge(&subjects->buckets[i]->here, share, now_us, 1);
            subjects->buckets[i]->connection = 0;
        }
        struct gcra_state state = gcra_look(&subjects->buckets[i]->here, share, now_us);
        note(exchange, subjects->kinds[i], &state);
    }
    return retry_us;
}

static void go_on(struct exchange *exchange, int64_t retry_us)
{
    if (retry_us > 0) {
        refuse(exchange, retry_us);
    } else {
        exchange->next(exchange);
    }
}

/* One that has waited. */
static void let_go(struct exchange *exchange, int64_t retry_us)
{
    if (exchange_resume(exchange)) {
        go_on(exchange, retry_us);
    }
}

/* ---- asking Redis ---- */

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
        let_go(exchange, decide_here(gate->limit, exchange, &gate->subjects));
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
            note(exchange, gate->subjects.kinds[i], &state);
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
    struct gcra_state states[SHARED_KINDS];
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
    char keys[SHARED_KINDS][LIMIT_REDIS_KEY_SIZE];
    char numbers[1 + 4 * SHARED_KINDS][NUMBER_SIZE];
    const char *texts[SHARED_KINDS + 1 + 4 * SHARED_KINDS];
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

static bool redis_usable(const struct limit *limit)
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
static void probe(struct limit *limit)
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
    if (redis_usable(gate->limit) && run_script(gate) == 0) {
        return;
    }
    /* Those let go may bring new requests, which find no gate to wait at. */
    (void)map_remove(&gate->limit->gates, &gate->name);
    settle_here(gate);
    gate_destroy(gate);
}

static struct uuid name_of(const struct subjects *subjects)
{
    struct uuid name;
    uint8_t both[SHARED_KINDS][1 + sizeof name.bytes] = {{0}};
    for (size_t i = 0; i < subjects->count; i++) {
        both[i][0] = (uint8_t)(1 + subjects->kinds[i]);
        memcpy(both[i] + 1, subjects->buckets[i]->subject.bytes, sizeof name.bytes);
    }
    (void)crypto_generichash(name.bytes, sizeof name.bytes, &both[0][0], sizeof both, NULL, 0);
    return name;
}

static struct gate *gate_create(struct limit *limit, const struct uuid *name,
                                const struct subjects *subjects)
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

static void wait_at_gate(struct limit *limit, struct exchange *exchange,
                         const struct subjects *subjects)
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

/* ---- entrances ---- */

/* Microseconds until Redis may have something for all of them. */
static int64_t refused_for(const struct subjects *subjects)
{
    int64_t now_us = clock_monotonic_us();
    int64_t left_us = 0;
    for (size_t i = 0; i < subjects->count; i++) {
        int64_t until_us = subjects->buckets[i]->refused_until_us;
        left_us = until_us - now_us > left_us ? until_us - now_us : left_us;
    }
    return left_us;
}

static void note_refused(const struct limit *limit, struct exchange *exchange,
                         const struct subjects *subjects)
{
    int64_t now_us = clock_monotonic_us();
    for (size_t i = 0; i < subjects->count; i++) {
        const struct limit_rule *rule = &limit->rules[subjects->kinds[i]];
        const struct limit_bucket *bucket = subjects->buckets[i];
        struct gcra_state state = gcra_look(&bucket->here, &rule->share, now_us);
        bool none = bucket->refused_until_us > now_us;
        state.free = none ? 0 : state.free * rule->whole.burst / rule->share.burst;
        note(exchange, subjects->kinds[i], &state);
    }
}

/* Charges the strict limit. 0: let through; else the time to wait. */
static int64_t charge_login(struct limit *limit, struct exchange *exchange)
{
    struct uuid address;
    if (!limit->rules[LIMIT_LOGIN].on || !find_address(limit, exchange, &address)) {
        return 0;
    }
    struct subjects subjects = {.count = 0};
    add_subject(limit, &subjects, LIMIT_LOGIN, &address);
    return decide_here(limit, exchange, &subjects);
}

void limit_pass(struct exchange *exchange, void (*next)(struct exchange *exchange))
{
    struct limit *limit = exchange->api->limit;
    enum limit_class class = limit->classes[exchange->route - routes];
    struct subjects subjects;
    int64_t retry_us = class == CLASS_LOGIN ? charge_login(limit, exchange) : 0;
    if (retry_us > 0) {
        refuse(exchange, retry_us);
        return;
    }
    find_subjects(limit, exchange, &subjects);
    if (class == CLASS_FREE || subjects.count == 0) {
        next(exchange);
        return;
    }
    exchange->next = next;
    if (!redis_usable(limit)) {
        metric_add(METRIC_LIMITS_LOCAL, 1);
        probe(limit);
        go_on(exchange, decide_here(limit, exchange, &subjects));
    } else if ((retry_us = refused_for(&subjects)) > 0) {
        note_refused(limit, exchange, &subjects);
        refuse(exchange, retry_us);
    } else {
        wait_at_gate(limit, exchange, &subjects);
    }
}

bool limit_wrong_key(struct exchange *exchange)
{
    int64_t retry_us = charge_login(exchange->api->limit, exchange);
    if (retry_us > 0) {
        refuse(exchange, retry_us);
    }
    return retry_us > 0;
}

/* ---- headers: draft-ietf-httpapi-ratelimit-headers-10 ---- */

/* A burst of `q` comes back within `w` seconds. */
static int append_policy(char *text, size_t room, const struct limit_rule *rule, const char *comma)
{
    int64_t window_us =
        (rule->whole.burst * rule->whole.period_us + rule->whole.count - 1) / rule->whole.count;
    return snprintf(text, room, "%s\"%s\";q=%lld;w=%lld", comma, rule->name,
                    (long long)rule->whole.burst, (long long)((window_us + 999999) / 1000000));
}

size_t limit_fields(const struct exchange *exchange, struct limit_texts *texts,
                    struct http_field *fields)
{
    const struct limit_note *told = &exchange->limit;
    size_t policy = 0;
    size_t state = 0;
    if (told->kinds == 0) {
        return 0;
    }
    for (size_t i = 0; i < LIMIT_KINDS; i++) {
        const struct limit_rule *rule = &exchange->api->limit->rules[i];
        if ((told->kinds & 1U << i) == 0) {
            continue;
        }
        const char *comma = policy > 0 ? ", " : "";
        policy += (size_t)append_policy(texts->policy + policy, sizeof texts->policy - policy, rule,
                                        comma);
        state += (size_t)snprintf(texts->state + state, sizeof texts->state - state,
                                  "%s\"%s\";r=%lld;t=%lld", comma, rule->name,
                                  (long long)told->free[i], (long long)told->reset_s[i]);
    }
    fields[0] = (struct http_field){"RateLimit-Policy", texts->policy};
    fields[1] = (struct http_field){"RateLimit", texts->state};
    return 2;
}
