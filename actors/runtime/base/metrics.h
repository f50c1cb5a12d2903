/*
 * Numbers an actor shows on /metrics. They live in one memfd (the board) which the supervisor makes
 * and every actor inherits: a slot per instance name, written only by its owner, read by the api.
 * Names stay with the slot.
 */
#ifndef SIGNALBOX_BASE_METRICS_H
#define SIGNALBOX_BASE_METRICS_H

#include "runtime/base/buffer.h"
#include "runtime/base/error.h"

#include <stdbool.h>
#include <stdint.h>

#define COUNTER(id, name, help) METRIC_##id,
#define GAUGE(id, name, help) METRIC_##id,
#define HISTOGRAM(id, name, help)
#define SIZES(id, name, help)
enum metric {
#include "runtime/base/metrics.def"
    METRIC_COUNT
};
#undef COUNTER
#undef GAUGE
#undef HISTOGRAM
#undef SIZES

#define COUNTER(id, name, help)
#define GAUGE(id, name, help)
#define HISTOGRAM(id, name, help) HISTOGRAM_##id,
#define SIZES(id, name, help) HISTOGRAM_##id,
enum histogram {
#include "runtime/base/metrics.def"
    HISTOGRAM_COUNT
};
#undef COUNTER
#undef GAUGE
#undef HISTOGRAM
#undef SIZES

enum { METRICS_SLOTS = 64, METRICS_BUCKETS = 14 };

/* Bytes of the whole board, for the supervisor's memfd. */
size_t metrics_board_size(void);
/* Maps the board and takes slot `slot` for `name`; -1 and err when `fd` is no board. Without it the
 * numbers go to a private board, so that tools and tests need no supervisor. */
SB_MUST_CHECK int metrics_start(int fd, unsigned slot, const char *name, struct error *err);

void metric_add(enum metric metric, int64_t amount);
void metric_set(enum metric metric, int64_t value);
int64_t metric_get(enum metric metric);
/* For HISTOGRAM: buckets from 100 us to 10 s. */
void metric_observe_us(enum histogram histogram, int64_t us);
/* For SIZES: buckets from 1 to 10,000. */
void metric_observe_size(enum histogram histogram, int64_t size);

/* What the supervisor knows about the actor in another slot. Outlives that actor's processes. */
struct metrics_supervised {
    int64_t restarts;
    bool ready;
    bool healthy;
};
void metrics_supervise(unsigned slot, const char *name, const struct metrics_supervised *values);
/* The name in a slot, or NULL when it is free; `out` may be NULL. */
const char *metrics_supervised(unsigned slot, struct metrics_supervised *out);
/* The whole board in Prometheus text format 0.0.4. */
void metrics_render(struct buffer *out);

#endif
