/* The state that agent and client share, as JSON and patches to it, and counts of what models used. See
 * ag_ui_state.h. */
#include "streamer/formats/ag_ui_state.h"

#include "runtime/base/number.h"

#include <string.h>

/* JavaScript's safe integers. */
#define COUNT_MAX ((uint64_t)9007199254740991)

static const struct json_span empty = {"", 0};

/* ---- state ---- */

void ag_ui_state_set(struct ag_ui *state, enum ag_ui_record record, struct json_span value)
{
    if (record == AG_UI_STATE_WHOLE) {
        transcript_deinit(&state->shared);
    }
    transcript_add(&state->shared, AG_UI_STATE_MAX, record, empty, value);
}

void ag_ui_state_whole(struct ag_ui_take *take)
{
    struct json_span snapshot = json_member(take->payload, "snapshot");
    ag_ui_member_json(ag_ui_begin(take, "STATE_SNAPSHOT"), "snapshot", snapshot);
    ag_ui_end(take);
    ag_ui_state_set(take->state, AG_UI_STATE_WHOLE, snapshot);
}

/* RFC 6901: empty, or parts that begin with a slash; ~ only as ~0 and ~1. */
static bool is_pointer(struct json_span object, const char *member)
{
    struct ag_ui_text text;
    bool good =
        ag_ui_member_text(object, member, &text) == 0 && (text.length == 0 || text.data[0] == '/');
    for (size_t i = 0; good && i < text.length; i++) {
        good = text.data[i] != '~' ||
               (i + 1 < text.length && (text.data[i + 1] == '0' || text.data[i + 1] == '1'));
    }
    ag_ui_text_clear(&text);
    return good;
}

/* Clients give up at an operation that is not as RFC 6902 says. */
static bool is_patch(struct json_span patch)
{
    struct json_span operation = {0};
    while (json_element(patch, &operation).data != NULL) {
        struct ag_ui_text op;
        if (!ag_ui_is(operation, '{') || ag_ui_member_text(operation, "op", &op) != 0) {
            return false;
        }
        bool moves =
            op.length == 4 && (memcmp(op.data, "move", 4) == 0 || memcmp(op.data, "copy", 4) == 0);
        bool removes = op.length == 6 && memcmp(op.data, "remove", 6) == 0;
        ag_ui_text_clear(&op);
        if (!is_pointer(operation, "path") || (moves && !is_pointer(operation, "from")) ||
            (!moves && !removes && json_member(operation, "value").data == NULL)) {
            return false;
        }
    }
    return true;
}

bool ag_ui_state_change(struct ag_ui_take *take)
{
    struct json_span delta = json_member(take->payload, "delta");
    if (!ag_ui_is(delta, '[') || !is_patch(delta)) {
        return false;
    }
    ag_ui_member_json(ag_ui_begin(take, "STATE_DELTA"), "delta", delta);
    ag_ui_end(take);
    ag_ui_state_set(take->state, AG_UI_STATE_CHANGE, delta);
    return true;
}

/* ---- usage ---- */

static void count(struct json_span payload, const char *member, uint64_t *sum)
{
    int64_t value;
    struct json_span text = json_member(payload, member);
    if (text.data != NULL && number_parse(text.data, text.length, &value) == 0) {
        uint64_t room = COUNT_MAX - *sum;
        *sum += (uint64_t)value < room ? (uint64_t)value : room;
    }
}

static bool same_text(const struct ag_ui_text *text, struct json_span span)
{
    return text->length == span.length && memcmp(text->data, span.data, span.length) == 0;
}

void ag_ui_used(struct ag_ui_take *take)
{
    struct ag_ui *state = take->state;
    struct json_span model = json_member(take->payload, "model");
    struct json_span provider = json_member(take->payload, "provider");
    size_t i = 0;
    model = ag_ui_is(model, '"') ? model : empty;
    provider = ag_ui_is(provider, '"') ? provider : empty;
    while (i < state->usage_count && !(same_text(&state->usage[i].model, model) &&
                                       same_text(&state->usage[i].provider, provider))) {
        i++;
    }
    if (i == AG_UI_USAGE_MAX) { /* too many models to tell apart: the rest without a name */
        i--;
        ag_ui_text_set(&state->usage[i].model, empty);
        ag_ui_text_set(&state->usage[i].provider, empty);
    } else if (i == state->usage_count) {
        state->usage_count++;
        ag_ui_text_set(&state->usage[i].model, model);
        ag_ui_text_set(&state->usage[i].provider, provider);
    }
    count(take->payload, "input_tokens", &state->usage[i].input);
    count(take->payload, "output_tokens", &state->usage[i].output);
    count(take->payload, "cached_input_tokens", &state->usage[i].cached);
    count(take->payload, "reasoning_tokens", &state->usage[i].reasoning);
}
