/*
 * Keeps a copy of the key set (JWKS, RFC 7517) at auth.jwks_url in the database, where the api
 * reads it: fetched at the start and every auth.jwks_refresh_ms, sooner again after a failure. A
 * copy that is there stays until a new one is whole.
 */
#ifndef SIGNALBOX_JOB_RUNNER_JWKS_H
#define SIGNALBOX_JOB_RUNNER_JWKS_H

#include "runtime/actor.h"
#include "runtime/db.h"
#include "runtime/fetch.h"

struct jwks;

/* Borrows `db` and `fetch`. NULL when no URL is set. Returns, caller destroys with jwks_destroy,
 * after `fetch` and before `db`. */
struct jwks *jwks_create(struct actor *actor, struct db *db, struct fetch *fetch);
void jwks_destroy(struct jwks **jwks);

#endif
