/* See number.h. */
#include "runtime/base/number.h"

int number_parse(const char *text, size_t length, int64_t *value_out)
{
    if (length == 0) {
        return -1;
    }
    int64_t value = 0;
    for (size_t i = 0; i < length; i++) {
        if (text[i] < '0' || text[i] > '9') {
            return -1;
        }
        int digit = text[i] - '0';
        if (value > (INT64_MAX - digit) / 10) {
            return -1;
        }
        value = value * 10 + digit;
    }
    *value_out = value;
    return 0;
}
