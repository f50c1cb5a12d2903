/*
 * Formats of streams on their own: shows runs as a projection does, without a server.
 *
 * projector FORMAT < LOGS: each line of LOGS is {"run_id":…,"events":[{"type":…,"payload":{…}},…]};
 * for each a line is printed, the list of [seq, text, pauses] of its events. Every log is gone
 * through twice, the second time with a new copy of the state for every event: other bytes then are a
 * failure, as is a memory that grows beyond reason.
 */
#include "contracts/generated/event_types.h"
#include "runtime/base/memory.h"
#include "streamer/formats/ai_sdk.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { STATE_BYTES_MAX = 4 << 20 };

static void die(const char *what)
{
    fprintf(stderr, "projector: %s\n", what);
    exit(1);
}

static const struct projection_format *format_called(const char *name)
{
    static const struct projection_format *const formats[] = {&ai_sdk_format};
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
        if (strcmp(formats[i]->name, name) == 0) {
            return formats[i];
        }
    }
    die("no such format");
    return NULL;
}

static void take(const struct projection_format *format, struct projection *state,
                 const char *run_id, uint64_t seq, json_t *event, struct buffer *out, bool *pauses)
{
    const char *type = json_string_value(json_object_get(event, "type"));
    json_t *payload = json_object_get(event, "payload");
    char *text = json_dumps(payload, JSON_COMPACT | JSON_ENCODE_ANY);
    struct native_event native = {.run_id = run_id,
                                  .seq = seq,
                                  .ts_us = (int64_t)(1763629320000000 + seq * 1000),
                                  .type = type,
                                  .type_length = strlen(type),
                                  .payload = text,
                                  .payload_length = strlen(text)};
    if (event_type_find(type, strlen(type), &native.number) != 0) {
        die("no such type of event");
    }
    *pauses = format->take(state, &native, out) == PROJECTION_PAUSES;
    free(text);
}

/* The second time round: a copy takes the place of the state. */
static void renew(const struct projection_format *format, struct projection **state)
{
    struct projection *copy = format->copy(*state);
    format->destroy(state);
    *state = copy;
    if (format->size(copy) > STATE_BYTES_MAX) {
        die("the state has grown too large");
    }
}

static json_t *project(const struct projection_format *format, json_t *log, bool renewing)
{
    const char *run_id = json_string_value(json_object_get(log, "run_id"));
    struct projection *state = format->create(0);
    json_t *shown = json_array();
    json_t *event;
    size_t i;
    json_array_foreach(json_object_get(log, "events"), i, event)
    {
        struct buffer out = {0};
        bool pauses;
        take(format, state, run_id, i + 1, event, &out, &pauses);
        json_array_append_new(shown, json_pack("[I, s#, b]", (json_int_t)i + 1, buffer_text(&out),
                                               out.length, pauses));
        buffer_deinit(&out);
        if (renewing) {
            renew(format, &state);
        }
    }
    format->destroy(&state);
    return shown;
}

int main(int argc, char **argv)
{
    const struct projection_format *format = format_called(argc > 1 ? argv[1] : "");
    char *line = NULL;
    size_t room = 0;
    while (getline(&line, &room, stdin) > 0) {
        json_t *log = json_loads(line, 0, NULL);
        if (log == NULL) {
            die("a line is not JSON");
        }
        json_t *shown = project(format, log, false);
        json_t *again = project(format, log, true);
        if (!json_equal(shown, again)) {
            die("a copied state gives other bytes");
        }
        json_dumpf(shown, stdout, JSON_COMPACT);
        putchar('\n');
        json_decref(shown);
        json_decref(again);
        json_decref(log);
    }
    free(line);
    return 0;
}
