/*
 * Who asks, with a store that answers when the test says so: what is believed, for how long, and
 * what a check costs when the key is known (the promise is 3 us). R172
 */
#include "api/auth.h"
#include "api/scope.h"
#include "api/store_identity.h"

#include <setjmp.h>
#include <sodium.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

/* ---- a store of one row ---- */

static struct {
    struct store_credential row;
    uint8_t hash[API_KEY_HASH_BYTES];
    bool there;
    int asked;
    db_done_fn *done;
    void *arg;
} fake;

static void ask(db_done_fn *done, void *arg)
{
    fake.asked++;
    fake.done = done;
    fake.arg = arg;
}

void store_find_key(struct store *store, const char *public_id, db_done_fn *done, void *arg)
{
    (void)store;
    (void)public_id;
    ask(done, arg);
}

void store_find_session(struct store *store, const char *public_id, db_done_fn *done, void *arg)
{
    store_find_key(store, public_id, done, arg);
}

void store_find_tenant(struct store *store, const struct uuid *tenant, db_done_fn *done, void *arg)
{
    (void)store;
    (void)tenant;
    ask(done, arg);
}

void store_read_credential(const struct db_result *result, struct store_credential *out)
{
    (void)result;
    *out = fake.row;
}

int db_rows(const struct db_result *result)
{
    (void)result;
    return fake.there ? 1 : 0;
}

static void answer(enum db_status status)
{
    fake.done(fake.arg, status, NULL);
}

/* ---- a requester ---- */

static struct {
    int told;
    enum auth_verdict verdict;
    struct principal who;
} heard;

static void hear(void *arg, enum auth_verdict verdict, const struct principal *who)
{
    (void)arg;
    heard.told++;
    heard.verdict = verdict;
    if (who != NULL) {
        heard.who = *who;
    }
}

static struct auth *make(const char *cache_ms)
{
    struct error err;
    struct settings *settings = settings_create();
    const struct api_key_pepper pepper = {.bytes = {1, 2, 3}};
    assert_true(sodium_init() >= 0);
    assert_int_equal(settings_set(settings, SETTING_AUTH_CACHE_MS, cache_ms, &err), 0);
    struct auth *auth = auth_create(NULL, &pepper, settings, &err);
    assert_non_null(auth);
    settings_destroy(&settings);
    memset(&fake, 0, sizeof fake);
    memset(&heard, 0, sizeof heard);
    return auth;
}

static void store_secret(struct auth *auth, enum api_key_kind kind, char text[API_KEY_TEXT_SIZE])
{
    char public_id[API_KEY_PUBLIC_ID_SIZE];
    auth_make_secret(auth, kind, text, public_id, fake.hash);
    fake.there = true;
    fake.row = (struct store_credential){.id = {{7}},
                                         .tenant = {{9}},
                                         .hash = (const char *)fake.hash,
                                         .scopes = "read,append",
                                         .scopes_length = 11,
                                         .user = "owner",
                                         .user_length = 5,
                                         .expires_us = INT64_MAX};
}

static enum auth_verdict come(struct auth *auth, const char *authorization)
{
    struct auth_credential credential;
    struct http_text text = {authorization, strlen(authorization)};
    if (!auth_bearer(auth, text, &credential)) {
        return AUTH_REFUSED;
    }
    return auth_check(auth, &credential, &heard.who, hear, NULL);
}

static void test_a_key_is_asked_for_once_and_then_believed(void **state)
{
    (void)state;
    struct auth *auth = make("5000");
    char key[API_KEY_TEXT_SIZE];
    char field[128];
    store_secret(auth, API_KEY, key);
    snprintf(field, sizeof field, "Bearer %s", key);
    assert_int_equal(come(auth, field), AUTH_WAIT);
    assert_int_equal(come(auth, field), AUTH_WAIT); /* with the first */
    assert_int_equal(fake.asked, 1);
    answer(DB_OK);
    assert_int_equal(heard.told, 2);
    assert_int_equal(heard.verdict, AUTH_OK);
    assert_int_equal(heard.who.scopes, SCOPE_READ | SCOPE_APPEND);
    assert_memory_equal(heard.who.actor, "key:", 4);
    assert_int_equal(come(auth, field), AUTH_OK);
    assert_int_equal(fake.asked, 1);
    /* Another secret for the same id is no key, though the id is known. */
    fake.hash[0] ^= 1;
    char other[API_KEY_TEXT_SIZE];
    char id[API_KEY_PUBLIC_ID_SIZE];
    api_key_make(API_KEY, other, id);
    snprintf(field, sizeof field, "Bearer %s", other);
    assert_int_equal(come(auth, field), AUTH_WAIT);
    answer(DB_OK);
    assert_int_equal(heard.verdict, AUTH_REFUSED);
    auth_destroy(&auth);
}

static void test_who_is_not_there_and_a_database_that_is_not(void **state)
{
    (void)state;
    struct auth *auth = make("5000");
    char key[API_KEY_TEXT_SIZE];
    char field[128];
    store_secret(auth, API_KEY, key);
    snprintf(field, sizeof field, "Bearer %s", key);
    assert_int_equal(come(auth, field), AUTH_WAIT);
    answer(DB_LOST);
    assert_int_equal(heard.verdict, AUTH_UNAVAILABLE);
    fake.there = false;
    assert_int_equal(come(auth, field), AUTH_WAIT);
    answer(DB_OK);
    assert_int_equal(heard.verdict, AUTH_REFUSED);
    assert_int_equal(come(auth, field), AUTH_REFUSED); /* remembered */
    assert_int_equal(fake.asked, 2);
    auth_destroy(&auth);
}

/* A logout must be seen by the next request. */
static void test_sessions_are_asked_for_every_time(void **state)
{
    (void)state;
    struct auth *auth = make("5000");
    struct auth_credential credential;
    char secret[API_KEY_TEXT_SIZE];
    store_secret(auth, API_KEY_SESSION, secret);
    for (int i = 1; i <= 3; i++) {
        assert_true(auth_cookie((struct http_text){secret, strlen(secret)}, &credential));
        assert_int_equal(auth_check(auth, &credential, &heard.who, hear, NULL), AUTH_WAIT);
        assert_int_equal(fake.asked, i);
        answer(DB_OK);
        assert_int_equal(heard.verdict, AUTH_OK);
    }
    char field[128];
    snprintf(field, sizeof field, "Bearer %s", secret);
    assert_int_equal(come(auth, field), AUTH_REFUSED);
    secret[2] = 'x'; /* sbx_: a key's beginning with a session's checksum */
    assert_false(auth_cookie((struct http_text){secret, strlen(secret)}, &credential));
    auth_destroy(&auth);
}

static void test_a_csrf_token_is_of_one_session(void **state)
{
    (void)state;
    struct auth *auth = make("5000");
    char first[AUTH_CSRF_SIZE];
    char again[AUTH_CSRF_SIZE];
    char other[AUTH_CSRF_SIZE];
    auth_csrf_token(auth, "0123456789abcdef", first);
    auth_csrf_token(auth, "0123456789abcdef", again);
    auth_csrf_token(auth, "0123456789abcdee", other);
    assert_string_equal(first, again);
    assert_string_not_equal(first, other);
    assert_int_equal(strlen(first), AUTH_CSRF_SIZE - 1);
    auth_destroy(&auth);
}

static int64_t cpu_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return now.tv_sec * 1000000000 + now.tv_nsec;
}

/* The best of many rounds, in time of this thread: other work on the machine does not count. The
 * head of a request is read twice (front_head, identify). */
static void test_a_known_key_costs_less_than_three_microseconds(void **state)
{
    (void)state;
    enum { ROUNDS = 50, CALLS = 2000 };
    struct auth *auth = make("9000");
    char key[API_KEY_TEXT_SIZE];
    char field[128];
    int64_t best_ns = INT64_MAX;
    struct auth_credential credential;
    store_secret(auth, API_KEY, key);
    snprintf(field, sizeof field, "Bearer %s", key);
    assert_int_equal(come(auth, field), AUTH_WAIT);
    answer(DB_OK);
    for (int round = 0; round < ROUNDS; round++) {
        int64_t began_ns = cpu_ns();
        for (int i = 0; i < CALLS; i++) {
            assert_true(auth_bearer(auth, (struct http_text){field, strlen(field)}, &credential));
            if (come(auth, field) != AUTH_OK) {
                fail();
            }
        }
        int64_t took_ns = (cpu_ns() - began_ns) / CALLS;
        best_ns = took_ns < best_ns ? took_ns : best_ns;
    }
    print_message("authentication of a known key: %lld ns\n", (long long)best_ns);
#ifndef __SANITIZE_ADDRESS__
    assert_true(best_ns < 3000);
#endif
    auth_destroy(&auth);
}

static void test_scopes_have_names(void **state)
{
    (void)state;
    struct buffer text = {0};
    assert_int_equal(scope_parse("read", 4), SCOPE_READ);
    assert_int_equal(scope_parse("Read", 4), 0);
    assert_int_equal(scope_parse("rea", 3), 0);
    assert_int_equal(scope_parse("", 0), 0);
    assert_int_equal(scope_parse_list("append openid read", 18, ' '), SCOPE_READ | SCOPE_APPEND);
    assert_int_equal(scope_parse_list("", 0, ','), 0);
    scope_write(&text, SCOPE_READ | SCOPE_OPERATOR, true);
    assert_string_equal(buffer_text(&text), "[\"read\",\"operator\"]");
    buffer_clear(&text);
    scope_write(&text, SCOPE_TENANT, false);
    assert_string_equal(buffer_text(&text), "{read,append,admin}");
    buffer_clear(&text);
    scope_write(&text, 0, false);
    assert_string_equal(buffer_text(&text), "{}");
    buffer_deinit(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_key_is_asked_for_once_and_then_believed),
        cmocka_unit_test(test_who_is_not_there_and_a_database_that_is_not),
        cmocka_unit_test(test_sessions_are_asked_for_every_time),
        cmocka_unit_test(test_a_csrf_token_is_of_one_session),
        cmocka_unit_test(test_a_known_key_costs_less_than_three_microseconds),
        cmocka_unit_test(test_scopes_have_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
