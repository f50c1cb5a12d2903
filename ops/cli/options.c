/* See options.h. */
#include "ops/cli/options.h"

#include <stddef.h>
#include <string.h>

enum match { MATCH_NONE, MATCH_ONE_ARGUMENT, MATCH_TWO_ARGUMENTS, MATCH_WRONG };

static enum match match_one(const struct option_spec *spec, const char *argument, const char *next,
                            struct error *err)
{
    size_t length = strlen(spec->name);
    if (strncmp(argument, spec->name, length) != 0 ||
        (argument[length] != '\0' && argument[length] != '=')) {
        return MATCH_NONE;
    }
    if (spec->flag_out != NULL) {
        if (argument[length] == '=') {
            error_set(err, "%s takes no value", spec->name);
            return MATCH_WRONG;
        }
        *spec->flag_out = true;
        return MATCH_ONE_ARGUMENT;
    }
    if (argument[length] == '=') {
        *spec->value_out = argument + length + 1;
        return MATCH_ONE_ARGUMENT;
    }
    if (next == NULL) {
        error_set(err, "%s needs a value", spec->name);
        return MATCH_WRONG;
    }
    *spec->value_out = next;
    return MATCH_TWO_ARGUMENTS;
}

static enum match match_any(const struct option_spec *specs, const char *argument, const char *next,
                            struct error *err)
{
    for (const struct option_spec *spec = specs; spec->name != NULL; spec++) {
        enum match match = match_one(spec, argument, next, err);
        if (match != MATCH_NONE) {
            return match;
        }
    }
    return MATCH_NONE;
}

int options_take(int argc, char **argv, const struct option_spec *specs, struct error *err)
{
    int kept = 1;
    int at = 1;
    while (at < argc && strcmp(argv[at], "--") != 0) {
        switch (match_any(specs, argv[at], at + 1 < argc ? argv[at + 1] : NULL, err)) {
        case MATCH_NONE:
            argv[kept++] = argv[at++];
            break;
        case MATCH_ONE_ARGUMENT:
            at += 1;
            break;
        case MATCH_TWO_ARGUMENTS:
            at += 2;
            break;
        case MATCH_WRONG:
            return -1;
        }
    }
    while (at < argc) {
        argv[kept++] = argv[at++];
    }
    return kept;
}

int options_parse(int argc, char **argv, const struct option_spec *specs, int positionals_min,
                  int positionals_max, struct error *err)
{
    argc = options_take(argc, argv, specs, err);
    if (argc < 0) {
        return -1;
    }
    int positionals = 0;
    bool flags_ended = false;
    for (int i = 1; i < argc; i++) {
        if (!flags_ended && strcmp(argv[i], "--") == 0) {
            flags_ended = true;
        } else if (!flags_ended && argv[i][0] == '-' && argv[i][1] != '\0') {
            return error_set(err, "unknown option %s", argv[i]);
        } else {
            argv[1 + positionals++] = argv[i];
        }
    }
    if (positionals < positionals_min) {
        return error_set(err, "an argument is missing");
    }
    if (positionals > positionals_max) {
        return error_set(err, "unexpected argument %s", argv[1 + positionals_max]);
    }
    return positionals;
}
