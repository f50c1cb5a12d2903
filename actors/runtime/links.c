/* See links.h. */
#include "runtime/links.h"

#include "proto/child_contract.h"
#include "proto/messages.h"
#include "runtime/base/limits.h"
#include "runtime/base/log.h"
#include "runtime/base/metrics.h"
#include "runtime/bus.h"

static void on_hint(void *arg, const struct bus_peer *peer, const uint8_t *frame, size_t length)
{
    (void)peer;
    struct links *links = arg;
    struct message_header header;
    struct message_hint hint;
    if (message_hint_decode(frame, length, &header, &hint) != 0) {
        metric_add(METRIC_MESSAGES_REJECTED, 1);
        return;
    }
    links->position = hint.position;
}

int links_open(struct links *links, struct actor *actor, struct error *err)
{
    char path[LIMIT_SOCKET_PATH_BYTES + 1];
    actor_path(actor, CHILD_SOCKET_EVENTS, path);
    struct bus_options options = {
        .role = BUS_EVENTS_CLIENT, .path = path, .handler = {on_hint, NULL, links}};
    struct db_options db_options = {.settings = actor->settings,
                                    .role = actor->description->database_role,
                                    .application_name = actor->instance};
    links->commands = commands_create(actor, err);
    links->events = links->commands == NULL ? NULL : bus_open(actor->bus, &options, err);
    if (links->events == NULL) {
        return -1;
    }
    bus_subscribe(links->events, BUS_TOPIC_HINTS);
    links->db = db_open(actor->base, &db_options);
    return 0;
}

void links_close(struct links *links)
{
    commands_destroy(&links->commands);
    bus_close(&links->events);
    db_close(&links->db);
}

void links_report(const struct links *links, struct actor_report *report_out)
{
    report_out->healthy = db_is_connected(links->db) && commands_reachable(links->commands);
    report_out->in_flight = commands_in_flight(links->commands);
}

void links_dump(const struct links *links)
{
    LOG_INFO("state", LOG_INT("position", links->position),
             LOG_INT("commands_in_flight", commands_in_flight(links->commands)));
}
