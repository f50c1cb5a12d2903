/*
 * The admin socket RUN_DIR/control.sock: one request line, one answer, closed.
 *
 *     status | restart NAME|ACTOR | stop | reload | dump | settings
 *
 * Answer: "ok" or "error CODE text" (CODE: exit code for the command line), for status followed by
 * one line of JSON, for settings by the whole table, secrets and all. restart answers when the successor is ready, reload when everything has been
 * taken over, stop when everything else has stopped.
 */
#ifndef SIGNALBOX_SUPERVISOR_CONTROL_H
#define SIGNALBOX_SUPERVISOR_CONTROL_H

#include "runtime/base/error.h"
#include "runtime/base/list.h"
#include "supervisor/loop.h"

#include <stdint.h>

struct supervisor;

enum { CONTROL_CLIENTS_MAX = 32, CONTROL_REQUEST_BYTES = 256, CONTROL_IDLE_MS = 10000 };

struct control {
    struct supervisor *supervisor; /* borrowed */
    struct loop_source listener;
    struct list clients;
    unsigned client_count;
    int64_t paused_until_ms; /* 0: accepting */
};

SB_MUST_CHECK int control_open(struct control *control, struct supervisor *supervisor,
                               struct error *err);
/* Everything else has stopped: answers those who asked for it, and closes. */
void control_close(struct control *control);
void control_tick(struct control *control, int64_t now_ms);
int64_t control_due_ms(const struct control *control);

#endif
