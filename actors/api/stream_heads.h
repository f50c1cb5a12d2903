/*
 * Heads of the runs whose streams are being opened. After a restart very many are opened at once:
 * who comes while queries are on the way is asked for together with the others, in one query. No
 * answer is older than its request.
 */
#ifndef SIGNALBOX_API_STREAM_HEADS_H
#define SIGNALBOX_API_STREAM_HEADS_H

#include "api/store.h"

struct exchange;
struct stream_heads;

/* `head` is NULL when the run is not there, or another tenant's, or the query failed. */
typedef void stream_heads_done_fn(struct exchange *exchange, enum db_status status,
                                  const struct store_head *head);

/* Returns, caller destroys with stream_heads_destroy, after the store. */
struct stream_heads *stream_heads_create(struct store *store);
void stream_heads_destroy(struct stream_heads **heads);
/* Of exchange->id, of its tenant. `done` is called unless the client has gone by then. */
void stream_heads_ask(struct stream_heads *heads, struct exchange *exchange,
                      stream_heads_done_fn *done);

#endif
