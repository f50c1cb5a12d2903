/*
 * What is special about the embedded services, postgres and redis: how each is stopped, when it is
 * ready (they send no beats), and what of it may still be running when a new one is to start.
 */
#ifndef SIGNALBOX_SUPERVISOR_SERVICE_H
#define SIGNALBOX_SUPERVISOR_SERVICE_H

#include "runtime/base/settings.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

enum { SERVICE_STOP_STEPS = 3, SERVICE_PROBE_MS = 50 };

struct service_stop_step {
    int signal;
    int wait_ms;
};

/* The steps by which a process of that name is ended; their number is returned. */
size_t service_leftover_steps(const char *name, struct service_stop_step steps[SERVICE_STOP_STEPS]);

enum service_state { SERVICE_READY, SERVICE_NOT_READY };

/* postgres: what its own pid file says, as pg_ctl does. */
enum service_state service_postgres_probe(const struct settings *settings, pid_t pid);

/* redis: PING over its socket. *fd is the probe's connection (-1: none yet), kept between calls and
 * closed at the end of each try. */
enum service_state service_redis_probe(const struct settings *settings, int *fd);

/* Sends `signal` to every process of the embedded PostgreSQL still there (a killed postmaster
 * leaves its backends for a moment, and no new one starts beside them); returns how many. */
size_t service_postgres_end_strays(const struct settings *settings, int signal);

/* Removes the lock files of a postmaster that is dead but not reaped by whoever inherited it: its
 * pid still exists, so that a new server would believe it alive. Only after end_strays() found
 * none.
 */
void service_postgres_forget_zombie(const struct settings *settings);

#endif
