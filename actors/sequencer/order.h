/*
 * Order of commands per sending process (origin): numbers are taken in sequence, a number seen
 * again gets the answer it got, a number from the future is refused. Pure: no I/O, no clock;
 * table-tested.
 */
#ifndef SIGNALBOX_SEQUENCER_ORDER_H
#define SIGNALBOX_SEQUENCER_ORDER_H

#include "proto/messages.h"
#include "runtime/base/map.h"
#include "runtime/bus.h"

#include <stdbool.h>
#include <stdint.h>

/* Answers kept per origin: at least the largest command.window, so that what is not here is older
 * than this process. */
enum { ORDER_RESULTS = 4096 };

struct order_result {
    uint64_t number; /* 0: empty */
    bool pending;    /* being recovered: `result` is not there yet */
    struct message_result result;
};

struct order_origin {
    uint64_t origin;
    uint64_t expected; /* next number to take */
    uint64_t settled;  /* every number up to it has been evaluated, with its answer in `results` or
                          the table */
    uint64_t batch_number; /* highest number in the batch under way; 0: none */
    unsigned users;        /* commands that point here: not freed */
    bool nacked;           /* told once about the gap it is in */
    int64_t seen_ms;
    struct bus_peer peer;         /* where its last message came from; length 0: not heard yet */
    struct order_result *results; /* owned ring of ORDER_RESULTS, made on first use */
};

struct order {
    struct map origins; /* struct order_origin, owned */
};

enum order_verdict {
    ORDER_TAKE,    /* it is the next one: expected has moved on */
    ORDER_BUSY,    /* it would be taken or recovered, but there is no room: nothing has changed */
    ORDER_WAIT,    /* taken or being recovered, not settled yet: its answer will come */
    ORDER_ANSWER,  /* settled in this process: *result_out */
    ORDER_RECOVER, /* settled before this process: its answer, if any, is in the table */
    ORDER_NACK,    /* from the future: say what is expected */
    ORDER_DROP     /* from the future, and told already */
};

void order_init(struct order *order);
void order_deinit(struct order *order);
/* Finds or makes the origin; a new one expects 1. */
struct order_origin *order_origin(struct order *order, uint64_t origin);
/* High mark from the table: numbers up to `settled` are done. */
void order_load(struct order *order, uint64_t origin, uint64_t settled);
/* The sender needs no answer below `oldest`. */
void order_hello(struct order_origin *origin, uint64_t oldest);
/* `full`: nothing new can be taken. */
enum order_verdict order_judge(struct order_origin *origin, uint64_t number, bool full,
                               struct message_result *result_out);
/* The answer to `number`; numbers of one origin settle in order. */
void order_settle(struct order_origin *origin, uint64_t number,
                  const struct message_result *result);
/* Forgets every number and answer, not who the senders are: the table is read again next. */
void order_reset(struct order *order);
/* Frees the answers to senders not heard of since `answers_ms`, which are then looked up in the
 * table, and forgets senders not heard of since `origins_ms`. A forgotten sender's numbers would be
 * taken as new: `origins_ms` must be as old as what the table forgets. */
void order_forget(struct order *order, int64_t answers_ms, int64_t origins_ms);

#endif
