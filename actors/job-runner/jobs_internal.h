/* What jobs.c and jobs_outcome.c share: the memory of jobs, and how one of them changes. */
#ifndef SIGNALBOX_JOB_RUNNER_JOBS_INTERNAL_H
#define SIGNALBOX_JOB_RUNNER_JOBS_INTERNAL_H

#include "job-runner/jobs.h"
#include "job-runner/runner.h"
#include "runtime/base/map.h"

struct jobs {
    struct job_runner *runner; /* borrowed */
    struct map by_number;      /* owns them */
    struct map by_uuid;
    uint64_t stamp;
    int64_t newest;
    uint32_t fresh; /* shards that were not yet read: what runs in them is not counted, so that
                       nothing more is begun */
};

/* Tells ready and lease where the job is now. */
void jobs_arrange(struct jobs *jobs, struct job *job);
/* It has ended. Where it ran there is a place for another one of its queue or its key. */
void jobs_end(struct jobs *jobs, struct job *job);
/* Empty: nobody. */
void jobs_set_worker(struct job *job, struct message_span worker);

#endif
