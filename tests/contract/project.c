/*
 * Projections on their own, for the tests that give their bytes to real clients. Lines of the input:
 *
 *     new FORMAT RUN_ID  a run begins
 *     event NUMBER JSON  its next event; answered by a line {"pauses","bytes"}
 *     join               answered by {"pauses","bytes"}: what one is given who comes now
 *
 * Every event is taken by the state, by a copy of it, and by an older copy that is some events behind;
 * all must give the same bytes. The payload lies in memory of just its size, so that a sanitizer sees
 * a read behind it. A state that grows beyond reason is a failure.
 */
#include "streamer/formats/projection.h"

#include "runtime/base/number.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BEHIND = 7, STATE_BYTES_MAX = 8 << 20 };

struct run {
    const struct projection_format *format;
    struct projection *state;
    struct projection *older; /* as it was before the events in `kept` */
    char *kept[BEHIND];
    enum event_type numbers[BEHIND];
    struct buffer bytes[BEHIND];
    size_t kept_count;
    uint64_t seq;
    char id[UUID_TEXT_SIZE];
};

static void fail(const char *what, const char *line)
{
    fprintf(stderr, "%s: %s\n", what, line);
    exit(1);
}

static void answer(enum projection_after after, const struct buffer *bytes)
{
    struct buffer line = {0};
    buffer_append_text(&line, after == PROJECTION_PAUSES ? "{\"pauses\":true,\"bytes\":"
                                                         : "{\"pauses\":false,\"bytes\":");
    buffer_append_json(&line, (const char *)bytes->data, bytes->length);
    buffer_append_byte(&line, '}');
    puts(buffer_text(&line));
    buffer_deinit(&line);
}

static enum projection_after take(struct run *run, struct projection *state, uint64_t seq,
                                  enum event_type number, const char *text, struct buffer *out)
{
    size_t length = strlen(text);
    char *payload = malloc(length);
    if (payload == NULL) {
        exit(1);
    }
    memcpy(payload, text, length);
    struct native_event event = {.run_id = run->id,
                                 .seq = seq,
                                 .ts_us = 1763629320123456 + (int64_t)seq,
                                 .number = number,
                                 .type = event_type_name(number),
                                 .payload = payload,
                                 .payload_length = length};
    event.type_length = strlen(event.type);
    enum projection_after after = run->format->take(state, &event, out);
    free(payload);
    return after;
}

static bool same(const struct buffer *a, const struct buffer *b)
{
    return a->length == b->length && (a->length == 0 || memcmp(a->data, b->data, a->length) == 0);
}

/* The copy from before the last events takes them now. */
static void catch_up(struct run *run)
{
    for (size_t i = 0; i < run->kept_count; i++) {
        struct buffer again = {0};
        uint64_t seq = run->seq - run->kept_count + 1 + i;
        (void)take(run, run->older, seq, run->numbers[i], run->kept[i], &again);
        if (!same(&again, &run->bytes[i])) {
            fail("an older copy gives other bytes", run->kept[i]);
        }
        buffer_deinit(&again);
        buffer_deinit(&run->bytes[i]);
        free(run->kept[i]);
    }
    run->kept_count = 0;
}

static void end(struct run *run)
{
    if (run->state != NULL) {
        catch_up(run);
        run->format->destroy(&run->state);
        run->format->destroy(&run->older);
    }
}

static const struct projection_format *format_called(const char *name, size_t length)
{
    for (unsigned i = STREAM_FORMAT_NATIVE; i <= STREAM_FORMAT_AI_SDK; i++) {
        const struct projection_format *format = projection_format((enum stream_format)i);
        if (format != NULL && strlen(format->name) == length &&
            memcmp(format->name, name, length) == 0) {
            return format;
        }
    }
    fail("no such format", name);
    return NULL;
}

static void begin(struct run *run, const char *line)
{
    size_t length = strcspn(line, " ");
    end(run);
    *run = (struct run){.format = format_called(line, length)};
    (void)snprintf(run->id, sizeof run->id, "%s", line + length + (line[length] == ' '));
    run->state = run->format->create(0);
    run->older = run->format->create(0);
}

static void event(struct run *run, char *line)
{
    char *space = strchr(line, ' ');
    int64_t number;
    struct buffer bytes = {0};
    struct buffer copied = {0};
    if (space == NULL || number_parse(line, (size_t)(space - line), &number) != 0) {
        fail("not understood", line);
        return;
    }
    if (run->kept_count == BEHIND) {
        catch_up(run);
    }
    enum event_type type = (enum event_type)number;
    struct projection *copy = run->format->copy(run->state);
    run->seq++;
    enum projection_after after = take(run, run->state, run->seq, type, space + 1, &bytes);
    if (take(run, copy, run->seq, type, space + 1, &copied) != after || !same(&bytes, &copied)) {
        fail("a copy gives other bytes", line);
    }
    if (run->format->size(run->state) == 0) {
        fail("a state without size", line);
    }
    if (run->format->size(run->state) > STATE_BYTES_MAX) {
        fail("a state that grows", line);
    }
    answer(after, &bytes);
    run->format->destroy(&copy);
    buffer_deinit(&copied);
    run->kept[run->kept_count] = strdup(space + 1);
    run->numbers[run->kept_count] = type;
    run->bytes[run->kept_count++] = bytes;
}

static void join(struct run *run)
{
    struct buffer bytes = {0};
    answer(run->format->join(run->state, &bytes), &bytes);
    buffer_deinit(&bytes);
}

int main(void)
{
    struct run run = {0};
    char *line = NULL;
    size_t size = 0;
    ssize_t length;
    while ((length = getline(&line, &size, stdin)) > 0) {
        line[length - 1] = '\0';
        if (strncmp(line, "new ", 4) == 0) {
            begin(&run, line + 4);
        } else if (strncmp(line, "event ", 6) == 0 && run.state != NULL) {
            event(&run, line + 6);
        } else if (strcmp(line, "join") == 0 && run.state != NULL) {
            join(&run);
        } else {
            fail("not understood", line);
        }
        (void)fflush(stdout);
    }
    end(&run);
    free(line);
    return 0;
}
