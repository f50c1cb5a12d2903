/* Connection strings without their secrets. See status.h. */
#include "supervisor/status.h"

#include <stdbool.h>
#include <string.h>

static bool is_uri(const char *url)
{
    return strncmp(url, "postgres://", 11) == 0 || strncmp(url, "postgresql://", 13) == 0;
}

/* Between "://" and the first '/', '?' or '#' behind the last '@' before those. */
struct uri {
    const char *authority; /* user:password@hosts */
    const char *hosts;
    const char *path;  /* "/name", or where it would be */
    const char *query; /* behind '?', or the end */
};

static struct uri split_uri(const char *url)
{
    struct uri uri;
    uri.authority = strstr(url, "://") + 3;
    uri.path = uri.authority + strcspn(uri.authority, "/?#");
    uri.hosts = uri.authority;
    for (const char *at = uri.authority; at < uri.path; at++) {
        if (*at == '@') {
            uri.hosts = at + 1;
        }
    }
    uri.query = uri.path + strcspn(uri.path, "?");
    if (*uri.query == '?') {
        uri.query++;
    }
    return uri;
}

static bool is_secret(const char *key, size_t length)
{
    static const char *const secrets[] = {"password", "sslpassword", "passfile"};
    for (size_t i = 0; i < sizeof secrets / sizeof secrets[0]; i++) {
        if (strlen(secrets[i]) == length && strncmp(secrets[i], key, length) == 0) {
            return true;
        }
    }
    return false;
}

static void public_uri(struct buffer *out, const char *url)
{
    struct uri uri = split_uri(url);
    size_t user = strcspn(uri.authority, ":@");
    const char *separator = "?";
    buffer_append(out, url, (size_t)(uri.authority - url));
    if (uri.hosts > uri.authority) {
        buffer_append(out, uri.authority, user);
        buffer_append_byte(out, '@');
    }
    buffer_append(out, uri.hosts, (size_t)(uri.path - uri.hosts));
    buffer_append(out, uri.path, strcspn(uri.path, "?"));
    for (const char *at = uri.query; *at != '\0';) {
        size_t length = strcspn(at, "&");
        if (length > 0 && !is_secret(at, strcspn(at, "=&"))) {
            buffer_append_text(out, separator);
            buffer_append(out, at, length);
            separator = "&";
        }
        at += length + (at[length] == '&');
    }
}

/* One "key = 'value'" at `at`; returns where the next begins, NULL at the end. */
static const char *next_pair(const char *at, const char **key, size_t *key_length,
                             const char **value, size_t *value_length)
{
    at += strspn(at, " \t\r\n");
    *key = at;
    *key_length = strcspn(at, "= \t\r\n");
    at += *key_length;
    at += strspn(at, " \t\r\n");
    if (*key_length == 0 || *at != '=') {
        return NULL;
    }
    at++;
    at += strspn(at, " \t\r\n");
    *value = at;
    bool quoted = *at == '\'';
    at += quoted;
    while (*at != '\0' && (quoted ? *at != '\'' : strchr(" \t\r\n", *at) == NULL)) {
        at += *at == '\\' && at[1] != '\0' ? 2 : 1;
    }
    at += quoted && *at == '\'';
    *value_length = (size_t)(at - *value);
    return at;
}

static void public_pairs(struct buffer *out, const char *url)
{
    const char *key;
    const char *value;
    size_t key_length;
    size_t value_length;
    const char *separator = "";
    while ((url = next_pair(url, &key, &key_length, &value, &value_length)) != NULL) {
        if (!is_secret(key, key_length)) {
            buffer_append_text(out, separator);
            buffer_append(out, key, key_length);
            buffer_append_byte(out, '=');
            buffer_append(out, value, value_length);
            separator = " ";
        }
    }
}

void status_public_dsn(struct buffer *out, const char *url)
{
    if (is_uri(url)) {
        public_uri(out, url);
    } else {
        public_pairs(out, url);
    }
}

static void name_of_pairs(struct buffer *out, const char *url)
{
    const char *key;
    const char *value;
    size_t key_length;
    size_t value_length;
    while ((url = next_pair(url, &key, &key_length, &value, &value_length)) != NULL) {
        if (key_length == 6 && strncmp(key, "dbname", 6) == 0) {
            bool quoted = value_length >= 2 && value[0] == '\'';
            buffer_clear(out);
            buffer_append(out, value + quoted, value_length - (quoted ? 2 : 0));
        }
    }
}

void status_database_name(struct buffer *out, const char *url)
{
    if (is_uri(url)) {
        struct uri uri = split_uri(url);
        size_t length = strcspn(uri.path, "?#");
        if (length > 1) {
            buffer_append(out, uri.path + 1, length - 1);
        }
    } else {
        name_of_pairs(out, url);
    }
    if (out->length == 0) {
        buffer_append_text(out, "signalbox");
    }
}
