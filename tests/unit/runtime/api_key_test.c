/* The format of api keys: made keys are understood, anything else is not. R170, R172 */
#include "runtime/api_key.h"

#include <sodium.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void test_made_key_is_understood(void **state)
{
    (void)state;
    char text[API_KEY_TEXT_SIZE];
    char made[API_KEY_PUBLIC_ID_SIZE];
    char found[API_KEY_PUBLIC_ID_SIZE];
    api_key_make(API_KEY, text, made);
    assert_int_equal(strlen(text), API_KEY_TEXT_SIZE - 1);
    assert_int_equal(api_key_parse(API_KEY, text, strlen(text), found), 0);
    assert_string_equal(made, found);
    assert_memory_equal(text + 4, made, 16);
}

static void test_keys_differ(void **state)
{
    (void)state;
    char a[API_KEY_TEXT_SIZE];
    char b[API_KEY_TEXT_SIZE];
    char id[API_KEY_PUBLIC_ID_SIZE];
    api_key_make(API_KEY, a, id);
    api_key_make(API_KEY, b, id);
    assert_memory_not_equal(a + 4, b + 4, 16);
    assert_memory_not_equal(a + 21, b + 21, 64);
}

/* No single changed character survives the checksum, whichever it is. */
static void test_every_changed_character_is_refused(void **state)
{
    (void)state;
    char text[API_KEY_TEXT_SIZE];
    char id[API_KEY_PUBLIC_ID_SIZE];
    api_key_make(API_KEY, text, id);
    for (size_t i = 0; i < API_KEY_TEXT_SIZE - 1; i++) {
        char kept = text[i];
        static const char others[] = "0f_ A\n";
        for (size_t j = 0; j < sizeof others; j++) {
            text[i] = others[j];
            assert_int_equal(api_key_parse(API_KEY, text, API_KEY_TEXT_SIZE - 1, id),
                             others[j] == kept ? 0 : -1);
        }
        text[i] = kept;
    }
}

static void test_other_lengths_are_refused(void **state)
{
    (void)state;
    char text[API_KEY_TEXT_SIZE + 1] = {0};
    char id[API_KEY_PUBLIC_ID_SIZE];
    api_key_make(API_KEY, text, id);
    text[API_KEY_TEXT_SIZE - 1] = '0';
    for (size_t length = 0; length <= API_KEY_TEXT_SIZE; length++) {
        assert_int_equal(api_key_parse(API_KEY, text, length, id),
                         length == API_KEY_TEXT_SIZE - 1 ? 0 : -1);
    }
}

static void test_hash_depends_on_pepper_and_text(void **state)
{
    (void)state;
    char pepper_text[API_KEY_PEPPER_TEXT_SIZE];
    struct api_key_pepper one;
    struct api_key_pepper other;
    uint8_t a[API_KEY_HASH_BYTES];
    uint8_t b[API_KEY_HASH_BYTES];
    api_key_pepper_make(pepper_text);
    assert_int_equal(api_key_pepper_parse(pepper_text, &one, NULL), 0);
    api_key_pepper_make(pepper_text);
    assert_int_equal(api_key_pepper_parse(pepper_text, &other, NULL), 0);
    api_key_hash(&one, "text", 4, a);
    api_key_hash(&one, "text", 4, b);
    assert_true(api_key_hash_equal(a, b));
    api_key_hash(&one, "texT", 4, b);
    assert_false(api_key_hash_equal(a, b));
    api_key_hash(&other, "text", 4, b);
    assert_false(api_key_hash_equal(a, b));
}

static void test_wrong_peppers_are_refused(void **state)
{
    (void)state;
    char text[API_KEY_PEPPER_TEXT_SIZE + 1] = {0};
    struct api_key_pepper pepper;
    assert_int_equal(api_key_pepper_parse("", &pepper, NULL), -1);
    api_key_pepper_make(text);
    text[64] = 'a';
    assert_int_equal(api_key_pepper_parse(text, &pepper, NULL), -1);
    text[64] = '\0';
    text[63] = 'g';
    assert_int_equal(api_key_pepper_parse(text, &pepper, NULL), -1);
    text[63] = '\0';
    assert_int_equal(api_key_pepper_parse(text, &pepper, NULL), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_made_key_is_understood),
        cmocka_unit_test(test_keys_differ),
        cmocka_unit_test(test_every_changed_character_is_refused),
        cmocka_unit_test(test_other_lengths_are_refused),
        cmocka_unit_test(test_hash_depends_on_pepper_and_text),
        cmocka_unit_test(test_wrong_peppers_are_refused),
    };
    return sodium_init() < 0 ? 1 : cmocka_run_group_tests_name("api_key", tests, NULL, NULL);
}
