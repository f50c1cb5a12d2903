/* See run.h. */
#include "streamer/run.h"

#include "streamer/catch_up.h"
#include "streamer/heads.h"
#include "streamer/position.h"
#include "streamer/streamer.h"
#include "streamer/view.h"

#include <assert.h>

enum { SERVED_IN_A_PASS = 1024, SERVED_OF_ONE = 256 };

/* ---- life ---- */

static void add_variant(struct run *run)
{
    struct run *first = run_find(run->streamer, &run->id);
    if (first == NULL) {
        map_put(&run->streamer->runs, &run->id, run);
    } else {
        run->variant = first->variant;
        first->variant = run;
    }
    run->streamer->run_count++;
}

static void remove_variant(struct run *run)
{
    struct run *before = run_find(run->streamer, &run->id);
    if (before == run && run->variant == NULL) {
        map_remove(&run->streamer->runs, &run->id);
    } else if (before == run) {
        map_put(&run->streamer->runs, &run->id, run->variant);
    } else {
        while (before->variant != run) {
            before = before->variant;
        }
        before->variant = run->variant;
    }
    run->streamer->run_count--;
}

static struct run *create(struct streamer *streamer, const struct uuid *id,
                          const struct uuid *tenant, struct run_form form)
{
    struct run *run = pool_new(&streamer->run_pool);
    struct list *lists[] = {&run->positions, &run->waiting,  &run->pages,    &run->in_changed,
                            &run->in_dirty,  &run->in_queue, &run->in_recent};
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++) {
        list_init(lists[i]);
    }
    run->streamer = streamer;
    run->id = *id;
    run->tenant = *tenant;
    run->serial = ++streamer->last_serial;
    run->view = view_create(streamer, form.format, form.types);
    assert((run->view == NULL) == (form.format == STREAM_FORMAT_NATIVE));
    add_variant(run);
    return run;
}

struct run_form run_form(const struct run *run)
{
    return run->view == NULL ? (struct run_form){STREAM_FORMAT_NATIVE, 0}
                             : (struct run_form){run->view->number, run->view->types};
}

static bool has_form(const struct run *run, struct run_form form)
{
    const struct run_form is = run_form(run);
    return is.format == form.format && is.types == form.types;
}

struct run *run_watch(struct streamer *streamer, const struct uuid *id, const struct uuid *tenant,
                      struct run_form form)
{
    struct run *run = run_find(streamer, id);
    while (run != NULL && !has_form(run, form)) {
        run = run->variant;
    }
    if (run == NULL) {
        run = create(streamer, id, tenant, form);
        heads_ask(run);
    }
    return run;
}

struct run *run_find(struct streamer *streamer, const struct uuid *id)
{
    return map_get(&streamer->runs, id);
}

struct run *run_find_life(struct streamer *streamer, const struct uuid *id, uint64_t serial)
{
    struct run *run = run_find(streamer, id);
    while (run != NULL && run->serial != serial) {
        run = run->variant;
    }
    return run;
}

struct run *run_next(struct streamer *streamer, struct run_cursor *cursor)
{
    struct run *run = cursor->next != NULL ? cursor->next : map_next(&streamer->runs, &cursor->at);
    cursor->next = run == NULL ? NULL : run->variant;
    return run;
}

static void destroy(struct run *run)
{
    assert(list_is_empty(&run->waiting));
    run_drop_window(run);
    view_destroy(&run->view);
    run_window_clear(&run->ahead);
    catch_up_drop_pages(run);
    list_remove(&run->in_changed);
    list_remove(&run->in_dirty);
    list_remove(&run->in_queue);
    remove_variant(run);
    pool_free(&run->streamer->run_pool, run);
}

void run_hold(struct run *run)
{
    run->holds++;
}

void run_release(struct run *run)
{
    assert(run->holds > 0);
    if (--run->holds == 0 && list_is_empty(&run->positions)) {
        destroy(run);
    }
}

void run_add(struct run *run, struct position *position)
{
    list_append(&run->positions, &position->in_shown);
    run->count++;
}

void run_remove(struct run *run, struct position *position)
{
    list_remove(&position->in_shown);
    run->count--;
}

/* ---- serving positions ---- */

void run_changed(struct run *run)
{
    run->unserved = run->count;
    run->judging = false; /* who is unsure still says so again when served */
    if (!list_is_linked(&run->in_changed)) {
        list_append(&run->streamer->changed, &run->in_changed);
        streamer_wake(run->streamer);
    }
}

static void serve_one(struct run *run, struct position *position)
{
    list_remove(&position->in_shown);
    list_append(&run->positions, &position->in_shown);
    if (run->gone && !position->frozen) {
        position_break_off(position, "the run is gone");
    } else {
        position_pump(position);
    }
}

/* Those served go to the end of the line. Returns how many were. */
static size_t serve(struct run *run, size_t most)
{
    size_t served = 0;
    struct list *first;
    run_hold(run);
    while (served < most && run->unserved > 0 && (first = list_first(&run->positions)) != NULL) {
        run->unserved--;
        served++;
        serve_one(run, LIST_ENTRY(first, struct position, in_shown));
    }
    if (list_is_empty(&run->positions)) {
        run->unserved = 0;
    } else if (run->unserved > 0 && !list_is_linked(&run->in_changed)) {
        list_append(&run->streamer->changed, &run->in_changed);
    }
    run_release(run);
    return served;
}

/* A run may have thousands of readers, and a busy one always some that have not seen its last event:
 * the others' must not wait for all of them. */
void run_serve_changed(struct streamer *streamer)
{
    size_t left = SERVED_IN_A_PASS;
    struct list *first;
    while (left > 0 && (first = list_first(&streamer->changed)) != NULL) {
        struct run *run = LIST_ENTRY(first, struct run, in_changed);
        list_remove(first);
        left -= serve(run, left < SERVED_OF_ONE ? left : SERVED_OF_ONE);
    }
    if (!list_is_empty(&streamer->changed)) {
        streamer_wake(streamer);
    }
}
