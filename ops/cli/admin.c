/* See admin.h. */
#include "ops/cli/admin.h"

#include "ops/cli/http.h"
#include "ops/cli/target.h"
#include "runtime/base/memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ANSWER_MS = 30000, WAIT_MS = 1000, PATH_BYTES = 1024 };

struct waiting {
    bool done;
    int code;
    json_t *answer;
};

static int code_of(const struct http_answer *answer)
{
    if (answer->status >= 200 && answer->status < 300) {
        return EXIT_CODE_DONE;
    }
    return answer->status == 0                              ? EXIT_CODE_NOT_RUNNING
           : answer->status == 404                          ? EXIT_CODE_NOT_FOUND
           : answer->status == 400 || answer->status == 422 ? EXIT_CODE_USAGE
                                                            : EXIT_CODE_FAILED;
}

static void answered(void *arg, const struct http_answer *answer)
{
    struct waiting *waiting = arg;
    struct error err;
    waiting->done = true;
    waiting->code = code_of(answer);
    if (waiting->code != EXIT_CODE_DONE) {
        http_problem(answer, &err);
        (void)cli_fail(waiting->code, "%s%s", err.text,
                       answer->status == 401 ? " (the key in DIR/api-key)" : "");
        return;
    }
    const char *text = answer->body->length > 0 ? (const char *)answer->body->data : "{}";
    size_t length = answer->body->length > 0 ? answer->body->length : 2;
    waiting->answer = json_loadb(text, length, 0, NULL);
    if (waiting->answer == NULL) {
        waiting->code = cli_fail(EXIT_CODE_FAILED, "the server's answer is not understood");
    }
}

static void send_and_wait(struct http *http, const char *method, const char *path, const char *body,
                          struct waiting *waiting)
{
    http_send(http, &(struct http_call){.method = method,
                                        .path = path,
                                        .body = body,
                                        .body_length = body == NULL ? 0 : strlen(body),
                                        .timeout_ms = ANSWER_MS,
                                        .done = answered,
                                        .arg = waiting});
    while (!waiting->done) {
        http_run(http, WAIT_MS);
    }
}

int admin_call(const struct cli *cli, const char *method, const char *path, json_t *body,
               json_t **answer_out)
{
    struct target target = {0};
    struct error err;
    struct waiting waiting = {0};
    if (target_find(cli, &target, &err) != 0) {
        json_decref(body);
        return cli_fail(EXIT_CODE_NOT_RUNNING, "%s", err.text);
    }
    char *text = body == NULL ? NULL : json_dumps(body, JSON_COMPACT);
    struct http *http = http_create(target.address, target.key);
    send_and_wait(http, method, path, text, &waiting);
    http_destroy(&http);
    target_deinit(&target);
    free(text);
    json_decref(body);
    *answer_out = waiting.answer;
    return waiting.code;
}

int admin_list(const struct cli *cli, const char *path, const char *name, json_t **array_out)
{
    char page_path[PATH_BYTES];
    json_t *array = json_array();
    json_t *page = NULL;
    int code;
    const char *sign = strchr(path, '?') == NULL ? "?" : "&";
    snprintf(page_path, sizeof page_path, "%s%slimit=1000", path, sign);
    while ((code = admin_call(cli, "GET", page_path, NULL, &page)) == EXIT_CODE_DONE) {
        const char *cursor = json_string_value(json_object_get(page, "next_cursor"));
        json_array_extend(array, json_object_get(page, name));
        if (cursor == NULL) {
            break;
        }
        snprintf(page_path, sizeof page_path, "%s%slimit=1000&cursor=%s", path, sign, cursor);
        json_decref(page);
        page = NULL;
    }
    json_decref(page);
    if (code != EXIT_CODE_DONE) {
        json_decref(array);
        return code;
    }
    *array_out = array;
    return code;
}

int admin_call_and_print(const struct cli *cli, const char *method, const char *path, json_t *body,
                         void (*print)(const json_t *answer))
{
    json_t *answer = NULL;
    int code = admin_call(cli, method, path, body, &answer);
    if (code == EXIT_CODE_DONE && cli->json) {
        admin_print(answer);
    } else if (code == EXIT_CODE_DONE) {
        print(answer);
    }
    json_decref(answer);
    return code;
}

void admin_escape(struct buffer *out, const char *text)
{
    for (; *text != '\0'; text++) {
        bool plain = (*text >= 'a' && *text <= 'z') || (*text >= 'A' && *text <= 'Z') ||
                     (*text >= '0' && *text <= '9') || *text == '-' || *text == '_' || *text == '.';
        if (plain) {
            buffer_append_byte(out, (uint8_t)*text);
        } else {
            buffer_printf(out, "%%%02X", (unsigned char)*text);
        }
    }
}

void admin_member(json_t *body, const char *name, const char *value)
{
    if (value != NULL) {
        json_object_set_new(body, name, json_string(value));
    }
}

static void print_member(const char *name, const json_t *value)
{
    char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
    printf("%-16s %s\n", name,
           json_is_string(value)                 ? json_string_value(value)
           : json_is_null(value) || text == NULL ? "-"
                                                 : text);
    free(text);
}

static bool is_one_of(const char *name, const char *const *names)
{
    while (*names != NULL && strcmp(name, *names) != 0) {
        names++;
    }
    return *names != NULL;
}

void admin_print_members(const json_t *object, const char *const *without)
{
    void *iterator = json_object_iter((json_t *)(uintptr_t)object);
    for (; iterator != NULL;
         iterator = json_object_iter_next((json_t *)(uintptr_t)object, iterator)) {
        const char *name = json_object_iter_key(iterator);
        if (!is_one_of(name, without)) {
            print_member(name, json_object_iter_value(iterator));
        }
    }
}

void admin_print(const json_t *value)
{
    char *text = json_dumps(value, JSON_COMPACT);
    puts(text != NULL ? text : "{}");
    free(text);
}

const char *admin_text(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));
    return text != NULL ? text : "";
}

char *admin_join(const json_t *array)
{
    struct buffer text = {0};
    const json_t *one;
    size_t index;
    json_array_foreach(array, index, one)
    {
        buffer_printf(&text, "%s%s", index > 0 ? "," : "", json_string_value(one));
    }
    char *joined = memory_string(buffer_text(&text));
    buffer_deinit(&text);
    return joined;
}
