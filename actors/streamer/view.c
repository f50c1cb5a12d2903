/* See view.h. */
#include "streamer/view.h"

#include "runtime/base/clock.h"
#include "runtime/base/memory.h"
#include "runtime/base/metrics.h"
#include "streamer/aside.h"
#include "streamer/sse.h"
#include "streamer/streamer.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum {
    KEPT_MAX = 32,                /* states of one view */
    KEPT_BYTES = 512 << 10,       /* the same; */
    KEPT_MIN = 4,                 /* but readers at a few places must not take each other's */
    KEPT_ALL_BYTES = 32 << 20,    /* of all views */
    KEPT_MS = 30000,              /* after its last use */
    KEEP_HEAD_EVERY_EVENTS = 1024 /* when the window grows by the bus */
};

/* A copy of the state behind `seq`. */
struct view_state {
    struct list in_view;
    struct list in_all;
    struct view *view;
    struct projection *state; /* owned */
    uint64_t seq;
    size_t bytes;
    int64_t used_ms;
};

/* ---- life ---- */

struct view *view_create(struct streamer *streamer, enum stream_format format, uint64_t types)
{
    const struct projection_format *projection = projection_format(format);
    if (projection == NULL) {
        return NULL;
    }
    struct view *view = memory_new(sizeof *view);
    view->streamer = streamer;
    view->format = projection;
    view->number = format;
    view->types = types;
    view->head = projection->create(types);
    list_init(&view->kept);
    return view;
}

static struct view_state *first_of(const struct view *view)
{
    return LIST_ENTRY(view->kept.next, struct view_state, in_view);
}

static void drop(struct view_state *kept)
{
    struct view *view = kept->view;
    view->kept_count--;
    view->kept_bytes -= kept->bytes;
    view->streamer->view_states.bytes -= kept->bytes;
    view->streamer->trim_due = true;
    list_remove(&kept->in_view);
    list_remove(&kept->in_all);
    view->format->destroy(&kept->state);
    free(kept);
}

void view_destroy(struct view **view)
{
    if (*view == NULL) {
        return;
    }
    while (!list_is_empty(&(*view)->kept)) {
        drop(first_of(*view));
    }
    (*view)->format->destroy(&(*view)->head);
    free(*view);
    *view = NULL;
}

/* ---- encoding ---- */

/* The event as one HTTP chunk; what shows nothing has no bytes. */
static void append_chunk(struct run_window *window, const struct buffer *body)
{
    char head[SSE_CHUNK_HEAD_MAX];
    if (body->length == 0) {
        (void)run_window_append(window, 0);
        return;
    }
    size_t length = sse_chunk_head(head, body->length);
    uint8_t *at = run_window_append(window, length + body->length + SSE_CHUNK_TAIL);
    memcpy(at, head, length);
    memcpy(at + length, body->data, body->length);
    memcpy(at + length + body->length, "\r\n", SSE_CHUNK_TAIL);
}

bool view_encode(struct view *view, struct projection *state, struct run_window *window,
                 const struct native_event *event)
{
    struct buffer *body = &view->streamer->view_scratch;
    assert(event->seq == window->next);
    buffer_clear(body);
    bool pauses = view->format->take(state, event, body) == PROJECTION_PAUSES;
    append_chunk(window, body);
    if (pauses) {
        run_window_mark(window);
    }
    metric_add(METRIC_STREAM_EVENTS_ENCODED, 1);
    return pauses;
}

uint64_t view_start(const struct view *view, uint64_t head)
{
    return view->format->is_stateless ? head + 1 : 1;
}

void view_take(struct view *view, struct run_window *window, const struct native_event *event)
{
    uint64_t seq = window->next;
    if (view_encode(view, view->head, window, event)) {
        view->paused = seq;
    }
    /* Not only when all that came is taken: a few bytes of the log may be many here. */
    run_window_trim(window, view->streamer->limits.window_bytes);
}

void view_take_aside(struct view *view, struct run_window *window, struct run_window *aside,
                     const char *run_id)
{
    struct native_event event;
    while (run_window_has(aside, window->next)) {
        aside_get(aside, window->next, run_id, &event);
        view_take(view, window, &event);
    }
    run_window_drop_before(aside, window->next);
}

bool view_join(const struct view *view, struct buffer *out)
{
    char head[SSE_CHUNK_HEAD_MAX];
    struct buffer body = {0};
    bool pauses = view->format->join(view->head, &body) == PROJECTION_PAUSES;
    if (body.length > 0) {
        buffer_append(out, head, sse_chunk_head(head, body.length));
        buffer_append(out, body.data, body.length);
        buffer_append(out, "\r\n", SSE_CHUNK_TAIL);
    }
    buffer_deinit(&body);
    return pauses;
}

/* ---- states ---- */

/* The last one at or before `seq`, or NULL. */
static struct view_state *find(const struct view *view, uint64_t seq)
{
    struct view_state *found = NULL;
    LIST_FOR_EACH(node, &view->kept)
    {
        struct view_state *kept = LIST_ENTRY(node, struct view_state, in_view);
        if (kept->seq > seq) {
            break;
        }
        found = kept;
    }
    return found;
}

static void use(struct view_state *kept)
{
    kept->used_ms = clock_monotonic_ms();
    list_remove(&kept->in_all);
    list_append(&kept->view->streamer->view_states.all, &kept->in_all);
}

uint64_t view_nearest(const struct view *view, uint64_t seq)
{
    const struct view_state *kept = find(view, seq);
    return view->format->is_stateless ? seq : kept == NULL ? 0 : kept->seq;
}

struct projection *view_state_at(struct view *view, uint64_t nearest)
{
    struct view_state *kept = find(view, nearest);
    if (view->format->is_stateless || nearest == 0) {
        return view->format->create(view->types);
    }
    assert(kept != NULL && kept->seq == nearest);
    use(kept);
    return view->format->copy(kept->state);
}

/* Where one can be spared best: between neighbours that are closest. Never `newest`, which the page
 * that follows needs. */
static struct view_state *most_crowded(const struct view *view, const struct view_state *newest)
{
    struct view_state *best = NULL;
    uint64_t best_gap = UINT64_MAX;
    uint64_t before = 0;
    LIST_FOR_EACH(node, &view->kept)
    {
        struct view_state *kept = LIST_ENTRY(node, struct view_state, in_view);
        uint64_t after = node_next == &view->kept
                             ? kept->seq
                             : LIST_ENTRY(node_next, struct view_state, in_view)->seq;
        if (kept != newest && after - before < best_gap) {
            best = kept;
            best_gap = after - before;
        }
        before = kept->seq;
    }
    return best;
}

static void thin(struct view *view, const struct view_state *newest)
{
    struct view_states *states = &view->streamer->view_states;
    while (view->kept_count > KEPT_MAX ||
           (view->kept_bytes > KEPT_BYTES && view->kept_count > KEPT_MIN)) {
        drop(most_crowded(view, newest));
    }
    while (states->bytes > KEPT_ALL_BYTES && list_first(&states->all) != &newest->in_all) {
        drop(LIST_ENTRY(list_first(&states->all), struct view_state, in_all));
    }
}

void view_keep(struct view *view, uint64_t seq, struct projection **state)
{
    struct view_state *before = find(view, seq);
    if (view->format->is_stateless || seq == 0 || (before != NULL && before->seq == seq)) {
        view->format->destroy(state);
        if (before != NULL && before->seq == seq) {
            use(before);
        }
        return;
    }
    struct view_state *kept = memory_new(sizeof *kept);
    *kept = (struct view_state){.view = view,
                                .state = *state,
                                .seq = seq,
                                .bytes = sizeof *kept + view->format->size(*state)};
    *state = NULL;
    list_init(&kept->in_all);
    list_append(before == NULL ? view->kept.next : before->in_view.next, &kept->in_view);
    view->kept_count++;
    view->kept_bytes += kept->bytes;
    view->streamer->view_states.bytes += kept->bytes;
    use(kept);
    thin(view, kept);
}

void view_keep_head(struct view *view, uint64_t seq)
{
    const struct view_state *last = LIST_ENTRY(view->kept.previous, struct view_state, in_view);
    uint64_t kept_at = list_is_empty(&view->kept) ? 0 : last->seq;
    if (!view->format->is_stateless && seq >= kept_at + KEEP_HEAD_EVERY_EVENTS) {
        struct projection *state = view->format->copy(view->head);
        view_keep(view, seq, &state);
    }
}

void view_states_init(struct view_states *states)
{
    list_init(&states->all);
}

void view_tick(struct streamer *streamer, int64_t now_ms)
{
    struct list *first;
    while ((first = list_first(&streamer->view_states.all)) != NULL) {
        struct view_state *kept = LIST_ENTRY(first, struct view_state, in_all);
        if (now_ms - kept->used_ms < KEPT_MS) {
            return;
        }
        drop(kept);
    }
}
