/* The rules, and for each what every client has used up, as this process knows it; bounded. */
#ifndef SIGNALBOX_API_LIMIT_BUCKET_H
#define SIGNALBOX_API_LIMIT_BUCKET_H

#include "runtime/base/list.h"
#include "runtime/base/map.h"
#include "runtime/gcra.h"

enum { LIMIT_BUCKETS_MAX = 65536, LIMIT_REDIS_KEY_SIZE = 80 };

struct limit_bucket {
    struct list node; /* in rule->by_use */
    struct uuid subject;
    struct gcra here;         /* against the share of this process */
    uint64_t connection;      /* on which Redis was asked last, and is up to date; 0: it is not */
    int64_t refused_until_us; /* Redis has nothing before this (monotonic) */
    unsigned users;           /* gates that point here: not evicted */
};

struct limit_rule {
    const char *name;       /* in headers and in Redis */
    bool on;                /* otherwise nothing below is used */
    struct gcra_rule whole; /* of all processes together */
    struct gcra_rule share; /* of this one alone */
    struct map buckets;     /* struct limit_bucket by subject, owned */
    struct list by_use;     /* the same, least recently used first */
};

/* `count` a period, 0: off. */
void limit_rule_init(struct limit_rule *rule, const char *name, int64_t count, int64_t period_us,
                     int64_t burst, int64_t processes);
void limit_rule_deinit(struct limit_rule *rule);
/* The bucket of a subject, made if need be. The least recently used one makes room. */
struct limit_bucket *limit_bucket_use(struct limit_rule *rule, const struct uuid *subject);
/* Redis has `free` left of the whole: this process then counts on no more than its share of that. */
void limit_bucket_match(const struct limit_rule *rule, struct limit_bucket *bucket, int64_t free,
                        int64_t now_us);
/* How much of the whole is used up if it goes everywhere as it goes here: what a Redis that was
 * away, or has forgotten, is told. */
int64_t limit_bucket_used(const struct limit_rule *rule, const struct limit_bucket *bucket,
                          int64_t now_us);
/* Where Redis keeps it. All keys share one hash tag, so that one script may touch several. */
void limit_bucket_key(const struct limit_rule *rule, const struct limit_bucket *bucket,
                      char text[LIMIT_REDIS_KEY_SIZE]);

#endif
