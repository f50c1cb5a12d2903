/* See sse.h. */
#include "streamer/sse.h"

#include <string.h>
#include <time.h>

const char sse_last_chunk[] = "0\r\n\r\n";

/* A script sees the event, a proxy the comment. */
static const char *const pings[] = {
    [SSE_PING_EVENT] = ": ping\nevent: ping\ndata: {}\n\n",
    [SSE_PING_COMMENT] = ": ping\n\n",
};

size_t sse_chunk_head(char text[SSE_CHUNK_HEAD_MAX], size_t size)
{
    static const char digits[] = "0123456789abcdef";
    size_t length = 1;
    for (size_t rest = size >> 4; rest > 0; rest >>= 4) {
        length++;
    }
    for (size_t i = length; i > 0; i--) {
        text[i - 1] = digits[size & 15];
        size >>= 4;
    }
    text[length] = '\r';
    text[length + 1] = '\n';
    return length + 2;
}

static void append_chunk(struct buffer *out, const struct buffer *body)
{
    char head[SSE_CHUNK_HEAD_MAX];
    buffer_append(out, head, sse_chunk_head(head, body->length));
    buffer_append(out, body->data, body->length);
    buffer_append(out, "\r\n", SSE_CHUNK_TAIL);
}

void sse_append_date(struct buffer *out, int64_t now_us)
{
    time_t seconds = (time_t)(now_us / 1000000);
    struct tm parts;
    char text[40];
    gmtime_r(&seconds, &parts);
    if (strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S GMT", &parts) > 0) {
        buffer_printf(out, "Date: %s\r\n", text);
    }
}

void sse_append_response(struct buffer *out, int64_t now_us, const char *content_type,
                         const char *fields)
{
    buffer_append_text(out, "HTTP/1.1 200 OK\r\n");
    sse_append_date(out, now_us);
    /* X-Accel-Buffering: proxies of the nginx family hold a response back unless told not to.
     * No "Connection: close": with it, fetch() of Node.js takes a body that breaks off for a whole
     * one. The connection ends with the body all the same, and Keep-Alive says not to count on it. */
    buffer_printf(out,
                  "Content-Type: %s\r\n"
                  "Cache-Control: no-cache, no-transform\r\n"
                  "X-Accel-Buffering: no\r\n"
                  "X-Content-Type-Options: nosniff\r\n"
                  "%s"
                  "Keep-Alive: timeout=1\r\n"
                  "Transfer-Encoding: chunked\r\n\r\n",
                  content_type, fields);
}

void sse_append_hello(struct buffer *out, unsigned retry_ms, enum sse_ping ping)
{
    struct buffer body = {0};
    buffer_printf(&body, "retry: %u\n%s", retry_ms, pings[ping]);
    append_chunk(out, &body);
    buffer_deinit(&body);
}

void sse_append_head(struct buffer *out, int64_t now_us, unsigned retry_ms)
{
    sse_append_response(out, now_us, "text/event-stream; charset=utf-8", "");
    sse_append_hello(out, retry_ms, SSE_PING_EVENT);
}

void sse_append_ping(struct buffer *out, enum sse_ping ping)
{
    struct buffer body = {0};
    buffer_append_text(&body, pings[ping]);
    append_chunk(out, &body);
    buffer_deinit(&body);
}

void sse_append_control(struct buffer *out, const char *name, uint64_t last_seq)
{
    struct buffer body = {0};
    buffer_printf(&body, "event: %s\ndata: {\"last_seq\":%llu}\n\n", name,
                  (unsigned long long)last_seq);
    append_chunk(out, &body);
    buffer_deinit(&body);
}

void sse_append_feed_control(struct buffer *out, const char *name, const char *cursor)
{
    struct buffer body = {0};
    buffer_printf(&body, "event: %s\ndata: {\"cursor\":\"%s\"}\n\n", name, cursor);
    append_chunk(out, &body);
    buffer_deinit(&body);
}

void sse_append_aside(struct buffer *out, const char *name, const char *data, size_t length)
{
    struct buffer body = {0};
    buffer_printf(&body, "event: %s\ndata: ", name);
    buffer_append(&body, data, length);
    buffer_append_text(&body, "\n\n");
    append_chunk(out, &body);
    buffer_deinit(&body);
}
