/*
 * How far jobs of a run are, shown to its live readers as it comes: `event: job-progress`, without an
 * id, for it is not in the log. Native streams only; other forms have no word for it.
 */
#ifndef SIGNALBOX_STREAMER_JOB_NOTES_H
#define SIGNALBOX_STREAMER_JOB_NOTES_H

#include "proto/messages.h"

struct streamer;

/* -1: not fit for a stream. */
int job_notes_take(struct streamer *streamer, const struct message_job_note *note);

#endif
