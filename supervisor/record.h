/* Our end of the control socket: whole records of one generation, never waiting. */
#ifndef SIGNALBOX_SUPERVISOR_RECORD_H
#define SIGNALBOX_SUPERVISOR_RECORD_H

#include "proto/child_contract.h"
#include "runtime/base/error.h"

enum record_outcome {
    RECORD_TAKEN,
    RECORD_NONE,    /* nothing there now */
    RECORD_FOREIGN, /* of another size, version or generation: dropped */
    RECORD_CLOSED
};

/* `passed_fd` -1 or borrowed: travels with the record. */
SB_MUST_CHECK int record_send(int control_fd, uint64_t generation, enum child_record_type type,
                              int64_t value, int passed_fd, struct error *err);
enum record_outcome record_receive(int control_fd, uint64_t generation,
                                   struct child_record *record_out);

#endif
