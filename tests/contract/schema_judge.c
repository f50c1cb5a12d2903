/*
 * Judges JSON by compiled schemas, for the tests that compare the verdicts with others'. Each line
 * of the input is "suite N JSON" (group N of the JSON Schema Test Suite) or "event N JSON" (payload
 * of event type N); each is answered by a line {"verdict","errors":[{"pointer","detail"}]}.
 * "refused" is the verdict on text that json_check does not let through.
 */
#include "tests/contract/schema_judge.h"

#include "contracts/generated/payloads.h"
#include "runtime/base/number.h"
#include "runtime/schema.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void show(const char *verdict, const struct schema_report *report)
{
    struct buffer line = {0};
    buffer_printf(&line, "{\"verdict\":\"%s\",\"errors\":[", verdict);
    for (size_t i = 0; report != NULL && i < report->count; i++) {
        const char *pointer = schema_report_pointer(report, i);
        const char *detail = schema_report_detail(report, i);
        buffer_append_text(&line, i == 0 ? "{\"pointer\":" : ",{\"pointer\":");
        buffer_append_json(&line, pointer, strlen(pointer));
        buffer_append_text(&line, ",\"detail\":");
        buffer_append_json(&line, detail, strlen(detail));
        buffer_append_byte(&line, '}');
    }
    buffer_append_text(&line, "]}");
    puts(buffer_text(&line));
    buffer_deinit(&line);
}

/* With and without a report the verdict must be the same. */
static void judge(const struct schema_table *table, uint16_t node, const char *text)
{
    static const struct json_limits limits = {512, 100000};
    size_t length = strlen(text);
    if (json_check(text, length, &limits, NULL, NULL) != JSON_OK) {
        show("refused", NULL);
        return;
    }
    /* Of just this size, so that a sanitizer sees a read behind it. */
    char *copy = malloc(length);
    if (copy == NULL) {
        exit(1);
    }
    memcpy(copy, text, length);
    struct json_span value = {copy, length};
    struct schema_report report;
    schema_report_init(&report, NULL);
    bool valid = schema_check(table, node, value, &report);
    if (schema_check(table, node, value, NULL) != valid || valid != (report.count == 0)) {
        fprintf(stderr, "two verdicts on %s\n", text);
        exit(1);
    }
    show(valid ? "valid" : "invalid", &report);
    schema_report_deinit(&report);
    free(copy);
}

static void judge_line(char *line)
{
    char *number = strchr(line, ' ');
    char *text = number == NULL ? NULL : strchr(number + 1, ' ');
    int64_t index;
    if (text == NULL || number_parse(number + 1, (size_t)(text - number - 1), &index) != 0) {
        fprintf(stderr, "not understood: %s\n", line);
        exit(1);
    }
    if (line[0] == 'e') {
        judge(&payload_schemas, payload_node((enum event_type)index), text + 1);
    } else if ((size_t)index < suite_count) {
        judge(&suite_schemas, suite_nodes[index], text + 1);
    }
}

int main(void)
{
    char *line = NULL;
    size_t capacity = 0;
    ssize_t length;
    while ((length = getline(&line, &capacity, stdin)) > 0) {
        line[length - 1] = '\0';
        judge_line(line);
        fflush(stdout);
    }
    free(line);
    return 0;
}
