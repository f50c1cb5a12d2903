/* Small JSON bodies: the members that a route knows, as values. For rare requests; the appends read
 * their bodies where they stand. */
#ifndef SIGNALBOX_API_FIELDS_H
#define SIGNALBOX_API_FIELDS_H

#include "api/exchange.h"

#include <jansson.h>

/* The body (empty counts as {}) with no members but `known`, a NULL-terminated list. A new
 * reference, or NULL and the exchange is answered. */
json_t *fields_read(struct exchange *exchange, const char *const *known);
/* Answers 422 about the member `pointer`, returns -1. */
SB_MUST_CHECK int fields_wrong(struct exchange *exchange, const char *pointer, const char *detail);
/* Text of 1 to 255 bytes; `fallback` when absent, NULL: it must be there. The exchange is answered
 * when it is wrong. */
SB_MUST_CHECK int fields_text(struct exchange *exchange, const json_t *body, const char *name,
                              const char *fallback, const char **text_out);

#endif
