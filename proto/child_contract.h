/*
 * Everything the supervisor and a child promise each other: descriptors, environment names, the
 * records on the control socket. Nothing else is in here, and nothing of it is anywhere else.
 */
#ifndef SIGNALBOX_PROTO_CHILD_CONTRACT_H
#define SIGNALBOX_PROTO_CHILD_CONTRACT_H

#include <stdint.h>

/* fd 0 is /dev/null, 1 and 2 the log pipe (non-blocking write end), 3 the control socket
 * (SOCK_SEQPACKET). */
enum { CHILD_FD_CONTROL = 3, CHILD_FD_FIRST_NAMED = 4 };

/* Environment of an actor; nothing in it is secret. */
#define CHILD_ENV_NAME "SIGNALBOX_INSTANCE" /* instance name: "api-1"; stays with the slot */
#define CHILD_ENV_GENERATION \
    "SIGNALBOX_GENERATION"                  /* decimal, grows with every spawn, never reused */
#define CHILD_ENV_PARENT "SIGNALBOX_PARENT" /* pid of the supervisor */
#define CHILD_ENV_SLOT "SIGNALBOX_SLOT"     /* decimal index into the metrics board */
#define CHILD_ENV_HOLD "SIGNALBOX_HOLD"     /* "1": be ready, but take over only at CHILD_GO */
/* name:fd pairs joined by commas, from fd 4 up. Always "settings" (flat table) and "metrics" (the
 * board). Listeners, already bound and listening: "public" (TCP, api), "commands" and "events" (ipc
 * for ZeroMQ, sequencer), "handover" (SOCK_SEQPACKET, streamer: the one of its slot, which streams
 * come to by the hash of what they show), "handover-1" ... (streamer: those of the other slots,
 * for what their own streamer leaves waiting), "jobs" (ipc for ZeroMQ, job-runner: the one of its
 * slot). */
#define CHILD_ENV_FDS "SIGNALBOX_FDS"

#define CHILD_FD_SETTINGS_NAME "settings"
#define CHILD_FD_METRICS_NAME "metrics"
#define CHILD_LISTENER_PUBLIC "public"
#define CHILD_LISTENER_COMMANDS "commands"
#define CHILD_LISTENER_EVENTS "events"
#define CHILD_LISTENER_HANDOVER "handover"
#define CHILD_LISTENER_NEIGHBOUR "handover-%u" /* slots count from 1 */

#define CHILD_LISTENER_JOBS "jobs"

enum { CHILD_STREAMERS_MAX = 16, CHILD_JOB_RUNNERS_MAX = 16 };

/* File names in the run directory (settings: instance.run_dir). */
#define CHILD_SOCKET_COMMANDS "commands.sock"
#define CHILD_SOCKET_EVENTS "events.sock"
#define CHILD_SOCKET_HANDOVER "handover-%u.sock" /* of a slot of streamer.count, from 1 */
#define CHILD_SOCKET_JOBS "jobs-%u.sock"         /* of a slot of job_runner.count, from 1 */

enum { CHILD_RECORD_VERSION = 1 };

/* Bit 32 set: supervisor -> actor. */
enum child_record_type {
    CHILD_READY = 1, /* loop running, listeners taken over (in HOLD: all but the listeners) */
    CHILD_BEAT,
    CHILD_STOPPING,   /* DRAIN understood, no new work is taken */
    CHILD_DRAINED,    /* nothing left; the actor exits 0 next */
    CHILD_FATAL,      /* code: the exit code that follows */
    CHILD_DRAIN = 33, /* value: milliseconds until the kill */
    CHILD_RELOAD,     /* carries the new settings table as one SCM_RIGHTS descriptor */
    CHILD_DUMP,       /* write the state of the actor to the log */
    CHILD_GO          /* ends HOLD */
};

/* How an actor is confined: system calls (0 not at all, 1 what is not listed is logged, 2 it kills),
 * and above that the ABI of Landlock in force (0: none). */
enum { CHILD_CONFINED_CALLS = 3, CHILD_CONFINED_ABI_SHIFT = 8 };

/* One record, one packet. Records of another generation or version are dropped by the receiver. */
struct child_record {
    uint32_t version;
    uint32_t type; /* enum child_record_type */
    uint64_t generation;
    int64_t value;      /* DRAIN: ms; FATAL: exit code; READY: how it is confined; otherwise 0 */
    uint32_t healthy;   /* BEAT: dependencies fine */
    uint32_t reserved;  /* 0 */
    uint64_t tick;      /* BEAT: grows by one a beat */
    uint64_t delay_us;  /* BEAT: worst loop delay since the last beat */
    uint64_t queued;    /* BEAT: work waiting */
    uint64_t in_flight; /* BEAT: work begun */
};

#endif
