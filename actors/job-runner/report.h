/*
 * What becomes of claims of this runner, told to the sequencer: gathered while one message is under
 * way (alone, a report leaves at once), at most 256 at a time; the next claims travel with them. A
 * report is repeated until its outcome is known.
 */
#ifndef SIGNALBOX_JOB_RUNNER_REPORT_H
#define SIGNALBOX_JOB_RUNNER_REPORT_H

#include "contracts/generated/event_types.h"
#include "proto/job.h"
#include "proto/messages.h"
#include "runtime/base/uuid.h"

struct job_runner;
struct report;

struct report_event {
    enum event_type type;
    struct message_span payload;
};

/* One change; see CHANGE_JOBS. Copied, with all it points to. */
struct report_change {
    struct uuid job;
    struct uuid token;
    enum job_change what;
    enum job_class class;
    struct message_span reason;
    int64_t retry_ms;
    struct message_span result;
    int percent;
    const struct report_event *events;
    size_t events_count;
};

/* `outcome` as the sequencer said it; called once, from the loop. */
typedef void report_done_fn(void *arg, enum job_outcome outcome);

/* `done` may be NULL. */
void report_send(struct report *report, const struct report_change *change, report_done_fn *done,
                 void *arg);
/* Whether everything has been said and answered: for draining. */
bool report_is_idle(const struct report *report);

struct report *report_create(struct job_runner *runner);
void report_destroy(struct report **report);

#endif
