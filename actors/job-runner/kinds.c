/* The register of built-in kinds (kind.h): add a file in kinds/, a line in kinds/kinds.h, and one
 * here. */
#include "job-runner/kinds/kinds.h"

#include <assert.h>
#include <string.h>

const struct kind *const kinds[] = {
    &kind_http_request,
    &kind_noop,
    &kind_reconcile,
    &kind_retention,
};
const size_t kinds_count = sizeof kinds / sizeof kinds[0];
_Static_assert(sizeof kinds / sizeof kinds[0] <= KINDS_MAX, "KINDS_MAX");

static bool is_said(const char *words)
{
    return words != NULL && words[0] != '\0';
}

bool kinds_may_register(const struct kind *kind)
{
    return is_said(kind->type) && is_said(kind->does) && is_said(kind->idempotency) &&
           kind->begin != NULL;
}

/* ---- jobs.kinds: "all", or names joined by commas ---- */

/* The next name of the list; false at its end. */
static bool next_name(const char **list, const char **name_out, size_t *length_out)
{
    *list += strspn(*list, ", ");
    *name_out = *list;
    *length_out = strcspn(*list, ", ");
    *list += *length_out;
    return *length_out > 0;
}

static bool is_named(const char *enabled, const char *type)
{
    const char *name;
    size_t length;
    if (strcmp(enabled, "all") == 0) {
        return true;
    }
    while (next_name(&enabled, &name, &length)) {
        if (strlen(type) == length && memcmp(type, name, length) == 0) {
            return true;
        }
    }
    return false;
}

static bool is_known(const char *name, size_t length)
{
    for (size_t i = 0; i < kinds_count; i++) {
        if (strlen(kinds[i]->type) == length && memcmp(kinds[i]->type, name, length) == 0) {
            return true;
        }
    }
    return false;
}

int kinds_check(const char *enabled, struct error *err)
{
    const char *types[KINDS_MAX];
    const char *list = enabled;
    const char *name;
    size_t length;
    for (size_t i = 0; i < kinds_count; i++) {
        if (!kinds_may_register(kinds[i])) {
            return error_set(err, "the kind of job %s does not say why it may run twice",
                             is_said(kinds[i]->type) ? kinds[i]->type : "without a name");
        }
    }
    while (strcmp(enabled, "all") != 0 && next_name(&list, &name, &length)) {
        if (!is_known(name, length)) {
            return error_set(err, "jobs.kinds: there is no kind of job %.*s", (int)length, name);
        }
    }
    if (kinds_enabled(enabled, types) == 0) {
        return error_set(err, "jobs.kinds enables no kind of job: there is nothing to run");
    }
    return 0;
}

const struct kind *kinds_find(const char *enabled, const char *type)
{
    for (size_t i = 0; i < kinds_count; i++) {
        if (strcmp(kinds[i]->type, type) == 0 && kinds_may_register(kinds[i]) &&
            is_named(enabled, type)) {
            return kinds[i];
        }
    }
    return NULL;
}

size_t kinds_enabled(const char *enabled, const char *types_out[KINDS_MAX])
{
    size_t count = 0;
    for (size_t i = 0; i < kinds_count; i++) {
        if (kinds_find(enabled, kinds[i]->type) != NULL) {
            types_out[count++] = kinds[i]->type;
        }
    }
    return count;
}
