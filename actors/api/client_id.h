/*
 * Ids that clients of other protocols choose. They are free texts; ours are UUIDs. A UUID as we write
 * them stands for itself; any other text, and the nil UUID, which means none here, becomes a UUID of
 * version 8 (RFC 9562), made from a hash of tenant, protocol, kind and text. So no table is needed,
 * the same text always means the same thing, and no two tenants, protocols or kinds ever meet. Pure.
 */
#ifndef SIGNALBOX_API_CLIENT_ID_H
#define SIGNALBOX_API_CLIENT_ID_H

#include "runtime/base/uuid.h"

#include <stddef.h>

enum { CLIENT_ID_MAX = 255 }; /* bytes */

/* `protocol` ("ag-ui") and `kind` ("run", "thread") are names of ours. -1 when the text is empty or
 * too long. */
SB_MUST_CHECK int client_id_map(const struct uuid *tenant, const char *protocol, const char *kind,
                                const char *text, size_t length, struct uuid *id_out);

/* An id in a path, where the server has undone every escape but those of '/' and '%': undoes these
 * too. `out` has room for `length` bytes; returns how many there are. */
size_t client_id_unescape(const char *text, size_t length, char *out);

#endif
