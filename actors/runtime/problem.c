/* See problem.h. */
#include "runtime/problem.h"

#include <string.h>

static void text_member(struct buffer *out, const char *name, const char *text)
{
    buffer_append_json(out, name, strlen(name));
    buffer_append_byte(out, ':');
    buffer_append_json(out, text, strlen(text));
}

static void error_entry(struct buffer *out, const char *pointer, const char *detail)
{
    buffer_append_byte(out, '{');
    text_member(out, "pointer", pointer);
    buffer_append_byte(out, ',');
    text_member(out, "detail", detail);
    buffer_append_byte(out, '}');
}

static void report_entries(struct buffer *out, const struct schema_report *report)
{
    buffer_append_text(out, ",\"errors\":[");
    for (size_t i = 0; i < report->count; i++) {
        buffer_append_text(out, i == 0 ? "" : ",");
        error_entry(out, schema_report_pointer(report, i), schema_report_detail(report, i));
    }
    buffer_append_byte(out, ']');
}

void problem_write(struct buffer *out, enum problem problem, const char *detail,
                   const struct problem_extra *extra)
{
    const struct problem_info *info = problem_info(problem);
    buffer_printf(out, "{\"type\":\"/problems/%s\",", info->slug);
    text_member(out, "title", info->title);
    buffer_printf(out, ",\"status\":%d,", info->status);
    text_member(out, "detail", detail);
    if (extra != NULL && extra->name != NULL) {
        buffer_append_byte(out, ',');
        text_member(out, "quota", extra->name);
    }
    if (extra != NULL && extra->number_name != NULL) {
        buffer_printf(out, ",\"%s\":%lld", extra->number_name, (long long)extra->number);
    }
    if (extra != NULL && extra->second_name != NULL) {
        buffer_printf(out, ",\"%s\":%lld", extra->second_name, (long long)extra->second);
    }
    if (extra != NULL && extra->third_name != NULL) {
        buffer_printf(out, ",\"%s\":%lld", extra->third_name, (long long)extra->third);
    }
    if (extra != NULL && extra->pointer != NULL) {
        buffer_append_text(out, ",\"errors\":[");
        error_entry(out, extra->pointer,
                    extra->pointer_about == NULL ? detail : extra->pointer_about);
        buffer_append_byte(out, ']');
    }
    if (extra != NULL && extra->report != NULL) {
        report_entries(out, extra->report);
    }
    buffer_append_byte(out, '}');
}

void problem_page(struct buffer *out, enum problem problem)
{
    /* Slugs and titles come from our own table and hold nothing that HTML would have to escape. */
    const struct problem_info *info = problem_info(problem);
    buffer_printf(out,
                  "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n"
                  "<title>%s</title>\n<h1>%s</h1>\n"
                  "<p>Problem type <code>/problems/%s</code>, sent with HTTP status %d.</p>\n"
                  "<p>The field <code>detail</code> of the answer says what happened in your "
                  "case; <code>docs/problems/%s.md</code> says what it means and what to do.</p>\n"
                  "</html>\n",
                  info->title, info->title, info->slug, info->status, info->slug);
}
