/* A keep-alive connection of a load tool: one request at a time, answers of any length. What breaks
 * ends the program; an answer is the caller's to judge. */
#ifndef SIGNALBOX_BENCH_HTTP_H
#define SIGNALBOX_BENCH_HTTP_H

#include "tests/bench/tool.h"

#include "runtime/base/buffer.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct http;
/* The answer is whole; `body` ends with a NUL and is valid during the call, in which the next request
 * may be sent. */
typedef void http_answer_fn(struct http *http, int status, const char *body, size_t length);

struct http {
    int fd;
    int epoll;
    struct tool_address address;
    const char *name; /* "host:port" */
    const char *key;
    bool connected;
    bool waiting; /* a request has no answer yet */
    struct buffer out;
    size_t sent;
    struct buffer in;
    http_answer_fn *answer;
    void *arg;
};

/* Where connections go, with what key; copied by http_open(). `host_and_port` and the key are kept. */
struct http http_template(int epoll, const char *host_and_port, const char *key_file);
/* Connects. `http` stays where it is: the epoll names it. */
void http_open(struct http *http, const struct http *like, http_answer_fn *answer, void *arg);
/* Sends once connected. The body is copied. */
void http_post(struct http *http, const char *path, const void *body, size_t length);
/* Waits up to timeout_ms (-1: for ever) and serves what is ready. */
void http_turn(int epoll, int timeout_ms);

#endif
