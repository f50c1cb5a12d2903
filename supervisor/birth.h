/* Making the process of a child: its log pipe, control socket, descriptors, words, rights. */
#ifndef SIGNALBOX_SUPERVISOR_BIRTH_H
#define SIGNALBOX_SUPERVISOR_BIRTH_H

#include "supervisor/child.h"

/* Fills pid, pidfd, log and control of `child` from its generation and hold. When it fails, log and
 * control may be there; the caller gives them back. */
SB_MUST_CHECK int birth_make(struct child *child, struct error *err);

#endif
