/* Parameters in PostgreSQL's binary formats, byte by byte. */
#include "runtime/db.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

static int setup(void **state)
{
    static struct db_params params;
    params = (struct db_params){0};
    *state = &params;
    return 0;
}

static int teardown(void **state)
{
    db_params_deinit(*state);
    return 0;
}

static void check(const struct db_params *params, int at, unsigned type, const char *bytes,
                  int length)
{
    assert_int_equal(params->type[at], type);
    assert_int_equal(params->length[at], length);
    assert_memory_equal(params->bytes + params->offset[at], bytes, (size_t)length);
}

static void test_numbers_are_big_endian(void **state)
{
    struct db_params *params = *state;
    db_param_int4(params, -2);
    db_param_int8(params, 0x0102030405060708);
    db_param_bool(params, true);
    db_param_timestamptz(params, 946684800000001); /* 2000-01-01 and a microsecond */
    assert_int_equal(params->count, 4);
    check(params, 0, 23, "\xff\xff\xff\xfe", 4);
    check(params, 1, 20, "\1\2\3\4\5\6\7\10", 8);
    check(params, 2, 16, "\1", 1);
    check(params, 3, 1184, "\0\0\0\0\0\0\0\1", 8);
}

static void test_text_and_null_are_different(void **state)
{
    struct db_params *params = *state;
    db_param_text(params, "", 0);
    assert_non_null(params->bytes); /* a null pointer would be sent as NULL */
    assert_int_equal(params->length[0], 0);
    db_param_null(params);
    assert_int_equal(params->length[1], -1);
    db_param_text(params, "ab", 2);
    check(params, 2, 25, "ab", 2);
}

static void test_arrays_have_a_head_and_their_elements(void **state)
{
    struct db_params *params = *state;
    db_array_begin(params, DB_ARRAY_TEXT, 2);
    db_array_bytes(params, "a", 1);
    db_array_null(params);
    db_array_end(params);
    check(params, 0, 1009,
          "\0\0\0\1\0\0\0\1\0\0\0\31\0\0\0\2\0\0\0\1"
          "\0\0\0\1"
          "a\xff\xff\xff\xff",
          29);
}

static void test_an_empty_array_has_no_dimension(void **state)
{
    struct db_params *params = *state;
    db_array_begin(params, DB_ARRAY_INT8, 0);
    db_array_end(params);
    check(params, 0, 1016, "\0\0\0\0\0\0\0\1\0\0\0\24", 12);
}

static void test_jsonb_carries_its_version(void **state)
{
    struct db_params *params = *state;
    db_array_begin(params, DB_ARRAY_JSONB, 1);
    db_array_bytes(params, "{}", 2);
    db_array_end(params);
    check(params, 0, 3807,
          "\0\0\0\1\0\0\0\1\0\0\16\332\0\0\0\1\0\0\0\1"
          "\0\0\0\3\1{}",
          27);
}

static void test_clear_makes_room_and_growth_keeps_what_is_there(void **state)
{
    struct db_params *params = *state;
    char large[3000];
    memset(large, 'x', sizeof large);
    db_param_int4(params, 1);
    db_param_bytea(params, large, sizeof large);
    db_param_uuid(params, &(struct uuid){{9}});
    check(params, 0, 23, "\0\0\0\1", 4);
    check(params, 1, 17, large, sizeof large);
    check(params, 2, 2950, "\11\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 16);
    db_params_clear(params);
    db_param_int4(params, 2);
    assert_int_equal(params->count, 1);
    check(params, 0, 23, "\0\0\0\2", 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_numbers_are_big_endian, setup, teardown),
        cmocka_unit_test_setup_teardown(test_text_and_null_are_different, setup, teardown),
        cmocka_unit_test_setup_teardown(test_arrays_have_a_head_and_their_elements, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_an_empty_array_has_no_dimension, setup, teardown),
        cmocka_unit_test_setup_teardown(test_jsonb_carries_its_version, setup, teardown),
        cmocka_unit_test_setup_teardown(test_clear_makes_room_and_growth_keeps_what_is_there, setup,
                                        teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
