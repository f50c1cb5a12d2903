/* What became of our own changes of jobs, see jobs.h: as good as a frame that says so, and often here
 * before it. */
#include "job-runner/changes.h"
#include "job-runner/jobs_internal.h"
#include "job-runner/lease.h"
#include "job-runner/pages.h"

#include <string.h>

static void claimed(struct jobs *jobs, struct job *job, const struct change *change, bool granted)
{
    job->claiming = false;
    if (!granted) {
        if (job->state != JOB_STATE_RUNNING) {
            jobs_doubt(jobs, job->id);
        }
        return;
    }
    const char *worker = change->worker;
    job->doubted = false;
    job->state = JOB_STATE_RUNNING;
    job->token = change->said.token;
    job->lease_ms = change->lease_ms;
    jobs_set_worker(job, (struct message_span){(const uint8_t *)worker, strlen(worker)});
    jobs_arrange(jobs, job);
}

static void released(struct jobs *jobs, struct job *job)
{
    job->doubted = false;
    job->state = JOB_STATE_WAITING;
    memset(&job->token, 0, sizeof job->token);
    jobs_set_worker(job, (struct message_span){NULL, 0});
    jobs_arrange(jobs, job);
}

/* The claim is over: what we know of it ends, and what comes next is read when no frame says it. */
static void settled(struct jobs *jobs, struct job *job, const struct change *change,
                    enum job_outcome outcome)
{
    if (outcome != JOB_OUTCOME_OK) {
        jobs_doubt(jobs, job->id);
    } else if (!uuid_equal(&job->token, &change->said.token)) {
        return; /* a frame was faster */
    } else if (change->said.what == JOB_COMPLETE) {
        jobs_end(jobs, job);
    } else if (change->said.what == JOB_RELEASE) {
        released(jobs, job);
    } else if (!pages_hints_live(jobs->runner->pages)) {
        jobs_doubt(jobs, job->id);
    }
}

static bool is_end(enum job_change what)
{
    return what == JOB_COMPLETE || what == JOB_FAIL || what == JOB_RELEASE;
}

void jobs_outcome(struct jobs *jobs, const struct change *change,
                  const struct change_outcome *outcome)
{
    struct job *job = jobs_by_uuid(jobs, &change->said.job);
    if (is_end(change->said.what) &&
        (outcome->outcome == JOB_OUTCOME_OK || outcome->outcome == JOB_OUTCOME_LEASE_LOST)) {
        lease_settled(jobs->runner->lease, &change->said.job, &change->said.token);
    }
    if (job == NULL) {
        return;
    }
    job->stamp = ++jobs->stamp;
    job->skipping &= change->said.what != JOB_SKIP;
    if (change->said.what == JOB_CLAIM) {
        claimed(jobs, job, change, outcome->outcome == JOB_OUTCOME_OK);
    } else if (change->said.what != JOB_PROGRESS) {
        settled(jobs, job, change, outcome->outcome);
    }
}
