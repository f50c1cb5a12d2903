/* DIR/location: what `up` writes is what every other command reads. R131 */
#include "ops/cli/location.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[] = "/tmp/location-test-XXXXXX";

static struct location made(const char *run_dir, const char *data_dir, const char *config_file)
{
    struct location location = {0};
    snprintf(location.dir, sizeof location.dir, "%s", folder);
    snprintf(location.run_dir, sizeof location.run_dir, "%s", run_dir);
    snprintf(location.data_dir, sizeof location.data_dir, "%s", data_dir);
    snprintf(location.config_file, sizeof location.config_file, "%s", config_file);
    return location;
}

static void path_of(char *out, size_t size)
{
    snprintf(out, size, "%s/location", folder);
}

static void what_is_written_is_read(void **state)
{
    (void)state;
    char longest[LIMIT_SOCKET_PATH_BYTES + 1];
    memset(longest, 'r', sizeof longest);
    longest[0] = '/';
    longest[sizeof longest - 1] = '\0';
    const struct location all[] = {
        made("/run/x", "/var/lib/x", ""),
        made("/run/a b", "/var/lib/k=v", "/etc/signal box/a=b#c.conf"),
        made("/r\xc3\xbcn", "/d/\xe6\x97\xa5", "/\x01\x7f"),
        made(longest, "/", "/x"),
    };
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        struct location read;
        struct error err;
        assert_int_equal(location_write(&all[i], &err), 0);
        assert_int_equal(location_read(folder, &read, &err), LOCATION_FOUND);
        assert_string_equal(read.run_dir, all[i].run_dir);
        assert_string_equal(read.data_dir, all[i].data_dir);
        assert_string_equal(read.config_file, all[i].config_file);
        assert_string_equal(read.dir, folder);
    }
}

static void write_text(const char *text)
{
    char path[128];
    path_of(path, sizeof path);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    assert_int_equal(fclose(file), 0);
}

static void what_is_damaged_is_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {"", "run_dir=/r\n", "data_dir=/d\n", "nonsense\n",
                                        "run_dir=r\ndata_dir=/d\n"};
    struct location read;
    struct error err;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        write_text(texts[i]);
        assert_int_equal(location_read(folder, &read, &err), LOCATION_FAILED);
    }
    write_text("later=1\nrun_dir=/r\ndata_dir=/d\n"); /* of a newer program */
    assert_int_equal(location_read(folder, &read, &err), LOCATION_FOUND);
}

static void none_is_absent(void **state)
{
    (void)state;
    char path[128];
    struct location read;
    struct error err;
    path_of(path, sizeof path);
    unlink(path);
    assert_int_equal(location_read(folder, &read, &err), LOCATION_ABSENT);
    assert_int_equal(location_read("/nowhere/at/all", &read, &err), LOCATION_ABSENT);
}

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) == NULL ? -1 : 0;
}

static int remove_folder(void **state)
{
    (void)state;
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(what_is_damaged_is_refused),
        cmocka_unit_test(none_is_absent),
    };
    return cmocka_run_group_tests_name("location", tests, make_folder, remove_folder);
}
