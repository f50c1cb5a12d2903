/* For the store*.c files: how they give their statements. See store.h. */
#ifndef SIGNALBOX_API_STORE_INTERNAL_H
#define SIGNALBOX_API_STORE_INTERNAL_H

#include "api/store.h"

/* Whose rows a query may see. */
struct store_view {
    struct uuid tenant;
    bool all_tenants; /* tenants, keys and audit of all: only for operators */
};

/* Empty; filled for the next store_give, which empties it again. */
struct db_params *store_params(struct store *store);
/* `view` NULL: no rows of any tenant. `statement` must live as long as the store. */
void store_give(struct store *store, const struct store_view *view,
                const struct db_statement *statement, db_done_fn *done, void *arg);

#endif
