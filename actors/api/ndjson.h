/*
 * Appending a long batch: one event a line, taken while the body still arrives. Lines are gathered
 * into chunks; each is one append, all or none, and the next begins when it is committed. At most
 * one chunk, one line and one read of the socket are held for a request, however long it is.
 *
 * Where a chunk ends depends on the lines alone, not on how they arrived. So with an
 * Idempotency-Key each chunk has a key of its own, made of it and the chunk's number, and with a
 * producer the number after that of the chunk before: a repeated body is answered chunk by chunk as
 * the first time, and goes on where that ended.
 */
#ifndef SIGNALBOX_API_NDJSON_H
#define SIGNALBOX_API_NDJSON_H

#include "api/exchange.h"

#include <stdbool.h>

#define NDJSON_MEDIA_TYPE "application/x-ndjson"

/* Whether the request says that its body is of this kind. */
bool ndjson_is_asked(const struct http_request *request);
/* The exchange of a streamed request; asks for its body. */
void ndjson_begin(struct exchange *exchange);
/* What has come of it. */
void ndjson_take(struct exchange *exchange, struct http_text piece, bool last);

#endif
