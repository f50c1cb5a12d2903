/* Questions to two job-runners that answer as the test says; the test plays both, and the sequencer
 * that is told of claims nobody took. */
#include "api/runners.h"

#include "api/surplus.h"
#include "proto/child_contract.h"
#include "proto/job.h"
#include "proto/outcome.h"
#include "runtime/base/clock.h"
#include "runtime/bus.h"
#include "runtime/commands.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zmq.h>

enum { SEQUENCER, FIRST, SECOND, ROUTERS, PATIENCE_MS = 10000 };

/* What came last on a ROUTER, and how many of each kind. */
struct heard {
    void *router;
    char peer[64];
    size_t peer_length;
    int wants;
    int forgets;
    int beats;
    int released;
    bool refuses;     /* CHANGE_JOBS, as a whole */
    uint64_t request; /* of the last want or beat */
    uint64_t wait_ms;
    uint8_t token[16]; /* of the last job that was released */
};

struct fixture {
    struct actor actor;
    struct commands *commands;
    struct surplus *surplus;
    struct runners *runners;
    void *context;
    char folder[32];
    struct heard heard[ROUTERS];
    int ended; /* calls */
    enum runners_end end;
    uint8_t given; /* first byte of the token of the job that was given */
    int beaten;
    uint64_t state; /* of the last beat; 0: nobody knows */
};

static void path_of(const struct fixture *fixture, int router, char path[64])
{
    char file[32];
    if (router == SEQUENCER) {
        snprintf(path, 64, "%s/%s", fixture->folder, CHILD_SOCKET_COMMANDS);
        return;
    }
    snprintf(file, sizeof file, CHILD_SOCKET_JOBS, (unsigned)router);
    snprintf(path, 64, "%s/%s", fixture->folder, file);
}

static void open_router(struct fixture *fixture, int router)
{
    char path[64];
    char endpoint[80];
    int linger = 0;
    path_of(fixture, router, path);
    snprintf(endpoint, sizeof endpoint, "ipc://%s", path);
    fixture->heard[router].router = zmq_socket(fixture->context, ZMQ_ROUTER);
    zmq_setsockopt(fixture->heard[router].router, ZMQ_LINGER, &linger, sizeof linger);
    assert_int_equal(zmq_bind(fixture->heard[router].router, endpoint), 0);
}

static void close_router(struct fixture *fixture, int router)
{
    char path[64];
    zmq_close(fixture->heard[router].router);
    fixture->heard[router].router = NULL;
    path_of(fixture, router, path);
    unlink(path);
}

static void send_frame(const struct heard *heard, const struct msgpack_sbuffer *frame)
{
    zmq_send(heard->router, heard->peer, heard->peer_length, ZMQ_SNDMORE);
    zmq_send(heard->router, frame->data, frame->size, 0);
}

/* One job, whose token begins with that byte; 0: none. */
static void give(struct fixture *fixture, int router, uint64_t request, uint8_t token,
                 bool elsewhere)
{
    struct message_header header = {.request = request};
    struct message_job_given_job job = {.job = {1}, .token = {token}, .attempt = 1};
    struct msgpack_sbuffer jobs;
    struct msgpack_sbuffer frame;
    msgpack_sbuffer_init(&jobs);
    msgpack_sbuffer_init(&frame);
    if (token != 0) {
        message_job_given_job_encode(&jobs, &job);
    }
    struct message_job_given given = {.elsewhere = elsewhere,
                                      .jobs = {(const uint8_t *)jobs.data, jobs.size, token != 0}};
    message_job_given_encode(&frame, &header, &given);
    send_frame(&fixture->heard[router], &frame);
    msgpack_sbuffer_destroy(&jobs);
    msgpack_sbuffer_destroy(&frame);
}

static void tell_beaten(struct fixture *fixture, int router, enum job_beat state)
{
    struct message_header header = {.request = fixture->heard[router].request};
    struct message_job_beaten beaten = {.state = (uint64_t)state, .lease_ms = 1};
    struct msgpack_sbuffer frame;
    msgpack_sbuffer_init(&frame);
    message_job_beaten_encode(&frame, &header, &beaten);
    send_frame(&fixture->heard[router], &frame);
    msgpack_sbuffer_destroy(&frame);
}

static void take_changes(struct heard *heard, uint64_t request,
                         const struct message_change_jobs *message)
{
    struct message_list cursor = message->changes;
    struct message_change_jobs_change change;
    struct message_header header = {.request = request};
    struct message_jobs_result result = {.outcome = heard->refuses ? OUTCOME_REFUSED : OUTCOME_OK};
    struct msgpack_sbuffer frame;
    while (message_change_jobs_change_next(&cursor, &change)) {
        assert_int_equal(change.what, JOB_RELEASE);
        memcpy(heard->token, change.token, sizeof heard->token);
        heard->released++;
    }
    msgpack_sbuffer_init(&frame);
    message_jobs_result_encode(&frame, &header, &result);
    send_frame(heard, &frame);
    msgpack_sbuffer_destroy(&frame);
}

static void take(struct heard *heard, const uint8_t *frame, size_t length)
{
    struct message_header header;
    struct message_job_want want;
    struct message_change_jobs changes;
    assert_int_equal(message_peek(frame, length, &header), 0);
    if (message_job_want_decode(frame, length, &header, &want) == 0) {
        heard->wants++;
        heard->request = header.request;
        heard->wait_ms = want.wait_ms;
        assert_int_equal(want.worker.length, 2);
        assert_memory_equal(want.worker.data, "w1", 2);
        assert_int_equal(want.queues.count, 1);
    } else if (header.type == MESSAGE_JOB_FORGET) {
        heard->forgets++;
    } else if (header.type == MESSAGE_JOB_BEAT) {
        heard->beats++;
        heard->request = header.request;
    } else if (message_change_jobs_decode(frame, length, &header, &changes) == 0) {
        take_changes(heard, header.request, &changes);
    }
}

static void listen_to(struct heard *heard)
{
    uint8_t frame[4096];
    int length;
    while (heard->router != NULL &&
           (length = zmq_recv(heard->router, heard->peer, sizeof heard->peer, ZMQ_DONTWAIT)) > 0) {
        heard->peer_length = (size_t)length;
        length = zmq_recv(heard->router, frame, sizeof frame, 0);
        take(heard, frame, (size_t)length);
    }
}

static void turn(struct fixture *fixture)
{
    event_base_loop(fixture->actor.base, EVLOOP_NONBLOCK);
    for (int i = 0; i < ROUTERS; i++) {
        listen_to(&fixture->heard[i]);
    }
    (void)poll(NULL, 0, 1);
}

#define UNTIL(what)                                          \
    do {                                                     \
        int64_t end_ms = clock_monotonic_ms() + PATIENCE_MS; \
        while (!(what)) {                                    \
            assert_true(clock_monotonic_ms() < end_ms);      \
            turn(fixture);                                   \
        }                                                    \
    } while (0)

static void on_given(void *arg, enum runners_end end, const struct message_job_given *given)
{
    struct fixture *fixture = arg;
    struct message_job_given_job job;
    fixture->ended++;
    fixture->end = end;
    if (given != NULL) {
        struct message_list cursor = given->jobs;
        assert_true(message_job_given_job_next(&cursor, &job));
        fixture->given = job.token[0];
    }
}

static void on_beaten(void *arg, const struct message_job_beaten *beaten)
{
    struct fixture *fixture = arg;
    fixture->beaten++;
    fixture->state = beaten == NULL ? 0 : beaten->state;
}

static struct runners_call *want(struct fixture *fixture, uint64_t wait_ms)
{
    struct message_job_want_queue queue = {.name = {(const uint8_t *)"default", 7}};
    char worker[] = "w1";
    struct msgpack_sbuffer queues;
    msgpack_sbuffer_init(&queues);
    message_job_want_queue_encode(&queues, &queue);
    struct message_job_want message = {
        .tenant = {7},
        .worker = {(const uint8_t *)worker, 2},
        .max = 1,
        .lease_ms = 1000,
        .wait_ms = wait_ms,
        .queues = {(const uint8_t *)queues.data, queues.size, 1},
    };
    struct runners_call *call = runners_want(fixture->runners, &message, on_given, fixture);
    memset(queues.data, 0, queues.size); /* it keeps a copy */
    memset(worker, 0, sizeof worker);
    msgpack_sbuffer_destroy(&queues);
    return call;
}

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    snprintf(fixture->folder, sizeof fixture->folder, "/tmp/runners-test-XXXXXX");
    assert_non_null(mkdtemp(fixture->folder));
    fixture->actor.instance = "api-1";
    fixture->actor.generation = 7;
    fixture->actor.origin = 9;
    fixture->actor.base = event_base_new();
    fixture->actor.bus = bus_create(fixture->actor.base, NULL);
    fixture->actor.settings = settings_create();
    assert_int_equal(
        settings_set(fixture->actor.settings, SETTING_INSTANCE_RUN_DIR, fixture->folder, NULL), 0);
    assert_int_equal(settings_set(fixture->actor.settings, SETTING_JOB_RUNNER_COUNT, "2", NULL), 0);
    fixture->context = zmq_ctx_new();
    for (int i = 0; i < ROUTERS; i++) {
        open_router(fixture, i);
    }
    fixture->commands = commands_create(&fixture->actor, NULL);
    fixture->surplus = surplus_create(&fixture->actor, fixture->commands);
    fixture->runners = runners_create(&fixture->actor, fixture->surplus, NULL);
    assert_non_null(fixture->runners);
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    runners_destroy(&fixture->runners);
    surplus_destroy(&fixture->surplus);
    commands_destroy(&fixture->commands);
    bus_destroy(&fixture->actor.bus);
    event_base_free(fixture->actor.base);
    settings_destroy(&fixture->actor.settings);
    for (int i = 0; i < ROUTERS; i++) {
        close_router(fixture, i);
    }
    zmq_ctx_term(fixture->context);
    rmdir(fixture->folder);
    free(fixture);
    return 0;
}

/* Both have been asked. */
static void asked(struct fixture *fixture, int times)
{
    UNTIL(fixture->heard[FIRST].wants >= times && fixture->heard[SECOND].wants >= times);
}

static void test_the_first_jobs_win_and_others_go_back(void **state)
{
    struct fixture *fixture = *state;
    (void)want(fixture, 60000);
    asked(fixture, 1);
    uint64_t request = fixture->heard[FIRST].request;
    give(fixture, FIRST, request, 0x11, false);
    UNTIL(fixture->ended == 1);
    assert_int_equal(fixture->end, RUNNERS_GIVEN);
    assert_int_equal(fixture->given, 0x11);
    UNTIL(fixture->heard[SECOND].forgets == 1);
    assert_int_equal(fixture->heard[FIRST].forgets, 0);
    give(fixture, SECOND, request, 0x22, false);
    UNTIL(fixture->heard[SEQUENCER].released == 1);
    assert_int_equal(fixture->heard[SEQUENCER].token[0], 0x22);
    UNTIL(surplus_count(fixture->surplus) == 0);
    assert_int_equal(fixture->ended, 1);
    assert_int_equal(runners_waiting(fixture->runners), 0);
}

static void test_nothing_from_everybody_is_nothing(void **state)
{
    struct fixture *fixture = *state;
    (void)want(fixture, 60000);
    asked(fixture, 1);
    give(fixture, FIRST, fixture->heard[FIRST].request, 0, true);
    for (int i = 0; i < 20; i++) {
        turn(fixture);
    }
    assert_int_equal(fixture->ended, 0); /* the other one still waits for a job */
    give(fixture, SECOND, fixture->heard[SECOND].request, 0, false);
    UNTIL(fixture->ended == 1);
    assert_int_equal(fixture->end, RUNNERS_NOTHING);
}

static void test_elsewhere_from_everybody_waits_to_the_end(void **state)
{
    struct fixture *fixture = *state;
    int64_t begin_ms = clock_monotonic_ms();
    (void)want(fixture, 300);
    asked(fixture, 1);
    give(fixture, FIRST, fixture->heard[FIRST].request, 0, true);
    give(fixture, SECOND, fixture->heard[SECOND].request, 0, true);
    UNTIL(fixture->ended == 1);
    assert_true(clock_monotonic_ms() - begin_ms >= 300);
    assert_int_equal(fixture->end, RUNNERS_NOTHING);
    (void)want(fixture, 0);
    asked(fixture, 2);
    give(fixture, FIRST, fixture->heard[FIRST].request, 0, true);
    give(fixture, SECOND, fixture->heard[SECOND].request, 0, true);
    UNTIL(fixture->ended == 2);
    assert_int_equal(fixture->end, RUNNERS_NOTHING);
}

static void test_who_has_gone_is_forgotten_and_his_jobs_go_back(void **state)
{
    struct fixture *fixture = *state;
    struct runners_call *call = want(fixture, 60000);
    asked(fixture, 1);
    assert_int_equal(runners_waiting(fixture->runners), 1);
    runners_forget(&call);
    assert_null(call);
    UNTIL(fixture->heard[FIRST].forgets == 1 && fixture->heard[SECOND].forgets == 1);
    give(fixture, FIRST, fixture->heard[FIRST].request, 0x33, false);
    UNTIL(fixture->heard[SEQUENCER].released == 1);
    assert_int_equal(fixture->ended, 0);
}

/* They end by their leases; what comes behind them is given back as ever. */
static void test_what_is_refused_as_a_whole_is_not_said_again(void **state)
{
    struct fixture *fixture = *state;
    struct heard *sequencer = &fixture->heard[SEQUENCER];
    struct runners_call *call = want(fixture, 60000);
    asked(fixture, 1);
    runners_forget(&call);
    UNTIL(fixture->heard[FIRST].forgets == 1 && fixture->heard[SECOND].forgets == 1);
    sequencer->refuses = true;
    give(fixture, FIRST, fixture->heard[FIRST].request, 0x33, false);
    UNTIL(sequencer->released == 1);
    UNTIL(surplus_count(fixture->surplus) == 0);
    sequencer->refuses = false;
    give(fixture, FIRST, fixture->heard[FIRST].request, 0x44, false);
    UNTIL(sequencer->released == 2);
    assert_int_equal(sequencer->token[0], 0x44);
    UNTIL(surplus_count(fixture->surplus) == 0);
    assert_int_equal(sequencer->released, 2);
}

static void test_one_that_comes_back_is_asked_again(void **state)
{
    struct fixture *fixture = *state;
    (void)want(fixture, 60000);
    asked(fixture, 1);
    uint64_t request = fixture->heard[FIRST].request;
    close_router(fixture, FIRST);
    for (int i = 0; i < 20; i++) {
        turn(fixture);
    }
    open_router(fixture, FIRST);
    UNTIL(fixture->heard[FIRST].wants == 2);
    assert_int_equal(fixture->heard[FIRST].request, request);
    assert_int_equal(fixture->heard[SECOND].wants, 1);
    assert_true(fixture->heard[FIRST].wait_ms <= 60000 && fixture->heard[FIRST].wait_ms > 50000);
    give(fixture, FIRST, request, 0x44, false);
    UNTIL(fixture->ended == 1);
    assert_int_equal(fixture->given, 0x44);
}

static void test_nobody_there_is_said_to_be_so(void **state)
{
    struct fixture *fixture = *state;
    close_router(fixture, FIRST);
    close_router(fixture, SECOND);
    (void)want(fixture, 60000);
    UNTIL(fixture->ended == 1);
    assert_int_equal(fixture->end, RUNNERS_UNREACHABLE);
    open_router(fixture, FIRST);
    open_router(fixture, SECOND);
}

static void test_draining_ends_waits_with_what_there_is(void **state)
{
    struct fixture *fixture = *state;
    (void)want(fixture, 60000);
    asked(fixture, 1);
    runners_end_waits(fixture->runners);
    asked(fixture, 2);
    assert_int_equal(fixture->heard[FIRST].wait_ms, 0);
    give(fixture, FIRST, fixture->heard[FIRST].request, 0, false);
    give(fixture, SECOND, fixture->heard[SECOND].request, 0, true);
    UNTIL(fixture->ended == 1);
    assert_int_equal(fixture->end, RUNNERS_NOTHING);
    (void)want(fixture, 60000);
    UNTIL(fixture->ended == 2);
    assert_int_equal(fixture->end, RUNNERS_NOTHING);
    assert_int_equal(fixture->heard[FIRST].wants, 2);
}

static void test_a_beat_is_answered_by_who_knows_the_job(void **state)
{
    struct fixture *fixture = *state;
    struct message_job_beat beat = {.percent = -1};
    runners_beat(fixture->runners, &beat, on_beaten, fixture);
    UNTIL(fixture->heard[FIRST].beats >= 1 && fixture->heard[SECOND].beats >= 1);
    tell_beaten(fixture, FIRST, JOB_BEAT_ELSEWHERE);
    tell_beaten(fixture, SECOND, JOB_BEAT_ALIVE);
    UNTIL(fixture->beaten == 1);
    assert_int_equal(fixture->state, JOB_BEAT_ALIVE);
    int beats = fixture->heard[SECOND].beats;
    runners_beat(fixture->runners, &beat, on_beaten, fixture);
    UNTIL(fixture->heard[SECOND].beats > beats);
    UNTIL(fixture->heard[FIRST].request == fixture->heard[SECOND].request);
    tell_beaten(fixture, FIRST, JOB_BEAT_ELSEWHERE);
    tell_beaten(fixture, SECOND, JOB_BEAT_ELSEWHERE);
    UNTIL(fixture->beaten == 2);
    assert_int_equal(fixture->state, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_the_first_jobs_win_and_others_go_back, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_nothing_from_everybody_is_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(test_elsewhere_from_everybody_waits_to_the_end, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_who_has_gone_is_forgotten_and_his_jobs_go_back, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_what_is_refused_as_a_whole_is_not_said_again, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_one_that_comes_back_is_asked_again, setup, teardown),
        cmocka_unit_test_setup_teardown(test_nobody_there_is_said_to_be_so, setup, teardown),
        cmocka_unit_test_setup_teardown(test_draining_ends_waits_with_what_there_is, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_a_beat_is_answered_by_who_knows_the_job, setup,
                                        teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
