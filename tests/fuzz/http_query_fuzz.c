// fuzz-sources: actors/runtime/http_text.c actors/runtime/http_query.c
/*
 * Query parameters of any bytes: every pair is found, decoding matches encoding, a malformed escape
 * is always reported.
 */
#include "runtime/http_parse.h"
#include "runtime/http_server.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void expect(int holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "broken: %s\n", what);
        abort();
    }
}

static int has_bad_escape(const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        if (text[i] == '%' && (i + 2 >= length || !isxdigit((unsigned char)text[i + 1]) ||
                               !isxdigit((unsigned char)text[i + 2]))) {
            return 1;
        }
    }
    return 0;
}

static size_t count_pairs(const char *text, size_t length)
{
    size_t pairs = 0;
    for (size_t i = 0; i < length; i++) {
        pairs += text[i] != '&' && (i == 0 || text[i - 1] == '&');
    }
    return pairs;
}

static void check_round_trip(const char *data, size_t size)
{
    struct buffer encoded = {0};
    struct buffer decoded = {0};
    for (size_t i = 0; i < size; i++) {
        buffer_printf(&encoded, "%%%02x", (unsigned char)data[i]);
    }
    int failed = http_percent_decode((char *)encoded.data, encoded.length, &decoded);
    expect(failed == 0 && decoded.length == size &&
               (size == 0 || memcmp(decoded.data, data, size) == 0),
           "decoding undoes encoding");
    buffer_deinit(&encoded);
    buffer_deinit(&decoded);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *copy = malloc(size > 0 ? size : 1);
    if (copy == NULL) {
        return 0;
    }
    memcpy(copy, data, size);
    struct http_text query = {copy, size};
    struct http_text name;
    struct http_text value;
    struct buffer scratch = {0};
    bool bad = false;
    size_t pairs = 0;
    while (http_query_next(&query, &scratch, &name, &value, &bad)) {
        expect(name.length + value.length <= size, "decoding does not lengthen");
        expect(name.data >= (char *)scratch.data &&
                   value.data + value.length <= (char *)scratch.data + scratch.length,
               "the texts lie in the scratch");
        pairs++;
    }
    expect(pairs == count_pairs(copy, size), "every pair is found once");
    bool wrong = false;
    for (size_t from = 0, i = 0; i <= size; i++) {
        /* Names and values end where escapes must be complete. */
        if (i == size || copy[i] == '&' || copy[i] == '=') {
            wrong |= has_bad_escape(copy + from, i - from) != 0;
            from = i + 1;
        }
    }
    expect(bad == wrong, "malformed escapes are reported");
    check_round_trip(copy, size);
    buffer_deinit(&scratch);
    free(copy);
    return 0;
}
