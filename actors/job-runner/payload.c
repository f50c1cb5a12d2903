/* See payload.h. */
#include "job-runner/payload.h"

#include "job-runner/kind.h"
#include "runtime/base/memory.h"
#include "runtime/base/number.h"

#include <stdlib.h>
#include <string.h>

enum { LEVELS_MAX = 64, KEYS_MAX = 10000 };

int payload_read(const struct attempt *attempt, struct json_span *object_out, struct error *err)
{
    static const struct json_limits limits = {LEVELS_MAX, KEYS_MAX};
    struct json_span text;
    text.data = attempt_payload(attempt, &text.length);
    if (json_check(text.data, text.length, &limits, NULL, err) != JSON_OK) {
        return error_prefix(err, "payload");
    }
    while (text.length > 0 && strchr(" \t\r\n", *text.data) != NULL) {
        text.data++;
        text.length--;
    }
    if (*text.data != '{') {
        return error_set(err, "payload: an object is wanted");
    }
    *object_out = text;
    return 0;
}

int payload_number(struct json_span value, int64_t *value_out)
{
    return number_parse(value.data, value.length, value_out);
}

char *payload_string(struct json_span value)
{
    if (value.length < 2 || value.data[0] != '"') {
        return NULL;
    }
    char *text = memory_new(value.length);
    text[json_unescape(value.data + 1, value.length - 2, text)] = '\0';
    return text;
}

int payload_int(struct json_span object, const char *name, int64_t min, int64_t max,
                int64_t *value_out, struct error *err)
{
    struct json_span value = json_member(object, name);
    int64_t number;
    if (value.data == NULL) {
        return 0;
    }
    if (payload_number(value, &number) != 0 || number < min || number > max) {
        return error_set(err, "payload: %s must be a whole number from %lld to %lld", name,
                         (long long)min, (long long)max);
    }
    *value_out = number;
    return 0;
}

static bool is_word(struct json_span value, const char *word)
{
    return value.length == strlen(word) && memcmp(value.data, word, value.length) == 0;
}

int payload_bool(struct json_span object, const char *name, bool *value_out, struct error *err)
{
    struct json_span value = json_member(object, name);
    if (value.data == NULL) {
        return 0;
    }
    if (!is_word(value, "true") && !is_word(value, "false")) {
        return error_set(err, "payload: %s must be true or false", name);
    }
    *value_out = is_word(value, "true");
    return 0;
}

int payload_text(struct json_span object, const char *name, size_t bytes_max, char **text_out,
                 struct error *err)
{
    struct json_span value = json_member(object, name);
    if (value.data == NULL) {
        return 0;
    }
    char *text = payload_string(value);
    if (text == NULL || strlen(text) > bytes_max) {
        free(text);
        return error_set(err, "payload: %s must be a text of at most %zu bytes", name, bytes_max);
    }
    *text_out = text;
    return 0;
}
