/* What http_request asks of a payload and makes of an answer. Pure. */
#ifndef SIGNALBOX_JOB_RUNNER_KINDS_HTTP_CALL_H
#define SIGNALBOX_JOB_RUNNER_KINDS_HTTP_CALL_H

#include "proto/job.h"
#include "proto/messages.h"
#include "runtime/base/buffer.h"
#include "runtime/base/error.h"
#include "runtime/json.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { HTTP_CALL_ANSWER_MAX = 1 << 20, HTTP_CALL_BODY_MAX = 32 << 10, HTTP_CALL_EXPECTED_MAX = 16 };

/* A request that may be sent. Zero-initialised is empty; free with http_call_deinit(). */
struct http_call {
    char *method; /* owned, as all texts here */
    char *url;
    struct buffer headers; /* lines "Name: value", each ended by LF */
    char *body;            /* NULL: none */
    int64_t timeout_ms;
    int64_t expected[HTTP_CALL_EXPECTED_MAX]; /* statuses that are a success; none: 200 to 299 */
    size_t expected_count;
};

/* Fills an empty call from a payload (README.md). -1 and err: it is not as it must be; nothing of a
 * value is in err. */
SB_MUST_CHECK int http_call_read(struct http_call *call, struct json_span payload,
                                 struct error *err);
void http_call_deinit(struct http_call *call);
/* One more header of our own. */
void http_call_add_header(struct http_call *call, const char *name, const char *value);

/* What an answer means for the job. */
struct http_call_verdict {
    bool success;
    enum job_class class; /* of a failure */
    int64_t retry_ms;     /* as the callee asks; 0: not said */
    char reason[256];     /* of a failure: nothing of what was sent */
};

/* `answer` NULL: there is none, and nobody knows why. `now_s`: since 1970, for dates in Retry-After.
 */
void http_call_judge(const struct http_call *call, const struct message_fetched *answer,
                     int64_t now_s, struct http_call_verdict *verdict_out);
/* The result of the job, a JSON object: {"status", "headers", "body" | "body_base64",
 * "body_truncated"}. */
void http_call_result(const struct message_fetched *answer, struct buffer *out);

#endif
