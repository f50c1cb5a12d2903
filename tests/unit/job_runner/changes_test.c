/* Changes of jobs on their way to a sequencer that refuses whole messages or does not answer; the
 * test plays the sequencer on a bare ROUTER. */
#include "job-runner/changes.h"

#include "job-runner/claim.h"
#include "job-runner/jobs.h"
#include "job-runner/lease.h"
#include "job-runner/report.h"
#include "job-runner/rules.h"
#include "job-runner/runner.h"
#include "proto/child_contract.h"
#include "proto/outcome.h"
#include "runtime/bus.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zmq.h>

enum { PERIOD_MS = 5, CHANGES_MAX = 1000, LIMIT_S = 20 };

struct fixture {
    struct actor actor;
    struct job_runner runner;
    struct event *period;
    struct event *limit;
    void *context;
    void *router;
    char folder[32];
    bool silent;     /* the first message is never answered */
    bool strict;     /* a message with the poisoned change is refused as a whole */
    bool held;       /* nothing is answered yet */
    size_t poisoned; /* number of that change */
    size_t seen;     /* messages, the repeated ones too */
    size_t sizes[CHANGES_MAX];
    size_t told;
    size_t expected;
    size_t next; /* whose outcome must come next, where order counts */
    bool ordered;
    int outcomes[CHANGES_MAX];
    size_t numbers[CHANGES_MAX];
};

static struct fixture *current; /* of the test that runs: outcomes carry their number only */

static void on_outcome(void *arg, const struct change_outcome *outcome)
{
    size_t number = *(const size_t *)arg;
    if (outcome == NULL) {
        return;
    }
    assert_int_equal(current->outcomes[number], -1); /* once */
    current->outcomes[number] = (int)outcome->outcome;
    if (current->ordered) {
        assert_int_equal(number, current->next++);
    }
    if (++current->told == current->expected) {
        event_base_loopbreak(current->actor.base);
    }
}

static struct uuid job_of(size_t number)
{
    struct uuid job = {{0}};
    memcpy(job.bytes, &number, sizeof number);
    job.bytes[15] = 1;
    return job;
}

static size_t number_of(const uint8_t job[16])
{
    size_t number;
    memcpy(&number, job, sizeof number);
    return number;
}

static void send_changes(struct fixture *fixture, size_t count, size_t reason_bytes)
{
    char *reason = calloc(1, reason_bytes + 1);
    memset(reason, 'x', reason_bytes);
    for (size_t i = 0; i < count; i++) {
        fixture->numbers[i] = i;
        fixture->outcomes[i] = -1;
        const struct change change = {.said = {.job = job_of(i),
                                               .what = JOB_FAIL,
                                               .reason = {(const uint8_t *)reason, reason_bytes},
                                               .percent = -1}};
        changes_send(fixture->runner.changes, &change, on_outcome, &fixture->numbers[i]);
    }
    free(reason);
    fixture->expected = count;
}

static void answer(struct fixture *fixture, const char *peer, size_t peer_length, uint64_t request,
                   const struct message_change_jobs *message)
{
    struct message_header header = {.request = request};
    struct message_jobs_result result = {.outcome = OUTCOME_OK};
    struct message_change_jobs_change change;
    struct message_list cursor = message->changes;
    struct msgpack_sbuffer items;
    struct msgpack_sbuffer frame;
    bool poisoned = false;
    msgpack_sbuffer_init(&items);
    msgpack_sbuffer_init(&frame);
    while (message_change_jobs_change_next(&cursor, &change)) {
        struct message_jobs_result_job job = {.outcome = JOB_OUTCOME_OK};
        message_jobs_result_job_encode(&items, &job);
        poisoned |= fixture->strict && number_of(change.job) == fixture->poisoned;
    }
    if (poisoned) {
        result.outcome = OUTCOME_REFUSED;
    } else {
        result.jobs =
            (struct message_list){(const uint8_t *)items.data, items.size, message->changes.count};
    }
    message_jobs_result_encode(&frame, &header, &result);
    zmq_send(fixture->router, peer, peer_length, ZMQ_SNDMORE);
    zmq_send(fixture->router, frame.data, frame.size, 0);
    msgpack_sbuffer_destroy(&items);
    msgpack_sbuffer_destroy(&frame);
}

/* Any sign of life. */
static void nack(struct fixture *fixture, const char *peer, size_t peer_length)
{
    struct message_header header = {0};
    struct message_nack message = {.expected = 1};
    struct msgpack_sbuffer frame;
    msgpack_sbuffer_init(&frame);
    message_nack_encode(&frame, &header, &message);
    zmq_send(fixture->router, peer, peer_length, ZMQ_SNDMORE);
    zmq_send(fixture->router, frame.data, frame.size, 0);
    msgpack_sbuffer_destroy(&frame);
}

static void on_period(evutil_socket_t fd SB_UNUSED, short what SB_UNUSED, void *arg)
{
    static uint8_t frame[4 << 20];
    struct fixture *fixture = arg;
    char peer[64];
    int peer_length;
    while (!fixture->held &&
           (peer_length = zmq_recv(fixture->router, peer, sizeof peer, ZMQ_DONTWAIT)) > 0) {
        int length = zmq_recv(fixture->router, frame, sizeof frame, 0);
        struct message_header header;
        struct message_change_jobs message;
        assert_in_range(length, 1, sizeof frame);
        assert_int_equal(message_peek(frame, (size_t)length, &header), 0);
        if (header.type != MESSAGE_CHANGE_JOBS) {
            continue;
        }
        assert_int_equal(message_change_jobs_decode(frame, (size_t)length, &header, &message), 0);
        assert_in_range(message.changes.count, 1, 256);
        fixture->sizes[fixture->seen++] = message.changes.count;
        if (fixture->silent && header.request == 1) {
            nack(fixture, peer, (size_t)peer_length);
        } else {
            answer(fixture, peer, (size_t)peer_length, header.request, &message);
        }
    }
}

static void on_limit(evutil_socket_t fd SB_UNUSED, short what SB_UNUSED, void *arg SB_UNUSED)
{
    fail_msg("no outcome in time");
}

static void open_runner(struct fixture *fixture)
{
    struct job_runner *runner = &fixture->runner;
    runner->actor = &fixture->actor;
    runner->links.commands = commands_create(&fixture->actor, NULL);
    assert_non_null(runner->links.commands);
    runner->jobs = jobs_create(runner);
    runner->changes = changes_create(runner);
    runner->claim = claim_create(runner);
    runner->lease = lease_create(runner);
    runner->rules = rules_create(runner);
}

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    char endpoint[64];
    snprintf(fixture->folder, sizeof fixture->folder, "/tmp/changes-test-XXXXXX");
    assert_non_null(mkdtemp(fixture->folder));
    fixture->actor.instance = "job-runner-1";
    fixture->actor.generation = 7;
    fixture->actor.origin = 9;
    fixture->actor.base = event_base_new();
    fixture->actor.bus = bus_create(fixture->actor.base, NULL);
    fixture->actor.settings = settings_create();
    assert_int_equal(
        settings_set(fixture->actor.settings, SETTING_INSTANCE_RUN_DIR, fixture->folder, NULL), 0);
    assert_int_equal(settings_set(fixture->actor.settings, SETTING_COMMAND_TIMEOUT_MS, "200", NULL),
                     0);
    fixture->context = zmq_ctx_new();
    fixture->router = zmq_socket(fixture->context, ZMQ_ROUTER);
    snprintf(endpoint, sizeof endpoint, "ipc://%s/%s", fixture->folder, CHILD_SOCKET_COMMANDS);
    assert_int_equal(zmq_bind(fixture->router, endpoint), 0);
    open_runner(fixture);
    fixture->period = event_new(fixture->actor.base, -1, EV_PERSIST, on_period, fixture);
    event_add(fixture->period, &(struct timeval){0, PERIOD_MS * 1000});
    fixture->limit = event_new(fixture->actor.base, -1, 0, on_limit, fixture);
    event_add(fixture->limit, &(struct timeval){LIMIT_S, 0});
    current = fixture;
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    char path[64];
    changes_destroy(&fixture->runner.changes);
    claim_destroy(&fixture->runner.claim);
    lease_destroy(&fixture->runner.lease);
    jobs_destroy(&fixture->runner.jobs);
    rules_destroy(&fixture->runner.rules);
    commands_destroy(&fixture->runner.links.commands);
    bus_destroy(&fixture->actor.bus);
    event_free(fixture->period);
    event_free(fixture->limit);
    event_base_free(fixture->actor.base);
    settings_destroy(&fixture->actor.settings);
    zmq_close(fixture->router);
    zmq_ctx_term(fixture->context);
    snprintf(path, sizeof path, "%s/%s", fixture->folder, CHILD_SOCKET_COMMANDS);
    unlink(path);
    rmdir(fixture->folder);
    free(fixture);
    return 0;
}

static void run(struct fixture *fixture)
{
    event_base_dispatch(fixture->actor.base);
    assert_int_equal(fixture->told, fixture->expected);
    assert_int_equal(changes_pending(fixture->runner.changes), 0);
}

static void changes_of_a_turn_share_messages(void **state)
{
    struct fixture *fixture = *state;
    fixture->ordered = true;
    send_changes(fixture, 600, 10);
    run(fixture);
    assert_int_equal(fixture->seen, 3);
    assert_int_equal(fixture->sizes[0], 256);
    assert_int_equal(fixture->sizes[1], 256);
    assert_int_equal(fixture->sizes[2], 88);
}

static void on_release(evutil_socket_t fd SB_UNUSED, short what SB_UNUSED, void *arg)
{
    struct fixture *fixture = arg;
    fixture->held = false;
    assert_int_equal(commands_in_flight(fixture->runner.links.commands), 2);
}

static void two_messages_are_under_way_at_most(void **state)
{
    struct fixture *fixture = *state;
    struct event *release = event_new(fixture->actor.base, -1, 0, on_release, fixture);
    fixture->held = true;
    event_add(release, &(struct timeval){0, 100000});
    send_changes(fixture, 1000, 1);
    run(fixture);
    event_free(release);
    /* asked again while they were held, perhaps: the first of each count */
    assert_in_range(fixture->seen, 4, 12);
}

static void a_message_has_a_limit_in_bytes_too(void **state)
{
    struct fixture *fixture = *state;
    send_changes(fixture, 100, 60000);
    run(fixture);
    for (size_t i = 0; i < fixture->seen; i++) {
        assert_in_range(fixture->sizes[i], 1, 17);
    }
}

static void one_poisoned_change_holds_nobody_up(void **state)
{
    struct fixture *fixture = *state;
    fixture->strict = true;
    fixture->poisoned = 5;
    send_changes(fixture, 20, 10);
    run(fixture);
    for (size_t i = 0; i < 20; i++) {
        assert_int_equal(fixture->outcomes[i], i == 5 ? JOB_OUTCOME_REFUSED : JOB_OUTCOME_OK);
    }
    assert_int_equal(fixture->sizes[0], 20);
    assert_int_equal(fixture->sizes[1], 1);
}

static void what_is_not_answered_is_said_again(void **state)
{
    struct fixture *fixture = *state;
    fixture->silent = true;
    fixture->ordered = true;
    send_changes(fixture, 3, 10);
    run(fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(changes_of_a_turn_share_messages, setup, teardown),
        cmocka_unit_test_setup_teardown(two_messages_are_under_way_at_most, setup, teardown),
        cmocka_unit_test_setup_teardown(a_message_has_a_limit_in_bytes_too, setup, teardown),
        cmocka_unit_test_setup_teardown(one_poisoned_change_holds_nobody_up, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_not_answered_is_said_again, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
