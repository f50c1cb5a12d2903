/* The few words of systemd's notify protocol, and its listeners; nothing when not started by it. */
#ifndef SIGNALBOX_SUPERVISOR_NOTIFY_H
#define SIGNALBOX_SUPERVISOR_NOTIFY_H

#include <stdbool.h>
#include <stdint.h>

/* Sends "READY=1" and the like; silent when there is no NOTIFY_SOCKET. */
void notify_send(const char *text);
/* Whether whoever started us listens: an init system, not a person. */
bool notify_wanted(void);
/* RELOADING=1 with the time stamp systemd wants. */
void notify_reloading(void);
/* Pause between WATCHDOG=1 messages; 0 when none is wanted. */
int64_t notify_watchdog_ms(void);
/* The first listening TCP socket passed by LISTEN_FDS, close-on-exec; -1 when there is none. */
int notify_listener(void);

#endif
