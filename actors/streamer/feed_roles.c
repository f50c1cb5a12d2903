/* See feed_roles.h. */
#include "streamer/feed_roles.h"

#include "runtime/base/map.h"
#include "runtime/base/memory.h"
#include "runtime/json.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

enum { TEXT_MAX = 1024 }; /* of a message_id or role as it is written */

struct feed_roles {
    struct map messages; /* by what identify() makes; the value is the address of one of these: */
    char shown;
    char hidden;
    struct feed_key key;
    uint64_t from;
};

struct feed_roles *feed_roles_create(const struct feed_key *key)
{
    struct feed_roles *roles = memory_new(sizeof *roles);
    roles->key = *key;
    return roles;
}

void feed_roles_destroy(struct feed_roles **roles)
{
    if (*roles != NULL) {
        map_deinit(&(*roles)->messages);
        free(*roles);
        *roles = NULL;
    }
}

void feed_roles_restart(struct feed_roles *roles, uint64_t position)
{
    map_deinit(&roles->messages);
    roles->from = position;
}

uint64_t feed_roles_from(const struct feed_roles *roles)
{
    return roles->from;
}

/* ---- what an event says ---- */

enum role { ROLE_ABSENT, ROLE_ASSISTANT, ROLE_OTHER };

/* The text of a string without escapes; -1: no string, or too long to be looked at. */
static int text_of(struct json_span value, char text_out[TEXT_MAX], size_t *length_out)
{
    if (value.data == NULL || value.length < 2 || value.length > TEXT_MAX || *value.data != '"') {
        return -1;
    }
    *length_out = json_unescape(value.data + 1, value.length - 2, text_out);
    return 0;
}

static enum role role_of(const struct native_event *event)
{
    static const char assistant[] = "assistant";
    char text[TEXT_MAX];
    size_t length = 0;
    struct json_span value =
        json_member((struct json_span){event->payload, event->payload_length}, "role");
    if (value.data == NULL || (value.length == 4 && memcmp(value.data, "null", 4) == 0)) {
        return ROLE_ABSENT;
    }
    return text_of(value, text, &length) == 0 && length == sizeof assistant - 1 &&
                   memcmp(text, assistant, length) == 0
               ? ROLE_ASSISTANT
               : ROLE_OTHER;
}

/* Names the event's message: 128 bits of a keyed hash, so that nobody can make two meet. */
static int identify(const struct feed_roles *roles, const struct native_event *event,
                    struct uuid *id_out)
{
    char text[TEXT_MAX];
    size_t length = 0;
    crypto_generichash_state state;
    struct json_span value =
        json_member((struct json_span){event->payload, event->payload_length}, "message_id");
    if (text_of(value, text, &length) != 0) {
        return -1;
    }
    (void)crypto_generichash_init(&state, roles->key.bytes, sizeof roles->key.bytes,
                                  sizeof id_out->bytes);
    (void)crypto_generichash_update(&state, (const uint8_t *)event->run_id, UUID_TEXT_SIZE - 1);
    (void)crypto_generichash_update(&state, (const uint8_t *)text, length);
    (void)crypto_generichash_final(&state, id_out->bytes, sizeof id_out->bytes);
    return 0;
}

/* Whether the event itself says whose its message is. */
static bool names_role(const struct native_event *event, enum role *role_out)
{
    bool started = event->number == EVENT_TYPE_MESSAGE_STARTED;
    if (!started && event->number != EVENT_TYPE_MESSAGE_COMPLETED) {
        return false;
    }
    *role_out = role_of(event);
    return started || *role_out != ROLE_ABSENT;
}

/* ---- what is known ---- */

static enum feed_verdict note(struct feed_roles *roles, const struct uuid *message, bool shown)
{
    if (roles->messages.count >= FEED_ROLES_MAX && map_get(&roles->messages, message) == NULL) {
        return FEED_DOUBTS; /* the feed begins again, and with it this */
    }
    map_put(&roles->messages, message, shown ? &roles->shown : &roles->hidden);
    return shown ? FEED_SHOWS : FEED_HIDES;
}

enum feed_verdict feed_roles_judge(struct feed_roles *roles, const struct native_event *event)
{
    struct uuid message;
    enum role role;
    switch (event->number) {
    case EVENT_TYPE_MESSAGE_STARTED:
    case EVENT_TYPE_MESSAGE_DELTA:
    case EVENT_TYPE_MESSAGE_COMPLETED:
        break;
    case EVENT_TYPE_MESSAGE_EDITED:
        return FEED_DOUBTS;
    default:
        return FEED_HIDES;
    }
    if (identify(roles, event, &message) != 0) {
        return FEED_DOUBTS;
    }
    if (names_role(event, &role)) {
        return note(roles, &message, role != ROLE_OTHER);
    }
    const char *known = map_get(&roles->messages, &message);
    return known == NULL ? FEED_DOUBTS : known == &roles->shown ? FEED_SHOWS : FEED_HIDES;
}

void feed_roles_learn(struct feed_roles *roles, const struct native_event *event, bool shown)
{
    struct uuid message;
    enum role role;
    /* A piece that shows has a role; what else has none of its own may have been shown for that. */
    bool tells = names_role(event, &role) || (event->number == EVENT_TYPE_MESSAGE_DELTA && shown);
    if (tells && identify(roles, event, &message) == 0 &&
        map_get(&roles->messages, &message) == NULL) {
        (void)note(roles, &message, shown);
    }
}
