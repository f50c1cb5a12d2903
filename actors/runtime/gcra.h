/*
 * The generic cell rate algorithm: how often something may happen, held in one number, the
 * theoretical arrival time (TAT). Pure and in whole numbers: a rate that does not divide a second
 * carries its remainder on, so that nothing drifts. GCRA_SCRIPT does the same in Redis.
 */
#ifndef SIGNALBOX_RUNTIME_GCRA_H
#define SIGNALBOX_RUNTIME_GCRA_H

#include <stdint.h>

enum { GCRA_COUNT_MAX = 1000000, GCRA_BURST_MAX = 1000000 };

/* `count` times in `period_us`, on the average; `burst` of them at once. All above 0. */
struct gcra_rule {
    int64_t count;
    int64_t period_us;
    int64_t burst;
};

/* Zero-initialised is a rule that was never used. */
struct gcra {
    int64_t tat_us;
    int64_t rest; /* 0 .. count-1: this part of a microsecond / count comes on top */
};

struct gcra_state {
    int64_t free;     /* how many more would be let through now */
    int64_t reset_us; /* until nothing is used up any more */
    int64_t retry_us; /* until the next one may come; 0: now */
};

struct gcra_state gcra_look(const struct gcra *gcra, const struct gcra_rule *rule, int64_t now_us);
/* Uses up `cost`, and no more than there is: with less left, all of it. */
void gcra_charge(struct gcra *gcra, const struct gcra_rule *rule, int64_t now_us, int64_t cost);

/*
 * KEYS: one for each rule. ARGV: the cost wanted, then for each rule count, period_us, burst and
 * how many at least are used up (0: as Redis knows).
 * Grants as much of the cost as every rule has left, the same to all or nothing to any. Answers
 * {granted, then for each rule: free, reset_us, retry_us}. A key is gone when nothing is used up.
 */
extern const char gcra_script[];

#endif
