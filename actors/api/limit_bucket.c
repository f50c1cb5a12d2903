/* See limit_bucket.h. */
#include "api/limit_bucket.h"

#include "runtime/base/memory.h"

#include <stdio.h>
#include <stdlib.h>

void limit_rule_init(struct limit_rule *rule, const char *name, int64_t count, int64_t period_us,
                     int64_t burst, int64_t processes)
{
    *rule = (struct limit_rule){.name = name, .on = count > 0};
    rule->whole = (struct gcra_rule){.count = count, .period_us = period_us, .burst = burst};
    rule->share = (struct gcra_rule){.count = count,
                                     .period_us = period_us * processes,
                                     .burst = (burst + processes - 1) / processes};
    list_init(&rule->by_use);
}

static void forget(struct limit_rule *rule, struct limit_bucket *bucket)
{
    (void)map_remove(&rule->buckets, &bucket->subject);
    list_remove(&bucket->node);
    free(bucket);
}

void limit_rule_deinit(struct limit_rule *rule)
{
    LIST_FOR_EACH(node, &rule->by_use)
    {
        forget(rule, LIST_ENTRY(node, struct limit_bucket, node));
    }
    map_deinit(&rule->buckets);
}

static void make_room(struct limit_rule *rule)
{
    LIST_FOR_EACH(node, &rule->by_use)
    {
        struct limit_bucket *bucket = LIST_ENTRY(node, struct limit_bucket, node);
        if (rule->buckets.count < LIMIT_BUCKETS_MAX) {
            return;
        }
        if (bucket->users == 0) {
            forget(rule, bucket);
        }
    }
}

struct limit_bucket *limit_bucket_use(struct limit_rule *rule, const struct uuid *subject)
{
    struct limit_bucket *bucket = map_get(&rule->buckets, subject);
    if (bucket == NULL) {
        make_room(rule);
        bucket = memory_new(sizeof *bucket);
        bucket->subject = *subject;
        list_init(&bucket->node);
        (void)map_put(&rule->buckets, subject, bucket);
    } else {
        list_remove(&bucket->node);
    }
    list_append(&rule->by_use, &bucket->node);
    return bucket;
}

void limit_bucket_match(const struct limit_rule *rule, struct limit_bucket *bucket, int64_t free,
                        int64_t now_us)
{
    int64_t keep = free * rule->share.burst / rule->whole.burst;
    int64_t here = gcra_look(&bucket->here, &rule->share, now_us).free;
    if (here > keep) {
        gcra_charge(&bucket->here, &rule->share, now_us, here - keep);
    }
}

int64_t limit_bucket_used(const struct limit_rule *rule, const struct limit_bucket *bucket,
                          int64_t now_us)
{
    int64_t used = rule->share.burst - gcra_look(&bucket->here, &rule->share, now_us).free;
    return used * rule->whole.burst / rule->share.burst;
}

void limit_bucket_key(const struct limit_rule *rule, const struct limit_bucket *bucket,
                      char text[LIMIT_REDIS_KEY_SIZE])
{
    char subject[UUID_TEXT_SIZE];
    uuid_format(&bucket->subject, subject);
    (void)snprintf(text, LIMIT_REDIS_KEY_SIZE, "signalbox:{limit}:%s:%s", rule->name, subject);
}
