/* Scopes: what a key, a token or a session may do. One table: to add one, a row here and a migration
 * that lets the database's checks know it. Pure. */
#ifndef SIGNALBOX_API_SCOPE_H
#define SIGNALBOX_API_SCOPE_H

#include "runtime/base/buffer.h"

#include <stdbool.h>
#include <stddef.h>

enum scope {
    SCOPE_OPEN = 0, /* nobody is asked who they are */
    SCOPE_READ = 1,
    SCOPE_APPEND = 2,
    SCOPE_ADMIN = 4,    /* keys and audit of its own tenant */
    SCOPE_OPERATOR = 8, /* tenants; keys and audit of all of them */
    SCOPE_TENANT = SCOPE_READ | SCOPE_APPEND | SCOPE_ADMIN /* all that stays within one tenant */
};

/* 0: there is no such scope. */
unsigned scope_parse(const char *name, size_t length);
/* Of names with one `separator` between them; names not known are passed over. */
unsigned scope_parse_list(const char *text, size_t length, char separator);
/* Appends a JSON array of names, or with `json` false a PostgreSQL array literal. */
void scope_write(struct buffer *out, unsigned scopes, bool json);

#endif
