/*
 * noop: completes at once. For measurements, and for tests of what surrounds a job.
 *
 *   {"sleep_ms": 0..600000, "fail": how many attempts fail, "class": "retryable"|"fatal"|
 *    "rate_limited", "retry_ms": …, "progress": 0..100, "warn": true: one WARNING event}
 */
#include "job-runner/kinds/kinds.h"
#include "job-runner/payload.h"
#include "runtime/base/buffer.h"
#include "runtime/base/memory.h"

#include <event2/event.h>
#include <stdlib.h>
#include <string.h>

enum { SLEEP_MS_MAX = 600000, FAILS_MAX = 1000000, RETRY_MS_MAX = 86400000 };

struct plan {
    int64_t sleep_ms;
    int64_t fail;
    enum job_class class;
    int64_t retry_ms;
    int64_t percent; /* -1: not said */
    bool warn;
};

struct sleeper {
    struct attempt *attempt;
    struct plan plan;
    struct event *timer;
};

static int read_class(struct json_span payload, enum job_class *class_out, struct error *err)
{
    static const char *const names[] = {[JOB_CLASS_RETRYABLE] = "retryable",
                                        [JOB_CLASS_FATAL] = "fatal",
                                        [JOB_CLASS_RATE_LIMITED] = "rate_limited"};
    char *name = NULL;
    int result = payload_text(payload, "class", 20, &name, err);
    if (name != NULL) {
        result = error_set(err, "payload: class must be retryable, fatal or rate_limited");
        for (unsigned i = 0; i < sizeof names / sizeof names[0]; i++) {
            if (strcmp(name, names[i]) == 0) {
                *class_out = (enum job_class)i;
                result = 0;
            }
        }
    }
    free(name);
    return result;
}

static int read_plan(const struct attempt *attempt, struct plan *plan, struct error *err)
{
    struct json_span payload;
    *plan = (struct plan){.percent = -1};
    if (payload_read(attempt, &payload, err) != 0 ||
        payload_int(payload, "sleep_ms", 0, SLEEP_MS_MAX, &plan->sleep_ms, err) != 0 ||
        payload_int(payload, "fail", 0, FAILS_MAX, &plan->fail, err) != 0 ||
        payload_int(payload, "retry_ms", 0, RETRY_MS_MAX, &plan->retry_ms, err) != 0 ||
        payload_int(payload, "progress", 0, 100, &plan->percent, err) != 0 ||
        payload_bool(payload, "warn", &plan->warn, err) != 0) {
        return -1;
    }
    return read_class(payload, &plan->class, err);
}

static void finish(struct attempt *attempt, const struct plan *plan)
{
    static const char warning[] = "{\"code\":\"noop\",\"message\":\"said by a job\"}";
    static const char result[] = "{}";
    if (attempt_number(attempt) <= (uint64_t)plan->fail) {
        attempt_fail(attempt, plan->class, "as told", plan->retry_ms);
        return;
    }
    if (plan->warn) {
        attempt_event(attempt, EVENT_TYPE_WARNING, warning, sizeof warning - 1);
    }
    attempt_complete(attempt, result, sizeof result - 1);
}

static struct attempt *wake(struct sleeper *sleeper)
{
    struct attempt *attempt = sleeper->attempt;
    attempt_set_state(attempt, NULL);
    event_free(sleeper->timer);
    free(sleeper);
    return attempt;
}

static void on_timer(evutil_socket_t fd SB_UNUSED, short what SB_UNUSED, void *arg)
{
    struct sleeper *sleeper = arg;
    struct plan plan = sleeper->plan;
    finish(wake(sleeper), &plan);
}

static void begin(struct attempt *attempt)
{
    struct plan plan;
    struct error err;
    if (read_plan(attempt, &plan, &err) != 0) {
        attempt_fail(attempt, JOB_CLASS_FATAL, err.text, 0);
        return;
    }
    if (plan.percent >= 0) {
        attempt_progress(attempt, (int)plan.percent, "");
    }
    if (plan.sleep_ms == 0) {
        finish(attempt, &plan);
        return;
    }
    struct sleeper *sleeper = memory_new(sizeof *sleeper);
    struct timeval when = {plan.sleep_ms / 1000, plan.sleep_ms % 1000 * 1000};
    *sleeper = (struct sleeper){.attempt = attempt, .plan = plan};
    sleeper->timer = event_new(attempt_actor(attempt)->base, -1, 0, on_timer, sleeper);
    event_add(sleeper->timer, &when);
    attempt_set_state(attempt, sleeper);
}

static void cancel(struct attempt *attempt)
{
    attempt_release(wake(attempt_state(attempt)));
}

const struct kind kind_noop = {
    .type = "noop",
    .does = "nothing, after a while if told so: for measurements and tests",
    .idempotency = "it has no effect, so that running it twice is as good as once",
    .begin = begin,
    .cancel = cancel,
};
