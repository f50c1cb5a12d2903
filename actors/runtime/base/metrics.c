/* See metrics.h. One writer per slot; readers see each number whole (relaxed atomics), not a
 * snapshot of all. */
#include "runtime/base/metrics.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

enum { METRICS_NAME_SIZE = 32 };

struct slot {
    char name[METRICS_NAME_SIZE]; /* empty: unused */
    int64_t values[METRIC_COUNT];
    int64_t buckets[HISTOGRAM_COUNT][METRICS_BUCKETS + 1]; /* the last one is "above all" */
    int64_t sums[HISTOGRAM_COUNT];
};

static const int64_t bucket_us[METRICS_BUCKETS] = {100,    250,     500,     1000,    2500,
                                                   5000,   10000,   25000,   50000,   100000,
                                                   500000, 1000000, 5000000, 10000000};

static const int64_t bucket_size[METRICS_BUCKETS] = {1,   2,   5,    10,   20,   50,   100,
                                                     200, 500, 1000, 2000, 3000, 5000, 10000};

static struct slot private_board[1];
static struct slot *board = private_board;
static unsigned board_slots = 1;
static struct slot *own = private_board;

size_t metrics_board_size(void)
{
    return sizeof(struct slot) * METRICS_SLOTS;
}

static int64_t load(const struct slot *slot, enum metric metric)
{
    return __atomic_load_n(&slot->values[metric], __ATOMIC_RELAXED);
}

static void store(struct slot *slot, enum metric metric, int64_t value)
{
    __atomic_store_n(&slot->values[metric], value, __ATOMIC_RELAXED);
}

/* A new process begins at 0; what the supervisor keeps in its slot stays. */
static void forget(struct slot *slot)
{
    for (unsigned metric = 0; metric < METRIC_COUNT; metric++) {
        if (metric != METRIC_ACTOR_RESTARTS && metric != METRIC_ACTOR_READY &&
            metric != METRIC_ACTOR_HEALTHY) {
            store(slot, metric, 0);
        }
    }
    memset(slot->buckets, 0, sizeof slot->buckets);
    memset(slot->sums, 0, sizeof slot->sums);
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
    forget(own);
    snprintf(own->name, sizeof own->name, "%s", name);
    return 0;
}

void metrics_supervise(unsigned slot, const char *name, const struct metrics_supervised *values)
{
    if (slot >= board_slots) {
        return;
    }
    if (board[slot].name[0] == '\0') {
        snprintf(board[slot].name, sizeof board[slot].name, "%s", name);
    }
    store(&board[slot], METRIC_ACTOR_RESTARTS, values->restarts);
    store(&board[slot], METRIC_ACTOR_READY, values->ready ? 1 : 0);
    store(&board[slot], METRIC_ACTOR_HEALTHY, values->healthy ? 1 : 0);
}

const char *metrics_supervised(unsigned slot, struct metrics_supervised *out)
{
    if (slot >= board_slots || board[slot].name[0] == '\0') {
        return NULL;
    }
    if (out != NULL) {
        out->restarts = load(&board[slot], METRIC_ACTOR_RESTARTS);
        out->ready = load(&board[slot], METRIC_ACTOR_READY) != 0;
        out->healthy = load(&board[slot], METRIC_ACTOR_HEALTHY) != 0;
    }
    return board[slot].name;
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

static void observe(enum histogram histogram, const int64_t *bounds, int64_t value)
{
    unsigned bucket = 0;
    while (bucket < METRICS_BUCKETS && value > bounds[bucket]) {
        bucket++;
    }
    __atomic_fetch_add(&own->buckets[histogram][bucket], 1, __ATOMIC_RELAXED);
    __atomic_fetch_add(&own->sums[histogram], value, __ATOMIC_RELAXED);
}

void metric_observe_us(enum histogram histogram, int64_t us)
{
    observe(histogram, bucket_us, us);
}

void metric_observe_size(enum histogram histogram, int64_t size)
{
    observe(histogram, bucket_size, size);
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
                          board[i].name, (long long)load(&board[i], metric));
        }
    }
}

/* `scale`: how many of the units kept make one of the units shown. */
static void render_slot_histogram(struct buffer *out, const char *name, const struct slot *slot,
                                  enum histogram histogram, double scale)
{
    const int64_t *bounds = scale > 1 ? bucket_us : bucket_size;
    int64_t count = 0;
    for (unsigned b = 0; b < METRICS_BUCKETS; b++) {
        count += __atomic_load_n(&slot->buckets[histogram][b], __ATOMIC_RELAXED);
        buffer_printf(out, "signalbox_%s_bucket{actor=\"%.31s\",le=\"%g\"} %lld\n", name,
                      slot->name, (double)bounds[b] / scale, (long long)count);
    }
    count += __atomic_load_n(&slot->buckets[histogram][METRICS_BUCKETS], __ATOMIC_RELAXED);
    buffer_printf(out, "signalbox_%s_bucket{actor=\"%.31s\",le=\"+Inf\"} %lld\n", name, slot->name,
                  (long long)count);
    buffer_printf(out, "signalbox_%s_sum{actor=\"%.31s\"} %.*f\n", name, slot->name,
                  scale > 1 ? 6 : 0,
                  (double)__atomic_load_n(&slot->sums[histogram], __ATOMIC_RELAXED) / scale);
    buffer_printf(out, "signalbox_%s_count{actor=\"%.31s\"} %lld\n", name, slot->name,
                  (long long)count);
}

static void render_histogram(struct buffer *out, const char *name, enum histogram histogram,
                             double scale)
{
    for (unsigned i = 0; i < board_slots; i++) {
        if (board[i].name[0] != '\0') {
            render_slot_histogram(out, name, &board[i], histogram, scale);
        }
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
    render_histogram(out, name, HISTOGRAM_##id, 1e6);
#define SIZES(id, name, help)                      \
    render_head(out, name, "", "histogram", help); \
    render_histogram(out, name, HISTOGRAM_##id, 1);
#include "runtime/base/metrics.def"
#undef COUNTER
#undef GAUGE
#undef HISTOGRAM
#undef SIZES
}
