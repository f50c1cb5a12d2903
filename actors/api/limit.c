/* See limit.h. Here: which rules apply to a request, and what its answer says of them. */
#include "api/limit.h"

#include "api/exchange.h"
#include "api/limit_internal.h"
#include "api/routes.h"
#include "runtime/base/clock.h"
#include "runtime/base/memory.h"
#include "runtime/base/metrics.h"
#include "runtime/redis.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
        limit->classes[i] = (unsigned char)class_of(&routes[i]);
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

static void add_subject(struct limit *limit, struct limit_subjects *subjects, enum limit_kind kind,
                        const struct uuid *subject)
{
    subjects->kinds[subjects->count] = kind;
    subjects->buckets[subjects->count++] = limit_bucket_use(&limit->rules[kind], subject);
}

static void find_subjects(struct limit *limit, const struct exchange *exchange,
                          struct limit_subjects *subjects)
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

void limit_note_state(struct exchange *exchange, enum limit_kind kind,
                      const struct gcra_state *state)
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

int64_t limit_decide_here(struct limit *limit, struct exchange *exchange,
                          const struct limit_subjects *subjects)
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
        limit_note_state(exchange, subjects->kinds[i], &state);
    }
    return retry_us;
}

void limit_go_on(struct exchange *exchange, int64_t retry_us)
{
    if (retry_us > 0) {
        refuse(exchange, retry_us);
    } else {
        exchange->next(exchange);
    }
}

/* ---- entrances ---- */

/* Microseconds until Redis may have something for all of them. */
static int64_t refused_for(const struct limit_subjects *subjects)
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
                         const struct limit_subjects *subjects)
{
    int64_t now_us = clock_monotonic_us();
    for (size_t i = 0; i < subjects->count; i++) {
        const struct limit_rule *rule = &limit->rules[subjects->kinds[i]];
        const struct limit_bucket *bucket = subjects->buckets[i];
        struct gcra_state state = gcra_look(&bucket->here, &rule->share, now_us);
        bool none = bucket->refused_until_us > now_us;
        state.free = none ? 0 : state.free * rule->whole.burst / rule->share.burst;
        limit_note_state(exchange, subjects->kinds[i], &state);
    }
}

/* Charges the strict limit. 0: let through; else the time to wait. */
static int64_t charge_login(struct limit *limit, struct exchange *exchange)
{
    struct uuid address;
    if (!limit->rules[LIMIT_LOGIN].on || !find_address(limit, exchange, &address)) {
        return 0;
    }
    struct limit_subjects subjects = {.count = 0};
    add_subject(limit, &subjects, LIMIT_LOGIN, &address);
    return limit_decide_here(limit, exchange, &subjects);
}

void limit_pass(struct exchange *exchange, void (*next)(struct exchange *exchange))
{
    struct limit *limit = exchange->api->limit;
    enum limit_class class = (enum limit_class)limit->classes[exchange->route - routes];
    struct limit_subjects subjects;
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
    if (!limit_gate_usable(limit)) {
        metric_add(METRIC_LIMITS_LOCAL, 1);
        limit_gate_probe(limit);
        limit_go_on(exchange, limit_decide_here(limit, exchange, &subjects));
    } else if ((retry_us = refused_for(&subjects)) > 0) {
        note_refused(limit, exchange, &subjects);
        refuse(exchange, retry_us);
    } else {
        limit_gate_wait(limit, exchange, &subjects);
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
