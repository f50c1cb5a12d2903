/* See run_status.h. */
#include "runtime/run_status.h"

const char *run_status_name(uint64_t status)
{
    static const char *const names[] = {
        [RUN_PENDING] = "pending",         [RUN_RUNNING] = "running",
        [RUN_INTERRUPTED] = "interrupted", [RUN_CANCELLING] = "cancelling",
        [RUN_FINISHED] = "finished",       [RUN_FAILED] = "failed",
        [RUN_CANCELLED] = "cancelled"};
    return names[status < sizeof names / sizeof *names ? status : RUN_RUNNING];
}
