/* Whose a message is, as far as a chat can tell without the table. */
#include "streamer/feed_roles.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define RUN_A "3f0e8a52-6c1d-4c7e-9a53-0c9f3f6c1b11"
#define RUN_B "3f0e8a52-6c1d-4c7e-9a53-0c9f3f6c1b12"

struct fixture {
    struct feed_roles *roles;
};

static int begin(void **state)
{
    static struct fixture fixture;
    const struct feed_key key = {{7}};
    fixture.roles = feed_roles_create(&key);
    feed_roles_restart(fixture.roles, 10);
    *state = &fixture;
    return 0;
}

static int end(void **state)
{
    struct fixture *fixture = *state;
    feed_roles_destroy(&fixture->roles);
    assert_null(fixture->roles);
    return 0;
}

static struct native_event event_of(const char *run, enum event_type type, const char *payload)
{
    return (struct native_event){
        .run_id = run, .number = type, .payload = payload, .payload_length = strlen(payload)};
}

struct step {
    const char *run;
    enum event_type type;
    const char *payload;
    enum feed_verdict verdict;
};

static void check(struct feed_roles *roles, const struct step *steps, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct native_event event = event_of(steps[i].run, steps[i].type, steps[i].payload);
        enum feed_verdict verdict = feed_roles_judge(roles, &event);
        if (verdict != steps[i].verdict) {
            fail_msg("step %zu: %d", i, verdict);
        }
    }
}
#define CHECK(state, steps) \
    check(((struct fixture *)*(state))->roles, steps, sizeof(steps) / sizeof *(steps))

#define STARTED EVENT_TYPE_MESSAGE_STARTED
#define DELTA EVENT_TYPE_MESSAGE_DELTA
#define COMPLETED EVENT_TYPE_MESSAGE_COMPLETED
#define EDITED EVENT_TYPE_MESSAGE_EDITED

static void test_the_role_named_last_counts(void **state)
{
    static const struct step steps[] = {
        {RUN_A, STARTED, "{\"message_id\":\"m\",\"role\":\"assistant\"}", FEED_SHOWS},
        {RUN_A, DELTA, "{\"message_id\":\"m\",\"delta\":\"\"}", FEED_SHOWS},
        {RUN_B, DELTA, "{\"message_id\":\"m\",\"delta\":\"\"}", FEED_DOUBTS},
        {RUN_B, STARTED, "{\"message_id\":\"m\",\"role\":\"user\"}", FEED_HIDES},
        {RUN_B, DELTA, "{\"message_id\":\"m\",\"delta\":\"\"}", FEED_HIDES},
        {RUN_A, COMPLETED, "{\"message_id\":\"m\",\"content\":\"\"}", FEED_SHOWS},
        {RUN_B, COMPLETED, "{\"message_id\":\"m\",\"content\":\"\"}", FEED_HIDES},
        {RUN_A, COMPLETED, "{\"message_id\":\"m\",\"role\":\"system\",\"content\":\"\"}",
         FEED_HIDES},
        {RUN_A, DELTA, "{\"message_id\":\"m\",\"delta\":\"\"}", FEED_HIDES},
        {RUN_A, STARTED, "{\"message_id\":\"m\"}", FEED_SHOWS},
        {RUN_A, STARTED, "{\"message_id\":\"m\",\"role\":null}", FEED_SHOWS},
        {RUN_A, STARTED, "{\"message_id\":\"m\",\"role\":\"Assistant\"}", FEED_HIDES},
        {RUN_A, STARTED, "{\"role\":\"\\u0061ssistant\",\"message_id\":\"\\u006d\"}", FEED_SHOWS},
        {RUN_A, DELTA, "{\"message_id\":\"m\"}", FEED_SHOWS},
    };
    CHECK(state, steps);
}

static void test_what_is_not_known_is_in_doubt(void **state)
{
    static const struct step steps[] = {
        {RUN_A, DELTA, "{\"message_id\":\"x\",\"delta\":\"\"}", FEED_DOUBTS},
        {RUN_A, COMPLETED, "{\"message_id\":\"x\",\"content\":\"\"}", FEED_DOUBTS},
        {RUN_A, EDITED, "{\"message_id\":\"x\",\"content\":\"\"}", FEED_DOUBTS},
        {RUN_A, STARTED, "{\"message_id\":7,\"role\":\"assistant\"}", FEED_DOUBTS},
        {RUN_A, STARTED, "{}", FEED_DOUBTS},
        {RUN_A, COMPLETED, "{\"message_id\":\"x\",\"role\":\"assistant\"}", FEED_SHOWS},
        {RUN_A, EDITED, "{\"message_id\":\"x\",\"content\":\"\"}", FEED_DOUBTS},
        {RUN_A, EVENT_TYPE_CUSTOM, "{\"message_id\":\"x\"}", FEED_HIDES},
    };
    CHECK(state, steps);
}

static void learn(struct feed_roles *roles, enum event_type type, const char *payload, bool shown)
{
    struct native_event event = event_of(RUN_A, type, payload);
    feed_roles_learn(roles, &event, shown);
}

static void test_the_table_teaches_what_is_not_known(void **state)
{
    struct feed_roles *roles = ((struct fixture *)*state)->roles;
    static const struct step live[] = {{RUN_A, STARTED, "{\"message_id\":\"n\"}", FEED_SHOWS}};
    static const struct step after[] = {
        {RUN_A, DELTA, "{\"message_id\":\"a\"}", FEED_SHOWS},
        {RUN_A, DELTA, "{\"message_id\":\"u\"}", FEED_HIDES},
        {RUN_A, DELTA, "{\"message_id\":\"n\"}", FEED_SHOWS},
        {RUN_A, DELTA, "{\"message_id\":\"c\"}", FEED_DOUBTS},
        {RUN_A, DELTA, "{\"message_id\":\"d\"}", FEED_DOUBTS},
    };
    check(roles, live, 1);
    learn(roles, DELTA, "{\"message_id\":\"a\"}", true); /* the last word */
    learn(roles, STARTED, "{\"message_id\":\"a\",\"role\":\"user\"}", false);
    learn(roles, STARTED, "{\"message_id\":\"u\",\"role\":\"user\"}", false);
    learn(roles, STARTED, "{\"message_id\":\"n\",\"role\":\"user\"}",
          false);                                            /* before the live one */
    learn(roles, COMPLETED, "{\"message_id\":\"c\"}", true); /* shown for want of a role */
    learn(roles, DELTA, "{\"message_id\":\"d\"}", false);    /* hidden for want of one */
    check(roles, after, sizeof after / sizeof *after);
    feed_roles_restart(roles, 20);
    assert_int_equal(feed_roles_from(roles), 20);
    struct native_event event = event_of(RUN_A, DELTA, "{\"message_id\":\"a\"}");
    assert_int_equal(feed_roles_judge(roles, &event), FEED_DOUBTS);
}

static void test_there_is_a_bound(void **state)
{
    struct feed_roles *roles = ((struct fixture *)*state)->roles;
    for (int i = 0; i < FEED_ROLES_MAX + 10; i++) {
        char payload[64];
        (void)snprintf(payload, sizeof payload, "{\"message_id\":\"%d\"}", i);
        struct native_event event = event_of(RUN_A, STARTED, payload);
        assert_int_equal(feed_roles_judge(roles, &event),
                         i < FEED_ROLES_MAX ? FEED_SHOWS : FEED_DOUBTS);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_the_role_named_last_counts, begin, end),
        cmocka_unit_test_setup_teardown(test_what_is_not_known_is_in_doubt, begin, end),
        cmocka_unit_test_setup_teardown(test_the_table_teaches_what_is_not_known, begin, end),
        cmocka_unit_test_setup_teardown(test_there_is_a_bound, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
