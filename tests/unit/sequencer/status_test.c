/* The status as a function of the log: every status meets every event. */
#include "sequencer/status.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

enum { NO = -1 };

/* What becomes of each status, in the order of enum run_status, with `open` questions left. */
static const struct {
    enum event_type type;
    unsigned open;
    int next[7];
} table[] = {
    {EVENT_TYPE_RUN_STARTED, 0, {RUN_RUNNING, NO, NO, NO, NO, NO, NO}},
    {EVENT_TYPE_RUN_FINISHED, 0, {NO, RUN_FINISHED, RUN_FINISHED, RUN_FINISHED, NO, NO, NO}},
    {EVENT_TYPE_RUN_FAILED, 1, {NO, RUN_FAILED, RUN_FAILED, RUN_FAILED, NO, NO, NO}},
    {EVENT_TYPE_RUN_CANCELLED,
     0,
     {RUN_CANCELLED, RUN_CANCELLED, RUN_CANCELLED, RUN_CANCELLED, NO, NO, NO}},
    {EVENT_TYPE_RUN_INTERRUPTED,
     0,
     {NO, RUN_INTERRUPTED, RUN_INTERRUPTED, RUN_CANCELLING, NO, NO, NO}},
    {EVENT_TYPE_RUN_RESUMED, 2, {NO, NO, RUN_RUNNING, NO, NO, NO, NO}},
    {EVENT_TYPE_RUN_CANCEL_REQUESTED,
     0,
     {NO, RUN_CANCELLING, RUN_CANCELLING, RUN_CANCELLING, NO, NO, NO}},
    {EVENT_TYPE_CLARIFICATION_NEEDED,
     1,
     {NO, RUN_INTERRUPTED, RUN_INTERRUPTED, RUN_CANCELLING, NO, NO, NO}},
    {EVENT_TYPE_CLARIFICATION_ANSWERED,
     1,
     {NO, RUN_RUNNING, RUN_INTERRUPTED, RUN_CANCELLING, NO, NO, NO}},
    {EVENT_TYPE_CLARIFICATION_ANSWERED,
     0,
     {NO, RUN_RUNNING, RUN_RUNNING, RUN_CANCELLING, NO, NO, NO}},
    {EVENT_TYPE_CUSTOM, 0, {NO, RUN_RUNNING, RUN_INTERRUPTED, RUN_CANCELLING, NO, NO, NO}},
};

static void test_every_status_meets_every_event(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        for (int from = RUN_PENDING; from <= RUN_CANCELLED; from++) {
            enum run_status next = (enum run_status)from;
            bool follows = status_next((enum run_status)from, table[i].type, table[i].open, &next);
            assert_int_equal(follows, table[i].next[from] != NO);
            assert_int_equal(next, follows ? table[i].next[from] : from);
        }
    }
}

static void test_endings_close(void **state)
{
    (void)state;
    for (int status = RUN_PENDING; status <= RUN_CANCELLED; status++) {
        assert_int_equal(status_is_closed((enum run_status)status), status >= RUN_FINISHED);
    }
}

static void test_only_what_moves_a_run_that_goes_on_is_lifecycle(void **state)
{
    (void)state;
    unsigned count = 0;
    for (int type = 1; type <= EVENT_TYPE_MAX; type++) {
        count += status_is_lifecycle((enum event_type)type) ? 1 : 0;
        enum run_status next = RUN_RUNNING;
        bool follows = status_next(RUN_RUNNING, (enum event_type)type, 1, &next);
        if (follows && next != RUN_RUNNING && !event_type_is_terminal((enum event_type)type)) {
            assert_true(status_is_lifecycle((enum event_type)type));
        }
    }
    assert_int_equal(count, 5);
}

static void test_names_of_the_database(void **state)
{
    (void)state;
    static const char *const names[] = {"pending",  "running", "interrupted", "cancelling",
                                        "finished", "failed",  "cancelled"};
    enum run_status status;
    for (size_t i = 0; i < 7; i++) {
        assert_int_equal(status_find(names[i], strlen(names[i]), &status), 0);
        assert_int_equal(status, i);
    }
    assert_int_equal(status_find("cancel", 6, &status), -1);
    assert_int_equal(status_find("", 0, &status), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_status_meets_every_event),
        cmocka_unit_test(test_endings_close),
        cmocka_unit_test(test_only_what_moves_a_run_that_goes_on_is_lifecycle),
        cmocka_unit_test(test_names_of_the_database),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
