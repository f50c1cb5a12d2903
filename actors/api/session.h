/* Browser sessions: opening, ending, and what a request with a cookie has to prove. */
#ifndef SIGNALBOX_API_SESSION_H
#define SIGNALBOX_API_SESSION_H

#include "api/auth.h"

struct exchange;

/* The session's secret, when the request has exactly one of our cookie. */
SB_MUST_CHECK bool session_cookie(const struct http_request *request,
                                  struct auth_credential *credential_out);
/* The cookie is good; is it our page that sends it? -1: the exchange is answered. */
SB_MUST_CHECK int session_guard(struct exchange *exchange);

/* Whether this Origin is the server's own, or one of auth.origins. */
bool session_is_own_origin(const struct exchange *exchange, struct http_text origin);
/* Whether it is one of `list`, which is joined by commas. */
bool session_in_list(const char *list, struct http_text origin);

void session_start(struct exchange *exchange);
void session_show(struct exchange *exchange);
void session_end(struct exchange *exchange);

#endif
