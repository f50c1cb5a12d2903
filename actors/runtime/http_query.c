/* Query parameters; see http_server.h. */
#include "runtime/http_parse.h"
#include "runtime/http_server.h"

#include <string.h>

bool http_query_next(struct http_text *query, struct buffer *scratch, struct http_text *name_out,
                     struct http_text *value_out, bool *bad_out)
{
    while (query->length > 0 && query->data[0] == '&') {
        query->data++;
        query->length--;
    }
    if (query->length == 0) {
        return false;
    }
    const char *ampersand = memchr(query->data, '&', query->length);
    size_t length = ampersand == NULL ? query->length : (size_t)(ampersand - query->data);
    const char *equals = memchr(query->data, '=', length);
    size_t name_length = equals == NULL ? length : (size_t)(equals - query->data);
    size_t value_length = equals == NULL ? 0 : length - name_length - 1;
    /* Decoding never lengthens: with room for all, the texts do not move. */
    buffer_clear(scratch);
    buffer_reserve(scratch, length + 1);
    bool bad = http_percent_decode(query->data, name_length, scratch) != 0;
    *name_out = (struct http_text){(const char *)scratch->data, scratch->length};
    bad |= equals != NULL && http_percent_decode(equals + 1, value_length, scratch) != 0;
    *value_out =
        (struct http_text){name_out->data + name_out->length, scratch->length - name_out->length};
    if (bad) {
        *bad_out = true;
    }
    query->data += length;
    query->length -= length;
    return true;
}
