/* See ws_frame.h. */
#include "runtime/ws_frame.h"

#include <assert.h>

enum {
    FINAL_BIT = 0x80,
    RESERVED_BITS = 0x70,
    CONTROL_BIT = 0x08,
    MASK_BIT = 0x80,
    MASK_BYTES = 4
};
enum { LENGTH_16 = 126, LENGTH_64 = 127, FIXED_BYTES = 2 };

size_t ws_frame_head(uint8_t out[WS_HEAD_MAX], enum ws_opcode opcode, uint64_t length)
{
    size_t bytes = length < LENGTH_16 ? 0 : length <= UINT16_MAX ? 2 : 8;
    out[0] = (uint8_t)(FINAL_BIT | opcode);
    out[1] = (uint8_t)(bytes == 0 ? length : bytes == 2 ? LENGTH_16 : LENGTH_64);
    for (size_t i = 0; i < bytes; i++) {
        out[FIXED_BYTES + i] = (uint8_t)(length >> 8 * (bytes - 1 - i));
    }
    return FIXED_BYTES + bytes;
}

bool ws_head_is_complete(const struct ws_head *head)
{
    return head->size > 0 && head->count == head->size;
}

bool ws_head_has_length(const struct ws_head *head)
{
    return head->size > 0 && head->count + MASK_BYTES >= head->size;
}

bool ws_head_is_final(const struct ws_head *head)
{
    return (head->bytes[0] & FINAL_BIT) != 0;
}

enum ws_opcode ws_head_opcode(const struct ws_head *head)
{
    return (enum ws_opcode)(head->bytes[0] & 0x0f);
}

bool ws_head_is_control(const struct ws_head *head)
{
    return (head->bytes[0] & CONTROL_BIT) != 0;
}

const uint8_t *ws_head_mask(const struct ws_head *head)
{
    return head->bytes + head->size - MASK_BYTES;
}

static const char *check_first(const struct ws_head *head, bool inside)
{
    unsigned opcode = ws_head_opcode(head);
    if ((head->bytes[0] & RESERVED_BITS) != 0) {
        return "a reserved bit is set and no extension was agreed on";
    }
    if (opcode > WS_PONG || (opcode > WS_BINARY && opcode < WS_CLOSE)) {
        return "the opcode is reserved";
    }
    if (ws_head_is_control(head)) {
        return ws_head_is_final(head) ? NULL : "a control frame is fragmented";
    }
    if (opcode == WS_CONTINUATION && !inside) {
        return "a continuation without a beginning";
    }
    if (opcode != WS_CONTINUATION && inside) {
        return "a new message inside a fragmented one";
    }
    return NULL;
}

static const char *check_second(struct ws_head *head)
{
    unsigned length = head->bytes[1] & (MASK_BIT - 1);
    if ((head->bytes[1] & MASK_BIT) == 0) {
        return "a client's frame is not masked";
    }
    if (ws_head_is_control(head) && length > WS_CONTROL_MAX) {
        return "a control frame is too long";
    }
    size_t more = length == LENGTH_16 ? 2 : length == LENGTH_64 ? 8 : 0;
    head->size = (uint8_t)(FIXED_BYTES + more + MASK_BYTES);
    head->length = more == 0 ? length : 0;
    return NULL;
}

/* A byte of the longer forms of the length. Whether a form is too long shows in its first bytes, or
 * at its end. */
static const char *check_length(struct ws_head *head, uint8_t byte)
{
    head->length = head->length << 8 | byte;
    if (head->count == FIXED_BYTES + 1 && head->size == WS_CLIENT_HEAD_MAX && byte > 0x7f) {
        return "the length has its top bit set";
    }
    if (ws_head_has_length(head) &&
        head->length < (head->size == WS_CLIENT_HEAD_MAX ? UINT16_MAX + 1U : LENGTH_16)) {
        return "the length is not in its shortest form";
    }
    return NULL;
}

const char *ws_head_take(struct ws_head *head, uint8_t byte, bool inside)
{
    assert(!ws_head_is_complete(head));
    bool is_mask = ws_head_has_length(head);
    head->bytes[head->count++] = byte;
    if (head->count == 1) {
        return check_first(head, inside);
    }
    if (head->count == 2) {
        return check_second(head);
    }
    return is_mask ? NULL : check_length(head, byte);
}
