/* See status.h. */
#include "sequencer/status.h"

#include <string.h>

bool status_is_closed(enum run_status status)
{
    return status >= RUN_FINISHED;
}

bool status_is_lifecycle(enum event_type type)
{
    return type == EVENT_TYPE_RUN_INTERRUPTED || type == EVENT_TYPE_RUN_RESUMED ||
           type == EVENT_TYPE_RUN_CANCEL_REQUESTED || type == EVENT_TYPE_CLARIFICATION_NEEDED ||
           type == EVENT_TYPE_CLARIFICATION_ANSWERED;
}

static bool becomes(enum run_status status, enum run_status *next_out)
{
    *next_out = status;
    return true;
}

static bool next_of_pending(enum event_type type, enum run_status *next_out)
{
    if (type == EVENT_TYPE_RUN_STARTED) {
        return becomes(RUN_RUNNING, next_out);
    }
    return type == EVENT_TYPE_RUN_CANCELLED && becomes(RUN_CANCELLED, next_out);
}

/* Events that pause a run and let it go on; a run that is being cancelled stays so. */
static enum run_status next_of_pause(enum run_status status, enum event_type type, unsigned open)
{
    if (status == RUN_RUNNING &&
        (type == EVENT_TYPE_RUN_INTERRUPTED || type == EVENT_TYPE_CLARIFICATION_NEEDED)) {
        return RUN_INTERRUPTED;
    }
    if (status == RUN_INTERRUPTED && type == EVENT_TYPE_CLARIFICATION_ANSWERED && open == 0) {
        return RUN_RUNNING;
    }
    return status;
}

bool status_next(enum run_status status, enum event_type type, unsigned open,
                 enum run_status *next_out)
{
    if (status == RUN_PENDING) {
        return next_of_pending(type, next_out);
    }
    if (status_is_closed(status) || type == EVENT_TYPE_RUN_STARTED) {
        return false;
    }
    if (type == EVENT_TYPE_RUN_FINISHED) {
        return becomes(RUN_FINISHED, next_out);
    }
    if (type == EVENT_TYPE_RUN_FAILED) {
        return becomes(RUN_FAILED, next_out);
    }
    if (type == EVENT_TYPE_RUN_CANCELLED) {
        return becomes(RUN_CANCELLED, next_out);
    }
    if (type == EVENT_TYPE_RUN_CANCEL_REQUESTED) {
        return becomes(RUN_CANCELLING, next_out);
    }
    if (type == EVENT_TYPE_RUN_RESUMED) {
        return status == RUN_INTERRUPTED && becomes(RUN_RUNNING, next_out);
    }
    return becomes(next_of_pause(status, type, open), next_out);
}

int status_find(const char *name, size_t length, enum run_status *status_out)
{
    static const char *const names[] = {"pending",  "running", "interrupted", "cancelling",
                                        "finished", "failed",  "cancelled"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strlen(names[i]) == length && memcmp(names[i], name, length) == 0) {
            *status_out = (enum run_status)i;
            return 0;
        }
    }
    return -1;
}
