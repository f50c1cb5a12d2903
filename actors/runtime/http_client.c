/* See http_client.h. */
#include "runtime/http_client.h"

#include "runtime/base/list.h"
#include "runtime/base/memory.h"
#include "runtime/base/number.h"

#include <assert.h>
#include <ctype.h>
#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum {
    CONNECT_MS = 5000,
    SLOW_BYTES_PER_S = 16,
    SLOW_S = 15,
    HEADERS_MAX = 64 << 10,
};

struct http_client {
    struct event_base *base; /* borrowed */
    struct egress_policy policy;
    CURLM *multi;
    struct event *timer;
    struct list transfers;
    size_t count;
};

struct transfer {
    struct list node;
    struct http_client *client;
    CURL *easy;
    struct curl_slist *fields;
    void *sent; /* the body; owned */
    struct buffer headers;
    struct buffer body;
    size_t answer_max;
    bool refused; /* by the guard */
    bool overrun;
    char error[CURL_ERROR_SIZE];
    http_client_done_fn *done;
    void *arg;
};

/* ---- what curl asks of us for one transfer ---- */

/* The check that counts: the resolved address of every connection. */
static curl_socket_t open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *address)
{
    struct transfer *transfer = arg;
    if (purpose != CURLSOCKTYPE_IPCXN ||
        !egress_allows_address(&transfer->client->policy, &address->addr)) {
        transfer->refused = true;
        return CURL_SOCKET_BAD;
    }
    return socket(address->family, address->socktype | SOCK_CLOEXEC | SOCK_NONBLOCK,
                  address->protocol);
}

static size_t take_body(char *bytes, size_t size, size_t count, void *arg)
{
    struct transfer *transfer = arg;
    size_t length = size * count;
    if (transfer->body.length + length > transfer->answer_max) {
        transfer->overrun = true;
        return 0;
    }
    buffer_append(&transfer->body, bytes, length);
    return length;
}

/* A status line begins the headers anew (100 Continue). */
static size_t take_header(char *bytes, size_t size, size_t count, void *arg)
{
    struct transfer *transfer = arg;
    size_t length = size * count;
    const char *colon = memchr(bytes, ':', length);
    if (transfer->headers.length + length > HEADERS_MAX) {
        transfer->overrun = true;
        return 0;
    }
    if (length >= 5 && memcmp(bytes, "HTTP/", 5) == 0) {
        buffer_clear(&transfer->headers);
        return length;
    }
    if (colon == NULL) {
        return length;
    }
    for (const char *at = bytes; at < bytes + length; at++) {
        uint8_t byte = (uint8_t)(at < colon ? tolower((unsigned char)*at) : *at);
        if (byte != '\r' && byte != '\n') {
            buffer_append_byte(&transfer->headers, byte);
        }
    }
    buffer_append_byte(&transfer->headers, '\n');
    return length;
}

/* ---- the life of a transfer ---- */

static void destroy(struct transfer *transfer)
{
    list_remove(&transfer->node);
    transfer->client->count--;
    curl_multi_remove_handle(transfer->client->multi, transfer->easy);
    curl_easy_cleanup(transfer->easy);
    curl_slist_free_all(transfer->fields);
    buffer_deinit(&transfer->headers);
    buffer_deinit(&transfer->body);
    free(transfer->sent);
    free(transfer);
}

static void finish(struct transfer *transfer, CURLcode code)
{
    struct http_client_answer answer = {.error = ""};
    long status = 0;
    curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &status);
    if (code == CURLE_OK) {
        answer.status = (int)status;
        answer.headers = buffer_text(&transfer->headers);
        answer.headers_length = transfer->headers.length;
        answer.body = transfer->body.data;
        answer.body_length = transfer->body.length;
    } else if (transfer->refused) {
        answer.refused = true;
        answer.error = "its address is not allowed";
    } else if (transfer->overrun) {
        answer.error = "the answer is too long";
    } else {
        answer.error = transfer->error[0] != '\0' ? transfer->error : curl_easy_strerror(code);
    }
    transfer->done(transfer->arg, &answer);
    destroy(transfer);
}

static void finish_done(struct http_client *client)
{
    int left;
    CURLMsg *message;
    while ((message = curl_multi_info_read(client->multi, &left)) != NULL) {
        if (message->msg == CURLMSG_DONE) {
            char *transfer = NULL;
            CURLcode code = message->data.result;
            curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &transfer);
            finish((struct transfer *)(void *)transfer, code);
        }
    }
}

/* ---- curl on the loop ---- */

static void on_socket_event(evutil_socket_t fd, short what, void *arg)
{
    struct http_client *client = arg;
    int running;
    int action = ((what & EV_READ) != 0 ? CURL_CSELECT_IN : 0) |
                 ((what & EV_WRITE) != 0 ? CURL_CSELECT_OUT : 0);
    curl_multi_socket_action(client->multi, fd, action, &running);
    finish_done(client);
}

static int watch_socket(CURL *easy SB_UNUSED, curl_socket_t fd, int what, void *arg, void *socket)
{
    struct http_client *client = arg;
    struct event *event = socket;
    if (event != NULL) {
        event_free(event);
        event = NULL;
    }
    if (what != CURL_POLL_REMOVE) {
        short wanted = (short)(((what & CURL_POLL_IN) != 0 ? EV_READ : 0) |
                               ((what & CURL_POLL_OUT) != 0 ? EV_WRITE : 0));
        event = event_new(client->base, fd, (short)(wanted | EV_PERSIST), on_socket_event, client);
        event_add(event, NULL);
    }
    curl_multi_assign(client->multi, fd, event);
    return 0;
}

static void on_timer(evutil_socket_t fd SB_UNUSED, short what SB_UNUSED, void *arg)
{
    struct http_client *client = arg;
    int running;
    curl_multi_socket_action(client->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    finish_done(client);
}

static int watch_timer(CURLM *multi SB_UNUSED, long ms, void *arg)
{
    struct http_client *client = arg;
    struct timeval when = {ms / 1000, ms % 1000 * 1000};
    if (ms < 0) {
        event_del(client->timer);
    } else {
        event_add(client->timer, &when);
    }
    return 0;
}

struct http_client *http_client_create(struct event_base *base, const struct egress_policy *policy,
                                       struct error *err)
{
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        error_set(err, "libcurl cannot start");
        return NULL;
    }
    struct http_client *client = memory_new(sizeof *client);
    client->base = base;
    client->policy = *policy;
    client->multi = curl_multi_init();
    assert(client->multi != NULL);
    client->timer = event_new(base, -1, 0, on_timer, client);
    list_init(&client->transfers);
    curl_multi_setopt(client->multi, CURLMOPT_SOCKETFUNCTION, watch_socket);
    curl_multi_setopt(client->multi, CURLMOPT_SOCKETDATA, client);
    curl_multi_setopt(client->multi, CURLMOPT_TIMERFUNCTION, watch_timer);
    curl_multi_setopt(client->multi, CURLMOPT_TIMERDATA, client);
    return client;
}

void http_client_destroy(struct http_client **client)
{
    struct list *first;
    if (*client == NULL) {
        return;
    }
    while ((first = list_first(&(*client)->transfers)) != NULL) {
        destroy(LIST_ENTRY(first, struct transfer, node));
    }
    curl_multi_cleanup((*client)->multi);
    event_free((*client)->timer);
    curl_global_cleanup();
    free(*client);
    *client = NULL;
}

/* ---- a request ---- */

static char *part_of(CURLU *url, CURLUPart part)
{
    char *text = NULL;
    return curl_url_get(url, part, &text, CURLU_DEFAULT_PORT) == CURLUE_OK ? text : NULL;
}

/* What can be said before any name is looked up. */
static const char *url_fault(const struct http_client *client, CURLU *url)
{
    char *scheme = part_of(url, CURLUPART_SCHEME);
    char *user = part_of(url, CURLUPART_USER);
    char *password = part_of(url, CURLUPART_PASSWORD);
    char *port = part_of(url, CURLUPART_PORT);
    const char *fault = NULL;
    int64_t number;
    bool http = scheme != NULL && strcasecmp(scheme, "http") == 0;
    bool https = scheme != NULL && strcasecmp(scheme, "https") == 0;
    if (!https && !(http && client->policy.http)) {
        fault = "its scheme is not allowed";
    } else if (user != NULL || password != NULL) {
        fault = "it carries a user";
    } else if (port == NULL || number_parse(port, strlen(port), &number) != 0 ||
               !egress_allows_port(&client->policy, (unsigned)number)) {
        fault = "its port is not allowed";
    }
    curl_free(scheme);
    curl_free(user);
    curl_free(password);
    curl_free(port);
    return fault;
}

static const char *check_url(const struct http_client *client, const char *text)
{
    CURLU *url = curl_url();
    const char *fault = "it is no URL";
    assert(url != NULL);
    if (curl_url_set(url, CURLUPART_URL, text, 0) == CURLUE_OK) {
        fault = url_fault(client, url);
    }
    curl_url_cleanup(url);
    return fault;
}

static struct curl_slist *read_fields(const char *lines)
{
    struct curl_slist *fields = NULL;
    while (*lines != '\0') {
        char line[8192];
        size_t length = strcspn(lines, "\n");
        snprintf(line, sizeof line, "%.*s", (int)length, lines);
        if (length > 0) {
            fields = curl_slist_append(fields, line);
        }
        lines += length + (lines[length] == '\n' ? 1 : 0);
    }
    fields = curl_slist_append(fields, "Expect:");
    return fields;
}

static void set_guards(CURL *easy, struct transfer *transfer, const struct http_client *client)
{
    const char *schemes = client->policy.http ? "http,https" : "https";
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, schemes);
    curl_easy_setopt(easy, CURLOPT_REDIR_PROTOCOLS_STR, schemes);
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, open_socket);
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, transfer);
    /* A pooled connection would not ask open_socket again. */
    curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, 1L);
    curl_easy_setopt(easy, CURLOPT_FORBID_REUSE, 1L);
    /* A proxy would move the check away. */
    curl_easy_setopt(easy, CURLOPT_PROXY, "");
    curl_easy_setopt(easy, CURLOPT_NOPROXY, "*");
    curl_easy_setopt(easy, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
    curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 1L);
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 2L);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
}

static void set_bounds(CURL *easy, const struct http_client_request *request)
{
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)request->timeout_ms);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_MS);
    curl_easy_setopt(easy, CURLOPT_LOW_SPEED_LIMIT, (long)SLOW_BYTES_PER_S);
    curl_easy_setopt(easy, CURLOPT_LOW_SPEED_TIME, (long)SLOW_S);
}

static void set_request(CURL *easy, struct transfer *transfer,
                        const struct http_client_request *request)
{
    curl_easy_setopt(easy, CURLOPT_URL, request->url);
    curl_easy_setopt(easy, CURLOPT_PRIVATE, transfer);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, transfer->error);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, transfer->fields);
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(easy, CURLOPT_USERAGENT, "signalbox/" SB_VERSION);
    if (request->body_length > 0) {
        curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body_length);
        curl_easy_setopt(easy, CURLOPT_POSTFIELDS, transfer->sent);
    }
    curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, request->method);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, take_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, transfer);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, take_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, transfer);
}

int http_client_send(struct http_client *client, const struct http_client_request *request,
                     http_client_done_fn *done, void *arg, struct error *err)
{
    if (client->count == HTTP_CLIENT_REQUESTS_MAX) {
        return error_set(err, "too many requests under way");
    }
    const char *fault = check_url(client, request->url);
    if (fault != NULL) {
        done(arg, &(struct http_client_answer){.refused = true, .error = fault, .headers = ""});
        return 0;
    }
    struct transfer *transfer = memory_new(sizeof *transfer);
    transfer->client = client;
    transfer->easy = curl_easy_init();
    assert(transfer->easy != NULL);
    transfer->fields = read_fields(request->headers);
    transfer->sent =
        request->body_length > 0 ? memory_copy(request->body, request->body_length) : NULL;
    transfer->answer_max = request->answer_max;
    transfer->done = done;
    transfer->arg = arg;
    list_init(&transfer->node);
    list_append(&client->transfers, &transfer->node);
    client->count++;
    set_guards(transfer->easy, transfer, client);
    set_bounds(transfer->easy, request);
    set_request(transfer->easy, transfer, request);
    CURLMcode added = curl_multi_add_handle(client->multi, transfer->easy);
    assert(added == CURLM_OK);
    return 0;
}
