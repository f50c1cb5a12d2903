/* See ai_sdk_open.h. An array: few things are open at once, and they are searched newest first. */
#include "streamer/formats/ai_sdk_open.h"

#include "runtime/base/memory.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define HASH_START 14695981039346656037ULL /* FNV-1a */
#define HASH_FACTOR 1099511628211ULL

static void copy_buffer(struct buffer *to, const struct buffer *from)
{
    *to = (struct buffer){0};
    buffer_append(to, from->data, from->length);
}

static void deinit_item(struct open_item *item)
{
    buffer_deinit(&item->id);
    buffer_deinit(&item->name);
    buffer_deinit(&item->text);
}

void open_deinit(struct open_items *open)
{
    for (size_t i = 0; i < open->count; i++) {
        deinit_item(&open->items[i]);
    }
    free(open->items);
    *open = (struct open_items){0};
}

void open_copy(struct open_items *to, const struct open_items *from)
{
    *to = *from;
    to->capacity = from->count;
    to->items =
        from->count == 0 ? NULL : memory_copy(from->items, from->count * sizeof *from->items);
    for (size_t i = 0; i < from->count; i++) {
        copy_buffer(&to->items[i].id, &from->items[i].id);
        copy_buffer(&to->items[i].name, &from->items[i].name);
        copy_buffer(&to->items[i].text, &from->items[i].text);
    }
}

size_t open_size(const struct open_items *open)
{
    size_t size = open->capacity * sizeof *open->items;
    for (size_t i = 0; i < open->count; i++) {
        size += open->items[i].id.capacity + open->items[i].name.capacity +
                open->items[i].text.capacity;
    }
    return size;
}

void open_unescape(struct buffer *out, struct json_span string)
{
    if (string.length < 2) {
        return;
    }
    const char *text = string.data + 1;
    size_t length = string.length - 2;
    if (memchr(text, '\\', length) == NULL) {
        buffer_append(out, text, length);
        return;
    }
    out->length += json_unescape(text, length, (char *)buffer_reserve(out, length));
}

static struct open_item *find_bytes(const struct open_items *open, enum open_family family,
                                    const void *id, size_t length)
{
    for (size_t i = open->count; i-- > 0;) {
        struct open_item *item = &open->items[i];
        if (item->family == family && item->id.length == length &&
            memcmp(item->id.data, id, length) == 0) {
            return item;
        }
    }
    return NULL;
}

struct open_item *open_find(const struct open_items *open, enum open_family family,
                            struct json_span id)
{
    struct buffer plain = {0};
    if (open->count == 0 || id.length <= 2) {
        return NULL;
    }
    if (memchr(id.data, '\\', id.length) == NULL) {
        return find_bytes(open, family, id.data + 1, id.length - 2);
    }
    open_unescape(&plain, id);
    struct open_item *found = find_bytes(open, family, plain.data, plain.length);
    buffer_deinit(&plain);
    return found;
}

struct open_item *open_add(struct open_items *open, enum open_family family, struct json_span id)
{
    assert(open->count < OPEN_MAX);
    if (open->count == open->capacity) {
        open->capacity = open->capacity == 0 ? 4 : open->capacity * 2;
        open->items = memory_grow(open->items, open->capacity, sizeof *open->items);
    }
    struct open_item *item = &open->items[open->count++];
    *item = (struct open_item){.family = family, .hash = HASH_START};
    open_unescape(&item->id, id);
    return item;
}

void open_remove(struct open_items *open, struct open_item *item)
{
    size_t behind = (size_t)(open->items + open->count - (item + 1));
    open_forget_text(open, item);
    deinit_item(item);
    memmove(item, item + 1, behind * sizeof *item);
    open->count--;
}

void open_keep(struct open_items *open, struct open_item *item, const char *text, size_t length)
{
    if (item->too_long || item->text.length + length > OPEN_TEXT_MAX ||
        open->text_bytes + length > OPEN_TEXTS_MAX) {
        open_forget_text(open, item);
        item->too_long = true;
        return;
    }
    buffer_append(&item->text, text, length);
    open->text_bytes += length;
}

void open_forget_text(struct open_items *open, struct open_item *item)
{
    open->text_bytes -= item->text.length;
    buffer_deinit(&item->text);
    item->text = (struct buffer){0};
    item->too_long = false;
}

static uint64_t hash(uint64_t value, const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        value = (value ^ (uint8_t)text[i]) * HASH_FACTOR;
    }
    return value;
}

void open_shown(struct open_item *item, const char *text, size_t length)
{
    item->hash = hash(item->hash, text, length);
    item->length += length;
}

bool open_is_prefix(const struct open_item *item, const char *text, size_t length)
{
    return length >= item->length && hash(HASH_START, text, (size_t)item->length) == item->hash;
}
