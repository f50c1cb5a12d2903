/* Free-form ids of other protocols' clients become UUIDs. */
#include "api/client_id.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const struct uuid tenant = {{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}};
static const struct uuid other_tenant = {{1}};

static void assert_maps(const char *protocol, const char *kind, const char *text, const char *want)
{
    struct uuid id;
    char seen[UUID_TEXT_SIZE];
    assert_int_equal(client_id_map(&tenant, protocol, kind, text, strlen(text), &id), 0);
    uuid_format(&id, seen);
    assert_string_equal(seen, want);
}

/* Clients keep these for ever: a change of the rule would lose their runs. Computed by another
 * program. */
static void test_known(void **state)
{
    (void)state;
    assert_maps("ag-ui", "run", "run-1", "e5dba3b7-d463-8a81-a7ab-376593d02952");
    assert_maps("ag-ui", "thread", "run-1", "91c30006-a582-89bc-afee-7509801f2848");
    assert_maps("ai-sdk", "run", "run-1", "f861f924-9ef9-80c5-800f-4c5b20efac63");
}

static void test_uuid_stands_for_itself(void **state)
{
    (void)state;
    const char *text = "be5e5c0c-2cf8-4aa7-955f-41115a098d2e";
    assert_maps("ag-ui", "run", text, text);
    assert_maps("ai-sdk", "thread", text, text);
    struct uuid id;
    struct uuid capitals;
    assert_int_equal(uuid_parse(text, strlen(text), &id), 0);
    /* Not our spelling: free text, echoed as it is, so it must not be mixed up with ours. */
    const char *loud = "BE5E5C0C-2CF8-4AA7-955F-41115A098D2E";
    assert_int_equal(client_id_map(&tenant, "ag-ui", "run", loud, strlen(loud), &capitals), 0);
    assert_false(uuid_equal(&id, &capitals));
    /* Here it means that there is no run, or no thread: to a client it is an id as any. */
    assert_maps("ag-ui", "thread", "00000000-0000-0000-0000-000000000000",
                "7e6a47fd-346b-8547-9833-3ad980b70c07");
}

static void test_where_names_end(void **state)
{
    (void)state;
    struct uuid a;
    struct uuid b;
    assert_int_equal(client_id_map(&tenant, "x", "yz", "t", 1, &a), 0);
    assert_int_equal(client_id_map(&tenant, "xy", "z", "t", 1, &b), 0);
    assert_false(uuid_equal(&a, &b));
    assert_int_equal(client_id_map(&tenant, "x", "y", "zt", 2, &b), 0);
    assert_false(uuid_equal(&a, &b));
}

static void test_tenants_do_not_meet(void **state)
{
    (void)state;
    struct uuid a;
    struct uuid b;
    assert_int_equal(client_id_map(&tenant, "ag-ui", "run", "1", 1, &a), 0);
    assert_int_equal(client_id_map(&other_tenant, "ag-ui", "run", "1", 1, &b), 0);
    assert_false(uuid_equal(&a, &b));
}

static void test_bounds(void **state)
{
    (void)state;
    char text[CLIENT_ID_MAX + 1];
    struct uuid id;
    memset(text, 'a', sizeof text);
    assert_int_equal(client_id_map(&tenant, "ag-ui", "run", text, 0, &id), -1);
    assert_int_equal(client_id_map(&tenant, "ag-ui", "run", text, CLIENT_ID_MAX, &id), 0);
    assert_int_equal(client_id_map(&tenant, "ag-ui", "run", text, CLIENT_ID_MAX + 1, &id), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known),           cmocka_unit_test(test_uuid_stands_for_itself),
        cmocka_unit_test(test_where_names_end), cmocka_unit_test(test_tenants_do_not_meet),
        cmocka_unit_test(test_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
