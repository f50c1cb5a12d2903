/* See http.h. */
#include "ops/cli/http.h"

#include "runtime/base/memory.h"
#include "runtime/base/list.h"

#include <curl/curl.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

enum {
    HTTP_CONNECT_MS = 5000,
    HTTP_GET_MS = 30000,
    HTTP_BODY_BYTES_MAX = 64 << 20,
    HTTP_WAIT_MS_MAX = 1000
};

struct http {
    CURLM *multi;
    char *address;
    char *key;
    struct list requests; /* struct request.in_http */
};

struct request {
    struct list in_http;
    struct http_call call;
    CURL *easy;
    struct curl_slist *headers;
    struct buffer body;
    char error_text[CURL_ERROR_SIZE];
};

struct http *http_create(const char *address, const char *key)
{
    curl_global_init(CURL_GLOBAL_DEFAULT);
    struct http *http = memory_new(sizeof *http);
    http->multi = curl_multi_init();
    if (http->multi == NULL) {
        abort();
    }
    list_init(&http->requests);
    http_set_target(http, address, key);
    return http;
}

static void request_free(struct http *http, struct request *request)
{
    list_remove(&request->in_http);
    curl_multi_remove_handle(http->multi, request->easy);
    curl_easy_cleanup(request->easy);
    curl_slist_free_all(request->headers);
    buffer_deinit(&request->body);
    free(request);
}

void http_destroy(struct http **http)
{
    if (*http == NULL) {
        return;
    }
    LIST_FOR_EACH(node, &(*http)->requests)
    {
        request_free(*http, LIST_ENTRY(node, struct request, in_http));
    }
    curl_multi_cleanup((*http)->multi);
    free((*http)->address);
    free((*http)->key);
    free(*http);
    *http = NULL;
}

void http_set_target(struct http *http, const char *address, const char *key)
{
    char *new_address = memory_string(address);
    char *new_key = memory_string(key);
    free(http->address);
    free(http->key);
    http->address = new_address;
    http->key = new_key;
}

static size_t take_body(char *bytes, size_t size, size_t count, void *arg)
{
    struct request *request = arg;
    size_t length = size * count;
    long status = 0;
    curl_easy_getinfo(request->easy, CURLINFO_RESPONSE_CODE, &status);
    if (request->call.chunk != NULL && status == 200) {
        return request->call.chunk(request->call.arg, bytes, length) == 0 ? length : 0;
    }
    if (request->body.length + length > HTTP_BODY_BYTES_MAX) {
        return 0;
    }
    buffer_append(&request->body, bytes, length);
    return length;
}

static void add_header(struct request *request, const char *name, const char *value)
{
    struct buffer line = {0};
    buffer_printf(&line, "%s: %s", name, value);
    struct curl_slist *longer = curl_slist_append(request->headers, buffer_text(&line));
    buffer_deinit(&line);
    if (longer == NULL) {
        abort();
    }
    request->headers = longer;
}

static void set_headers(const struct http *http, struct request *request)
{
    struct buffer value = {0};
    buffer_printf(&value, "Bearer %s", http->key);
    add_header(request, "Authorization", buffer_text(&value));
    buffer_deinit(&value);
    add_header(request, "Expect", "");
    if (request->call.body != NULL) {
        add_header(request, "Content-Type", "application/json");
    }
    if (request->call.idempotency_key != NULL) {
        add_header(request, "Idempotency-Key", request->call.idempotency_key);
    }
    if (request->call.last_event_id != NULL) {
        add_header(request, "Last-Event-ID", request->call.last_event_id);
    }
    curl_easy_setopt(request->easy, CURLOPT_HTTPHEADER, request->headers);
}

static void set_options(const struct http *http, struct request *request)
{
    CURL *easy = request->easy;
    const struct http_call *call = &request->call;
    struct buffer url = {0};
    buffer_printf(&url, "http://%s%s", http->address, call->path);
    curl_easy_setopt(easy, CURLOPT_URL, buffer_text(&url));
    buffer_deinit(&url);
    curl_easy_setopt(easy, CURLOPT_PROXY, "");
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)HTTP_CONNECT_MS);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)call->timeout_ms);
    if (call->silence_ms > 0) {
        curl_easy_setopt(easy, CURLOPT_LOW_SPEED_LIMIT, 1L);
        curl_easy_setopt(easy, CURLOPT_LOW_SPEED_TIME, (long)(call->silence_ms / 1000));
    }
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, request->error_text);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, take_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, request);
    curl_easy_setopt(easy, CURLOPT_PRIVATE, request);
    curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, call->method);
    if (call->body != NULL) {
        curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)call->body_length);
        curl_easy_setopt(easy, CURLOPT_POSTFIELDS, call->body);
    }
    set_headers(http, request);
}

void http_send(struct http *http, const struct http_call *call)
{
    struct request *request = memory_new(sizeof *request);
    request->call = *call;
    request->easy = curl_easy_init();
    if (request->easy == NULL) {
        abort();
    }
    set_options(http, request);
    list_append(&http->requests, &request->in_http);
    curl_multi_add_handle(http->multi, request->easy);
}

static void finish(struct http *http, struct request *request, CURLcode code)
{
    long status = 0;
    curl_off_t retry_after_s = 0;
    curl_easy_getinfo(request->easy, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_getinfo(request->easy, CURLINFO_RETRY_AFTER, &retry_after_s);
    const char *why =
        request->error_text[0] != '\0' ? request->error_text : curl_easy_strerror(code);
    struct http_answer answer = {
        .status = code == CURLE_OK || request->call.chunk != NULL ? (int)status : 0,
        .complete = code == CURLE_OK,
        .reason = code == CURLE_OK ? "" : why,
        .retry_after_ms = retry_after_s > 0 ? (int64_t)retry_after_s * 1000 : -1,
        .body = &request->body,
    };
    request->call.done(request->call.arg, &answer);
    request_free(http, request);
}

void http_run(struct http *http, int64_t wait_ms)
{
    int running = 0;
    curl_multi_perform(http->multi, &running);
    int left = 0;
    CURLMsg *message = curl_multi_info_read(http->multi, &left);
    if (message == NULL && wait_ms > 0) {
        int64_t wait = wait_ms < HTTP_WAIT_MS_MAX ? wait_ms : HTTP_WAIT_MS_MAX;
        curl_multi_poll(http->multi, NULL, 0, (int)wait, NULL);
        curl_multi_perform(http->multi, &running);
        message = curl_multi_info_read(http->multi, &left);
    }
    while (message != NULL) {
        if (message->msg == CURLMSG_DONE) {
            struct request *request = NULL;
            CURLcode code = message->data.result;
            curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&request);
            finish(http, request, code);
        }
        message = curl_multi_info_read(http->multi, &left);
    }
}

struct waiting_get {
    struct buffer *body;
    struct error *err;
    int status;
    bool done;
};

static void get_done(void *arg, const struct http_answer *answer)
{
    struct waiting_get *get = arg;
    get->done = true;
    get->status = answer->status;
    if (answer->status == 0) {
        error_set(get->err, "%s", answer->reason);
    } else if (answer->status != 200) {
        http_problem(answer, get->err);
    }
    buffer_append(get->body, answer->body->data, answer->body->length);
}

int http_get(struct http *http, const char *path, struct buffer *body, struct error *err)
{
    struct waiting_get get = {.body = body, .err = err};
    buffer_clear(body);
    http_send(http, &(struct http_call){.method = "GET",
                                        .path = path,
                                        .timeout_ms = HTTP_GET_MS,
                                        .done = get_done,
                                        .arg = &get});
    while (!get.done) {
        http_run(http, HTTP_WAIT_MS_MAX);
    }
    return get.status;
}

static const char *text_member(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));
    return text != NULL ? text : "";
}

void http_problem(const struct http_answer *answer, struct error *err)
{
    if (answer->status == 0) {
        error_set(err, "%s", answer->reason);
        return;
    }
    json_t *problem = json_loadb(answer->body->length > 0 ? (char *)answer->body->data : "",
                                 answer->body->length, 0, NULL);
    const char *type = strrchr(text_member(problem, "type"), '/');
    const json_t *first = json_array_get(json_object_get(problem, "errors"), 0);
    if (type == NULL) {
        error_set(err, "the server answered %d", answer->status);
    } else if (first != NULL) {
        error_set(err, "the server answered %d %s: %s (%s: %s)", answer->status, type + 1,
                  text_member(problem, "detail"), text_member(first, "pointer"),
                  text_member(first, "detail"));
    } else {
        error_set(err, "the server answered %d %s: %s", answer->status, type + 1,
                  text_member(problem, "detail"));
    }
    json_decref(problem);
}
