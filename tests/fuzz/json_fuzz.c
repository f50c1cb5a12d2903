// fuzz-sources: actors/runtime/json.c actors/runtime/json_scan.c actors/runtime/json_span.c
// fuzz-libraries: jansson
/*
 * json_check against jansson: they must agree on every text without NUL bytes (within the limits of
 * depth), and the spans found in an accepted text must mean what jansson's tree says.
 */
#include "runtime/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void expect(int holds, const char *what, const char *detail)
{
    if (!holds) {
        fprintf(stderr, "disagreement: %s (%s)\n", what, detail);
        abort();
    }
}

static void compare(struct json_span span, const json_t *value);

static void compare_object(struct json_span span, const json_t *value)
{
    const char *name;
    json_t *member;
    expect(json_member(span, "\x01 no such member").data == NULL, "absent member", "");
    json_object_foreach((json_t *)(uintptr_t)value, name, member)
    {
        struct json_span found = json_member(span, name);
        expect(found.data != NULL, "member", name);
        compare(found, member);
    }
}

static void compare_array(struct json_span span, const json_t *value)
{
    struct json_span cursor = {0};
    for (size_t i = 0; i < json_array_size(value); i++) {
        struct json_span found = json_element(span, &cursor);
        expect(found.data != NULL, "element", "");
        compare(found, json_array_get(value, i));
    }
    expect(json_element(span, &cursor).data == NULL, "end of array", "");
}

static void compare(struct json_span span, const json_t *value)
{
    if (json_is_object(value)) {
        compare_object(span, value);
    } else if (json_is_array(value)) {
        compare_array(span, value);
    } else {
        json_t *again = json_loadb(span.data, span.length, JSON_DECODE_ANY, NULL);
        expect(again != NULL && json_equal(again, value), "scalar", "");
        json_decref(again);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct json_limits limits = {512, 1000000};
    struct error err;
    /* A copy of just this size, so that a read behind it is seen. */
    char *text = malloc(size + 1);
    if (text == NULL) {
        return 0;
    }
    memcpy(text, data, size);
    text = realloc(text, size > 0 ? size : 1);
    json_t *value = json_loadb(text, size, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, NULL);
    enum json_verdict verdict = json_check(text, size, &limits, NULL, &err);
    if (memchr(text, '\0', size) != NULL) {
        /* The one known difference: jansson loses a NUL byte behind a number. */
        expect(verdict != JSON_OK, "NUL", "");
    } else if (verdict != JSON_TOO_DEEP) {
        expect((verdict == JSON_OK) == (value != NULL), "verdict",
               verdict == JSON_OK ? "" : err.text);
    }
    if (verdict == JSON_OK && size < 4096) {
        compare((struct json_span){text, size}, value);
        json_flatten(text, size);
        json_t *flat = json_loadb(text, size, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, NULL);
        expect(flat != NULL && json_equal(flat, value), "flattened", "");
        json_decref(flat);
    }
    json_decref(value);
    free(text);
    return 0;
}
