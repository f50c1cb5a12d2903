/* See rules.h. */
#include "job-runner/rules.h"

#include "job-runner/claim.h"
#include "job-runner/ready.h"
#include "job-runner/runner.h"
#include "job-runner/store.h"
#include "runtime/base/clock.h"
#include "runtime/base/list.h"
#include "runtime/base/memory.h"

#include <stdlib.h>
#include <string.h>

enum { KIND_QUEUE = 0, KIND_PAUSE = 1, UNKNOWN_MAX_MS = 500 };

/* One row that ready knows of. */
struct rule {
    struct list node;
    int kind;
    struct uuid tenant;
    struct ready_rules values;
    bool seen;
    char name[];
};

struct rules {
    struct job_runner *runner; /* borrowed */
    struct list all;           /* few: what operators and tenants have typed */
    bool reading;
    bool again;
    bool known;
    bool read;                /* once at least */
    int64_t unknown_since_ms; /* monotonic, while they are not known */
};

static struct rule *find(struct rules *rules, int kind, const struct uuid *tenant, const char *name,
                         size_t length)
{
    LIST_FOR_EACH(node, &rules->all)
    {
        struct rule *rule = LIST_ENTRY(node, struct rule, node);
        if (rule->kind == kind && uuid_equal(&rule->tenant, tenant) &&
            strlen(rule->name) == length && memcmp(rule->name, name, length) == 0) {
            return rule;
        }
    }
    return NULL;
}

static void apply(struct rules *rules, const struct rule *rule, bool there)
{
    struct ready *ready = rules->runner->ready;
    if (rule->kind == KIND_QUEUE) {
        ready_set_rules(ready, &rule->tenant, rule->name, there ? &rule->values : NULL);
    } else {
        ready_pause_type(ready, &rule->tenant, rule->name, there);
    }
}

static bool is_same(const struct ready_rules *a, const struct ready_rules *b)
{
    return a->paused == b->paused && a->concurrency == b->concurrency &&
           a->key_concurrency == b->key_concurrency && a->rate_per_minute == b->rate_per_minute &&
           a->rate_burst == b->rate_burst;
}

static void take_row(struct rules *rules, const struct db_result *result, int row)
{
    struct uuid tenant;
    size_t length;
    int kind = db_int4(result, row, 0);
    const char *name = db_bytes(result, row, 2, &length);
    db_uuid(result, row, 1, &tenant);
    struct ready_rules values = {.paused = db_bool(result, row, 3),
                                 .concurrency = (unsigned)db_int4(result, row, 4),
                                 .key_concurrency = (unsigned)db_int4(result, row, 5),
                                 .rate_per_minute = (unsigned)db_int4(result, row, 6),
                                 .rate_burst = (unsigned)db_int4(result, row, 7)};
    struct rule *rule = find(rules, kind, &tenant, name, length);
    bool is_new = rule == NULL;
    if (is_new) {
        rule = memory_new(sizeof *rule + length + 1);
        rule->kind = kind;
        rule->tenant = tenant;
        memcpy(rule->name, name, length);
        list_append(&rules->all, &rule->node);
    }
    rule->seen = true;
    if (is_new || !is_same(&rule->values, &values)) {
        rule->values = values;
        apply(rules, rule, true);
    }
}

static void drop_unseen(struct rules *rules)
{
    LIST_FOR_EACH(node, &rules->all)
    {
        struct rule *rule = LIST_ENTRY(node, struct rule, node);
        if (!rule->seen) {
            apply(rules, rule, false);
            list_remove(node);
            free(rule);
        }
    }
}

static void on_rows(void *arg, enum db_status status, const struct db_result *result)
{
    struct rules *rules = arg;
    rules->reading = false;
    if (status == DB_OK) {
        LIST_FOR_EACH(node, &rules->all)
        {
            LIST_ENTRY(node, struct rule, node)->seen = false;
        }
        for (int row = 0; row < db_rows(result); row++) {
            take_row(rules, result, row);
        }
        drop_unseen(rules);
        rules->known = !rules->again;
        rules->read = true;
        claim_kick(rules->runner->claim);
    }
    if (rules->again) {
        rules_read(rules);
    }
}

void rules_read(struct rules *rules)
{
    struct db *db = rules->runner->links.db;
    rules->again = rules->reading;
    if (rules->reading || !db_is_connected(db)) {
        return;
    }
    rules->reading = true;
    db_query(db, &store_rules, NULL, on_rows, rules);
}

void rules_changed(struct rules *rules)
{
    if (rules->known) {
        rules->unknown_since_ms = clock_monotonic_ms();
    }
    rules->known = false;
    rules_read(rules);
}

bool rules_are_known(const struct rules *rules)
{
    /* A tenant that changes its rules without a pause does not stop the claims of the others. */
    return rules->known ||
           (rules->read && clock_monotonic_ms() - rules->unknown_since_ms >= UNKNOWN_MAX_MS);
}

struct rules *rules_create(struct job_runner *runner)
{
    struct rules *rules = memory_new(sizeof *rules);
    rules->runner = runner;
    list_init(&rules->all);
    return rules;
}

void rules_destroy(struct rules **rules)
{
    if (*rules == NULL) {
        return;
    }
    LIST_FOR_EACH(node, &(*rules)->all)
    {
        free(LIST_ENTRY(node, struct rule, node));
    }
    free(*rules);
    *rules = NULL;
}
