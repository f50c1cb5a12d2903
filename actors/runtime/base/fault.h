/*
 * Fault points, in test builds only (-DSB_FAULTS): SB_FAULT("after_commit") looks for a file of
 * that name in the fault directory, takes it away (so exactly one process obeys) and does what is
 * written in it: kill | stop | abort | exit CODE | sleep MS | spin In a release build the macro is
 * nothing.
 */
#ifndef SIGNALBOX_BASE_FAULT_H
#define SIGNALBOX_BASE_FAULT_H

#ifdef SB_FAULTS
/* `directory` is copied; empty switches fault points off. `actor` prefixes nothing: points are
 * global names. */
void fault_start(const char *directory);
void fault_point(const char *name);
#define SB_FAULT(name) fault_point(name)
#else
#define fault_start(directory) ((void)(directory))
#define SB_FAULT(name) ((void)0)
#endif

#endif
