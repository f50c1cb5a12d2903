/* See stream_heads.h. */
#include "api/stream_heads.h"

#include "api/exchange.h"
#include "runtime/base/list.h"
#include "runtime/base/memory.h"

#include <assert.h>
#include <stdlib.h>

enum {
    QUERIES_MAX = 2, /* on the way at once: one is answered while the next is worked on */
    RUNS_MAX = 256   /* in one query */
};

struct stream_heads {
    struct store *store;
    struct list waiting; /* exchanges, by node */
    stream_heads_done_fn *done;
    unsigned queries;
};

/* One query on the way; its exchanges are held. */
struct question {
    struct stream_heads *heads;
    size_t count;
    struct exchange *exchanges[RUNS_MAX];
};

struct stream_heads *stream_heads_create(struct store *store)
{
    struct stream_heads *heads = memory_new(sizeof *heads);
    heads->store = store;
    list_init(&heads->waiting);
    return heads;
}

void stream_heads_destroy(struct stream_heads **heads)
{
    if (*heads == NULL) {
        return;
    }
    assert((*heads)->queries == 0);
    free(*heads);
    *heads = NULL;
}

static void go(struct stream_heads *heads);

static void answer(void *arg, enum db_status status, const struct db_result *result)
{
    struct question *question = arg;
    struct stream_heads *heads = question->heads;
    heads->queries--;
    for (size_t i = 0; i < question->count; i++) {
        struct store_head head;
        bool found = status == DB_OK && store_read_head(result, (int)i, &head);
        if (exchange_resume(question->exchanges[i])) {
            heads->done(question->exchanges[i], status, found ? &head : NULL);
        }
    }
    free(question);
    go(heads);
}

/* Nothing is asked for clients that did not wait; when the api stops, that is all of them. */
static void drop_gone(struct stream_heads *heads)
{
    LIST_FOR_EACH(node, &heads->waiting)
    {
        struct exchange *exchange = LIST_ENTRY(node, struct exchange, node);
        if (exchange->request == NULL) {
            list_remove(node);
            bool waiting SB_UNUSED = exchange_resume(exchange);
        }
    }
}

/* Those of one tenant: a query sees the rows of one. */
static void ask(struct stream_heads *heads)
{
    struct question *question = memory_new(sizeof *question);
    struct uuid runs[RUNS_MAX];
    struct uuid tenant = LIST_ENTRY(list_first(&heads->waiting), struct exchange, node)->who.tenant;
    question->heads = heads;
    LIST_FOR_EACH(node, &heads->waiting)
    {
        struct exchange *exchange = LIST_ENTRY(node, struct exchange, node);
        if (question->count < RUNS_MAX && uuid_equal(&exchange->who.tenant, &tenant)) {
            list_remove(node);
            runs[question->count] = exchange->id;
            question->exchanges[question->count++] = exchange;
        }
    }
    heads->queries++;
    store_get_heads(heads->store, &tenant, runs, question->count, answer, question);
}

static void go(struct stream_heads *heads)
{
    if (heads->queries == QUERIES_MAX) {
        return; /* thousands may wait, and each would look at all of them */
    }
    drop_gone(heads);
    while (heads->queries < QUERIES_MAX && !list_is_empty(&heads->waiting)) {
        ask(heads);
    }
}

void stream_heads_ask(struct stream_heads *heads, struct exchange *exchange,
                      stream_heads_done_fn *done)
{
    heads->done = done;
    exchange_hold(exchange);
    list_append(&heads->waiting, &exchange->node);
    go(heads);
}
