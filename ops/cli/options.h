/* Flags of one command: --name VALUE, --name=VALUE, --switch; `--` ends the flags. */
#ifndef SIGNALBOX_CLI_OPTIONS_H
#define SIGNALBOX_CLI_OPTIONS_H

#include "runtime/base/error.h"

#include <stdbool.h>

/* Exactly one of value_out and flag_out is set. The table ends with a NULL name. */
struct option_spec {
    const char *name; /* with its dashes: "--listen" */
    const char **value_out;
    bool *flag_out;
};

/*
 * Fills the specs and moves the positional arguments to argv[1..]. Returns their number, or -1 and
 * err for an unknown flag, a missing value, or a count outside positionals_min..positionals_max.
 */
SB_MUST_CHECK int options_parse(int argc, char **argv, const struct option_spec *specs,
                                int positionals_min, int positionals_max, struct error *err);

/* Takes the flags of `specs` out of argv and leaves everything else in place and order; returns
 * the new argc, or -1 and err. Nothing behind `--` is looked at. */
SB_MUST_CHECK int options_take(int argc, char **argv, const struct option_spec *specs,
                               struct error *err);

#endif
