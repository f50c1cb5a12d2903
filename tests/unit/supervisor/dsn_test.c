/* Connection strings in the status: everything but the secrets. */
#include "supervisor/status.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void check_dsn(const char *url, const char *dsn, const char *name)
{
    struct buffer out = {0};
    status_public_dsn(&out, url);
    assert_string_equal(buffer_text(&out), dsn);
    buffer_clear(&out);
    status_database_name(&out, url);
    assert_string_equal(buffer_text(&out), name);
    buffer_deinit(&out);
}

static void uris(void **state)
{
    (void)state;
    check_dsn("postgresql://me:secret@host:5433/box?sslmode=require",
              "postgresql://me@host:5433/box?sslmode=require", "box");
    check_dsn("postgres://me@host/box", "postgres://me@host/box", "box");
    check_dsn("postgresql://host", "postgresql://host", "signalbox");
    check_dsn("postgresql:///box?host=/run&password=secret&user=me",
              "postgresql:///box?host=/run&user=me", "box");
    check_dsn("postgresql://me:p%40ss:word@a:1,b:2/box?password=x", "postgresql://me@a:1,b:2/box",
              "box");
    check_dsn("postgresql://me:p@ss@host/box", "postgresql://me@host/box", "box");
    check_dsn("postgresql://:secret@host/", "postgresql://@host/", "signalbox");
}

static void pairs(void **state)
{
    (void)state;
    check_dsn("host='/a b' dbname=box password='s ecret\\' x' user=me",
              "host='/a b' dbname=box user=me", "box");
    check_dsn("password=secret", "", "signalbox");
    check_dsn("host = h  password = secret  dbname = 'my box'", "host=h dbname='my box'", "my box");
    check_dsn("sslpassword=a passfile=/x user=me", "user=me", "signalbox");
    check_dsn("", "", "signalbox");
    /* What is not understood is not shown. */
    check_dsn("nonsense password=secret", "", "signalbox");
    check_dsn("password='never closed", "", "signalbox");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(uris), cmocka_unit_test(pairs)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
