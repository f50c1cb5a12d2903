/* What an AG-UI request is about: runs and parts of runs by the ids of its client. See store.h. */
#ifndef SIGNALBOX_API_STORE_AGUI_H
#define SIGNALBOX_API_STORE_AGUI_H

#include "api/store.h"

#include <stdbool.h>
#include <stdint.h>

struct store_agui {
    bool is_named;           /* the client's run id is known */
    struct uuid named;       /* its run */
    int64_t named_after_seq; /* the part of it begins behind this; 0: at its beginning */
    bool named_goes_on;      /* a later part of it has another name */
    bool named_unsaid;       /* it was begun by a POST whose messages are not there, and goes on */
    bool named_first;        /* it is the only run of its thread */
    bool has_run;            /* the thread has one: that which has not ended, else its newest */
    struct uuid run;
    bool interrupted;
    int64_t last_seq;
    int64_t
        interrupted_seq;   /* of its last RUN_INTERRUPTED, if it waits without a question; else 0 */
    const char *questions; /* ids of those that wait, a JSON list; borrowed */
    size_t questions_length;
};

/* One row. `client_id`, `thread`: made from the client's texts; a nil thread has no runs. */
void store_find_agui(struct store *store, const struct uuid *tenant, const struct uuid *client_id,
                     const struct uuid *thread, db_done_fn *done, void *arg);
void store_read_agui(const struct db_result *result, struct store_agui *out);
/* Names a part of a run, unless the name is taken. */
void store_name_agui(struct store *store, const struct uuid *tenant, const struct uuid *client_id,
                     const struct uuid *run, int64_t after_seq, db_done_fn *done, void *arg);

#endif
