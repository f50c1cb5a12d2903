/* See http_call.h. */
#include "job-runner/kinds/http_call.h"

#include "job-runner/payload.h"
#include "runtime/base/memory.h"
#include "runtime/base/number.h"
#include "runtime/utf8_stream.h"

#include <ctype.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

enum {
    METHOD_BYTES_MAX = 16,
    URL_BYTES_MAX = 8192,
    BODY_BYTES_MAX = 64 << 10,
    HEADERS_MAX = 64,
    HEADER_BYTES_MAX = 4096, /* name and value; the fetcher takes lines of 8 KiB */
    TIMEOUT_MS = 30000,
    TIMEOUT_MS_MAX = 600000,
    RETRY_MS_MAX = 86400000,
    RESULT_TEXT_MAX = 40 << 10, /* a body that is longer as JSON text goes as base64 */
    HEADER_SHOWN_MAX = 1024
};

/* ---- the request ---- */

static bool is_token(const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        if (!isalnum((unsigned char)text[i]) && strchr("!#$%&'*+-.^_`|~", text[i]) == NULL) {
            return false;
        }
    }
    return length > 0;
}

/* A line break in it would begin a header, or a request, of its own. */
static bool is_value(const char *text)
{
    for (; *text != '\0'; text++) {
        if ((unsigned char)*text < ' ' && *text != '\t') {
            return false;
        }
        if (*text == 127) {
            return false;
        }
    }
    return true;
}

/* What frames a request or names its sender is not the payload's. */
static bool is_reserved(const char *name)
{
    static const char *const reserved[] = {
        "connection",      "content-length",    "expect", "host",
        "idempotency-key", "keep-alive",        "te",     "trailer",
        "traceparent",     "transfer-encoding", "upgrade"};
    for (size_t i = 0; i < sizeof reserved / sizeof reserved[0]; i++) {
        if (strcasecmp(name, reserved[i]) == 0) {
            return true;
        }
    }
    return strncasecmp(name, "proxy-", 6) == 0;
}

void http_call_add_header(struct http_call *call, const char *name, const char *value)
{
    buffer_printf(&call->headers, "%s: %s\n", name, value);
}

static int add_header(struct http_call *call, const char *name, const char *value,
                      struct error *err)
{
    if (!is_token(name, strlen(name)) || is_reserved(name)) {
        return error_set(err, "payload: headers: a name is malformed, or set by the server");
    }
    if (value == NULL || !is_value(value) || strlen(name) + strlen(value) > HEADER_BYTES_MAX) {
        return error_set(err, "payload: headers: %s must be one line of text of at most %d bytes",
                         name, HEADER_BYTES_MAX);
    }
    if (value[strspn(value, " \t")] == '\0') {
        return error_set(err, "payload: headers: %s is empty", name);
    }
    http_call_add_header(call, name, value);
    return 0;
}

static int read_headers(struct http_call *call, struct json_span payload, bool *has_type_out,
                        struct error *err)
{
    struct json_span headers = json_member(payload, "headers");
    struct json_span cursor = {0};
    struct json_span name;
    struct json_span value;
    size_t count = 0;
    int result = 0;
    if (headers.data == NULL) {
        return 0;
    }
    if (headers.data[0] != '{') {
        return error_set(err, "payload: headers must be an object");
    }
    while (result == 0 && json_pair(headers, &cursor, &name, &value)) {
        char *plain_name = memory_new(name.length + 1);
        char *plain_value = payload_string(value);
        plain_name[json_unescape(name.data, name.length, plain_name)] = '\0';
        result = ++count > HEADERS_MAX ? error_set(err, "payload: headers: too many")
                                       : add_header(call, plain_name, plain_value, err);
        *has_type_out = *has_type_out || strcasecmp(plain_name, "content-type") == 0;
        free(plain_name);
        free(plain_value);
    }
    return result;
}

static int read_body(struct http_call *call, struct json_span payload, bool has_type,
                     struct error *err)
{
    struct json_span json = json_member(payload, "json");
    if (payload_text(payload, "body", BODY_BYTES_MAX, &call->body, err) != 0) {
        return -1;
    }
    if (json.data == NULL) {
        return 0;
    }
    if (call->body != NULL) {
        return error_set(err, "payload: body or json, not both");
    }
    call->body = memory_new(json.length + 1);
    memcpy(call->body, json.data, json.length);
    if (!has_type) {
        http_call_add_header(call, "Content-Type", "application/json");
    }
    return 0;
}

static int add_expected(struct http_call *call, struct json_span value, struct error *err)
{
    int64_t status;
    if (payload_number(value, &status) != 0 || status < 100 || status > 599 ||
        call->expected_count == HTTP_CALL_EXPECTED_MAX) {
        return error_set(err, "payload: expect_status must be a status, or an array of at most %d",
                         HTTP_CALL_EXPECTED_MAX);
    }
    call->expected[call->expected_count++] = status;
    return 0;
}

static int read_expected(struct http_call *call, struct json_span payload, struct error *err)
{
    struct json_span wanted = json_member(payload, "expect_status");
    struct json_span cursor = {0};
    if (wanted.data == NULL) {
        return 0;
    }
    if (wanted.data[0] != '[') {
        return add_expected(call, wanted, err);
    }
    for (struct json_span value = json_element(wanted, &cursor); value.data != NULL;
         value = json_element(wanted, &cursor)) {
        if (add_expected(call, value, err) != 0) {
            return -1;
        }
    }
    return 0;
}

static int read_target(struct http_call *call, struct json_span payload, struct error *err)
{
    if (payload_text(payload, "method", METHOD_BYTES_MAX, &call->method, err) != 0 ||
        payload_text(payload, "url", URL_BYTES_MAX, &call->url, err) != 0) {
        return -1;
    }
    if (call->method == NULL) {
        call->method = memory_string("GET");
    }
    if (!is_token(call->method, strlen(call->method))) {
        return error_set(err, "payload: method is none");
    }
    if (call->url == NULL) {
        return error_set(err, "payload: url is missing");
    }
    for (const char *at = call->url; *at != '\0'; at++) {
        if ((unsigned char)*at <= ' ' || *at == 127) {
            return error_set(err, "payload: url holds a blank or a line break");
        }
    }
    return 0;
}

int http_call_read(struct http_call *call, struct json_span payload, struct error *err)
{
    bool has_type = false;
    call->timeout_ms = TIMEOUT_MS;
    if (read_target(call, payload, err) != 0 || read_headers(call, payload, &has_type, err) != 0 ||
        read_body(call, payload, has_type, err) != 0 || read_expected(call, payload, err) != 0 ||
        payload_int(payload, "timeout_ms", 1, TIMEOUT_MS_MAX, &call->timeout_ms, err) != 0) {
        return -1;
    }
    return 0;
}

void http_call_deinit(struct http_call *call)
{
    free(call->method);
    free(call->url);
    free(call->body);
    buffer_deinit(&call->headers);
    *call = (struct http_call){0};
}

/* ---- the answer ---- */

/* Value of the first header of that name (in lower case), without blanks around it. */
static struct message_span header_of(const struct message_fetched *answer, const char *name)
{
    const char *at = (const char *)answer->headers.data;
    const char *end = at + answer->headers.length;
    size_t length = strlen(name);
    while (at < end) {
        const char *line_end = memchr(at, '\n', (size_t)(end - at));
        line_end = line_end == NULL ? end : line_end;
        if ((size_t)(line_end - at) > length && memcmp(at, name, length) == 0 &&
            at[length] == ':') {
            at += length + 1;
            while (at < line_end && (*at == ' ' || *at == '\t')) {
                at++;
            }
            while (at < line_end && (line_end[-1] == ' ' || line_end[-1] == '\t')) {
                line_end--;
            }
            return (struct message_span){(const uint8_t *)at, (size_t)(line_end - at)};
        }
        at = line_end + 1;
    }
    return (struct message_span){0};
}

/* Seconds, or a date (RFC 9110); 0: neither, or there is none. */
static int64_t retry_after_ms(const struct message_fetched *answer, int64_t now_s)
{
    struct message_span value = header_of(answer, "retry-after");
    char text[64];
    int64_t seconds;
    struct tm date = {0};
    if (value.length == 0 || value.length >= sizeof text) {
        return 0;
    }
    snprintf(text, sizeof text, "%.*s", (int)value.length, (const char *)value.data);
    if (number_parse(text, value.length, &seconds) != 0) {
        const char *end = strptime(text, "%a, %d %b %Y %H:%M:%S GMT", &date);
        if (end == NULL || *end != '\0') {
            return 0;
        }
        seconds = timegm(&date) - now_s;
    }
    seconds = seconds < 1 ? 1 : seconds;
    return seconds > RETRY_MS_MAX / 1000 ? RETRY_MS_MAX : seconds * 1000;
}

static bool is_success(const struct http_call *call, int64_t status)
{
    for (size_t i = 0; i < call->expected_count; i++) {
        if (call->expected[i] == status) {
            return true;
        }
    }
    return call->expected_count == 0 && status >= 200 && status < 300;
}

static enum job_class class_of(int64_t status, int64_t retry_ms)
{
    if ((status == 429 || status == 503) && retry_ms > 0) {
        return JOB_CLASS_RATE_LIMITED;
    }
    return status == 408 || status == 429 || status >= 500 ? JOB_CLASS_RETRYABLE : JOB_CLASS_FATAL;
}

/* No status: the guard, the network, or an answer that cannot be taken. */
static void judge_nothing(const struct message_fetched *answer, struct http_call_verdict *verdict)
{
    bool too_long = answer->error.length == strlen("the answer is too long") &&
                    memcmp(answer->error.data, "the answer is too long", answer->error.length) == 0;
    verdict->class = answer->refused || too_long ? JOB_CLASS_FATAL : JOB_CLASS_RETRYABLE;
    snprintf(verdict->reason, sizeof verdict->reason, "%s: %.*s",
             answer->refused ? "refused" : "no answer",
             (int)(answer->error.length > 200 ? 200 : answer->error.length),
             answer->error.length == 0 ? "" : (const char *)answer->error.data);
}

void http_call_judge(const struct http_call *call, const struct message_fetched *answer,
                     int64_t now_s, struct http_call_verdict *verdict_out)
{
    *verdict_out = (struct http_call_verdict){0};
    if (answer == NULL) {
        snprintf(verdict_out->reason, sizeof verdict_out->reason,
                 "no answer: whether the request arrived is not known");
        return;
    }
    if (answer->status == 0) {
        judge_nothing(answer, verdict_out);
        return;
    }
    int64_t status = (int64_t)answer->status;
    verdict_out->success = is_success(call, status);
    if (!verdict_out->success) {
        verdict_out->retry_ms = retry_after_ms(answer, now_s);
        verdict_out->class = class_of(status, verdict_out->retry_ms);
        snprintf(verdict_out->reason, sizeof verdict_out->reason, "status %lld%s",
                 (long long)status,
                 status >= 300 && status < 400 ? ": redirects are not followed" : "");
    }
}

/* ---- the result ---- */

static void write_headers(const struct message_fetched *answer, struct buffer *out)
{
    static const char *const shown[] = {"content-type",  "content-length", "date",       "etag",
                                        "last-modified", "location",       "retry-after"};
    const char *separator = "";
    buffer_append_text(out, ",\"headers\":{");
    for (size_t i = 0; i < sizeof shown / sizeof shown[0]; i++) {
        struct message_span value = header_of(answer, shown[i]);
        if (value.data != NULL) {
            buffer_printf(out, "%s\"%s\":", separator, shown[i]);
            buffer_append_json(out, (const char *)value.data,
                               value.length > HEADER_SHOWN_MAX ? HEADER_SHOWN_MAX : value.length);
            separator = ",";
        }
    }
    buffer_append_byte(out, '}');
}

/* Well-formed UTF-8 without control characters but blanks, so that the text is what was answered. */
static bool is_text(const uint8_t *bytes, size_t length)
{
    struct utf8_stream stream = {0};
    for (size_t i = 0; i < length; i++) {
        if (bytes[i] < ' ' && (bytes[i] == 0 || strchr("\n\r\t", bytes[i]) == NULL)) {
            return false;
        }
    }
    return utf8_stream_take(&stream, bytes, length) && utf8_stream_is_whole(&stream);
}

static void write_base64(const uint8_t *bytes, size_t length, struct buffer *out)
{
    size_t size = sodium_base64_ENCODED_LEN(length, sodium_base64_VARIANT_ORIGINAL);
    buffer_append_text(out, ",\"body_base64\":\"");
    sodium_bin2base64((char *)buffer_reserve(out, size), size, bytes, length,
                      sodium_base64_VARIANT_ORIGINAL);
    out->length += size - 1;
    buffer_append_byte(out, '"');
}

/* Text that is cut within a character is cut before it. */
static size_t whole_length(const uint8_t *bytes, size_t length)
{
    size_t cut = length;
    while (cut > 0 && length - cut < 4 && (bytes[cut] & 0xC0) == 0x80) {
        cut--;
    }
    return cut;
}

void http_call_result(const struct message_fetched *answer, struct buffer *out)
{
    const uint8_t *body = answer->body.data;
    size_t length = answer->body.length;
    bool truncated = length > HTTP_CALL_BODY_MAX;
    size_t text_length = truncated ? whole_length(body, HTTP_CALL_BODY_MAX) : length;
    buffer_printf(out, "{\"status\":%llu", (unsigned long long)answer->status);
    write_headers(answer, out);
    size_t before = out->length;
    bool text = is_text(body, text_length);
    if (text) {
        buffer_append_text(out, ",\"body\":");
        buffer_append_json(out, text_length == 0 ? "" : (const char *)body, text_length);
    }
    if (!text || out->length - before > RESULT_TEXT_MAX) {
        out->length = before;
        write_base64(body, truncated ? HTTP_CALL_BODY_MAX : length, out);
    }
    buffer_append_text(out, truncated ? ",\"body_truncated\":true}" : "}");
}
