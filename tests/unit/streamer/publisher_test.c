/* Which frames of the event bus tell of a loss. I5: also the loss of the last frame shows. */
#include "streamer/publisher.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum kind { EVENTS, BEAT, FORGET };

static const struct step {
    const char *what;
    enum kind kind;
    uint64_t epoch;
    uint64_t counter;
    bool lost;
} steps[] = {
    {"the first frame is a beginning", BEAT, 3, 0, true},
    {"a beat with the same counter", BEAT, 3, 0, false},
    {"the first events", EVENTS, 3, 1, false},
    {"the next", EVENTS, 3, 2, false},
    {"a beat behind them", BEAT, 3, 2, false},
    {"a frame was lost", EVENTS, 3, 4, true},
    {"going on", EVENTS, 3, 5, false},
    {"the last frame was lost", BEAT, 3, 6, true},
    {"going on", BEAT, 3, 6, false},
    {"a new sequencer", BEAT, 4, 0, true},
    {"its first events", EVENTS, 4, 1, false},
    {"a frame of the old one says nothing", EVENTS, 3, 90, false},
    {"nor its beat", BEAT, 3, 90, false},
    {"the new one goes on", EVENTS, 4, 2, false},
    {"a new one heard by its events first", EVENTS, 5, 9, true},
    {"going on", EVENTS, 5, 10, false},
    {"disconnected", FORGET, 0, 0, false},
    {"the same one after it", BEAT, 5, 10, true},
    {"going on", EVENTS, 5, 11, false},
    {"the same frame twice", EVENTS, 5, 11, true},
};

static void test_steps(void **state)
{
    (void)state;
    struct publisher publisher = {0};
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        bool lost = false;
        switch (steps[i].kind) {
        case EVENTS:
            lost = publisher_events(&publisher, steps[i].epoch, steps[i].counter, 1);
            break;
        case BEAT:
            lost = publisher_beat(&publisher, steps[i].epoch, steps[i].counter, 1);
            break;
        case FORGET:
            publisher_forget(&publisher);
            break;
        }
        if (lost != steps[i].lost) {
            fail_msg("%s: %d", steps[i].what, lost);
        }
    }
}

static void test_silence(void **state)
{
    (void)state;
    struct publisher publisher = {.heard_ms = 100};
    assert_false(publisher_silent(&publisher, 1000, 1099));
    assert_true(publisher_silent(&publisher, 1000, 1100));
    assert_false(publisher_silent(&publisher, 1000, 1101));
    assert_true(publisher_silent(&publisher, 1000, 2100));
    publisher_beat(&publisher, 1, 0, 2500);
    assert_false(publisher_silent(&publisher, 1000, 3499));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_steps),
                                       cmocka_unit_test(test_silence)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
