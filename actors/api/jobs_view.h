/* How jobs look to clients. */
#ifndef SIGNALBOX_API_JOBS_VIEW_H
#define SIGNALBOX_API_JOBS_VIEW_H

#include "api/store_jobs.h"
#include "runtime/base/buffer.h"

/* Appends a job as a JSON object. */
void jobs_view_write(struct buffer *out, const struct store_job *job);
/* Appends what is said of a job that was just queued: {"id","job_key","status"}. */
void jobs_view_write_short(struct buffer *out, const struct uuid *id, const char *key,
                           size_t key_length, enum job_status status);

#endif
