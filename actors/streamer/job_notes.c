/* See job_notes.h. Who is not caught up, or whose socket is full, misses it: the next one comes soon. */
#include "streamer/job_notes.h"

#include "streamer/position.h"
#include "streamer/reader.h"
#include "streamer/run.h"
#include "streamer/sse.h"

#include <string.h>

static void mention(struct run *run, const struct buffer *chunk)
{
    run_hold(run);
    LIST_FOR_EACH(node, &run->positions)
    {
        struct position *position = LIST_ENTRY(node, struct position, in_shown);
        if (position->taker == POSITION_READER) {
            reader_mention(reader_of(position), chunk);
        }
    }
    run_release(run);
}

int job_notes_take(struct streamer *streamer, const struct message_job_note *note)
{
    const char *payload = (const char *)note->payload.data;
    struct buffer chunk = {0};
    struct uuid id;
    if (note->payload.length == 0 || memchr(payload, '\n', note->payload.length) != NULL ||
        memchr(payload, '\r', note->payload.length) != NULL) {
        return -1;
    }
    memcpy(id.bytes, note->run, sizeof id.bytes);
    for (struct run *run = run_find(streamer, &id), *next; run != NULL; run = next) {
        next = run->variant;
        if (run->view == NULL &&
            memcmp(run->tenant.bytes, note->tenant, sizeof note->tenant) == 0) {
            if (chunk.length == 0) {
                sse_append_aside(&chunk, "job-progress", payload, note->payload.length);
            }
            mention(run, &chunk);
        }
    }
    buffer_deinit(&chunk);
    return 0;
}
