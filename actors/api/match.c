/* See match.h. */
#include "api/match.h"

#include <assert.h>
#include <string.h>

static bool text_is(struct http_text text, const char *want)
{
    return text.length == strlen(want) && memcmp(text.data, want, text.length) == 0;
}

static bool path_fits(const char *pattern, struct http_text path, struct http_text segments[2])
{
    unsigned count = 0;
    const char *at = path.data;
    const char *end = path.data + path.length;
    for (; *pattern != '\0'; pattern++) {
        if (pattern[0] == '{') {
            assert(pattern[1] == '}' && count < 2);
            const char *slash = memchr(at, '/', (size_t)(end - at));
            const char *stop = slash == NULL ? end : slash;
            if (stop == at) {
                return false;
            }
            segments[count++] = (struct http_text){at, (size_t)(stop - at)};
            at = stop;
            pattern++;
        } else if (at == end || *at++ != *pattern) {
            return false;
        }
    }
    return at == end;
}

static void allow(struct match *match, const char *method)
{
    size_t used = strlen(match->allow);
    const char *texts[] = {used > 0 ? ", " : "", method,
                           strcmp(method, "GET") == 0 ? ", HEAD" : ""};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        size_t length = strlen(texts[i]);
        assert(used + length < sizeof match->allow);
        memcpy(match->allow + used, texts[i], length + 1);
        used += length;
    }
}

enum match_result match_route(const struct route *routes, size_t count, struct http_text method,
                              struct http_text path, struct match *match_out)
{
    bool head = text_is(method, "HEAD");
    *match_out = (struct match){0};
    for (size_t i = 0; i < count; i++) {
        struct http_text segments[2] = {{0}};
        if (!path_fits(routes[i].pattern, path, segments)) {
            continue;
        }
        if (text_is(method, routes[i].method) || (head && strcmp(routes[i].method, "GET") == 0)) {
            match_out->route = &routes[i];
            match_out->segment = segments[0];
            match_out->second = segments[1];
            return MATCH_FOUND;
        }
        allow(match_out, routes[i].method);
    }
    return match_out->allow[0] == '\0' ? MATCH_NO_PATH : MATCH_NO_METHOD;
}
