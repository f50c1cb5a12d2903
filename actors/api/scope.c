/* See scope.h. */
#include "api/scope.h"

#include <string.h>

static const struct {
    const char *name;
    unsigned scope;
} scopes_known[] = {
    {"read", SCOPE_READ},
    {"append", SCOPE_APPEND},
    {"admin", SCOPE_ADMIN},
    {"operator", SCOPE_OPERATOR},
};

enum { SCOPES = sizeof scopes_known / sizeof *scopes_known };

unsigned scope_parse(const char *name, size_t length)
{
    for (size_t i = 0; i < SCOPES; i++) {
        if (strlen(scopes_known[i].name) == length &&
            memcmp(scopes_known[i].name, name, length) == 0) {
            return scopes_known[i].scope;
        }
    }
    return 0;
}

unsigned scope_parse_list(const char *text, size_t length, char separator)
{
    unsigned scopes = 0;
    for (size_t from = 0, at = 0; at <= length; at++) {
        if (at == length || text[at] == separator) {
            scopes |= scope_parse(text + from, at - from);
            from = at + 1;
        }
    }
    return scopes;
}

void scope_write(struct buffer *out, unsigned scopes, bool json)
{
    bool first = true;
    buffer_append_byte(out, json ? '[' : '{');
    for (size_t i = 0; i < SCOPES; i++) {
        if ((scopes & scopes_known[i].scope) != 0) {
            buffer_printf(out, json ? "%s\"%s\"" : "%s%s", first ? "" : ",", scopes_known[i].name);
            first = false;
        }
    }
    buffer_append_byte(out, json ? ']' : '}');
}
