/*
 * Errors as values. A function that can fail returns int 0 or -1, takes `struct error *err` last,
 * and changes nothing when it fails. Four classes: our own bug -> assert (always compiled in);
 * memory gone -> the process exits (memory.h); bad input -> an error reply, the process lives; a
 * dependency is down -> stay up, report not healthy, try again with growing pauses.
 */
#ifndef SIGNALBOX_BASE_ERROR_H
#define SIGNALBOX_BASE_ERROR_H

#define SB_MUST_CHECK __attribute__((warn_unused_result))
#define SB_PRINTF(format_index, first_index) \
    __attribute__((format(printf, format_index, first_index)))
#define SB_UNUSED __attribute__((unused))

/* Exit codes of every program of the family; the supervisor's restart policy reads them. */
enum exit_code {
    EXIT_CODE_DONE = 0,
    EXIT_CODE_FAILED = 1,
    EXIT_CODE_USAGE = 2,       /* command line only: wrong use */
    EXIT_CODE_NOT_RUNNING = 3, /* command line only: no server for this DIR */
    EXIT_CODE_NOT_FOUND = 4,   /* command line only */
    EXIT_CODE_FENCED = 70,     /* sequencer: another one holds the shard's epoch */
    EXIT_CODE_MEMORY = 71,     /* out of memory */
    EXIT_CODE_ORPHANED = 72,   /* actor: the supervisor is gone */
    EXIT_CODE_DEPENDENCY = 75, /* something we need is missing now; try again later */
    EXIT_CODE_CONFIG = 78      /* configuration wrong; no restart until a reload */
};

struct error {
    char text[512];
};

/* Writes the message into err (NULL allowed). Always returns -1, so that `return error_set(...)`
 * reads well. */
int error_set(struct error *err, const char *format, ...) SB_PRINTF(2, 3);

/* Puts "prefix: " in front of what err already says. Always returns -1. */
int error_prefix(struct error *err, const char *format, ...) SB_PRINTF(2, 3);

/* strerror() that is safe to use anywhere: returns a pointer valid until the next call in this
 * thread. */
const char *error_errno(int errno_value);

#endif
