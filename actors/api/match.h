/* Which route a method and a path mean. Pure: the table is the caller's. */
#ifndef SIGNALBOX_API_MATCH_H
#define SIGNALBOX_API_MATCH_H

#include "api/scope.h"
#include "runtime/http_server.h"

#include <stdbool.h>
#include <stddef.h>

struct exchange;

struct route {
    const char *method;  /* HEAD is served by GET */
    const char *pattern; /* "{}" stands for one segment that is not empty; two at most */
    enum scope scope;    /* what the key must hold */
    void (*handle)(struct exchange *exchange);
    bool append_body;      /* the larger limit of appends holds for its body */
    bool open_on_loopback; /* no key is asked for on a loopback address */
    bool is_stream;        /* a browser's EventSource may read it */
    bool shows_run;        /* the key must hold read as well: its answer is the run's stream */
    bool free_ids;         /* what "{}" stands for is a client's own text, no id of ours */
};

enum match_result { MATCH_FOUND, MATCH_NO_PATH, MATCH_NO_METHOD };

enum { MATCH_ALLOW_SIZE = 64 };

struct match {
    const struct route *route;    /* MATCH_FOUND */
    struct http_text segment;     /* MATCH_FOUND: what "{}" stood for; borrowed from the path */
    struct http_text second;      /* the same of the second "{}" */
    char allow[MATCH_ALLOW_SIZE]; /* MATCH_NO_METHOD: "GET, HEAD, POST" */
};

enum match_result match_route(const struct route *routes, size_t count, struct http_text method,
                              struct http_text path, struct match *match_out);

#endif
