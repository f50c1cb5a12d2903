/* The rules of actors/job-runner/ready.h in the plainest way: every question looks at every job.
 * The clock must not go back. */
#ifndef SIGNALBOX_TESTS_READY_MODEL_H
#define SIGNALBOX_TESTS_READY_MODEL_H

#include "job-runner/ready.h"
#include "runtime/gcra.h"

#include <assert.h>
#include <string.h>

enum { MODEL_JOBS = 512, MODEL_TENANTS = 8, MODEL_NAMES = 8 };

struct model_job {
    bool known;
    bool running;
    struct ready_job job;
};

struct model_queue {
    char name[16];
    struct ready_rules rules;
    struct gcra rate;
};

struct model_type {
    char name[16];
    bool paused;
    int64_t held_until_us;
};

struct model_tenant {
    struct uuid id;
    bool paused;
    unsigned weight;
    unsigned credit;
    int64_t turn;
    struct model_queue queues[MODEL_NAMES];
    struct model_type types[MODEL_NAMES];
};

struct model {
    int64_t ageing_us;
    int64_t turn;
    size_t tenants_count;
    struct model_tenant tenants[MODEL_TENANTS];
    struct model_job jobs[MODEL_JOBS]; /* by id */
};

static inline struct model_tenant *model_tenant(struct model *model, const struct uuid *id)
{
    for (size_t i = 0; i < model->tenants_count; i++) {
        if (uuid_equal(&model->tenants[i].id, id)) {
            return &model->tenants[i];
        }
    }
    assert(model->tenants_count < MODEL_TENANTS);
    struct model_tenant *tenant = &model->tenants[model->tenants_count++];
    *tenant = (struct model_tenant){.id = *id, .weight = 1};
    return tenant;
}

static inline struct model_queue *model_queue(struct model_tenant *tenant, const char *name)
{
    size_t i = 0;
    while (tenant->queues[i].name[0] != '\0' && strcmp(tenant->queues[i].name, name) != 0) {
        i++;
        assert(i < MODEL_NAMES);
    }
    if (tenant->queues[i].name[0] == '\0') {
        memcpy(tenant->queues[i].name, name, strlen(name) + 1);
        tenant->queues[i].rules.key_concurrency = 1;
    }
    return &tenant->queues[i];
}

static inline struct model_type *model_type(struct model_tenant *tenant, const char *name)
{
    size_t i = 0;
    while (tenant->types[i].name[0] != '\0' && strcmp(tenant->types[i].name, name) != 0) {
        i++;
        assert(i < MODEL_NAMES);
    }
    if (tenant->types[i].name[0] == '\0') {
        memcpy(tenant->types[i].name, name, strlen(name) + 1);
    }
    return &tenant->types[i];
}

static inline void model_put(struct model *model, const struct ready_job *job, bool running)
{
    model_tenant(model, &job->tenant);
    model->jobs[job->id] = (struct model_job){.known = true, .running = running, .job = *job};
}

static inline bool model_same_queue(const struct ready_job *a, const struct ready_job *b)
{
    return uuid_equal(&a->tenant, &b->tenant) && strcmp(a->queue, b->queue) == 0;
}

static inline bool model_named(const char *name, const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(names[i], name) == 0) {
            return true;
        }
    }
    return false;
}

static inline bool model_passes(const struct ready_job *job, const struct ready_filter *filter)
{
    return (filter->tenant == NULL || uuid_equal(filter->tenant, &job->tenant)) &&
           (filter->queues_count == 0 ||
            model_named(job->queue, filter->queues, filter->queues_count)) &&
           (filter->types_count > 0
                ? model_named(job->type, filter->types, filter->types_count)
                : !model_named(job->type, filter->types_never, filter->types_never_count));
}

static inline struct gcra_rule model_rate(const struct ready_rules *rules)
{
    return (struct gcra_rule){.count = rules->rate_per_minute,
                              .period_us = 60000000,
                              .burst = rules->rate_burst < 1 ? 1 : rules->rate_burst};
}

/* Whether the job may run now. */
static inline bool model_may_run(struct model *model, const struct model_job *one, int64_t now_us)
{
    const struct ready_job *job = &one->job;
    if (!one->known || one->running || job->run_at_us > now_us) {
        return false;
    }
    struct model_tenant *tenant = model_tenant(model, &job->tenant);
    const struct model_type *type = model_type(tenant, job->type);
    const struct model_queue *queue = model_queue(tenant, job->queue);
    const struct ready_rules *rules = &queue->rules;
    if (tenant->paused || type->paused || type->held_until_us > now_us || rules->paused) {
        return false;
    }
    size_t running = 0;
    size_t with_key = 0;
    for (size_t i = 0; i < MODEL_JOBS; i++) {
        const struct model_job *other = &model->jobs[i];
        if (other->known && other->running && model_same_queue(&other->job, job)) {
            running++;
            with_key += strcmp(other->job.concurrency_key, job->concurrency_key) == 0 ? 1 : 0;
        }
    }
    struct gcra_rule rule = model_rate(rules);
    return (rules->concurrency == 0 || running < rules->concurrency) &&
           (job->concurrency_key[0] == '\0' || rules->key_concurrency == 0 ||
            with_key < rules->key_concurrency) &&
           (rules->rate_per_minute == 0 || gcra_look(&queue->rate, &rule, now_us).free > 0);
}

static inline bool model_before(const struct model *model, const struct ready_job *a,
                                const struct ready_job *b)
{
    int64_t rank_a = -(int64_t)a->priority;
    int64_t rank_b = -(int64_t)b->priority;
    if (model->ageing_us > 0) {
        rank_a = a->run_at_us + rank_a * model->ageing_us;
        rank_b = b->run_at_us + rank_b * model->ageing_us;
    }
    if (rank_a != rank_b) {
        return rank_a < rank_b;
    }
    return a->run_at_us != b->run_at_us ? a->run_at_us < b->run_at_us : a->id < b->id;
}

/* The tenant's best one that may run. */
static inline struct model_job *model_best(struct model *model, const struct uuid *tenant,
                                           const struct ready_filter *filter, int64_t now_us)
{
    struct model_job *best = NULL;
    for (size_t i = 0; i < MODEL_JOBS; i++) {
        struct model_job *one = &model->jobs[i];
        if (one->known && uuid_equal(&one->job.tenant, tenant) && model_passes(&one->job, filter) &&
            model_may_run(model, one, now_us) &&
            (best == NULL || model_before(model, &one->job, &best->job))) {
            best = one;
        }
    }
    return best;
}

/* The next one in all: of the tenant whose last turn is longest ago, in the order of their coming. */
static inline struct model_job *model_next(struct model *model, const struct ready_filter *filter,
                                           int64_t now_us)
{
    if (filter->tenant != NULL) {
        return model_best(model, filter->tenant, filter, now_us);
    }
    struct model_job *next = NULL;
    const struct model_tenant *whose = NULL;
    for (size_t i = 0; i < model->tenants_count; i++) {
        const struct model_tenant *tenant = &model->tenants[i];
        if (whose == NULL || tenant->turn < whose->turn) {
            struct model_job *best = model_best(model, &tenant->id, filter, now_us);
            if (best != NULL) {
                next = best;
                whose = tenant;
            }
        }
    }
    return next;
}

static inline size_t model_take(struct model *model, int64_t now_us,
                                const struct ready_filter *filter, int64_t *ids_out, size_t max)
{
    size_t taken = 0;
    struct model_job *one;
    while (taken < max && (one = model_next(model, filter, now_us)) != NULL) {
        struct model_tenant *tenant = model_tenant(model, &one->job.tenant);
        struct model_queue *queue = model_queue(tenant, one->job.queue);
        one->running = true;
        ids_out[taken++] = one->job.id;
        if (queue->rules.rate_per_minute > 0) {
            struct gcra_rule rule = model_rate(&queue->rules);
            gcra_charge(&queue->rate, &rule, now_us, 1);
        }
        if (filter->tenant == NULL) {
            unsigned turn = max < READY_MANY ? 1 : (unsigned)(max / READY_TURNS);
            turn *= tenant->weight;
            if (tenant->credit == 0 || tenant->credit > turn) {
                tenant->credit = turn;
            }
            if (--tenant->credit == 0) {
                tenant->turn = ++model->turn;
            }
        }
    }
    return taken;
}

#endif
