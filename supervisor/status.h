/* The status document, as one line of JSON; nothing secret in it. */
#ifndef SIGNALBOX_SUPERVISOR_STATUS_H
#define SIGNALBOX_SUPERVISOR_STATUS_H

#include "runtime/base/buffer.h"

struct supervisor;

void status_write(struct buffer *out, const struct supervisor *supervisor);

/* A PostgreSQL connection string (URI or key=value) without its password. Pure. */
void status_public_dsn(struct buffer *out, const char *url);
/* Name of the database in it; "signalbox" when it names none. Pure. */
void status_database_name(struct buffer *out, const char *url);

#endif
