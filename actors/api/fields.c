/* See fields.h. */
#include "api/fields.h"

#include "runtime/body.h"
#include "api/request.h"

#include <stdio.h>
#include <string.h>

enum { TEXT_BYTES_MAX = 255 };

json_t *fields_read(struct exchange *exchange, const char *const *known)
{
    struct json_span object;
    struct json_span cursor = {0};
    struct json_span name;
    struct json_span value;
    json_t *body = NULL;
    if (request_body(exchange, true, &object) != 0) {
        return NULL;
    }
    while (json_pair(object, &cursor, &name, &value)) {
        size_t i = 0;
        while (known[i] != NULL && !body_is(name, known[i])) {
            i++;
        }
        if (known[i] == NULL) {
            request_unknown_field(exchange, "", name);
            return NULL;
        }
    }
    struct error err;
    if (json_check(object.data, object.length, &exchange->api->submission.json, &body, &err) !=
        JSON_OK) {
        exchange_problem(exchange, PROBLEM_MALFORMED_JSON, err.text, NULL);
    }
    return body;
}

int fields_wrong(struct exchange *exchange, const char *pointer, const char *detail)
{
    exchange_problem(exchange, PROBLEM_INVALID_PAYLOAD, detail,
                     &(struct problem_extra){.pointer = pointer});
    return -1;
}

int fields_text(struct exchange *exchange, const json_t *body, const char *name,
                const char *fallback, const char **text_out)
{
    const json_t *value = json_object_get(body, name);
    char pointer[32];
    if (value == NULL && fallback != NULL) {
        *text_out = fallback;
        return 0;
    }
    if (!json_is_string(value) || json_string_length(value) == 0 ||
        json_string_length(value) > TEXT_BYTES_MAX) {
        snprintf(pointer, sizeof pointer, "/%s", name);
        return fields_wrong(exchange, pointer, "This must be a text of 1 to 255 bytes.");
    }
    *text_out = json_string_value(value);
    return 0;
}
