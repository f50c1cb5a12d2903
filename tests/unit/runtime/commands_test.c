/* Go-back-n to a sequencer that loses answers; the test plays the sequencer on a bare ROUTER. */
#include "runtime/commands.h"

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

enum { PERIOD_MS = 10, COMMANDS = 100 };

struct fixture {
    struct actor actor;
    struct commands *commands;
    struct event *period;
    void *context;
    void *router;
    char folder[32];
    int submitted;
    int done;
    int first_seen; /* how often command 1 has been asked */
    int jobs_granted;
    int jobs_refused;
};

static void on_done(void *arg, enum command_state state, const struct message_result *result)
{
    struct fixture *fixture = arg;
    assert_int_equal(state, COMMAND_DONE);
    assert_non_null(result);
    if (++fixture->done == COMMANDS) {
        event_base_loopbreak(fixture->actor.base);
    }
}

static void submit(struct fixture *fixture)
{
    struct message_create_run message = {.metadata = {(const uint8_t *)"{}", 2},
                                         .started = {(const uint8_t *)"{}", 2}};
    if (commands_create_run(fixture->commands, &message, on_done, fixture) == 0) {
        fixture->submitted++;
    }
}

static void answer(struct fixture *fixture, const char *peer, size_t peer_length, uint64_t number)
{
    struct message_header header = {.request = number};
    struct message_result result = {.outcome = OUTCOME_OK};
    struct msgpack_sbuffer frame;
    msgpack_sbuffer_init(&frame);
    message_result_encode(&frame, &header, &result);
    zmq_send(fixture->router, peer, peer_length, ZMQ_SNDMORE);
    zmq_send(fixture->router, frame.data, frame.size, 0);
    msgpack_sbuffer_destroy(&frame);
}

static void on_jobs(void *arg, enum command_state state, const struct message_jobs_result *result)
{
    struct fixture *fixture = arg;
    assert_int_equal(state, COMMAND_DONE);
    assert_non_null(result);
    if (result->outcome == OUTCOME_OK) {
        assert_int_equal(result->jobs.count, 1);
        fixture->jobs_granted++;
    } else {
        fixture->jobs_refused++;
        event_base_loopbreak(fixture->actor.base);
    }
}

static void submit_jobs(struct fixture *fixture)
{
    struct message_change_jobs message = {.actor = {(const uint8_t *)"test", 4}};
    assert_int_equal(commands_change_jobs(fixture->commands, &message, on_jobs, fixture), 0);
}

/* The first is done, the second was not understood. */
static void answer_jobs(struct fixture *fixture, const char *peer, size_t length, uint64_t number)
{
    struct message_header header = {.request = number};
    struct message_jobs_result_job job = {.attempt = 1};
    struct message_jobs_result result = {.outcome = OUTCOME_OK};
    struct message_result refusal = {.outcome = OUTCOME_REFUSED};
    struct msgpack_sbuffer items;
    struct msgpack_sbuffer frame;
    msgpack_sbuffer_init(&items);
    msgpack_sbuffer_init(&frame);
    message_jobs_result_job_encode(&items, &job);
    result.jobs = (struct message_list){(const uint8_t *)items.data, items.size, 1};
    if (number == 1) {
        message_jobs_result_encode(&frame, &header, &result);
    } else {
        message_result_encode(&frame, &header, &refusal);
    }
    zmq_send(fixture->router, peer, length, ZMQ_SNDMORE);
    zmq_send(fixture->router, frame.data, frame.size, 0);
    msgpack_sbuffer_destroy(&frame);
    msgpack_sbuffer_destroy(&items);
}

/* Answers everything but the first asking of command 1. */
static void serve(struct fixture *fixture)
{
    char peer[64];
    uint8_t frame[1024];
    int peer_length;
    while ((peer_length = zmq_recv(fixture->router, peer, sizeof peer, ZMQ_DONTWAIT)) > 0) {
        int length = zmq_recv(fixture->router, frame, sizeof frame, 0);
        struct message_header header;
        assert_int_equal(message_peek(frame, (size_t)length, &header), 0);
        if (header.type == MESSAGE_CHANGE_JOBS) {
            answer_jobs(fixture, peer, (size_t)peer_length, header.request);
        }
        if (header.type != MESSAGE_CREATE_RUN) {
            continue;
        }
        if (header.request != 1 || ++fixture->first_seen > 1) {
            answer(fixture, peer, (size_t)peer_length, header.request);
        }
    }
}

static void on_period(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct fixture *fixture = arg;
    if (fixture->submitted >= 0 && fixture->submitted < COMMANDS) {
        submit(fixture);
    }
    serve(fixture);
}

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    char endpoint[64];
    snprintf(fixture->folder, sizeof fixture->folder, "/tmp/commands-test-XXXXXX");
    assert_non_null(mkdtemp(fixture->folder));
    fixture->actor.instance = "api-1";
    fixture->actor.generation = 7;
    fixture->actor.origin = 9;
    fixture->actor.base = event_base_new();
    fixture->actor.bus = bus_create(fixture->actor.base, NULL);
    fixture->actor.settings = settings_create();
    assert_int_equal(
        settings_set(fixture->actor.settings, SETTING_INSTANCE_RUN_DIR, fixture->folder, NULL), 0);
    fixture->context = zmq_ctx_new();
    fixture->router = zmq_socket(fixture->context, ZMQ_ROUTER);
    snprintf(endpoint, sizeof endpoint, "ipc://%s/%s", fixture->folder, CHILD_SOCKET_COMMANDS);
    assert_int_equal(zmq_bind(fixture->router, endpoint), 0);
    fixture->commands = commands_create(&fixture->actor, NULL);
    assert_non_null(fixture->commands);
    fixture->period = event_new(fixture->actor.base, -1, EV_PERSIST, on_period, fixture);
    event_add(fixture->period, &(struct timeval){0, PERIOD_MS * 1000});
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    char path[64];
    commands_destroy(&fixture->commands);
    bus_destroy(&fixture->actor.bus);
    event_free(fixture->period);
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

/* Answers to later commands keep coming all the time: they are no reason not to ask for the first
 * one again. */
static void test_a_lost_answer_is_asked_for_while_others_come(void **state)
{
    struct fixture *fixture = *state;
    event_base_loopexit(fixture->actor.base, &(struct timeval){0, COMMANDS * PERIOD_MS * 800});
    event_base_dispatch(fixture->actor.base);
    assert_true(fixture->first_seen >= 2);
    assert_true(fixture->done < COMMANDS); /* and that was long before the last of them */
    event_base_loopexit(fixture->actor.base, &(struct timeval){10, 0});
    event_base_dispatch(fixture->actor.base);
    assert_int_equal(fixture->done, COMMANDS);
    assert_int_equal(commands_in_flight(fixture->commands), 0);
}

/* Each has its own kind of answer; a command that was not understood gets the common one. */
static void test_commands_about_jobs_get_their_own_answers(void **state)
{
    struct fixture *fixture = *state;
    fixture->submitted = -1; /* none of the others */
    submit_jobs(fixture);
    submit_jobs(fixture);
    event_base_loopexit(fixture->actor.base, &(struct timeval){10, 0});
    event_base_dispatch(fixture->actor.base);
    assert_int_equal(fixture->jobs_granted, 1);
    assert_int_equal(fixture->jobs_refused, 1);
    assert_int_equal(commands_in_flight(fixture->commands), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_lost_answer_is_asked_for_while_others_come, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_commands_about_jobs_get_their_own_answers, setup,
                                        teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
