/*
 * The walk of schema_check over whatever json_check lets through. The first byte chooses a type of
 * event. With and without a report the verdict is the same, as it is with line ends flattened; a
 * report fits its bounds, and what it points at (but for what is missing) is there; each value is
 * equal to itself; as a tree of jansson's and written anew, the value has the same verdict.
 */
#include "contracts/generated/payloads.h"
#include "runtime/base/number.h"
#include "runtime/schema.h"
#include "runtime/schema_value.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void expect(bool holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "broken: %s\n", what);
        abort();
    }
}

/* Whether the pointer leads somewhere. */
static bool leads(const json_t *value, const char *pointer)
{
    while (value != NULL && *pointer == '/') {
        struct buffer name = {0};
        for (pointer++; *pointer != '\0' && *pointer != '/'; pointer++) {
            bool escaped = *pointer == '~';
            pointer += escaped;
            buffer_append_byte(&name, (uint8_t)(!escaped ? *pointer : *pointer == '1' ? '/' : '~'));
        }
        int64_t index = -1;
        value = number_parse(buffer_text(&name), name.length, &index) == 0 && json_is_array(value)
                    ? json_array_get(value, (size_t)index)
                    : json_object_get(value, buffer_text(&name));
        buffer_deinit(&name);
    }
    return value != NULL;
}

static void check_report(const struct schema_report *report, const json_t *tree)
{
    expect(report->count <= SCHEMA_ERRORS_MAX, "too many errors");
    for (size_t i = 0; i < report->count; i++) {
        const char *pointer = schema_report_pointer(report, i);
        const char *detail = schema_report_detail(report, i);
        expect(strlen(pointer) <= SCHEMA_POINTER_BYTES_MAX, "long pointer");
        expect(leads(tree, pointer) == (strcmp(detail, "Is missing.") != 0), pointer);
        expect(detail[0] != '\0' && detail[strlen(detail) - 1] == '.', "no sentence");
    }
}

/* Reals are exact in text and rounded in a tree: one that stands by a bound may change sides. */
static bool has_real(const json_t *value)
{
    const char *name;
    size_t index;
    json_t *part;
    json_object_foreach((json_t *)(uintptr_t)value, name, part)
    {
        if (has_real(part)) {
            return true;
        }
    }
    json_array_foreach((json_t *)(uintptr_t)value, index, part)
    {
        if (has_real(part)) {
            return true;
        }
    }
    return json_is_real(value);
}

static void check_again(uint16_t node, const json_t *tree, bool valid)
{
    if (has_real(tree)) {
        return;
    }
    char *text = json_dumps(tree, JSON_ENCODE_ANY | JSON_ENSURE_ASCII | JSON_SORT_KEYS);
    struct json_span again = {text, strlen(text)};
    expect(schema_check(&payload_schemas, node, again, NULL) == valid, "written anew");
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct json_limits limits = {64, 10000};
    json_t *tree = NULL;
    struct error err;
    if (size < 2) {
        return 0;
    }
    uint16_t node = payload_node((enum event_type)(data[0] % (EVENT_TYPE_MAX + 1)));
    /* Just the value, so that a read behind it is seen. */
    const char *from = (const char *)data + 1;
    size_t length = size - 1;
    while (length > 0 && strchr(" \t\r\n", *from) != NULL) {
        from++;
        length--;
    }
    while (length > 0 && strchr(" \t\r\n", from[length - 1]) != NULL) {
        length--;
    }
    char *text = malloc(length + (length == 0));
    if (text == NULL) {
        return 0;
    }
    memcpy(text, from, length);
    if (json_check(text, length, &limits, &tree, &err) == JSON_OK) {
        struct json_span value = {text, length};
        struct schema_report report;
        schema_report_init(&report, NULL);
        bool valid = schema_check(&payload_schemas, node, value, &report);
        expect(valid == (report.count == 0), "a verdict without reason");
        expect(schema_check(&payload_schemas, node, value, NULL) == valid, "two verdicts");
        check_report(&report, tree);
        schema_report_deinit(&report);
        expect(size > 2048 || schema_value_equal(value, value), "unequal to itself");
        json_flatten(text, length);
        expect(schema_check(&payload_schemas, node, value, NULL) == valid, "flattened");
        check_again(node, tree, valid);
    }
    json_decref(tree);
    free(text);
    return 0;
}
