/* See names.h. */
#include "api/names.h"

#include "api/client_id.h"
#include "runtime/utf8_stream.h"

#include <string.h>

bool names_are_sound(const char *text, size_t length, size_t most)
{
    struct utf8_stream utf8 = {0};
    return length >= 1 && length <= most && memchr(text, '\0', length) == NULL &&
           utf8_stream_take(&utf8, (const uint8_t *)text, length) && utf8_stream_is_whole(&utf8);
}

int names_from_path(const char *segment, size_t length, char out[NAMES_BYTES_MAX + 1])
{
    char text[3 * NAMES_BYTES_MAX]; /* each byte may have come escaped */
    size_t got = length <= sizeof text ? client_id_unescape(segment, length, text) : 0;
    if (!names_are_sound(text, got, NAMES_BYTES_MAX)) {
        return -1;
    }
    memcpy(out, text, got);
    out[got] = '\0';
    return 0;
}
