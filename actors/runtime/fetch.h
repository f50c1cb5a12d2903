/*
 * Requests to the outside, made by a child of ours that holds no secrets (signalbox-fetcher), which
 * is started with the first request, again when it dies, and ends with us.
 */
#ifndef SIGNALBOX_RUNTIME_FETCH_H
#define SIGNALBOX_RUNTIME_FETCH_H

#include "proto/messages.h"
#include "runtime/actor.h"

struct fetch;

/* What may be reached besides https on port 443 of public addresses, as in the settings egress.*. */
struct fetch_reach {
    bool http;
    const char *allow; /* networks */
    const char *ports;
};

/* Called exactly once per accepted request, from the loop. `answer` is borrowed for the call; NULL:
 * the child died or did not answer in time, so whether the request reached anybody is unknown. */
typedef void fetch_done_fn(void *arg, const struct message_fetched *answer);

/* Returns, caller destroys with fetch_destroy (who still waits is then told NULL). What may be
 * reached is in the settings egress.*. */
struct fetch *fetch_create(struct actor *actor);
/* The same for addresses that whoever runs the server has chosen. `reach` is copied. */
struct fetch *fetch_create_reaching(struct actor *actor, const struct fetch_reach *reach);
void fetch_destroy(struct fetch **fetch);
/* -1: too many under way, or no child can be started now. */
SB_MUST_CHECK int fetch_send(struct fetch *fetch, const struct message_fetch *request,
                             fetch_done_fn *done, void *arg, struct error *err);

#endif
