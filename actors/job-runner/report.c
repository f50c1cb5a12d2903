/* See report.h. The gathering is that of changes.h; here it is counted. */
#include "job-runner/report.h"

#include "job-runner/changes.h"
#include "job-runner/lease.h"
#include "job-runner/runner.h"
#include "runtime/base/memory.h"
#include "runtime/base/metrics.h"

#include <stdlib.h>

struct report {
    struct job_runner *runner; /* borrowed */
    size_t pending;
};

/* Who waits for an outcome. */
struct waiting {
    struct report *report;
    enum job_change what;
    report_done_fn *done;
    void *arg;
};

static void count(const struct report_change *change)
{
    static const enum metric failed[] = {[JOB_CLASS_RETRYABLE] = METRIC_JOBS_FAILED_RETRYABLE,
                                         [JOB_CLASS_FATAL] = METRIC_JOBS_FAILED_FATAL,
                                         [JOB_CLASS_RATE_LIMITED] = METRIC_JOBS_FAILED_LIMITED};
    if (change->what == JOB_COMPLETE) {
        metric_add(METRIC_JOBS_COMPLETED, 1);
    } else if (change->what == JOB_FAIL) {
        metric_add(failed[change->class], 1);
    }
}

static void on_outcome(void *arg, const struct change_outcome *outcome)
{
    struct waiting waiting = *(struct waiting *)arg;
    free(arg);
    waiting.report->pending--;
    if (outcome == NULL) {
        return;
    }
    if (outcome->outcome == JOB_OUTCOME_LEASE_LOST) {
        metric_add(METRIC_JOB_REPORTS_FENCED, 1);
    }
    if (waiting.done != NULL) {
        waiting.done(waiting.arg, outcome->outcome);
    }
    job_runner_settle(waiting.report->runner);
}

void report_send(struct report *report, const struct report_change *change, report_done_fn *done,
                 void *arg)
{
    struct waiting *waiting = memory_new(sizeof *waiting);
    *waiting = (struct waiting){report, change->what, done, arg};
    report->pending++;
    count(change);
    if (change->what != JOB_PROGRESS) {
        lease_reported(report->runner->lease, &change->job, &change->token);
    }
    changes_send(report->runner->changes, &(struct change){.said = *change}, on_outcome, waiting);
}

bool report_is_idle(const struct report *report)
{
    return report->pending == 0;
}

struct report *report_create(struct job_runner *runner)
{
    struct report *report = memory_new(sizeof *report);
    report->runner = runner;
    return report;
}

void report_destroy(struct report **report)
{
    free(*report);
    *report = NULL;
}
