/*
 * What AG-UI has in pairs: messages, reasoning, tool calls, steps. Our log promises no pairs: a piece
 * may come without a start, an end without either, a start twice, and a run may end with anything
 * open. Clients accept none of that, so every construct has one of three states here: unknown, open,
 * done (the last AG_UI_DONE_MAX of them). Whatever comes for an unknown one opens it; what ends it
 * repeats nothing that was written before. When too many are open, one more is shown only when its
 * completion says all of it. See ag_ui_state.h.
 */
#include "streamer/formats/ag_ui_state.h"

#include "runtime/base/memory.h"

#include <stdlib.h>
#include <string.h>

#define FNV_PRIME 0x100000001b3u

uint64_t ag_ui_hash(uint64_t so_far, const char *data, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        so_far = (so_far ^ (uint8_t)data[i]) * FNV_PRIME;
    }
    return so_far;
}

uint64_t ag_ui_key(enum ag_ui_kind kind, struct json_span id)
{
    char first = (char)kind;
    return ag_ui_hash(ag_ui_hash(AG_UI_HASH_BASIS, &first, 1), id.data, id.length);
}

struct ag_ui_open *ag_ui_find_open(struct ag_ui *state, enum ag_ui_kind kind, struct json_span id)
{
    for (size_t i = 0; i < state->open_count; i++) {
        struct ag_ui_open *open = &state->open[i];
        if (open->kind == kind && open->id.length == id.length &&
            memcmp(open->id.data, id.data, id.length) == 0) {
            return open;
        }
    }
    return NULL;
}

struct ag_ui_done *ag_ui_find_done(struct ag_ui *state, enum ag_ui_kind kind, struct json_span id)
{
    uint64_t key = ag_ui_key(kind, id);
    size_t count = state->done_count < AG_UI_DONE_MAX ? state->done_count : AG_UI_DONE_MAX;
    for (size_t i = 0; i < count; i++) {
        if (state->done[i].key == key) {
            return &state->done[i];
        }
    }
    return NULL;
}

struct ag_ui_done *ag_ui_remember(struct ag_ui *state, enum ag_ui_kind kind, struct json_span id)
{
    struct ag_ui_done *done = ag_ui_find_done(state, kind, id);
    if (done == NULL) {
        done = &state->done[state->done_count++ % AG_UI_DONE_MAX];
        *done = (struct ag_ui_done){.key = ag_ui_key(kind, id)};
    }
    return done;
}

struct ag_ui_open *ag_ui_add_open(struct ag_ui *state, enum ag_ui_kind kind, struct json_span id)
{
    if (state->open_count == AG_UI_OPEN_MAX) {
        return NULL;
    }
    struct ag_ui_open *open = &state->open[state->open_count++];
    const struct ag_ui_done *done = ag_ui_find_done(state, kind, id);
    *open = (struct ag_ui_open){.kind = kind, .text_hash = AG_UI_HASH_BASIS};
    ag_ui_text_set(&open->id, id);
    if (done != NULL) { /* it goes on behind its end: the text it has is known to clients */
        open->text_hash = done->text_hash;
        open->text_length = done->text_length;
    }
    return open;
}

void ag_ui_remove_open(struct ag_ui *state, struct ag_ui_open *open)
{
    size_t at = (size_t)(open - state->open);
    ag_ui_text_clear(&open->id);
    ag_ui_text_clear(&open->name);
    state->open_count--;
    memmove(open, open + 1, (state->open_count - at) * sizeof *open);
}

void ag_ui_note(struct ag_ui_take *take, enum ag_ui_record record, struct json_span name,
                struct json_span text)
{
    transcript_add(&take->state->talk, AG_UI_TALK_MAX, record, name, text);
}
