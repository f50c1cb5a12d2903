/* What the log says of jobs: payloads of the JOB_ events, and the error of a job that has failed.
 * Pure: each appends a JSON object to `out`. */
#ifndef SIGNALBOX_SEQUENCER_JOB_TEXT_H
#define SIGNALBOX_SEQUENCER_JOB_TEXT_H

#include "sequencer/jobs.h"

struct job_said {
    const struct job *job;
    const struct job_decision *decision;
    struct message_span worker; /* of the claim it is about; empty: none */
    struct message_span reason; /* empty: none */
    struct message_span result;
    int64_t percent; /* -1: not said */
};

void job_text_event(struct buffer *out, const struct job_said *said);
void job_text_queued(struct buffer *out, const struct job *job, int64_t run_at_us, int64_t now_us);
/* {"error", "job_id", "attempts", "last_worker", "remediation"} */
void job_text_error(struct buffer *out, const struct job_said *said);
/* job:ID:CLAIM:KIND */
void job_text_dedup(struct buffer *out, int64_t id, int32_t claim, enum event_type type);

#endif
