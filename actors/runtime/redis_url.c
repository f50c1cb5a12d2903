/* See redis_url.h. */
#include "runtime/redis_url.h"

#include "runtime/base/number.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

static int hex_digit(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* Percent-decodes into out; false when it does not fit or an escape is malformed. */
static bool decode(const char *text, size_t length, char *out, size_t size)
{
    size_t used = 0;
    for (size_t i = 0; i < length; i++) {
        char c = text[i];
        if (c == '%') {
            int high = i + 2 < length ? hex_digit(text[i + 1]) : -1;
            int low = i + 2 < length ? hex_digit(text[i + 2]) : -1;
            if (high < 0 || low < 0 || high + low == 0) {
                return false;
            }
            c = (char)(high * 16 + low);
            i += 2;
        }
        if (used + 1 >= size) {
            return false;
        }
        out[used++] = c;
    }
    out[used] = '\0';
    return true;
}

static int parse_unix(const char *path, struct redis_url *url, struct error *err)
{
    if (path[0] == '\0' || strlen(path) >= sizeof url->path) {
        return error_set(err, "the path of unix: must have 1 to %d bytes", LIMIT_SOCKET_PATH_BYTES);
    }
    memcpy(url->path, path, strlen(path) + 1);
    return 0;
}

static int parse_user(const char *text, size_t length, struct redis_url *url, struct error *err)
{
    const char *colon = memchr(text, ':', length);
    if (colon == NULL) {
        return error_set(err, "before the '@' there must be [user]:password");
    }
    size_t user = (size_t)(colon - text);
    if (!decode(text, user, url->user, sizeof url->user) ||
        !decode(colon + 1, length - user - 1, url->password, sizeof url->password)) {
        return error_set(err, "user or password is too long or has a malformed escape");
    }
    return 0;
}

static int parse_host(const char *text, size_t length, struct redis_url *url, struct error *err)
{
    bool bracket = length > 0 && text[0] == '[';
    const char *end = text + length;
    const char *close = bracket ? memchr(text, ']', length) : NULL;
    if (bracket && close == NULL) {
        return error_set(err, "the address has no ']'");
    }
    const char *colon = bracket ? close + 1 : memchr(text, ':', length);
    const char *host = bracket ? text + 1 : text;
    const char *host_end = bracket ? close : colon != NULL ? colon : end;
    size_t size = (size_t)(host_end - host);
    if (size == 0 || size >= sizeof url->host) {
        return error_set(err, "the host must have 1 to %zu bytes", sizeof url->host - 1);
    }
    memcpy(url->host, host, size);
    url->host[size] = '\0';
    if (colon == NULL || colon == end) {
        return 0;
    }
    int64_t port;
    if (*colon != ':' || number_parse(colon + 1, (size_t)(end - colon - 1), &port) != 0 ||
        port < 1 || port > 65535) {
        return error_set(err, "the port must be a number from 1 to 65535");
    }
    url->port = (int)port;
    return 0;
}

static int parse_tcp(const char *text, struct redis_url *url, struct error *err)
{
    const char *slash = strchr(text, '/');
    size_t length = slash == NULL ? strlen(text) : (size_t)(slash - text);
    const char *at = memrchr(text, '@', length);
    const char *host = at == NULL ? text : at + 1;
    int64_t database = 0;
    if (at != NULL && parse_user(text, (size_t)(at - text), url, err) != 0) {
        return -1;
    }
    if (parse_host(host, length - (size_t)(host - text), url, err) != 0) {
        return -1;
    }
    if (slash != NULL && slash[1] != '\0' &&
        (number_parse(slash + 1, strlen(slash + 1), &database) != 0 || database > 65535)) {
        return error_set(err, "behind the '/' there must be the number of a database");
    }
    url->database = (int)database;
    return 0;
}

int redis_url_parse(const char *text, struct redis_url *url_out, struct error *err)
{
    static const char unix_scheme[] = "unix:";
    static const char tcp_scheme[] = "redis://";
    struct redis_url url = {.port = 6379};
    int failed;
    if (strncmp(text, unix_scheme, strlen(unix_scheme)) == 0) {
        failed = parse_unix(text + strlen(unix_scheme), &url, err);
    } else if (strncmp(text, tcp_scheme, strlen(tcp_scheme)) == 0) {
        failed = parse_tcp(text + strlen(tcp_scheme), &url, err);
    } else if (strncmp(text, "rediss://", strlen("rediss://")) == 0) {
        failed = error_set(err, "rediss:// (TLS) is not supported: use redis:// or unix:");
    } else {
        failed = error_set(err, "must begin with redis:// or unix:");
    }
    if (failed == 0) {
        *url_out = url;
    }
    explicit_bzero(&url, sizeof url);
    return failed;
}
