/*
 * What `signalbox verify` looks for: the promises of the run log, each as one statement whose rows
 * are the violations.
 */
#ifndef SIGNALBOX_CLI_VERIFY_CHECKS_H
#define SIGNALBOX_CLI_VERIFY_CHECKS_H

#include <stddef.h>

/* $1::uuid is the run, or null for all. Columns: run_id text or null, seq text or null, detail
 * text. */
struct verify_check {
    const char *name;
    const char *promise; /* one line for people */
    const char *sql;
};

extern const struct verify_check VERIFY_CHECKS[];
extern const size_t VERIFY_CHECKS_COUNT;

/* $1::uuid; columns: runs, events. */
extern const char *const VERIFY_COUNT_SQL;

#endif
