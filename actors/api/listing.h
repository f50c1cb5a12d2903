/* Lists of things that the database shows as JSON: keys, tenants, the audit. ?limit, ?cursor,
 * ?tenant_id, newest first. */
#ifndef SIGNALBOX_API_LISTING_H
#define SIGNALBOX_API_LISTING_H

#include "api/exchange.h"
#include "api/store_identity.h"

/* What this requester may see: its tenant, or all of them. */
struct store_view listing_view(const struct exchange *exchange);
/* Reads the parameters; `name` is that of the array in the answer, and lives on. -1: the exchange is
 * answered. */
SB_MUST_CHECK int listing_begin(struct exchange *exchange, const char *name,
                                struct store_listing *listing_out);
/* db_done_fn: the page. Gives back one hold. */
void listing_show(void *arg, enum db_status status, const struct db_result *result);
/* One item as the whole answer, with members in front of its own: `more` is text such as
 * "\"key\":\"…\"," or "". Answers. */
void listing_one(struct exchange *exchange, int status, const char *more,
                 const struct db_result *result, const struct http_field *fields);
/* The database did not do it, or it is not known whether it did. */
void listing_failed(struct exchange *exchange, enum db_status status);

#endif
