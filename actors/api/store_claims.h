/* SQL on claims: whose a job is now, for when no job-runner can say. */
#ifndef SIGNALBOX_API_STORE_CLAIMS_H
#define SIGNALBOX_API_STORE_CLAIMS_H

#include "api/store_internal.h"

/* One row, or none when there is no such job of the tenant. */
void store_get_claim(struct store *store, const struct uuid *tenant, const struct uuid *job,
                     db_done_fn *done, void *arg);
/* The token of its live claim; nil: nobody works on it. */
struct uuid store_read_claim(const struct db_result *result);

#endif
