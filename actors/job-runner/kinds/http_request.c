/*
 * http_request: calls a URL with what the payload says, through the fetcher child and its guard
 * (runtime/fetch.h), and keeps the answer as the result.
 *
 *   {"method": "GET", "url", "headers": {}, "body": text | "json": value, "timeout_ms": 30000,
 *    "expect_status": status or array}
 *
 * The callee is given the effect key as Idempotency-Key, the same on every attempt, and a traceparent
 * of the trace the job was queued in. Nothing of what is sent is logged.
 */
#include "job-runner/kinds/http_call.h"
#include "job-runner/kinds/kinds.h"
#include "job-runner/payload.h"
#include "job-runner/store_kinds.h"
#include "runtime/base/clock.h"
#include "runtime/base/log.h"
#include "runtime/base/memory.h"
#include "runtime/trace.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FULL_MS = 1000 };

/* Outlives its attempt when that is cancelled: who answers still calls back. */
struct request {
    struct attempt *attempt; /* NULL: given up */
    struct http_call call;
};

static void destroy(struct request *request)
{
    http_call_deinit(&request->call);
    free(request);
}

/* The attempt, which does not know of the request any more. NULL: it was given up. */
static struct attempt *detach(struct request *request)
{
    struct attempt *attempt = request->attempt;
    if (attempt != NULL) {
        attempt_set_state(attempt, NULL);
    }
    request->attempt = NULL;
    return attempt;
}

static void end(struct attempt *attempt, const struct http_call_verdict *verdict,
                const struct message_fetched *answer)
{
    struct buffer result = {0};
    struct uuid job = attempt_job(attempt);
    LOG_INFO("a request of a job has ended", LOG_UUID("job_id", &job),
             LOG_INT("attempt", attempt_number(attempt)),
             LOG_INT("status", answer == NULL ? 0 : answer->status));
    if (!verdict->success) {
        attempt_fail(attempt, verdict->class, verdict->reason, verdict->retry_ms);
        return;
    }
    http_call_result(answer, &result);
    attempt_complete(attempt, buffer_text(&result), result.length);
    buffer_deinit(&result);
}

static void on_fetched(void *arg, const struct message_fetched *answer)
{
    struct request *request = arg;
    struct http_call_verdict verdict;
    struct attempt *attempt = detach(request);
    if (attempt != NULL) {
        http_call_judge(&request->call, answer, clock_real_us() / 1000000, &verdict);
        end(attempt, &verdict, answer);
    }
    destroy(request);
}

static struct message_span span(const char *text, size_t length)
{
    return (struct message_span){(const uint8_t *)text, length};
}

static void send_request(struct request *request)
{
    struct error err;
    const struct http_call *call = &request->call;
    struct message_fetch message = {
        .method = span(call->method, strlen(call->method)),
        .url = span(call->url, strlen(call->url)),
        .headers = {call->headers.data, call->headers.length},
        .body = span(call->body, call->body == NULL ? 0 : strlen(call->body)),
        .timeout_ms = (uint64_t)call->timeout_ms,
        .answer_max = HTTP_CALL_ANSWER_MAX,
    };
    if (fetch_send(attempt_fetch(request->attempt), &message, on_fetched, request, &err) != 0) {
        /* Ours to put right, and nothing was sent: it costs no attempt. */
        attempt_fail(detach(request), JOB_CLASS_RATE_LIMITED, err.text, FULL_MS);
        destroy(request);
    }
}

/* `trace` of a request that wanted to be recorded, as far as we know: it named its trace. */
static void add_traceparent(struct http_call *call, const struct uuid *trace)
{
    char id[TRACE_ID_TEXT_SIZE];
    char parent[TRACE_SPAN_TEXT_SIZE];
    char text[64];
    trace_id_format(trace->bytes, id);
    trace_span_format(trace_new_span(), parent);
    snprintf(text, sizeof text, "00-%s-%s-01", id, parent);
    http_call_add_header(call, "traceparent", text);
}

static void on_trace(void *arg, enum db_status status, const struct db_result *result)
{
    struct request *request = arg;
    struct uuid trace;
    if (request->attempt == NULL) {
        destroy(request);
        return;
    }
    /* Without the database the request goes out all the same: the trace is a courtesy. */
    if (status == DB_OK && db_rows(result) == 1 && !db_is_null(result, 0, 0)) {
        db_uuid(result, 0, 0, &trace);
        add_traceparent(&request->call, &trace);
    }
    send_request(request);
}

static int prepare(struct request *request, struct error *err)
{
    struct json_span payload;
    char key[ATTEMPT_EFFECT_KEY_SIZE];
    if (payload_read(request->attempt, &payload, err) != 0 ||
        http_call_read(&request->call, payload, err) != 0) {
        return -1;
    }
    attempt_effect_key(request->attempt, "", key);
    http_call_add_header(&request->call, "Idempotency-Key", key);
    return 0;
}

static void begin(struct attempt *attempt)
{
    struct request *request = memory_new(sizeof *request);
    struct db_params params = {0};
    struct uuid job = attempt_job(attempt);
    struct error err;
    request->attempt = attempt;
    if (prepare(request, &err) != 0) {
        destroy(request);
        attempt_fail(attempt, JOB_CLASS_FATAL, err.text, 0);
        return;
    }
    attempt_set_state(attempt, request);
    db_param_uuid(&params, &job);
    db_query(attempt_db(attempt), &store_kinds_trace, &params, on_trace, request);
    db_params_deinit(&params);
}

/* Whether it arrived, nobody knows: the next attempt, if there is one, carries the same key. */
static void cancel(struct attempt *attempt)
{
    (void)detach(attempt_state(attempt));
    attempt_release(attempt);
}

const struct kind kind_http_request = {
    .type = "http_request",
    .does = "calls a URL with the payload, through the guard of requests to the outside",
    .idempotency = "every attempt sends the same Idempotency-Key; what the callee does with it is "
                   "the callee's promise",
    .begin = begin,
    .cancel = cancel,
    .finishes = true,
};
