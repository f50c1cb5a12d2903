/*
 * The base library: numbers, buffers, ids, the map against a plain model, lists, times, settings
 * and their flat table, log lines with their masks, the metrics board.
 */
#include "runtime/base/buffer.h"
#include "runtime/base/clock.h"
#include "runtime/base/error.h"
#include "runtime/base/list.h"
#include "runtime/base/log.h"
#include "runtime/base/map.h"
#include "runtime/base/metrics.h"
#include "runtime/base/number.h"
#include "runtime/base/settings.h"
#include "runtime/base/uuid.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

static void assert_number(const char *text, bool passes, int64_t wanted)
{
    int64_t value = 77;
    assert_int_equal(number_parse(text, strlen(text), &value), passes ? 0 : -1);
    assert_true(value == (passes ? wanted : 77));
}

static void test_numbers(void **state)
{
    (void)state;
    assert_number("0", true, 0);
    assert_number("007", true, 7);
    assert_number("9223372036854775807", true, INT64_MAX);
    assert_number("9223372036854775808", false, 0);
    assert_number("99999999999999999999999", false, 0);
    const char *const wrong[] = {"", " 1", "1 ", "+1", "-1", "0x1", "1e3", "1.0", "1_000", "1\n"};
    for (unsigned i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        assert_number(wrong[i], false, 0);
}

static void assert_json(const char *text, size_t length, const char *wanted)
{
    struct buffer buffer = {0};
    buffer_append_json(&buffer, text, length);
    assert_string_equal(buffer_text(&buffer), wanted);
    buffer_deinit(&buffer);
}

static void test_json_text(void **state)
{
    (void)state;
    assert_json("", 0, "\"\"");
    assert_json("a\"b\\c\n\t\x7f", 8, "\"a\\\"b\\\\c\\n\\u0009\\u007f\"");
    assert_json("\0", 1, "\"\\u0000\"");
    assert_json("\xc3\xa9\xf0\x9f\x9a\x82", 6, "\"\xc3\xa9\xf0\x9f\x9a\x82\"");
    assert_json("\xc3", 1, "\"\xef\xbf\xbd\"");
    assert_json("\xc0\x80", 2, "\"\xef\xbf\xbd\xef\xbf\xbd\"");                 /* overlong NUL */
    assert_json("\xed\xa0\x80", 3, "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""); /* surrogate */
    assert_json("\xf4\x90\x80\x80", 4,
                "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""); /* beyond U+10FFFF */
}

static void test_buffer(void **state)
{
    (void)state;
    struct buffer buffer = {0};
    assert_string_equal(buffer_text(&buffer), "");
    for (int i = 0; i < 1000; i++)
        buffer_append_byte(&buffer, (uint8_t)i);
    assert_int_equal(buffer.length, 1000);
    buffer_consume(&buffer, 999);
    assert_int_equal(buffer.length, 1);
    assert_int_equal(buffer.data[0], 999 & 255);
    buffer_clear(&buffer);
    buffer_append_int(&buffer, INT64_MIN);
    buffer_append_byte(&buffer, ' ');
    buffer_append_int(&buffer, INT64_MAX);
    buffer_append_byte(&buffer, ' ');
    buffer_append_int(&buffer, 0);
    buffer_printf(&buffer, " %s", "end");
    assert_string_equal(buffer_text(&buffer), "-9223372036854775808 9223372036854775807 0 end");
    buffer_deinit(&buffer);
    assert_null(buffer.data);
}

static void test_errors(void **state)
{
    (void)state;
    struct error err;
    char big[2000];
    assert_int_equal(error_set(&err, "line %d", 7), -1);
    assert_int_equal(error_prefix(&err, "file %s", "x"), -1);
    assert_string_equal(err.text, "file x: line 7");
    memset(big, 'a', sizeof(big));
    big[sizeof(big) - 1] = '\0';
    error_set(&err, "%s", big);
    error_prefix(&err, "front");
    assert_true(strlen(err.text) < sizeof(err.text));
    assert_int_equal(error_set(NULL, "nobody listens"), -1);
}

static void test_uuid(void **state)
{
    (void)state;
    struct uuid last = {{0}};
    assert_true(uuid_is_nil(&last));
    for (int i = 0; i < 10000; i++) { /* more than the counter holds in one millisecond */
        struct uuid next = uuid_new();
        assert_true(memcmp(next.bytes, last.bytes, sizeof(last.bytes)) > 0);
        assert_int_equal(next.bytes[6] >> 4, 7);
        assert_int_equal(next.bytes[8] >> 6, 2);
        last = next;
    }
    char text[UUID_TEXT_SIZE];
    struct uuid again;
    uuid_format(&last, text);
    assert_int_equal(uuid_parse(text, 36, &again), 0);
    assert_true(uuid_equal(&last, &again));
    const char *const wrong[] = {
        "0190163D-8694-739b-aea5-966c26f8ad91", "0190163d8694-739b-aea5-966c26f8ad91-",
        "0190163d-8694-739b-aea5-966c26f8ad9g", "{190163d-8694-739b-aea5-966c26f8ad9}"};
    for (unsigned i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        assert_int_equal(uuid_parse(wrong[i], strlen(wrong[i]), &again), -1);
    assert_int_equal(uuid_parse(text, 35, &again), -1);
}

/* The same random steps on the map and on an array; they must agree after each. */
static void test_map_against_a_model(void **state)
{
    (void)state;
    enum { KEYS = 257, STEPS = 20000 };
    static int values[KEYS];
    bool present[KEYS] = {0};
    struct map map = {0};
    size_t count = 0;
    uint32_t random = 12345;
    for (int step = 0; step < STEPS; step++) {
        random = random * 1664525u + 1013904223u;
        unsigned at = (random >> 8) % KEYS;
        struct uuid key = map_number_key(at);
        void *wanted = present[at] ? &values[at] : NULL;
        assert_ptr_equal(map_get(&map, &key), wanted);
        if (random >> 31) {
            assert_ptr_equal(map_put(&map, &key, &values[at]), wanted);
            count += wanted == NULL;
        } else {
            assert_ptr_equal(map_remove(&map, &key), wanted);
            count -= wanted != NULL;
        }
        present[at] = random >> 31;
        assert_int_equal(map.count, count);
    }
    size_t cursor = 0;
    size_t seen = 0;
    for (int *value; (value = map_next(&map, &cursor)) != NULL; seen++)
        assert_true(present[value - values]);
    assert_int_equal(seen, count);
    map_deinit(&map);
    map_deinit(&map);
    assert_null(map_get(&map, &(struct uuid){{1}}));
}

struct member {
    int number;
    struct list link;
};

static void test_list(void **state)
{
    (void)state;
    struct list head;
    struct member members[4];
    list_init(&head);
    assert_null(list_first(&head));
    for (int i = 0; i < 4; i++) {
        members[i].number = i;
        list_init(&members[i].link);
        assert_false(list_is_linked(&members[i].link));
        list_append(&head, &members[i].link);
        assert_true(list_is_linked(&members[i].link));
    }
    int wanted = 0;
    LIST_FOR_EACH(node, &head)
    {
        struct member *member = LIST_ENTRY(node, struct member, link);
        assert_int_equal(member->number, wanted++);
        if (member->number % 2 == 0)
            list_remove(node); /* the loop allows it */
    }
    assert_int_equal(wanted, 4);
    assert_ptr_equal(list_first(&head), &members[1].link);
    list_remove(&members[1].link);
    list_remove(&members[3].link);
    assert_true(list_is_empty(&head));
}

static void test_clock(void **state)
{
    (void)state;
    char text[CLOCK_TEXT_SIZE];
    clock_format(0, text);
    assert_string_equal(text, "1970-01-01T00:00:00.000000Z");
    clock_format(1709208000000001, text); /* a leap day */
    assert_string_equal(text, "2024-02-29T12:00:00.000001Z");
    clock_format(253402300799999999, text);
    assert_string_equal(text, "9999-12-31T23:59:59.999999Z");
    assert_true(clock_monotonic_us() / 1000 <= clock_monotonic_ms() + 1);
}

static void test_settings_table(void **state)
{
    (void)state;
    for (unsigned id = 0; id < SETTING_COUNT; id++) {
        const struct setting_info *info = setting_info((enum setting)id);
        assert_int_equal(setting_find(info->key), id);
        assert_non_null(strchr(info->key, '.'));
        assert_true(info->min <= info->max);
        assert_true(strlen(info->help) > 0);
    }
    assert_int_equal(setting_find("no.such"), SETTING_COUNT);
}

static void test_settings_set(void **state)
{
    (void)state;
    struct error err;
    struct settings *settings = settings_create();
    assert_int_equal(settings_int(settings, SETTING_API_COUNT), 2);
    assert_int_equal(settings_set(settings, SETTING_API_COUNT, "16", &err), 0);
    const char *const wrong[] = {"17", "0", "-1", "two", "", "1 "};
    for (unsigned i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        assert_int_equal(settings_set(settings, SETTING_API_COUNT, wrong[i], &err), -1);
        assert_non_null(strstr(err.text, "api.count"));
    }
    assert_int_equal(settings_int(settings, SETTING_API_COUNT), 16);
    assert_int_equal(settings_set(settings, SETTING_DATABASE_ALLOW_UNSAFE, "yes", &err), -1);
    assert_int_equal(settings_set(settings, SETTING_DATABASE_URL, "a\nb=c", &err), -1);
    assert_int_equal(settings_set(settings, SETTING_DATABASE_URL, "host=x password=a=b", &err), 0);
    settings_destroy(&settings);
    settings_destroy(&settings);
    assert_null(settings);
}

static struct settings *read_table(const char *text, size_t length, struct error *err)
{
    int fd = memfd_create("settings", MFD_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, length), length);
    struct settings *settings = settings_read(fd, err);
    close(fd);
    return settings;
}

static void test_settings_travel(void **state)
{
    (void)state;
    struct error err;
    struct buffer table = {0};
    struct settings *sent = settings_create();
    assert_int_equal(settings_set(sent, SETTING_DATABASE_URL, "host=x password=a=b", &err), 0);
    assert_int_equal(settings_set(sent, SETTING_STREAM_PING_MS, "250", &err), 0);
    settings_write(sent, &table);
    struct settings *got = read_table((char *)table.data, table.length, &err);
    assert_non_null(got);
    for (unsigned id = 0; id < SETTING_COUNT; id++)
        assert_string_equal(settings_text(got, (enum setting)id),
                            settings_text(sent, (enum setting)id));
    assert_int_equal(settings_int(got, SETTING_STREAM_PING_MS), 250);
    settings_destroy(&got);
    const char *const wrong[] = {"no line at all", "no.such=1\n", "api.count=0\n", "api.count\n"};
    for (unsigned i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        assert_null(read_table(wrong[i], strlen(wrong[i]), &err));
    settings_destroy(&sent);
    buffer_deinit(&table);
}

/* What the statement writes to standard error, as text in `line`. */
#define CAPTURE(line, statement)                                     \
    do {                                                             \
        int kept = dup(STDERR_FILENO);                               \
        int file = memfd_create("log", MFD_CLOEXEC);                 \
        assert_true(kept >= 0 && file >= 0);                         \
        dup2(file, STDERR_FILENO);                                   \
        statement;                                                   \
        dup2(kept, STDERR_FILENO);                                   \
        ssize_t captured = pread(file, (line), sizeof(line) - 1, 0); \
        (line)[captured < 0 ? 0 : captured] = '\0';                  \
        close(kept);                                                 \
        close(file);                                                 \
    } while (0)

static void test_log(void **state)
{
    (void)state;
    static char line[65536];
    static char again[65536];
    static char huge[200000];
    struct uuid id = {{0xab}};
    log_start("api-1", 7, LOG_LEVEL_INFO);
    CAPTURE(line, LOG_DEBUG("not shown"));
    assert_string_equal(line, "");
    CAPTURE(line, LOG_WARN("a \"word\"", LOG_INT("n", -5), LOG_UUID("run_id", &id),
                           LOG_TEXT("none", NULL), LOG_TEXT("text", "x\ny")));
    assert_non_null(strstr(line, "\"level\":\"warn\",\"actor\":\"api-1\",\"generation\":7,"
                                 "\"message\":\"a \\\"word\\\"\",\"n\":-5,\"run_id\":"
                                 "\"ab000000-0000-0000-0000-000000000000\",\"none\":null,"
                                 "\"text\":\"x\\ny\"}\n"));
    CAPTURE(line, LOG_INFO("key sbx_abcDEF123_x!", LOG_TEXT("t", "sbx_1 sbx_2"),
                           LOG_SECRET("secret", "hunter2")));
    assert_non_null(strstr(line, "key sbx_***********!"));
    assert_non_null(strstr(line, "\"t\":\"sbx_* sbx_*\""));
    assert_null(strstr(line, "hunter2"));
    CAPTURE(again, LOG_INFO("once more", LOG_SECRET("secret", "hunter2")));
    assert_memory_equal(strstr(line, "\"secret\":"), strstr(again, "\"secret\":"), 20);
    CAPTURE(line, LOG_INFO("trace", LOG_TRACE("t", id.bytes), LOG_TRACE("n", (uint8_t[16]){0})));
    assert_non_null(strstr(line, "\"t\":\"ab000000000000000000000000000000\",\"n\":null}"));
    CAPTURE(line, LOG_INFO("controls", LOG_TEXT("t", "a\r\n\x1b[31m\x7f\xc2\x9b\xc3\xa9\xff")));
    assert_non_null(strstr(line, "\"a\\u000d\\n\\u001b[31m\\u007f\\u009b\xc3\xa9\xef\xbf\xbd\""));
    memset(huge, 'a', sizeof(huge) - 1);
    CAPTURE(line, LOG_INFO("long", LOG_TEXT("a", huge), LOG_TEXT("b", huge), LOG_TEXT("c", huge),
                           LOG_TEXT("d", huge), LOG_TEXT("e", huge)));
    assert_true(strlen(line) <= 16384);
    assert_string_equal(line + strlen(line) - 2, "}\n");
}

static void test_metrics_board(void **state)
{
    (void)state;
    struct error err;
    struct buffer page = {0};
    int fd = memfd_create("metrics", MFD_CLOEXEC);
    assert_int_equal(ftruncate(fd, 16), 0);
    assert_int_equal(metrics_start(fd, 3, "api-1", &err), -1);
    assert_int_equal(ftruncate(fd, (off_t)metrics_board_size()), 0);
    assert_int_equal(metrics_start(fd, METRICS_SLOTS, "api-1", &err), -1);
    assert_int_equal(metrics_start(fd, 3, "api-1", &err), 0);
    metric_add(METRIC_HTTP_REQUESTS, 2);
    metric_add(METRIC_HTTP_REQUESTS, 1);
    metric_set(METRIC_STREAMS, 5);
    assert_int_equal(metric_get(METRIC_HTTP_REQUESTS), 3);
    metric_observe_us(HISTOGRAM_COMMIT, 100);
    metric_observe_us(HISTOGRAM_COMMIT, 101);
    metric_observe_us(HISTOGRAM_COMMIT, 99000000);
    metrics_render(&page);
    const char *text = buffer_text(&page);
    assert_non_null(strstr(text, "# TYPE signalbox_http_requests_total counter\n"
                                 "signalbox_http_requests_total{actor=\"api-1\"} 3\n"));
    assert_non_null(strstr(text, "\nsignalbox_streams{actor=\"api-1\"} 5\n"));
    assert_non_null(
        strstr(text, "signalbox_commit_seconds_bucket{actor=\"api-1\",le=\"0.0001\"} 1\n"));
    assert_non_null(strstr(text, "signalbox_commit_seconds_bucket{actor=\"api-1\",le=\"10\"} 2\n"));
    assert_non_null(
        strstr(text, "signalbox_commit_seconds_bucket{actor=\"api-1\",le=\"+Inf\"} 3\n"));
    assert_non_null(strstr(text, "signalbox_commit_seconds_count{actor=\"api-1\"} 3\n"));
    assert_non_null(strstr(text, "signalbox_commit_seconds_sum{actor=\"api-1\"} 99.000201\n"));
    buffer_deinit(&page);
    close(fd);
}

static void test_metrics_sizes(void **state)
{
    (void)state;
    struct error err;
    struct buffer page = {0};
    int fd = memfd_create("metrics", MFD_CLOEXEC);
    assert_int_equal(ftruncate(fd, (off_t)metrics_board_size()), 0);
    assert_int_equal(metrics_start(fd, 2, "sequencer-1", &err), 0);
    metric_observe_size(HISTOGRAM_BATCH_EVENTS, 1);
    metric_observe_size(HISTOGRAM_BATCH_EVENTS, 64);
    metric_observe_size(HISTOGRAM_BATCH_EVENTS, 20000);
    metrics_render(&page);
    const char *text = buffer_text(&page);
    assert_non_null(
        strstr(text, "\nsignalbox_batch_events_bucket{actor=\"sequencer-1\",le=\"1\"} 1\n"));
    assert_non_null(strstr(text, "_events_bucket{actor=\"sequencer-1\",le=\"50\"} 1\n"));
    assert_non_null(strstr(text, "_events_bucket{actor=\"sequencer-1\",le=\"100\"} 2\n"));
    assert_non_null(strstr(text, "_events_bucket{actor=\"sequencer-1\",le=\"10000\"} 2\n"));
    assert_non_null(strstr(text, "_events_bucket{actor=\"sequencer-1\",le=\"+Inf\"} 3\n"));
    assert_non_null(strstr(text, "\nsignalbox_batch_events_sum{actor=\"sequencer-1\"} 20065\n"));
    buffer_deinit(&page);
    close(fd);
}

/* What the supervisor keeps in a slot outlives the processes of that slot. */
static void test_metrics_supervised(void **state)
{
    (void)state;
    struct error err;
    struct metrics_supervised read;
    const struct metrics_supervised kept = {.restarts = 3, .ready = true, .healthy = false};
    int fd = memfd_create("metrics", MFD_CLOEXEC);
    assert_int_equal(ftruncate(fd, (off_t)metrics_board_size()), 0);
    assert_int_equal(metrics_start(fd, METRICS_SLOTS - 1, "supervisor", &err), 0);
    assert_null(metrics_supervised(4, &read));
    metrics_supervise(4, "streamer-1", &kept);
    assert_string_equal(metrics_supervised(4, NULL), "streamer-1");
    assert_int_equal(metrics_start(fd, 4, "streamer-1", &err), 0);
    metric_set(METRIC_STREAMS, 9);
    assert_string_equal(metrics_supervised(4, &read), "streamer-1");
    assert_true(read.restarts == 3 && read.ready && !read.healthy);
    assert_int_equal(metrics_start(fd, 4, "streamer-1", &err), 0);
    assert_int_equal(metric_get(METRIC_STREAMS), 0);
    assert_string_equal(metrics_supervised(4, &read), "streamer-1");
    assert_true(read.restarts == 3 && read.ready && !read.healthy);
    assert_null(metrics_supervised(METRICS_SLOTS, &read));
    metrics_supervise(METRICS_SLOTS, "beyond", &kept);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_json_text),
        cmocka_unit_test(test_buffer),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_uuid),
        cmocka_unit_test(test_map_against_a_model),
        cmocka_unit_test(test_list),
        cmocka_unit_test(test_clock),
        cmocka_unit_test(test_settings_table),
        cmocka_unit_test(test_settings_set),
        cmocka_unit_test(test_settings_travel),
        cmocka_unit_test(test_log),
        cmocka_unit_test(test_metrics_board),
        cmocka_unit_test(test_metrics_sizes),
        cmocka_unit_test(test_metrics_supervised),
    };
    return cmocka_run_group_tests_name("base", tests, NULL, NULL);
}
