/* See runner.h. */
#include "job-runner/runner.h"

#include <stdio.h>

void job_runner_worker_name(const struct job_runner *runner, unsigned n,
                            char name_out[JOB_RUNNER_WORKER_SIZE])
{
    snprintf(name_out, JOB_RUNNER_WORKER_SIZE, "%.40s/%llx/%u", runner->actor->instance,
             (unsigned long long)runner->actor->origin, n);
}

void job_runner_settle(struct job_runner *runner)
{
    if (runner->actor->draining && runner->settle != NULL) {
        event_active(runner->settle, EV_TIMEOUT, 0);
    }
}
