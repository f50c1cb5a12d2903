/* See transcript.h. Segments are a list; each is held by the transcripts that begin with it and by
 * the segment before it, so dropping the oldest ones of one transcript leaves its copies whole. */
#include "streamer/formats/transcript.h"

#include "runtime/base/memory.h"

#include <stdlib.h>
#include <string.h>

enum { SEGMENT_BYTES = 8192 };

struct transcript_segment {
    struct transcript_segment *next; /* a reference of ours */
    size_t holders;
    size_t used; /* by whoever has come furthest */
    size_t capacity;
    uint8_t bytes[];
};

struct head {
    uint32_t kind;
    uint32_t name_length;
    uint32_t text_length;
};

static struct transcript_segment *segment_new(size_t capacity)
{
    struct transcript_segment *segment = memory_new(sizeof *segment + capacity);
    segment->holders = 1;
    segment->capacity = capacity;
    return segment;
}

static void segment_release(struct transcript_segment *segment)
{
    while (segment != NULL && --segment->holders == 0) {
        struct transcript_segment *next = segment->next;
        free(segment);
        segment = next;
    }
}

void transcript_copy(struct transcript *copy, const struct transcript *transcript)
{
    *copy = *transcript;
    if (copy->first != NULL) {
        copy->first->holders++;
    }
}

void transcript_deinit(struct transcript *transcript)
{
    segment_release(transcript->first);
    *transcript = (struct transcript){0};
}

static void drop_oldest(struct transcript *transcript)
{
    struct transcript_segment *gone = transcript->first;
    transcript->total -= gone->used;
    transcript->first = gone->next;
    transcript->first->holders++;
    transcript->cut = true;
    segment_release(gone);
}

/* Moves on to a segment with room for `size` bytes. Whether that is the next one depends on what was
 * added alone, so all copies change segments at the same record. */
static void make_room(struct transcript *transcript, size_t size)
{
    size_t capacity = size > SEGMENT_BYTES ? size : SEGMENT_BYTES;
    if (transcript->first == NULL) {
        transcript->first = transcript->last = segment_new(capacity);
    } else if (transcript->last->capacity - transcript->used < size) {
        if (transcript->last->next == NULL) {
            transcript->last->next = segment_new(capacity);
        }
        transcript->last = transcript->last->next;
        transcript->used = 0;
    }
}

void transcript_add(struct transcript *transcript, size_t max, unsigned kind, struct json_span name,
                    struct json_span text)
{
    const struct head head = {kind, (uint32_t)name.length, (uint32_t)text.length};
    size_t size = sizeof head + name.length + text.length;
    make_room(transcript, size);
    struct transcript_segment *segment = transcript->last;
    if (segment->used == transcript->used) {
        uint8_t *at = segment->bytes + segment->used;
        memcpy(at, &head, sizeof head);
        if (name.length > 0) {
            memcpy(at + sizeof head, name.data, name.length);
        }
        if (text.length > 0) {
            memcpy(at + sizeof head + name.length, text.data, text.length);
        }
        segment->used += size;
    }
    transcript->used += size;
    transcript->total += size;
    while (transcript->total > max && transcript->first != transcript->last) {
        drop_oldest(transcript);
    }
}

bool transcript_next(const struct transcript *transcript, struct transcript_cursor *cursor,
                     struct transcript_record *record_out)
{
    if (cursor->segment == NULL) {
        *cursor = (struct transcript_cursor){transcript->first, 0};
    }
    while (cursor->segment != NULL && cursor->segment != transcript->last &&
           cursor->at == cursor->segment->used) {
        *cursor = (struct transcript_cursor){cursor->segment->next, 0};
    }
    if (cursor->segment == NULL ||
        (cursor->segment == transcript->last && cursor->at == transcript->used)) {
        return false;
    }
    struct head head;
    const uint8_t *at = cursor->segment->bytes + cursor->at;
    memcpy(&head, at, sizeof head);
    const char *name = (const char *)at + sizeof head;
    record_out->kind = head.kind;
    record_out->name = (struct json_span){name, head.name_length};
    record_out->text = (struct json_span){name + head.name_length, head.text_length};
    cursor->at += sizeof head + head.name_length + head.text_length;
    return true;
}

size_t transcript_size(const struct transcript *transcript)
{
    return transcript->first == NULL ? 0 : transcript->total / transcript->first->holders;
}
