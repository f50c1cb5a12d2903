/* Events -> turns, and the comparison with the recorded conversation. See conversation.h. */
#include "ops/cli/conversation.h"

#include "runtime/base/memory.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum turn_kind { TURN_TEXT, TURN_CALL, TURN_RESULT };

static const char *const TURN_NAMES[] = {"text", "tool call", "tool result"};

/* TEXT: role and content. CALL, RESULT: id, name and the arguments or the result. Owned. */
struct turn {
    enum turn_kind kind;
    char *role_or_id;
    char *name;
    char *text;
};

struct turns {
    struct turn *items;
    size_t count;
    size_t capacity;
};

struct rebuild {
    struct turns turns;
    json_int_t last_seq;
    bool ended;
    char *open_id; /* message that is being streamed; NULL: none */
    char *open_role;
    struct buffer open_text;
};

static void turns_add(struct turns *turns, enum turn_kind kind, const char *role_or_id,
                      const char *name, const char *text)
{
    if (turns->count == turns->capacity) {
        turns->capacity = turns->capacity * 2 + 32;
        turns->items = memory_grow(turns->items, turns->capacity, sizeof *turns->items);
    }
    turns->items[turns->count++] = (struct turn){
        .kind = kind,
        .role_or_id = memory_string(role_or_id != NULL ? role_or_id : ""),
        .name = memory_string(name != NULL ? name : ""),
        .text = memory_string(text != NULL ? text : ""),
    };
}

static void turns_deinit(struct turns *turns)
{
    for (size_t i = 0; i < turns->count; i++) {
        free(turns->items[i].role_or_id);
        free(turns->items[i].name);
        free(turns->items[i].text);
    }
    free(turns->items);
}

struct rebuild *rebuild_create(void)
{
    return memory_new(sizeof(struct rebuild));
}

static void close_message(struct rebuild *rebuild)
{
    free(rebuild->open_id);
    free(rebuild->open_role);
    rebuild->open_id = NULL;
    rebuild->open_role = NULL;
    buffer_clear(&rebuild->open_text);
}

void rebuild_destroy(struct rebuild **rebuild)
{
    if (*rebuild == NULL) {
        return;
    }
    close_message(*rebuild);
    buffer_deinit(&(*rebuild)->open_text);
    turns_deinit(&(*rebuild)->turns);
    free(*rebuild);
    *rebuild = NULL;
}

static const char *text_of(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));
    return text != NULL ? text : "";
}

static bool is_open(const struct rebuild *rebuild, const json_t *payload)
{
    return rebuild->open_id != NULL &&
           strcmp(rebuild->open_id, text_of(payload, "message_id")) == 0;
}

static int take_completed(struct rebuild *rebuild, const json_t *payload, struct error *err)
{
    const char *content = text_of(payload, "content");
    const char *role = text_of(payload, "role");
    if (rebuild->open_id != NULL && !is_open(rebuild, payload)) {
        return error_set(err, "%s is still open", rebuild->open_id);
    }
    if (rebuild->open_id != NULL) {
        role = rebuild->open_role;
        if (strcmp(buffer_text(&rebuild->open_text), content) != 0) {
            return error_set(err, "the deltas of %s do not give its content", rebuild->open_id);
        }
    }
    turns_add(&rebuild->turns, TURN_TEXT, role, NULL, content);
    close_message(rebuild);
    return 0;
}

static int take_delta(struct rebuild *rebuild, const json_t *payload, struct error *err)
{
    const json_t *delta = json_object_get(payload, "delta");
    if (!is_open(rebuild, payload)) {
        return error_set(err, "a delta of a message that is not open");
    }
    buffer_append(&rebuild->open_text, json_string_value(delta), json_string_length(delta));
    return 0;
}

static int take_event(struct rebuild *rebuild, const char *type, const json_t *payload,
                      struct error *err)
{
    if (strcmp(type, "MESSAGE_STARTED") == 0) {
        if (rebuild->open_id != NULL) {
            return error_set(err, "%s is still open", rebuild->open_id);
        }
        rebuild->open_id = memory_string(text_of(payload, "message_id"));
        rebuild->open_role = memory_string(text_of(payload, "role"));
        return 0;
    }
    if (strcmp(type, "MESSAGE_DELTA") == 0) {
        return take_delta(rebuild, payload, err);
    }
    if (strcmp(type, "MESSAGE_COMPLETED") == 0) {
        return take_completed(rebuild, payload, err);
    }
    if (strcmp(type, "TOOL_CALL_STARTED") == 0) {
        turns_add(&rebuild->turns, TURN_CALL, text_of(payload, "tool_call_id"),
                  text_of(payload, "name"), text_of(payload, "arguments"));
    } else if (strcmp(type, "TOOL_CALL_COMPLETED") == 0) {
        turns_add(&rebuild->turns, TURN_RESULT, text_of(payload, "tool_call_id"),
                  text_of(payload, "name"), text_of(payload, "result"));
    } else if (strcmp(type, "RUN_FINISHED") == 0) {
        rebuild->ended = true;
    } else if (strcmp(type, "RUN_STARTED") != 0 || rebuild->last_seq != 1) {
        return error_set(err, "%s has no place in a replayed conversation", type);
    }
    return 0;
}

int rebuild_event(struct rebuild *rebuild, const json_t *event, struct error *err)
{
    json_int_t seq = json_integer_value(json_object_get(event, "seq"));
    const char *type = text_of(event, "type");
    if (seq != rebuild->last_seq + 1) {
        return error_set(err, "seq %lld follows seq %lld", (long long)seq,
                         (long long)rebuild->last_seq);
    }
    if (rebuild->ended) {
        return error_set(err, "seq %lld: %s stands after the end", (long long)seq, type);
    }
    rebuild->last_seq = seq;
    if (seq == 1 && strcmp(type, "RUN_STARTED") != 0) {
        return error_set(err, "seq 1 is %s, not RUN_STARTED", type);
    }
    if (take_event(rebuild, type, json_object_get(event, "payload"), err) != 0) {
        return error_prefix(err, "seq %lld", (long long)seq);
    }
    return 0;
}

static void read_message(struct turns *turns, const json_t *message)
{
    const char *role = text_of(message, "role");
    const char *content = text_of(message, "content");
    size_t index;
    json_t *call;
    if (strcmp(role, "tool") == 0) {
        turns_add(turns, TURN_RESULT, text_of(message, "tool_call_id"), text_of(message, "name"),
                  content);
        return;
    }
    if (strcmp(role, "assistant") != 0 || content[0] != '\0') {
        turns_add(turns, TURN_TEXT, role, NULL, content);
    }
    json_array_foreach(json_object_get(message, "tool_calls"), index, call)
    {
        const json_t *function = json_object_get(call, "function");
        turns_add(turns, TURN_CALL, text_of(call, "id"), text_of(function, "name"),
                  text_of(function, "arguments"));
    }
}

static int differ(size_t turn, const char *what, const char *recorded, const char *logged,
                  struct error *err)
{
    size_t at = 0;
    while (recorded[at] != '\0' && recorded[at] == logged[at]) {
        at++;
    }
    return error_set(err,
                     "turn %zu: %s differs from byte %zu: recorded \"%.40s\", logged \"%.40s\"",
                     turn + 1, what, at + 1, recorded + at, logged + at);
}

static int compare_turn(size_t index, const struct turn *recorded, const struct turn *logged,
                        struct error *err)
{
    if (recorded->kind != logged->kind) {
        return error_set(err, "turn %zu: recorded a %s, logged a %s", index + 1,
                         TURN_NAMES[recorded->kind], TURN_NAMES[logged->kind]);
    }
    if (strcmp(recorded->role_or_id, logged->role_or_id) != 0) {
        return differ(index, recorded->kind == TURN_TEXT ? "role" : "tool_call_id",
                      recorded->role_or_id, logged->role_or_id, err);
    }
    if (strcmp(recorded->name, logged->name) != 0) {
        return differ(index, "name", recorded->name, logged->name, err);
    }
    if (strcmp(recorded->text, logged->text) != 0) {
        return differ(index, TURN_NAMES[recorded->kind], recorded->text, logged->text, err);
    }
    return 0;
}

static int compare_turns(const struct turns *recorded, const struct turns *logged,
                         struct error *err)
{
    size_t both = recorded->count < logged->count ? recorded->count : logged->count;
    for (size_t i = 0; i < both; i++) {
        if (compare_turn(i, &recorded->items[i], &logged->items[i], err) != 0) {
            return -1;
        }
    }
    if (recorded->count != logged->count) {
        return error_set(err, "%zu turns are recorded, %zu are in the log", recorded->count,
                         logged->count);
    }
    return 0;
}

int rebuild_compare(const struct rebuild *rebuild, const char *line, size_t length,
                    struct error *err)
{
    json_error_t where;
    json_t *root = json_loadb(line, length, 0, &where);
    if (root == NULL) {
        return error_set(err, "not JSON: %s (byte %d)", where.text, where.position);
    }
    struct turns recorded = {0};
    size_t index;
    json_t *message;
    json_array_foreach(json_object_get(root, "messages"), index, message)
    {
        read_message(&recorded, message);
    }
    json_decref(root);
    int status = compare_turns(&recorded, &rebuild->turns, err);
    turns_deinit(&recorded);
    if (status == 0 && rebuild->open_id != NULL) {
        status = error_set(err, "%s was never completed", rebuild->open_id);
    }
    if (status == 0 && !rebuild->ended) {
        status =
            error_set(err, "the run has not ended (last seq %lld)", (long long)rebuild->last_seq);
    }
    return status;
}
