/* The supervisor's memory on the disk: the generation goes on where it was, and nonsense is refused. R131 */
#include "supervisor/state.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[] = "/tmp/state-test-XXXXXX";

static void path_in(const char *name, char *out, size_t size)
{
    snprintf(out, size, "%s/%s", folder, name);
}

static void write_generation(const char *text)
{
    char path[128];
    path_in("generation", path, sizeof path);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    assert_int_equal(fclose(file), 0);
}

static void generations_go_on_after_a_restart(void **unused)
{
    (void)unused;
    struct state state;
    struct error err;
    uint64_t last = 0;
    for (int life = 0; life < 3; life++) {
        assert_int_equal(state_open(&state, folder, &err), 0);
        assert_true(state.generation == last);
        for (int i = 0; i < 40; i++) {
            uint64_t next = state_next_generation(&state);
            assert_true(next == last + 1);
            last = next;
        }
        state_close(&state);
    }
    assert_true(last == 120);
}

static void a_wide_number_comes_back(void **unused)
{
    (void)unused;
    struct state state;
    struct error err;
    write_generation("999999999999\n");
    assert_int_equal(state_open(&state, folder, &err), 0);
    assert_true(state_next_generation(&state) == UINT64_C(1000000000000));
    state_close(&state);
    assert_int_equal(state_open(&state, folder, &err), 0);
    assert_true(state.generation == UINT64_C(1000000000000));
    state_close(&state);
}

static void what_is_no_number_is_refused(void **unused)
{
    (void)unused;
    static const char *const texts[] = {"x\n", "12", "1 2\n", "-1\n", "\n"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct state state;
        struct error err;
        write_generation(texts[i]);
        assert_int_equal(state_open(&state, folder, &err), -1);
        assert_non_null(strstr(err.text, "generation"));
        state_close(&state);
    }
    write_generation("");
}

static void two_supervisors_exclude_each_other(void **unused)
{
    (void)unused;
    struct state first;
    struct state second;
    struct error err;
    assert_int_equal(state_open(&first, folder, &err), 0);
    assert_int_equal(state_open(&second, folder, &err), -1);
    state_close(&second);
    state_close(&first);
    assert_int_equal(state_open(&second, folder, &err), 0);
    state_close(&second);
}

/* Our own start time is what a list of children would hold. */
static void a_process_is_known_by_its_start(void **unused)
{
    (void)unused;
    uid_t uid;
    assert_true(state_start_time(getpid()) > 0);
    assert_true(state_start_time(getpid()) == state_start_time(getpid()));
    assert_true(state_start_time(0x3fffffff) == -1);
    assert_int_equal(state_process_uid(getpid(), &uid), 0);
    assert_int_equal(uid, getuid());
}

static int make_folder(void **unused)
{
    (void)unused;
    return mkdtemp(folder) == NULL ? -1 : 0;
}

static int remove_folder(void **unused)
{
    (void)unused;
    static const char *const names[] = {"generation", "lock", "children"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char path[128];
        path_in(names[i], path, sizeof path);
        unlink(path);
    }
    rmdir(folder);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(generations_go_on_after_a_restart),
        cmocka_unit_test(a_wide_number_comes_back),
        cmocka_unit_test(what_is_no_number_is_refused),
        cmocka_unit_test(two_supervisors_exclude_each_other),
        cmocka_unit_test(a_process_is_known_by_its_start),
    };
    return cmocka_run_group_tests_name("state", tests, make_folder, remove_folder);
}
