/*
 * What stands in a frame of the native format: its id and its JSON object, for those who dress the
 * same object otherwise. Pure.
 */
#ifndef SIGNALBOX_STREAMER_FORMATS_NATIVE_TEXT_H
#define SIGNALBOX_STREAMER_FORMATS_NATIVE_TEXT_H

#include <stddef.h>
#include <stdint.h>

/* All borrowed from the frame. */
struct native_text {
    const char *id; /* the seq, or a feed's cursor */
    size_t id_length;
    const char *json;
    size_t json_length;
};

/* `frame` is one whole frame, native or filtered; asserted. */
void native_text_read(const uint8_t *frame, size_t length, struct native_text *text_out);

#endif
