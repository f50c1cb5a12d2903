/* See refusal.h. */
#include "streamer/refusal.h"

#include "contracts/generated/problems.h"
#include "streamer/sse.h"

/* For clients that are programs: they see the status, and would take a body that ends early, or even
 * properly, for the whole answer. */
static void append_problem(struct buffer *out, int64_t now_us, unsigned retry_ms)
{
    const struct problem_info *info = problem_info(PROBLEM_BUSY);
    struct buffer body = {0};
    buffer_printf(&body,
                  "{\"type\":\"/problems/%s\",\"title\":\"%s\",\"status\":%d,\"detail\":\"too many "
                  "streams are open\"}",
                  info->slug, info->title, info->status);
    buffer_printf(out, "HTTP/1.1 %d %s\r\n", info->status, "Service Unavailable");
    sse_append_date(out, now_us);
    buffer_printf(out,
                  "Content-Type: application/problem+json\r\n"
                  "Retry-After: %u\r\n"
                  "Content-Length: %zu\r\n"
                  "Cache-Control: no-store\r\n"
                  "X-Content-Type-Options: nosniff\r\n"
                  "Connection: close\r\n\r\n",
                  (retry_ms + 999) / 1000, body.length);
    buffer_append(out, body.data, body.length);
    buffer_deinit(&body);
}

void refusal_append(struct buffer *out, const struct projection_format *format, int64_t now_us,
                    unsigned retry_ms)
{
    /* Native EventSource gives up for good on an error status, so it is told to come back later. */
    if (format == NULL || (format->is_sse && !format->is_conversation)) {
        sse_append_head(out, now_us, retry_ms);
    } else {
        append_problem(out, now_us, retry_ms);
    }
}
