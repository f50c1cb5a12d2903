/* What runners.c and runners_links.c share: calls, and the links they go over. */
#ifndef SIGNALBOX_API_RUNNERS_INTERNAL_H
#define SIGNALBOX_API_RUNNERS_INTERNAL_H

#include "api/runners.h"
#include "runtime/base/list.h"
#include "runtime/base/map.h"
#include "runtime/bus.h"

enum { SLOTS_MAX = 32 };

struct link {
    struct runners *runners;
    struct bus_socket *socket;
    uint32_t bit;
};

struct runners_call {
    struct list node;
    struct runners *runners;
    uint64_t number;
    struct event *timer;
    int64_t end_ms;      /* of the wait */
    int64_t deadline_ms; /* no answer any more: given up */
    int64_t again_ms;    /* asked again then */
    uint32_t asked;      /* links it was sent on and that have not answered; bits */
    uint32_t answered;   /* links that have said they have nothing */
    uint32_t waited;     /* of these, the ones that have waited for a job */
    bool repeated;       /* sent twice on some link */
    bool is_want;
    union {
        struct message_job_want want;
        struct message_job_beat beat;
    };
    union {
        runners_given_fn *given;
        runners_beaten_fn *beaten;
    };
    void *arg;
    uint8_t texts[]; /* what the message points to */
};

struct runners {
    struct actor *actor;     /* borrowed */
    struct surplus *surplus; /* borrowed */
    struct list calls;
    struct map by_number;
    struct map by_tenant; /* how many wants, as a pointer */
    uint64_t last_number;
    size_t wants;
    int64_t alone_since_ms; /* no link is up since then */
    uint32_t up;            /* links; bits */
    bool ending;
    size_t link_count;
    struct link links[SLOTS_MAX];
    struct msgpack_sbuffer frame;
};

/* ---- runners.c: a call ---- */

/* Asks on these links that are up. */
void runners_ask(struct runners_call *call, uint32_t links);
/* Those asked need not look any more. */
void runners_tell_forget(struct runners_call *call, uint32_t links);
/* Looks at it again when it is time. */
void runners_schedule(struct runners_call *call);
/* False: it has ended and is gone. */
bool runners_go_on(struct runners_call *call);
/* It is gone, and who waits is told. */
void runners_end_want(struct runners_call *call, enum runners_end end,
                      const struct message_job_given *given);
void runners_end_beat(struct runners_call *call, const struct message_job_beaten *beaten);

/* ---- runners_links.c ---- */

/* To the job-runner of this slot, from 1. */
int runners_open_link(struct runners *runners, unsigned slot, struct error *err);

#endif
