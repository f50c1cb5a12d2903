/* See native_text.h. A frame: "SIZE\r\nid: ID\ndata: {"run_id":"…","seq":N,"type":"…",…}\n\n\r\n". */
#include "streamer/formats/native_text.h"

#include "runtime/base/uuid.h"

#include <assert.h>
#include <string.h>

static const char id_name[] = "id: ";
static const char data_name[] = "data: ";
static const char type_name[] = ",\"type\":\"";
enum {
    TAIL = 4,                                                         /* LF LF CR LF */
    BEFORE_SEQ = sizeof "{\"run_id\":\"" - 1 + UUID_TEXT_SIZE - 1 + 1 /* and behind its quote */
};

/* Behind the next `c`, which is there. */
static const char *behind(const char *at, const char *end, char c)
{
    const char *found = memchr(at, c, (size_t)(end - at));
    assert(found != NULL);
    return found + 1;
}

static const char *skip(const char *at, const char *end, const char *text)
{
    size_t length = strlen(text);
    assert((size_t)(end - at) >= length && memcmp(at, text, length) == 0);
    return at + length;
}

void native_text_read(const uint8_t *frame, size_t length, struct native_text *text_out)
{
    const char *end = (const char *)frame + length;
    assert(length > TAIL);
    text_out->id = skip(behind((const char *)frame, end, '\n'), end, id_name);
    const char *line = behind(text_out->id, end, '\n');
    text_out->id_length = (size_t)(line - 1 - text_out->id);
    text_out->json = skip(line, end, data_name);
    text_out->json_length = (size_t)(end - TAIL - text_out->json);
    assert(text_out->json_length > BEFORE_SEQ);
    /* "seq" is the first name behind the run, and its number holds no comma. */
    const char *comma = memchr(text_out->json + BEFORE_SEQ + 1, ',', text_out->json_length);
    assert(comma != NULL);
    text_out->type = skip(comma, end, type_name);
    text_out->type_length = (size_t)(behind(text_out->type, end, '"') - 1 - text_out->type);
}
