/* Latencies in buckets of at most 1.6 % width: constant memory, any number of samples. */
#ifndef SIGNALBOX_BENCH_HISTOGRAM_H
#define SIGNALBOX_BENCH_HISTOGRAM_H

#include <stdint.h>

enum { HISTOGRAM_STEP_BITS = 6, HISTOGRAM_STEPS = 1 << HISTOGRAM_STEP_BITS };
enum { HISTOGRAM_CELLS = 32 * HISTOGRAM_STEPS };

/* Zero-initialised is empty. */
struct latencies {
    uint64_t cells[HISTOGRAM_CELLS];
    uint64_t count;
    int64_t max_us;
};

void latencies_add(struct latencies *latencies, int64_t us);
/* Upper edge of the bucket in which the quantile (0..1) lies; 0 when empty. */
int64_t latencies_quantile(const struct latencies *latencies, double quantile);
/* "p50_us":…,"p99_us":…,"max_us":… to stdout, each name with `prefix` in front. */
void latencies_print(const struct latencies *latencies, const char *prefix);

#endif
