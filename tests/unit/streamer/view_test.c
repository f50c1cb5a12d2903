/* Views: a page that starts anywhere gives the bytes and marks that the window had, whatever states are
 * kept, and few are. R046, I5. */
#include "streamer/view.h"

#include "runtime/base/clock.h"
#include "streamer/aside.h"
#include "streamer/streamer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { EVENTS = 3000, PAGE = 50, KEPT_MAX = 32 };

static const char run_id[] = "018f2b3c-0000-7000-8000-000000000001";

/* The streamer's part in it. */
static struct streamer *stage(void)
{
    struct streamer *streamer = calloc(1, sizeof *streamer);
    streamer->limits.window_bytes = SIZE_MAX;
    view_states_init(&streamer->view_states);
    return streamer;
}

static void strike(struct streamer *streamer)
{
    assert_int_equal(streamer->view_states.bytes, 0);
    assert_true(list_is_empty(&streamer->view_states.all));
    buffer_deinit(&streamer->view_scratch);
    free(streamer);
}

/* An interrupt at every 70th event and its answer at the next, messages between. */
static struct native_event event_at(uint64_t seq)
{
    static char payload[64];
    enum event_type type = seq == 1         ? EVENT_TYPE_RUN_STARTED
                           : seq == EVENTS  ? EVENT_TYPE_RUN_FINISHED
                           : seq % 70 == 0  ? EVENT_TYPE_RUN_INTERRUPTED
                           : seq % 70 == 1  ? EVENT_TYPE_RUN_RESUMED
                           : seq % 140 == 5 ? EVENT_TYPE_MESSAGE_STARTED
                           : seq % 7 == 0   ? EVENT_TYPE_USAGE_RECORDED
                                            : EVENT_TYPE_MESSAGE_DELTA;
    (void)snprintf(payload, sizeof payload, "{\"message_id\":\"m%d\",\"delta\":\"%d\"}",
                   (int)(seq / 140), (int)seq);
    struct native_event event = {.run_id = run_id,
                                 .seq = seq,
                                 .ts_us = (int64_t)seq * 1000,
                                 .number = type,
                                 .type = event_type_name(type),
                                 .payload = payload,
                                 .payload_length = strlen(payload)};
    event.type_length = strlen(event.type);
    return event;
}

static void take_all(struct view *view, struct run_window *window)
{
    run_window_start(window, 1);
    for (uint64_t seq = 1; seq <= EVENTS; seq++) {
        const struct native_event event = event_at(seq);
        view_take(view, window, &event);
        view_keep_head(view, seq);
    }
}

static void assert_same(const struct run_window *page, const struct run_window *window)
{
    size_t size;
    size_t want_size;
    for (uint64_t seq = page->first; seq < page->next; seq++) {
        const uint8_t *got = run_window_frame(page, seq, &size);
        const uint8_t *want = run_window_frame(window, seq, &want_size);
        assert_int_equal(size, want_size);
        assert_memory_equal(got, want, size);
        assert_int_equal(run_window_marked(page, seq - 1) == seq,
                         run_window_marked(window, seq - 1) == seq);
    }
}

/* One page, as a waiting reader at `after` would cause it; returns how far it got. */
static uint64_t read_page(struct view *view, const struct run_window *window, uint64_t after)
{
    struct run_window page = {0};
    uint64_t start = view_nearest(view, after);
    struct projection *state = view_state_at(view, start);
    assert_true(start <= after);
    run_window_start(&page, start + 1);
    while (page.next <= EVENTS && page.next <= start + PAGE) {
        const struct native_event event = event_at(page.next);
        (void)view_encode(view, state, &page, &event);
    }
    assert_same(&page, window);
    uint64_t reached = page.next - 1;
    view_keep(view, reached, &state);
    assert_null(state);
    run_window_clear(&page);
    return reached;
}

static void check_form(enum stream_format form, uint64_t types)
{
    struct streamer *streamer = stage();
    struct view *view = view_create(streamer, form, types);
    struct run_window window = {0};
    take_all(view, &window);
    srand(7);
    for (int i = 0; i < 200; i++) {
        uint64_t after = (uint64_t)rand() % EVENTS;
        uint64_t reached = 0;
        for (int pages = 0; reached <= after; pages++) {
            uint64_t now = read_page(view, &window, after);
            assert_true(now > reached || now > after);
            reached = now;
            assert_true(pages <= EVENTS / PAGE);
            assert_true(view->kept_count <= KEPT_MAX);
        }
        if (i % 50 == 49) {
            view_tick(streamer, clock_monotonic_ms() + 60000);
            assert_int_equal(view->kept_count, 0);
        }
    }
    view_destroy(&view);
    run_window_clear(&window);
    strike(streamer);
}

static void test_pages_have_the_bytes_of_the_window(void **state)
{
    (void)state;
    check_form(STREAM_FORMAT_FILTERED, UINT64_C(1) << EVENT_TYPE_MESSAGE_DELTA);
    check_form(STREAM_FORMAT_NDJSON, 0);
    check_form(STREAM_FORMAT_AG_UI, 0);
    check_form(STREAM_FORMAT_AI_SDK, 0);
}

static void test_events_put_aside(void **state)
{
    (void)state;
    struct streamer *streamer = stage();
    struct view *view = view_create(streamer, STREAM_FORMAT_AI_SDK, 0);
    struct view *late = view_create(streamer, STREAM_FORMAT_AI_SDK, 0);
    struct run_window window = {0};
    struct run_window other = {0};
    struct run_window aside = {0};
    take_all(view, &window);
    run_window_start(&other, 1);
    run_window_start(&aside, 41);
    for (uint64_t seq = 1; seq <= 200; seq++) {
        const struct native_event event = event_at(seq);
        if (seq <= 60) {
            view_take(late, &other, &event);
        }
        if (seq >= 41) {
            aside_put(&aside, &event);
        }
    }
    view_take_aside(late, &other, &aside, run_id);
    assert_int_equal(other.next, 201);
    assert_true(run_window_is_empty(&aside));
    assert_same(&other, &window);
    view_destroy(&view);
    view_destroy(&late);
    run_window_clear(&window);
    run_window_clear(&other);
    strike(streamer);
}

static void test_native_is_no_view(void **state)
{
    (void)state;
    struct streamer *streamer = stage();
    assert_null(view_create(streamer, STREAM_FORMAT_NATIVE, 0));
    strike(streamer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pages_have_the_bytes_of_the_window),
        cmocka_unit_test(test_events_put_aside),
        cmocka_unit_test(test_native_is_no_view),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
