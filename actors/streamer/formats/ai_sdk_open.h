/*
 * What is open in a message of the AI SDK: parts that have begun, tasks whose titles later events do
 * not repeat, questions that wait. Found by their ids without escapes. Bounded: the oldest makes way,
 * and texts that are kept are forgotten when they grow too long.
 */
#ifndef SIGNALBOX_STREAMER_FORMATS_AI_SDK_OPEN_H
#define SIGNALBOX_STREAMER_FORMATS_AI_SDK_OPEN_H

#include "runtime/base/buffer.h"
#include "runtime/json.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum open_family { OPEN_MESSAGE, OPEN_REASONING, OPEN_TOOL, OPEN_TASK, OPEN_QUESTION };
enum { OPEN_MAX = 1024, OPEN_TEXT_MAX = 64 << 10, OPEN_TEXTS_MAX = 512 << 10 };

struct open_item {
    enum open_family family;
    bool hidden; /* a message that is not the assistant's */
    bool live;   /* its part has begun and not ended; of a tool call: its input is being written */
    bool is_settled; /* a tool call of an earlier step: only its output can follow */
    bool too_long;   /* `text` is not all of it */
    uint64_t length; /* of a message: bytes shown so far, and their hash */
    uint64_t hash;
    struct buffer id;   /* without escapes */
    struct buffer name; /* of a tool, as the producer wrote it; empty: not said yet */
    /* Of a tool call: its input so far; of a task: members later events may lack; of a question: its
     * payload. */
    struct buffer text;
};

struct open_items {
    struct open_item *items; /* oldest first */
    size_t count;
    size_t capacity;
    size_t text_bytes; /* of all texts */
};

void open_deinit(struct open_items *open);
void open_copy(struct open_items *to, const struct open_items *from);
size_t open_size(const struct open_items *open);
/* `id`: a JSON string with its quotes. NULL: none. Valid until the next add or remove, as below. */
struct open_item *open_find(const struct open_items *open, enum open_family family,
                            struct json_span id);
/* The caller has made room: fewer than OPEN_MAX are open. */
struct open_item *open_add(struct open_items *open, enum open_family family, struct json_span id);
void open_remove(struct open_items *open, struct open_item *item);
/* Adds to the text that is kept, unless it gets too long. */
void open_keep(struct open_items *open, struct open_item *item, const char *text, size_t length);
void open_forget_text(struct open_items *open, struct open_item *item);
/* Takes note that `length` bytes without escapes were shown. */
void open_shown(struct open_item *item, const char *text, size_t length);
/* Whether `text` begins with what was shown. */
bool open_is_prefix(const struct open_item *item, const char *text, size_t length);

/* Appends the text of a JSON string, given with its quotes, without its escapes. */
void open_unescape(struct buffer *out, struct json_span string);

#endif
