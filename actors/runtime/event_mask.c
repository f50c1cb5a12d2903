/* See event_mask.h. */
#include "runtime/event_mask.h"

#include <string.h>

_Static_assert(EVENT_TYPE_MAX < 64, "a mask has a bit for each type");

static uint64_t bit_of(enum event_type type)
{
    return UINT64_C(1) << type;
}

int event_mask_parse(const char *text, size_t length, uint64_t *mask_out)
{
    const char *end = text + length;
    uint64_t mask = 0;
    for (;;) {
        enum event_type type;
        const char *comma = memchr(text, ',', (size_t)(end - text));
        const char *stop = comma == NULL ? end : comma;
        if (event_type_find(text, (size_t)(stop - text), &type) != 0) {
            return -1;
        }
        mask |= bit_of(type);
        if (comma == NULL) {
            *mask_out = mask;
            return 0;
        }
        text = comma + 1;
    }
}

bool event_mask_has(uint64_t mask, enum event_type type)
{
    return mask == 0 || (mask & bit_of(type)) != 0;
}

bool event_mask_is_sound(uint64_t mask)
{
    for (unsigned i = 0; i < 64; i++) {
        if ((mask >> i & 1) != 0 && event_type_name((enum event_type)i) == NULL) {
            return false;
        }
    }
    return true;
}

void event_mask_param(struct db_params *params, uint64_t mask)
{
    if (mask == 0) {
        db_param_null(params);
        return;
    }
    db_array_begin(params, DB_ARRAY_TEXT, (size_t)__builtin_popcountll(mask));
    for (unsigned i = 1; i <= EVENT_TYPE_MAX; i++) {
        if ((mask & bit_of((enum event_type)i)) != 0) {
            const char *name = event_type_name((enum event_type)i);
            db_array_bytes(params, name, strlen(name));
        }
    }
    db_array_end(params);
}
