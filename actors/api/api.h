/* The api's one state: made in start(), reached from every exchange. */
#ifndef SIGNALBOX_API_API_H
#define SIGNALBOX_API_API_H

#include "runtime/actor.h"
#include "runtime/base/buffer.h"
#include "runtime/base/list.h"
#include "runtime/submission.h"

struct auth;
struct commands;
struct cursor_key;
struct exchange;
struct handover;
struct http_server;
struct key_set;
struct limit;
struct redis;
struct runners;
struct store;
struct stream_heads;
struct surplus;

struct api {
    struct actor *actor;
    struct http_server *server; /* owned, as everything below */
    struct store *store;
    struct auth *auth;
    struct key_set *key_set; /* NULL: no keys are fetched */
    struct commands *commands;
    struct surplus *surplus;
    struct runners *runners;
    struct handover *handover;
    struct stream_heads *stream_heads;
    struct redis *redis;
    struct limit *limit;
    struct cursor_key *cursor_key; /* signs the cursors of lists */
    struct list spare;             /* exchanges to use again */
    uint64_t exchanges;            /* begun so far: numbers them in the log */
    size_t open;                   /* begun and not yet over */

    /* Scratch, valid within one call of a handler. */
    struct submission submission;
    struct buffer text;
};

#endif
