/*
 * A chat shows the assistant's messages only, and of most events of a message only an earlier one
 * says whose it is. This is what is known of that: the role of each message that was named since the
 * feed's window began, by run and message_id.
 *
 * The rule, the same here and in the statement that reads chats from the table (store_chat_page):
 * MESSAGE_STARTED, and MESSAGE_COMPLETED with a role, name the role of a message in their run, from
 * there on; absent in MESSAGE_STARTED it is the assistant. An event shows if the role named last is
 * `assistant`. Of a message with no role so far, MESSAGE_COMPLETED shows and MESSAGE_DELTA does not.
 * MESSAGE_EDITED may be about a message of another run: only the table tells.
 *
 * Whatever is not known here is in doubt, never shown: the feed then reads it from the table, and
 * what that says is learnt.
 */
#ifndef SIGNALBOX_STREAMER_FEED_ROLES_H
#define SIGNALBOX_STREAMER_FEED_ROLES_H

#include "runtime/feed_cursor.h"
#include "streamer/formats/native.h"

#include <stdbool.h>
#include <stdint.h>

struct feed_roles;

enum { FEED_ROLES_MAX = 1024 }; /* messages of one feed */

enum feed_verdict {
    FEED_SHOWS,
    FEED_HIDES,
    FEED_DOUBTS /* only the table can tell */
};

/* Returns, caller destroys with feed_roles_destroy. */
struct feed_roles *feed_roles_create(const struct feed_key *key);
void feed_roles_destroy(struct feed_roles **roles);
/* Forgets everything: events behind `position` will be judged. */
void feed_roles_restart(struct feed_roles *roles, uint64_t position);
/* Where it began. */
uint64_t feed_roles_from(const struct feed_roles *roles);
/* The next event behind there. */
enum feed_verdict feed_roles_judge(struct feed_roles *roles, const struct native_event *event);
/* An event before it, as the table says. Of those of one message the last one is told first; what
 * has been judged since counts more. */
void feed_roles_learn(struct feed_roles *roles, const struct native_event *event, bool shown);

#endif
