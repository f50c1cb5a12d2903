/* What limit.c (rules, answers) and limit_gate.c (asking Redis) share. */
#ifndef SIGNALBOX_API_LIMIT_INTERNAL_H
#define SIGNALBOX_API_LIMIT_INTERNAL_H

#include "api/limit.h"
#include "api/limit_bucket.h"

#include <stdbool.h>

struct redis_script;

enum { LIMIT_SHARED_KINDS = 2 }; /* LIMIT_KEY, LIMIT_ADDRESS: those that Redis knows of */

struct limit {
    struct api *api; /* borrowed */
    struct redis_script *script;
    struct limit_rule rules[LIMIT_KINDS];
    unsigned char *classes; /* enum limit_class of routes, in their order */
    bool on_loopback;
    int64_t redis_ms;
    bool redis_slow;     /* nobody waits for it until a probe was answered in time */
    bool probing;        /* one is under way */
    int64_t probe_at_us; /* not before */
    struct map gates;    /* struct gate by name, owned */
};

/* The limits that apply to a request. */
struct limit_subjects {
    size_t count;
    enum limit_kind kinds[LIMIT_SHARED_KINDS];
    struct limit_bucket *buckets[LIMIT_SHARED_KINDS];
};

/* Puts one rule's state into what the answer will say. */
void limit_note_state(struct exchange *exchange, enum limit_kind kind,
                      const struct gcra_state *state);
/* Decides by what this process knows. 0: let through, and charged; else the time to wait. */
int64_t limit_decide_here(struct limit *limit, struct exchange *exchange,
                          const struct limit_subjects *subjects);
/* On to exchange->next, or, with a time to wait, 429. */
void limit_go_on(struct exchange *exchange, int64_t retry_us);

/* Redis is there and answers in time. */
bool limit_gate_usable(const struct limit *limit);
/* Asks a slow Redis for nothing, to see how long it takes. */
void limit_gate_probe(struct limit *limit);
/* The exchange goes on when Redis has answered, or has not in time. */
void limit_gate_wait(struct limit *limit, struct exchange *exchange,
                     const struct limit_subjects *subjects);

#endif
