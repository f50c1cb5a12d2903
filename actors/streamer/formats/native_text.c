/* See native_text.h. A frame: "SIZE CR LF id: ID LF data: {…} LF LF CR LF". */
#include "streamer/formats/native_text.h"

#include <assert.h>
#include <string.h>

enum { TAIL = 4 }; /* LF LF CR LF */

/* Behind the next line break, which is there. */
static const char *next_line(const char *at, const char *end)
{
    const char *found = memchr(at, '\n', (size_t)(end - at));
    assert(found != NULL);
    return found + 1;
}

static const char *skip(const char *at, const char *end, const char *text)
{
    size_t length = strlen(text);
    assert((size_t)(end - at) > length && memcmp(at, text, length) == 0);
    return at + length;
}

void native_text_read(const uint8_t *frame, size_t length, struct native_text *text_out)
{
    const char *end = (const char *)frame + length;
    text_out->id = skip(next_line((const char *)frame, end), end, "id: ");
    const char *line = next_line(text_out->id, end);
    text_out->id_length = (size_t)(line - 1 - text_out->id);
    text_out->json = skip(line, end, "data: ");
    assert(end - text_out->json > TAIL);
    text_out->json_length = (size_t)(end - TAIL - text_out->json);
}
