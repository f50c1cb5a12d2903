/* What redis.url means: redis://[[user]:password@]host[:port][/db] or unix:PATH. Pure. */
#ifndef SIGNALBOX_RUNTIME_REDIS_URL_H
#define SIGNALBOX_RUNTIME_REDIS_URL_H

#include "runtime/base/error.h"
#include "runtime/base/limits.h"

struct redis_url {
    char path[LIMIT_SOCKET_PATH_BYTES + 1]; /* unix socket; empty: host and port */
    char host[256];
    int port;
    char user[128];     /* empty: the default user */
    char password[256]; /* empty: none; a secret */
    int database;
};

/* -1 and a reason (without the secret) when it cannot be used; rediss:// cannot. */
SB_MUST_CHECK int redis_url_parse(const char *text, struct redis_url *url_out, struct error *err);

#endif
