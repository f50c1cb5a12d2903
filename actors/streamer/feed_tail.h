/*
 * How feeds follow the end of the log by the bus.
 *
 * Frames of a batch come run by run; its last one, and every beat, says up to which position
 * everything has been published: a mark. At a mark the batch's events go into the feeds' windows by
 * position, if all of them have come: positions are dense over the whole log, so they are counted.
 * Whatever is missing, for whatever reason: the windows start again at the mark, and readers read
 * the table up to there.
 */
#ifndef SIGNALBOX_STREAMER_FEED_TAIL_H
#define SIGNALBOX_STREAMER_FEED_TAIL_H

#include "proto/messages.h"
#include "runtime/base/error.h"
#include "runtime/base/list.h"

#include <stdbool.h>
#include <stdint.h>

struct feed;
struct streamer;

struct feed_tail {
    bool known;          /* `settled` says something */
    bool broken;         /* frames may be missing: nothing is taken before the next mark */
    uint64_t settled;    /* all feeds that have joined hold what is behind their `from`, to here */
    uint64_t received;   /* events of frames behind `settled` */
    struct list filled;  /* feeds with events of the batch under way */
    struct list joining; /* feeds that join at the next mark */
    struct list told;    /* feeds that do not reach as far as they were told */
    uint64_t suspect;    /* end of the table in a sweep, when it was ahead; else 0 */
    int64_t suspect_ms;
    int64_t next_sweep_ms;
    int64_t pause_until_ms;
    bool asking;
    bool silent; /* the bus is: what the table says is taken at once */
};

void feed_tail_init(struct streamer *streamer);
/* A new feed: it takes frames from now on, or from the next mark. */
void feed_tail_join(struct feed *feed);
/* -1: the frame makes no sense. */
SB_MUST_CHECK int feed_tail_take_frame(struct streamer *streamer,
                                       const struct message_events *frame);
void feed_tail_take_mark(struct streamer *streamer, uint64_t position);
/* Frames may be missing. */
void feed_tail_lost(struct streamer *streamer);
/* Another process knows that the log reaches this far. */
void feed_tail_learn(struct streamer *streamer, uint64_t position);
/* The bus has been silent: the table is asked for the end of the log. */
void feed_tail_silent(struct streamer *streamer);
/* Suspects and sweeps that are due. */
void feed_tail_tick(struct streamer *streamer, int64_t now_ms);

#endif
