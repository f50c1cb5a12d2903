/* Records between supervisor and child: what is sent arrives whole, and what is not ours is dropped. R131 */
#include "supervisor/record.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

enum { GENERATION = 7 };

static int pair_open(void **state)
{
    static int ends[2];
    *state = ends;
    return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends);
}

static int pair_close(void **state)
{
    int *ends = *state;
    close(ends[0]);
    close(ends[1]);
    return 0;
}

static void every_type_and_value_travels(void **state)
{
    int *ends = *state;
    struct error err;
    struct child_record got;
    const enum child_record_type types[] = {CHILD_READY,   CHILD_BEAT,  CHILD_STOPPING,
                                            CHILD_DRAINED, CHILD_FATAL, CHILD_DRAIN,
                                            CHILD_RELOAD,  CHILD_DUMP,  CHILD_GO};
    const int64_t values[] = {0, 1, -1, INT64_MAX, INT64_MIN};
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        for (size_t j = 0; j < sizeof values / sizeof values[0]; j++) {
            assert_int_equal(record_send(ends[0], GENERATION, types[i], values[j], -1, &err), 0);
            assert_int_equal(record_receive(ends[1], GENERATION, &got), RECORD_TAKEN);
            assert_int_equal(got.type, types[i]);
            assert_true(got.value == values[j]);
            assert_int_equal(got.generation, GENERATION);
        }
    }
    assert_int_equal(record_receive(ends[1], GENERATION, &got), RECORD_NONE);
}

/* A beat as an actor sends it: every field comes back as it was. */
static void a_beat_travels_field_by_field(void **state)
{
    int *ends = *state;
    struct child_record got;
    const struct child_record sent = {.version = CHILD_RECORD_VERSION,
                                      .type = CHILD_BEAT,
                                      .generation = UINT64_MAX,
                                      .value = -5,
                                      .healthy = 1,
                                      .tick = UINT64_MAX - 1,
                                      .delay_us = 3,
                                      .queued = 4,
                                      .in_flight = UINT64_MAX / 2};
    assert_int_equal(send(ends[0], &sent, sizeof sent, 0), sizeof sent);
    assert_int_equal(record_receive(ends[1], UINT64_MAX, &got), RECORD_TAKEN);
    assert_memory_equal(&got, &sent, sizeof sent);
}

static void a_descriptor_travels_along(void **state)
{
    int *ends = *state;
    struct error err;
    struct child_record got;
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int))];
    } ancillary;
    struct iovec part = {&got, sizeof got};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = &ancillary,
                             .msg_controllen = sizeof ancillary};
    struct stat mine;
    struct stat theirs;
    int fd = -1;
    FILE *file = tmpfile();
    assert_non_null(file);
    assert_int_equal(record_send(ends[0], GENERATION, CHILD_RELOAD, 0, fileno(file), &err), 0);
    assert_int_equal(recvmsg(ends[1], &message, 0), sizeof got);
    assert_non_null(CMSG_FIRSTHDR(&message));
    memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof fd);
    assert_int_equal(fstat(fileno(file), &mine), 0);
    assert_int_equal(fstat(fd, &theirs), 0);
    assert_true(mine.st_ino == theirs.st_ino && mine.st_dev == theirs.st_dev);
    close(fd);
    fclose(file);
}

static void what_is_not_ours_is_dropped(void **state)
{
    int *ends = *state;
    struct child_record got;
    struct child_record other = {.version = CHILD_RECORD_VERSION, .type = CHILD_BEAT};
    char longer[sizeof other + 1] = {0};
    other.generation = GENERATION + 1;
    assert_int_equal(send(ends[0], &other, sizeof other, 0), sizeof other);
    assert_int_equal(record_receive(ends[1], GENERATION, &got), RECORD_FOREIGN);
    other.generation = GENERATION;
    other.version = CHILD_RECORD_VERSION + 1;
    assert_int_equal(send(ends[0], &other, sizeof other, 0), sizeof other);
    assert_int_equal(record_receive(ends[1], GENERATION, &got), RECORD_FOREIGN);
    other.version = CHILD_RECORD_VERSION;
    memcpy(longer, &other, sizeof other);
    assert_int_equal(send(ends[0], longer, sizeof longer, 0), sizeof longer);
    assert_int_equal(record_receive(ends[1], GENERATION, &got), RECORD_FOREIGN);
    assert_int_equal(send(ends[0], &other, sizeof other - 1, 0), sizeof other - 1);
    assert_int_equal(record_receive(ends[1], GENERATION, &got), RECORD_FOREIGN);
    assert_int_equal(send(ends[0], &other, sizeof other, 0), sizeof other);
    assert_int_equal(record_receive(ends[1], GENERATION, &got), RECORD_TAKEN);
}

static void the_end_is_seen(void **state)
{
    int *ends = *state;
    struct error err;
    struct child_record got;
    assert_int_equal(shutdown(ends[0], SHUT_RDWR), 0);
    assert_int_equal(record_receive(ends[1], GENERATION, &got), RECORD_CLOSED);
    assert_int_equal(record_send(ends[1], GENERATION, CHILD_GO, 0, -1, &err), -1);
    assert_int_equal(record_send(-1, GENERATION, CHILD_GO, 0, -1, &err), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_type_and_value_travels, pair_open, pair_close),
        cmocka_unit_test_setup_teardown(a_beat_travels_field_by_field, pair_open, pair_close),
        cmocka_unit_test_setup_teardown(a_descriptor_travels_along, pair_open, pair_close),
        cmocka_unit_test_setup_teardown(what_is_not_ours_is_dropped, pair_open, pair_close),
        cmocka_unit_test_setup_teardown(the_end_is_seen, pair_open, pair_close),
    };
    return cmocka_run_group_tests_name("record", tests, NULL, NULL);
}
