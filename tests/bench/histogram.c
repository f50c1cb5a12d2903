/* See histogram.h. Cell = power of two, then 64 linear steps inside it. */
#include "tests/bench/histogram.h"

#include <stdio.h>

static unsigned cell_of(int64_t us)
{
    uint64_t value = us < 0 ? 0 : (uint64_t)us;
    if (value < HISTOGRAM_STEPS) {
        return (unsigned)value;
    }
    unsigned power = 63 - (unsigned)__builtin_clzll(value) - HISTOGRAM_STEP_BITS;
    unsigned cell = (power + 1) * HISTOGRAM_STEPS + (unsigned)(value >> power) - HISTOGRAM_STEPS;
    return cell < HISTOGRAM_CELLS ? cell : HISTOGRAM_CELLS - 1;
}

static int64_t upper_edge(unsigned cell)
{
    if (cell < HISTOGRAM_STEPS) {
        return cell;
    }
    unsigned power = cell / HISTOGRAM_STEPS - 1;
    return (int64_t)(((uint64_t)(cell % HISTOGRAM_STEPS + HISTOGRAM_STEPS + 1) << power) - 1);
}

void latencies_add(struct latencies *latencies, int64_t us)
{
    latencies->cells[cell_of(us)]++;
    latencies->count++;
    latencies->max_us = us > latencies->max_us ? us : latencies->max_us;
}

int64_t latencies_quantile(const struct latencies *latencies, double quantile)
{
    uint64_t wanted = (uint64_t)(quantile * (double)latencies->count);
    uint64_t seen = 0;
    for (unsigned i = 0; i < HISTOGRAM_CELLS; i++) {
        seen += latencies->cells[i];
        if (seen > wanted) {
            return upper_edge(i) < latencies->max_us ? upper_edge(i) : latencies->max_us;
        }
    }
    return latencies->max_us;
}

void latencies_print(const struct latencies *latencies, const char *prefix)
{
    printf("\"%sp50_us\":%lld,\"%sp99_us\":%lld,\"%smax_us\":%lld", prefix,
           (long long)latencies_quantile(latencies, 0.5), prefix,
           (long long)latencies_quantile(latencies, 0.99), prefix, (long long)latencies->max_us);
}
