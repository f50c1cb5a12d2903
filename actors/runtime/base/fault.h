/*
 * Fault points, in test builds only (-DSB_FAULTS): SB_FAULT("after_commit") looks for a file of
 * that name in the fault directory, takes it away (so exactly one process obeys) and does what is
 * written in it: kill | stop | abort | exit CODE | sleep MS | spin In a release build the macro is
 * nothing. SB_FAULT_HOLDS("deaf") is true as long as a file of that name is there; never in a
 * release build.
 */
#ifndef SIGNALBOX_BASE_FAULT_H
#define SIGNALBOX_BASE_FAULT_H

#include <stdbool.h>

#ifdef SB_FAULTS
/* `directory` is copied; empty switches fault points off. `actor` prefixes nothing: points are
 * global names. */
void fault_start(const char *directory);
void fault_point(const char *name);
bool fault_holds(const char *name);
#define SB_FAULT(name) fault_point(name)
#define SB_FAULT_HOLDS(name) fault_holds(name)
#else
#define fault_start(directory) ((void)(directory))
#define SB_FAULT(name) ((void)0)
#define SB_FAULT_HOLDS(name) (false)
#endif

#endif
