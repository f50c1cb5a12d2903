/* Runs that are made for jobs: of a detached one, and of one that is tried again after the end of its
 * run. See jobs.h. */
#include "sequencer/commands.h"

#include "runtime/base/memory.h"

#include <string.h>

static struct message_span empty_object(void)
{
    static const char text[] = "{}";
    return (struct message_span){(const uint8_t *)text, sizeof text - 1};
}

struct run *job_runs_make(struct sequencer *sequencer, const struct command *command,
                          const struct uuid *parent, const struct uuid *id,
                          const struct uuid *tenant)
{
    struct batch *batch = sequencer->batch;
    struct uuid none = {{0}};
    struct uuid run_id = id != NULL ? *id : uuid_new();
    struct run *run = runs_add(sequencer, &run_id, tenant, &none, 0, RUN_PENDING);
    struct message_create_run create = {
        .metadata = empty_object(), .created_by = command->actor, .started = empty_object()};
    memcpy(create.run, run_id.bytes, sizeof create.run);
    memcpy(create.tenant, tenant->bytes, sizeof create.tenant);
    memcpy(create.parent, parent->bytes, sizeof create.parent);
    struct buffer copy = {(uint8_t *)&create, sizeof create, sizeof create};
    run->batch_new = true;
    account_charge_run(run->account);
    batch_add_create(batch, run, (const void *)jobs_keep(batch, &copy).data, NULL);
    jobs_add_row(sequencer, run, EVENT_TYPE_RUN_STARTED, create.started, command);
    run->batch_status = RUN_RUNNING;
    return run;
}
