/* The rules of producers, case by case. */
#include "sequencer/producer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static const uint64_t last_number = (UINT64_C(1) << 53) - 1;

struct row {
    struct producer_state state;
    uint64_t epoch;
    uint64_t number;
    enum producer_verdict verdict;
    uint64_t expected;
};

static void test_judges_every_case(void **state)
{
    (void)state;
    const struct producer_state unknown = {false, 0, 0};
    const struct producer_state begun = {true, 3, 0};
    const struct producer_state later = {true, 3, 7};
    const struct row rows[] = {
        {unknown, 0, 0, PRODUCER_NEXT, 0},         {unknown, 9, 0, PRODUCER_NEXT, 0},
        {unknown, 0, 1, PRODUCER_AHEAD, 0},        {unknown, 9, last_number, PRODUCER_AHEAD, 0},
        {begun, 3, 0, PRODUCER_DUPLICATE, 0},      {begun, 3, 1, PRODUCER_NEXT, 0},
        {begun, 3, 2, PRODUCER_AHEAD, 1},          {begun, 2, 0, PRODUCER_STALE, 3},
        {begun, 2, 1, PRODUCER_STALE, 3},          {begun, 0, last_number, PRODUCER_STALE, 3},
        {begun, 4, 0, PRODUCER_NEXT, 0},           {begun, 4, 1, PRODUCER_UNBEGUN, 0},
        {begun, last_number, 0, PRODUCER_NEXT, 0}, {later, 3, 0, PRODUCER_DUPLICATE, 0},
        {later, 3, 7, PRODUCER_DUPLICATE, 0},      {later, 3, 8, PRODUCER_NEXT, 0},
        {later, 3, 9, PRODUCER_AHEAD, 8},          {later, 3, last_number, PRODUCER_AHEAD, 8},
        {later, 4, 8, PRODUCER_UNBEGUN, 0},        {later, 4, 0, PRODUCER_NEXT, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint64_t expected = 99;
        enum producer_verdict verdict =
            producer_judge(&rows[i].state, rows[i].epoch, rows[i].number, &expected);
        if (verdict != rows[i].verdict || expected != rows[i].expected) {
            fail_msg("row %zu: verdict %d, expected %llu", i, (int)verdict,
                     (unsigned long long)expected);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_judges_every_case)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
