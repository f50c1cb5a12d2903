/*
 * The key set (JWKS) that the job-runner fetched from auth.jwks_url, as the api takes it over: read
 * from the database at the start and every few seconds, handed to auth when it is another one. A set
 * that cannot be used leaves the keys in force.
 */
#ifndef SIGNALBOX_API_KEY_SET_H
#define SIGNALBOX_API_KEY_SET_H

#include "api/api.h"

struct key_set;

/* NULL when no URL is set. Returns, caller destroys with key_set_destroy, after the store. */
struct key_set *key_set_create(struct api *api);
void key_set_destroy(struct key_set **key_set);
/* The fetched set, once there is one; NULL before, and for a NULL `key_set`. */
const char *key_set_text(const struct key_set *key_set);

#endif
