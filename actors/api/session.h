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

void session_start(struct exchange *exchange);
void session_show(struct exchange *exchange);
void session_end(struct exchange *exchange);

#endif
