/*
 * The spans of a batch for whoever collects them (runtime/spans.h): of each command of an exported
 * trace that has written something, one for its commit, below the span of the sender, and one for
 * its publication, below that.
 */
#include "sequencer/sequencer.h"

#include "runtime/base/clock.h"
#include "runtime/spans.h"

#include <string.h>

static bool has_written(const struct command *command)
{
    return (command->trace_flags & TRACE_RECORDED) != 0 && !command->recovered &&
           command->result.outcome == OUTCOME_OK && !command->result.duplicate;
}

/* Ends now. Returns its number. */
static uint64_t tell(struct sequencer *sequencer, const struct command *command, struct span span,
                     int64_t started_us)
{
    span.id = trace_new_span();
    span.parent = command->span;
    span.run = command->run_id;
    span.first_seq = (int64_t)command->result.first_seq;
    span.end_us = clock_real_us();
    span.start_us = span.end_us - (clock_monotonic_us() - started_us);
    memcpy(span.trace, command->trace.bytes, sizeof span.trace);
    spans_add(sequencer->actor->spans, &span);
    return span.id;
}

void traces_committed(struct sequencer *sequencer, struct batch *batch)
{
    if (sequencer->actor->spans == NULL) {
        return;
    }
    LIST_FOR_EACH(node, &batch->commands)
    {
        struct command *command = LIST_ENTRY(node, struct command, node);
        if (has_written(command)) {
            struct span span = {.kind = SPAN_INTERNAL,
                                /* allows sql: the name of a span */
                                .name = "commit",
                                .batch_rows = (int64_t)batch->rows_count};
            command->span = tell(sequencer, command, span, batch->started_us);
        }
    }
}

void traces_published(struct sequencer *sequencer, struct batch *batch, int64_t started_us)
{
    if (sequencer->actor->spans == NULL) {
        return;
    }
    LIST_FOR_EACH(node, &batch->commands)
    {
        const struct command *command = LIST_ENTRY(node, struct command, node);
        if (has_written(command) && command->result.first_seq > 0) {
            struct span span = {.kind = SPAN_PRODUCER, .name = "publish"};
            (void)tell(sequencer, command, span, started_us);
        }
    }
}
