/* What the store_*.c files share; not for their users. */
#ifndef SIGNALBOX_API_STORE_INTERNAL_H
#define SIGNALBOX_API_STORE_INTERNAL_H

#include "api/store.h"
#include "runtime/base/list.h"

#include <event2/event.h>

#define STORE_TEXT_OF(value) #value
#define STORE_TEXT_OF_VALUE(value) STORE_TEXT_OF(value)
/* For the text of statements. */
#define PAGE_BYTES STORE_TEXT_OF_VALUE(STORE_PAGE_BYTES)

struct store {
    struct db *db;
    struct event *clock;
    struct list calls; /* given and not answered, in order */
    struct db_params params;
    struct db_params scope;
};

/* Sends the statement with what was gathered in store->params, and clears them. It sees the rows of
 * `tenant` and of nobody else; NULL: of nobody at all. */
void store_give(struct store *store, const struct uuid *tenant,
                const struct db_statement *statement, db_done_fn *done, void *arg);

/* Whose rows a query may see. */
struct store_view {
    struct uuid tenant;
    bool all_tenants; /* tenants, keys and audit of all: only for operators */
};
/* The same with a wider view; NULL: of nobody. */
void store_give_view(struct store *store, const struct store_view *view,
                     const struct db_statement *statement, db_done_fn *done, void *arg);

#endif
