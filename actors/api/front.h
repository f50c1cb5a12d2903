/* Between the HTTP layer and the handlers: which route, who asks, may they, which run. */
#ifndef SIGNALBOX_API_FRONT_H
#define SIGNALBOX_API_FRONT_H

#include "runtime/base/buffer.h"
#include "runtime/http_server.h"

/* Callbacks of struct http_server_options; `arg` is the struct api. */
int64_t front_head(void *arg, struct http_request *request);
void front_handle(void *arg, struct http_request *request);
void front_body(void *arg, struct http_request *request, void *user, struct http_text piece,
                bool last);
void front_abandoned(void *arg, struct http_request *request, void *user);
void front_problem(void *arg, int status, const char *slug, const char *detail,
                   struct buffer *body);

#endif
