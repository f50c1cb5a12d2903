/* What the ws_*.c files share; not for their users. */
#ifndef SIGNALBOX_STREAMER_WS_INTERNAL_H
#define SIGNALBOX_STREAMER_WS_INTERNAL_H

#include "runtime/base/buffer.h"
#include "runtime/base/list.h"
#include "runtime/base/map.h"
#include "runtime/base/uuid.h"
#include "runtime/commands.h"
#include "runtime/feed_cursor.h"
#include "runtime/gcra.h"
#include "runtime/submission.h"
#include "runtime/ws_codec.h"
#include "streamer/position.h"
#include "streamer/stream_socket.h"
#include "streamer/ws.h"
#include "streamer/ws_share.h"

#include <event2/event.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    WS_OUT_BYTES = 64 << 10,   /* nothing is added while more waits: one event may go beyond it */
    WS_PASS_BYTES = 256 << 10, /* written to one connection before the next one's turn */
    WS_READ_BYTES = 16 << 10,  /* read at once */
    WS_PASS_READ_BYTES = 64 << 10,
    WS_PASS_TURNS = 512, /* of subscriptions, before the socket has its own */
    WS_ID_BYTES = 255,   /* of a client's id, without escapes */
    WS_CLOSE_MS = 5000,  /* for the end to be agreed upon */
    WS_PINGS_MAX = 2     /* without a pong */
};

/* All of them; one for a streamer. */
struct ws_hub {
    struct streamer *streamer;
    struct commands *commands;    /* owned */
    struct submission submission; /* scratch of one message */
    struct buffer text;           /* scratch */
    struct event *sockets_event;
    struct event *again; /* for the next pass, after the loop has looked at everything else */
    struct list all;     /* connections */
    struct list marked;  /* those with something to do */
    struct list lookups; /* subscriptions to runs whose row is to be looked at */
    struct list feed_lookups;
    struct list crowded; /* connections whose tenant has all its commands under way */
    struct map asked;    /* struct ws_subscription by number: those that a query is about */
    uint64_t last_number;
    int64_t ping_ms;
    int64_t pause_until_ms; /* after a query that was lost */
    int64_t ask_ms;         /* for the database to say what there is to follow */
    size_t count;
    size_t commands_max;     /* of one connection */
    struct ws_shares shares; /* of one tenant */
    struct gcra_rule rate;   /* of one key; count 0: none */
    size_t subscriptions_max;
    size_t message_max;
    uint8_t hash_key[16];
    int sockets; /* epoll */
    bool draining;
    bool asking; /* a query about runs is on the way */
    bool feed_asking;
    const struct ws *serving; /* whose turn it is */
    uint8_t *bytes;           /* WS_READ_BYTES, owned */
};

struct ws {
    struct ws_hub *hub;
    struct list in_all;
    struct list in_marked;
    struct list in_crowded;
    struct list ready;        /* subscriptions that may have something to say, in turn */
    struct map subscriptions; /* by ws_id_key */
    struct list commands;     /* under way */
    size_t commands_count;
    struct key_use *key;
    struct uuid tenant;
    struct feed_key signing;
    char *actor;     /* owned */
    unsigned rights; /* enum stream_right, or-ed */
    int fd;
    struct ws_codec *codec;
    struct buffer out;
    size_t written;               /* of `out` */
    struct buffer held;           /* messages that came while no more could be taken */
    int64_t ping_ms;              /* when the next one is due */
    int64_t blocked_ms;           /* when the socket last took something; 0: it is not full */
    int64_t end_ms;               /* when it is cut, agreed or not; 0: it is not ending */
    uint32_t queued;              /* bytes in the socket at blocked_ms */
    unsigned pings;               /* without a pong */
    enum stream_socket_close how; /* the socket is to be closed, once `gone` */
    bool readable;                /* there may be something to read */
    bool over;                    /* nothing follows `out` */
    bool shut;                    /* and all of it has gone: what still comes is dropped */
    bool gone;                    /* to be destroyed in the pass */
    bool frozen;                  /* being handed on */
};

enum ws_subscription_state {
    WS_ASKING,  /* is there such a run or thread? */
    WS_FOLLOWS, /* `at` is on it */
    WS_FAILED   /* the client is to be told `problem`, and that is all */
};

struct ws_subscription {
    struct position at;
    struct ws *ws;
    struct list in_ready;
    struct list in_lookup;
    enum ws_subscription_state state;
    enum problem problem;
    enum stream_kind kind;
    struct uuid run;
    struct uuid thread; /* nil: the tenant's feed */
    struct feed_key signing;
    uint64_t types;        /* 1 << enum event_type; 0: all */
    uint64_t number;       /* while it is in hub->asked; else 0 */
    int64_t asks_until_ms; /* then its client is told that nobody knows; INT64_MAX: never */
    bool latest;           /* a feed from its end on */
    bool caught_up;        /* and told so */
    size_t id_length;
    char id[]; /* JSON text, with its quotes */
};

/* ---- ws.c ---- */

/* Has its turn in the next pass. */
void ws_mark(struct ws *ws);
/* The next pass destroys it. */
void ws_gone(struct ws *ws, enum stream_socket_close how, const char *why);
/* Begins the end with this code (enum ws_code). */
void ws_end(struct ws *ws, unsigned code, const char *reason);
/* Whether the client may be listened to: its answers have room, and so have its commands. */
bool ws_may_listen(const struct ws *ws);
/* Bytes that wait to be written. */
static inline size_t ws_pending(const struct ws *ws)
{
    return ws->out.length - ws->written;
}

/* Makes its codec, whose findings are taken here. */
void ws_listen(struct ws *ws);

/* ---- ws_life.c ---- */

void ws_drop_subscriptions(struct ws *ws);
/* Off the hub, its descriptor closed as ws->how says. */
void ws_destroy(struct ws *ws);

/* ---- ws_socket.c ---- */

/* -1 with errno. */
SB_MUST_CHECK int ws_socket_watch(struct ws *ws);
void ws_socket_unwatch(struct ws *ws);
void ws_socket_on_events(int fd, short what, void *arg);
/* Reads and feeds the codec as far as the client may be listened to. */
void ws_socket_read(struct ws *ws);
/* Writes; true when everything has gone. */
bool ws_socket_write(struct ws *ws);

/* ---- ws_message.c ---- */

/* Carries out one message of the client; what is wrong is told. */
void ws_message_take(struct ws *ws, bool is_text, const uint8_t *bytes, size_t length);

/* ---- ws_answer.c: what the server says ---- */

/* `id` is JSON text; empty: null. */
void ws_answer_refusal(struct ws *ws, struct json_span id, const struct refusal *refusal);
void ws_answer_appended(struct ws *ws, struct json_span id, const struct message_result *result);
void ws_answer_status(struct ws *ws, struct json_span id, const struct uuid *run,
                      const struct message_result *result);
/* "caught_up", "reset" or "end", with the subscription's position. */
void ws_answer_position(struct ws_subscription *subscription, const char *op);
/* The event in a frame of the shared window. False: it is none of those asked for, its frame is
 * empty. */
bool ws_answer_event(struct ws_subscription *subscription, const uint8_t *frame, size_t length);

/* ---- ws_subscription.c ---- */

struct json_span ws_subscription_id(const struct ws_subscription *subscription);
/* NULL when the connection has none with this id. */
struct ws_subscription *ws_subscription_find(struct ws *ws, struct json_span id);
/* A new one, to be filled in and then begun. There is none with its id. */
struct ws_subscription *ws_subscription_create(struct ws *ws, struct json_span id);
void ws_subscription_begin(struct ws_subscription *subscription, int64_t asks_until_ms);
/* Those that a predecessor had; what makes no sense is left out. */
void ws_subscription_restore(struct ws *ws, const struct message_list *list);
void ws_subscription_destroy(struct ws_subscription *subscription);
/* Adds to ws->out what is next of one of those that are ready. False: there is nothing. */
bool ws_subscription_next(struct ws *ws);
/* It may have something to say. */
void ws_subscription_ready(struct ws_subscription *subscription);
/* It follows its run or feed from now on. `head`: end of the run, or of the log. */
void ws_subscription_follow(struct ws_subscription *subscription, uint64_t head);
void ws_subscription_fail(struct ws_subscription *subscription, enum problem problem);

/* ---- ws_lookup.c ---- */

void ws_lookup_add(struct ws_subscription *subscription);
void ws_lookup_forget(struct ws_subscription *subscription);
/* Sends queries as far as allowed. */
void ws_lookup_go(struct ws_hub *hub);
/* Gives up what has been asked for too long. */
void ws_lookup_tick(struct ws_hub *hub, int64_t now_ms);

/* ---- ws_request.c ---- */

/* Each carries out one message, whose members stand in `object`. */
void ws_request_append(struct ws *ws, struct json_span id, struct json_span object);
void ws_request_cancel(struct ws *ws, struct json_span id, struct json_span object);
void ws_request_resume(struct ws *ws, struct json_span id, struct json_span object);

/* ---- ws_command.c ---- */

enum ws_command_kind { WS_COMMAND_APPEND, WS_COMMAND_CANCEL, WS_COMMAND_RESUME };

/* One under way. */
struct ws_command {
    struct list in_ws;
    struct ws_hub *hub;
    struct ws *ws; /* NULL: the connection has gone */
    enum ws_command_kind kind;
    struct uuid tenant;
    struct uuid run;
    struct submission_usage usage; /* of an append */
    int64_t producer_seq;          /* -1: none */
    size_t bytes;                  /* what its tenant's share is charged with */
    size_t id_length;
    char id[];
};

/* It begins; `bytes` long. To be sent with ws_command_done and itself as `arg`. */
struct ws_command *ws_command_create(struct ws *ws, enum ws_command_kind kind, struct json_span id,
                                     const struct uuid *run, size_t bytes);
/* What sending it returned: when that is not 0, its client is told so, and it is gone. */
void ws_command_sent(struct ws_command *command, int sent);
/* Of type command_done_fn. */
void ws_command_done(void *arg, enum command_state state, const struct message_result *result);
/* Within the bounds of its connection and its tenant one more may begin. */
bool ws_command_has_room(const struct ws *ws);
/* Marks it once its tenant may have room again, if that is what it waits for. */
void ws_command_await_room(struct ws *ws);
/* One more command of its key. -1: that is one too many, the refusal says so. */
SB_MUST_CHECK int ws_command_charge(struct ws *ws);
/* The connection goes: its commands are carried out, and nobody is told. */
void ws_command_orphan(struct ws *ws);

#endif
