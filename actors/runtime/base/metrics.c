/* See metrics.h. One writer per slot; readers see each number whole (relaxed atomics), not a
 * snapshot of all. */
#include "runtime/base/metrics.h"

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>

enum { METRICS_NAME_SIZE = 32 };

struct slot {
    char name[METRICS_NAME_SIZE]; /* empty: unused */
    int64_t values[METRIC_COUNT];
    int64_t buckets[HISTOGRAM_COUNT][METRICS_BUCKETS + 1]; /* the last one is "above all" */
    int64_t sums_us[HISTOGRAM_COUNT];
};

static const int64_t bucket_us[METRICS_BUCKETS] = {100,    250,     500,     1000,    2500,
                                                   5000,   10000,   25000,   50000,   100000,
                                                   500000, 1000000, 5000000, 10000000};

static struct slot private_board[1];
static struct slot *board = private_board;
static unsigned board_slots = 1;
static struct slot *own = private_board;

size_t metrics_board_size(void)
{
    return sizeof(struct slot) * METRICS_SLOTS;
}

int metrics_start(int fd, unsigned slot, const char *name, struct error *err)
{
    struct stat status;
    if (slot >= METRICS_SLOTS || fstat(fd, &status) != 0 ||
        (size_t)status.st_size < metrics_board_size()) {
        return error_set(err, "the metrics board does not fit this build");
    }
    void *memory = mmap(NULL, metrics_board_size(), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (memory == MAP_FAILED) {
        return error_set(err, "cannot map the metrics board: %s", error_errno(errno));
    }
    board = memory;
    board_slots = METRICS_SLOTS;
    own = &board[slot];
    *own = (struct slot){0};
    snprintf(own->name, sizeof own->name, "%s", name);
    return 0;
}

void metric_add(enum metric metric, int64_t amount)
{
    __atomic_fetch_add(&own->values[metric], amount, __ATOMIC_RELAXED);
}

void metric_set(enum metric metric, int64_t value)
{
    __atomic_store_n(&own->values[metric], value, __ATOMIC_RELAXED);
}

int64_t metric_get(enum metric metric)
{
    return __atomic_load_n(&own->values[metric], __ATOMIC_RELAXED);
}

void metric_observe_us(enum histogram histogram, int64_t us)
{
    unsigned bucket = 0;
    while (bucket < METRICS_BUCKETS && us > bucket_us[bucket]) {
        bucket++;
    }
    __atomic_fetch_add(&own->buckets[histogram][bucket], 1, __ATOMIC_RELAXED);
    __atomic_fetch_add(&own->sums_us[histogram], us, __ATOMIC_RELAXED);
}

static void render_head(struct buffer *out, const char *name, const char *suffix, const char *type,
                        const char *help)
{
    buffer_printf(out, "# HELP signalbox_%s%s %s\n# TYPE signalbox_%s%s %s\n", name, suffix, help,
                  name, suffix, type);
}

static void render_value(struct buffer *out, const char *name, const char *suffix,
                         enum metric metric)
{
    for (unsigned i = 0; i < board_slots; i++) {
        if (board[i].name[0] != '\0') {
            buffer_printf(out, "signalbox_%s%s{actor=\"%.31s\"} %lld\n", name, suffix,
                          board[i].name,
                          (long long)__atomic_load_n(&board[i].values[metric], __ATOMIC_RELAXED));
        }
    }
}

static void render_histogram(struct buffer *out, const char *name, enum histogram histogram)
{
    for (unsigned i = 0; i < board_slots; i++) {
        struct slot *slot = &board[i];
        if (slot->name[0] == '\0') {
            continue;
        }
        int64_t count = 0;
        for (unsigned b = 0; b <= METRICS_BUCKETS; b++) {
            count += __atomic_load_n(&slot->buckets[histogram][b], __ATOMIC_RELAXED);
            if (b < METRICS_BUCKETS) {
                buffer_printf(out, "signalbox_%s_bucket{actor=\"%.31s\",le=\"%g\"} %lld\n", name,
                              slot->name, (double)bucket_us[b] / 1e6, (long long)count);
            } else {
                buffer_printf(out, "signalbox_%s_bucket{actor=\"%.31s\",le=\"+Inf\"} %lld\n", name,
                              slot->name, (long long)count);
            }
        }
        buffer_printf(out, "signalbox_%s_sum{actor=\"%.31s\"} %.6f\n", name, slot->name,
                      (double)slot->sums_us[histogram] / 1e6);
        buffer_printf(out, "signalbox_%s_count{actor=\"%.31s\"} %lld\n", name, slot->name,
                      (long long)count);
    }
}

void metrics_render(struct buffer *out)
{
#define COUNTER(id, name, help)                        \
    render_head(out, name, "_total", "counter", help); \
    render_value(out, name, "_total", METRIC_##id);
#define GAUGE(id, name, help)                  \
    render_head(out, name, "", "gauge", help); \
    render_value(out, name, "", METRIC_##id);
#define HISTOGRAM(id, name, help)                  \
    render_head(out, name, "", "histogram", help); \
    render_histogram(out, name, HISTOGRAM_##id);
#include "runtime/base/metrics.def"
#undef COUNTER
#undef GAUGE
#undef HISTOGRAM
}
