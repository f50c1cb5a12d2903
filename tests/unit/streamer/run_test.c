/* How the readers of changed runs are served: in parts, run after run in turn, and no more in a pass than
 * a bound. R133. */
#include "streamer/run.h"

#include "streamer/reader.h"
#include "streamer/streamer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

enum { HOT_READERS = 5000, COLD_RUNS = 8, PASS = 1024 };

struct stage {
    struct streamer streamer;
    struct run *hot;
    struct run *cold[COLD_RUNS];
    struct reader *readers; /* HOT_READERS of the hot run, then one of each cold one */
};

/* Serving them costs nothing: their sockets are full. */
static void add_reader(struct stage *stage, size_t index, struct run *run)
{
    struct reader *reader = &stage->readers[index];
    reader->blocked = true;
    position_init(&reader->at, POSITION_READER, NULL, 0);
    position_follow_run(&reader->at, run);
}

static struct run *watch(struct stage *stage, uint64_t number)
{
    const struct uuid id = map_number_key(number);
    return run_watch(&stage->streamer, &id, &id, (struct run_form){STREAM_FORMAT_NATIVE, 0});
}

static int begin(void **state)
{
    struct stage *stage = calloc(1, sizeof *stage);
    struct streamer *streamer = &stage->streamer;
    list_init(&streamer->changed);
    list_init(&streamer->recent);
    list_init(&streamer->heads.dirty);
    pool_init(&streamer->run_pool, sizeof(struct run));
    stage->readers = calloc(HOT_READERS + COLD_RUNS, sizeof *stage->readers);
    stage->hot = watch(stage, 1);
    for (size_t i = 0; i < HOT_READERS; i++) {
        add_reader(stage, i, stage->hot);
    }
    for (size_t i = 0; i < COLD_RUNS; i++) {
        stage->cold[i] = watch(stage, 2 + i);
        add_reader(stage, HOT_READERS + i, stage->cold[i]);
    }
    *state = stage;
    return 0;
}

static int end(void **state)
{
    struct stage *stage = *state;
    for (size_t i = 0; i < HOT_READERS + COLD_RUNS; i++) {
        struct position *position = &stage->readers[i].at;
        struct run *run = position_run(position);
        run_remove(run, position);
        run_hold(run);
        run_release(run);
    }
    pool_deinit(&stage->streamer.run_pool);
    map_deinit(&stage->streamer.runs);
    free(stage->readers);
    free(stage);
    return 0;
}

/* The hot run has an event before every pass, and never comes to an end with its readers. */
static void test_a_hot_run_holds_up_no_other(void **state)
{
    struct stage *stage = *state;
    for (int pass = 0; pass < 50; pass++) {
        run_changed(stage->hot);
        for (size_t i = 0; i < COLD_RUNS; i++) {
            run_changed(stage->cold[i]);
        }
        run_serve_changed(&stage->streamer);
        for (size_t i = 0; i < COLD_RUNS; i++) {
            assert_int_equal(stage->cold[i]->unserved, 0);
        }
        /* Nothing of the pass is wasted either. */
        assert_int_equal(stage->hot->unserved, HOT_READERS - (PASS - COLD_RUNS));
    }
}

/* One that changes while the hot run's readers are being served is next, not last. */
static void test_who_comes_in_between_is_served_in_the_next_pass(void **state)
{
    struct stage *stage = *state;
    run_changed(stage->hot);
    run_serve_changed(&stage->streamer);
    run_changed(stage->cold[0]);
    run_serve_changed(&stage->streamer);
    assert_int_equal(stage->cold[0]->unserved, 0);
    assert_int_equal(stage->hot->unserved, HOT_READERS - 2 * PASS + 1);
}

/* Its own readers take turns as well: who was served goes to the end of the line. */
static void test_readers_of_one_run_take_turns(void **state)
{
    struct stage *stage = *state;
    size_t passes = 0;
    for (run_changed(stage->hot); stage->hot->unserved > 0; passes++) {
        assert_ptr_equal(list_first(&stage->hot->positions),
                         &stage->readers[passes * PASS].at.in_shown);
        run_serve_changed(&stage->streamer);
    }
    assert_int_equal(passes, (HOT_READERS + PASS - 1) / PASS);
    assert_ptr_equal(list_first(&stage->hot->positions), &stage->readers[0].at.in_shown);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_hot_run_holds_up_no_other, begin, end),
        cmocka_unit_test_setup_teardown(test_who_comes_in_between_is_served_in_the_next_pass, begin,
                                        end),
        cmocka_unit_test_setup_teardown(test_readers_of_one_run_take_turns, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
