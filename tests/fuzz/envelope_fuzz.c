/*
 * libFuzzer target: any bytes as a frame. Nothing may be read outside it, whatever decodes must
 * decode to the same again after encoding, and the log line must stay inside its buffer.
 */
#include "proto/envelope.h"
#include "proto/messages.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(int holds)
{
    if (!holds)
        abort();
}

static void walk_append(const uint8_t *data, size_t size)
{
    struct message_header header;
    struct message_append message;
    struct message_append_event event;
    struct msgpack_sbuffer list = {0};
    struct msgpack_sbuffer out = {0};
    struct msgpack_sbuffer again = {0};
    if (message_append_decode(data, size, &header, &message) != 0)
        return;
    struct message_list cursor = message.events;
    uint32_t count = 0;
    for (; message_append_event_next(&cursor, &event); count++)
        message_append_event_encode(&list, &event);
    check(count == message.events.count && cursor.length == 0);
    message.events = (struct message_list){(const uint8_t *)list.data, list.size, count};
    message_append_encode(&out, &header, &message);
    check(message_append_decode((const uint8_t *)out.data, out.size, &header, &message) == 0);
    message_append_encode(&again, &header, &message);
    check(again.size == out.size && memcmp(again.data, out.data, out.size) == 0);
    msgpack_sbuffer_destroy(&list);
    msgpack_sbuffer_destroy(&out);
    msgpack_sbuffer_destroy(&again);
}

static void walk_events(const uint8_t *data, size_t size)
{
    struct message_header header;
    struct message_events message;
    struct message_events_event event;
    uint32_t count = 0;
    if (message_events_decode(data, size, &header, &message) != 0)
        return;
    struct message_list cursor = message.events;
    while (message_events_event_next(&cursor, &event)) {
        count++;
        check(event.payload.length <= size);
    }
    check(count == message.events.count);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char line[256];
    message_dump(data, size, line, sizeof(line));
    check(strlen(line) < sizeof(line));
    message_dump(data, size, line, 10);
    walk_append(data, size);
    walk_events(data, size);
    return 0;
}
