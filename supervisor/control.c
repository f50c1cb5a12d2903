/* See control.h. */
#include "supervisor/control.h"

#include "runtime/base/buffer.h"
#include "runtime/base/clock.h"
#include "runtime/base/log.h"
#include "runtime/base/memory.h"
#include "supervisor/status.h"
#include "supervisor/supervisor.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CONTROL_PAUSE_MS = 1000, CONTROL_FLUSH_MS = 1000 };

enum client_phase { CLIENT_ASKING, CLIENT_WAITING, CLIENT_STOPPING, CLIENT_ANSWERED };

struct client {
    struct list node;
    struct control *control; /* borrowed */
    struct loop_source source;
    enum client_phase phase;
    int64_t deadline_ms; /* ASKING, ANSWERED */
    size_t length;
    char request[CONTROL_REQUEST_BYTES];
    struct buffer answer;
};

static void on_client(struct loop_source *source, uint32_t events);

static void drop(struct client *client)
{
    struct supervisor *supervisor = client->control->supervisor;
    roll_forget(&supervisor->rolls, client);
    reload_forget(&supervisor->reload, client);
    loop_remove(&supervisor->loop, &client->source);
    close(client->source.fd);
    list_remove(&client->node);
    client->control->client_count--;
    buffer_deinit(&client->answer);
    free(client);
}

/* Sends what the socket takes; the client is gone when that was all. */
static void send_answer(struct client *client)
{
    while (client->answer.length > 0) {
        ssize_t sent = send(client->source.fd, client->answer.data, client->answer.length,
                            MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR) {
            continue;
        }
        if (sent < 0 && errno == EAGAIN) {
            loop_change(&client->control->supervisor->loop, &client->source, EPOLLOUT);
            return;
        }
        if (sent < 0) {
            break;
        }
        buffer_consume(&client->answer, (size_t)sent);
    }
    drop(client);
}

static void answer(struct client *client)
{
    client->phase = CLIENT_ANSWERED;
    client->deadline_ms = clock_monotonic_ms() + CONTROL_IDLE_MS;
    send_answer(client);
}

static void answer_error(struct client *client, int code, const char *text)
{
    buffer_printf(&client->answer, "error %d %s\n", code, text);
    answer(client);
}

static void on_done(void *data, const struct error *err)
{
    struct client *client = data;
    if (err != NULL) {
        /* One line, whatever the reason was made of. */
        struct error line = *err;
        for (char *at = line.text; (at = strpbrk(at, "\r\n")) != NULL;) {
            *at = ' ';
        }
        answer_error(client, EXIT_CODE_FAILED, line.text);
        return;
    }
    buffer_append_text(&client->answer, "ok\n");
    answer(client);
}

/* ---- requests ---- */

static void do_status(struct client *client, const char *argument)
{
    (void)argument;
    buffer_append_text(&client->answer, "ok\n");
    status_write(&client->answer, client->control->supervisor);
    buffer_append_byte(&client->answer, '\n');
    answer(client);
}

static void do_restart(struct client *client, const char *argument)
{
    struct supervisor *supervisor = client->control->supervisor;
    struct roll_ticket *ticket = NULL;
    if (stage_draining(&supervisor->stage)) {
        answer_error(client, EXIT_CODE_FAILED, "the server is stopping");
        return;
    }
    for (size_t i = 0; i < supervisor->slot_count; i++) {
        struct slot *slot = &supervisor->slots[i];
        if (slot->row->kind != ROSTER_ONE_SHOT &&
            (strcmp(slot->name, argument) == 0 || strcmp(slot->row->actor, argument) == 0)) {
            if (ticket == NULL) {
                ticket = roll_ticket_create(on_done, client);
            }
            roll_add(&supervisor->rolls, ticket, slot);
        }
    }
    if (ticket == NULL) {
        answer_error(client, EXIT_CODE_NOT_FOUND, "there is no actor of that name");
        return;
    }
    client->phase = CLIENT_WAITING;
    roll_ticket_close(&supervisor->rolls, ticket);
}

static void do_stop(struct client *client, const char *argument)
{
    (void)argument;
    client->phase = CLIENT_STOPPING;
    stage_drain(client->control->supervisor, EXIT_CODE_DONE);
}

static void do_reload(struct client *client, const char *argument)
{
    (void)argument;
    client->phase = CLIENT_WAITING;
    reload_start(&client->control->supervisor->reload, on_done, client);
}

static void do_dump(struct client *client, const char *argument)
{
    (void)argument;
    supervisor_dump(client->control->supervisor);
    buffer_append_text(&client->answer, "ok\n");
    answer(client);
}

/* For a program of ours that is started by hand beside the server: it needs what an actor is given.
 * Whoever may ask could read it from our memory just as well. */
static void do_settings(struct client *client, const char *argument)
{
    (void)argument;
    buffer_append_text(&client->answer, "ok\n");
    settings_write(client->control->supervisor->settings, &client->answer);
    answer(client);
}

static const struct {
    const char *word;
    bool argument;
    void (*run)(struct client *client, const char *argument);
} requests[] = {{"status", false, do_status}, {"restart", true, do_restart},
                {"stop", false, do_stop},     {"reload", false, do_reload},
                {"dump", false, do_dump},     {"settings", false, do_settings}};

static void handle_request(struct client *client)
{
    char *argument = strchr(client->request, ' ');
    if (argument != NULL) {
        *argument++ = '\0';
    }
    for (size_t i = 0; i < sizeof requests / sizeof requests[0]; i++) {
        if (strcmp(requests[i].word, client->request) == 0 &&
            requests[i].argument == (argument != NULL)) {
            requests[i].run(client, argument);
            return;
        }
    }
    answer_error(client, EXIT_CODE_USAGE, "unknown request");
}

static void read_request(struct client *client)
{
    size_t room = sizeof client->request - 1 - client->length;
    ssize_t got = recv(client->source.fd, client->request + client->length, room, MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    if (got <= 0) {
        drop(client);
        return;
    }
    client->length += (size_t)got;
    client->request[client->length] = '\0';
    char *end = strpbrk(client->request, "\r\n");
    if (end != NULL) {
        *end = '\0';
        /* From here only its end matters. */
        loop_change(&client->control->supervisor->loop, &client->source, EPOLLRDHUP);
        handle_request(client);
    } else if (client->length == sizeof client->request - 1) {
        answer_error(client, EXIT_CODE_USAGE, "the request is too long");
    }
}

static void on_client(struct loop_source *source, uint32_t events)
{
    struct client *client = source->owner;
    switch (client->phase) {
    case CLIENT_ASKING:
        read_request(client);
        return;
    case CLIENT_ANSWERED:
        send_answer(client);
        return;
    case CLIENT_WAITING:
    case CLIENT_STOPPING:
        if ((events & (EPOLLHUP | EPOLLERR)) != 0) {
            drop(client);
        } else {
            /* It has only finished its own side (shutdown): it still reads. */
            loop_change(&client->control->supervisor->loop, source, 0);
        }
        return;
    }
}

static bool may_ask(int fd)
{
    struct ucred peer;
    socklen_t size = sizeof peer;
    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 &&
           (peer.uid == 0 || peer.uid == geteuid());
}

static void pause_accepting(struct control *control, const char *reason)
{
    LOG_WARN("control requests wait", LOG_TEXT("reason", reason));
    control->paused_until_ms = clock_monotonic_ms() + CONTROL_PAUSE_MS;
    loop_change(&control->supervisor->loop, &control->listener, 0);
}

static void add_client(struct control *control, int fd)
{
    struct error err;
    struct client *client = memory_new(sizeof *client);
    client->control = control;
    client->source = (struct loop_source){fd, on_client, client};
    client->deadline_ms = clock_monotonic_ms() + CONTROL_IDLE_MS;
    if (loop_add(&control->supervisor->loop, &client->source, EPOLLIN, &err) != 0) {
        LOG_WARN("a control request is refused", LOG_TEXT("reason", err.text));
        close(fd);
        free(client);
        return;
    }
    list_append(&control->clients, &client->node);
    control->client_count++;
}

static void on_connection(struct loop_source *source, uint32_t events)
{
    struct control *control = source->owner;
    (void)events;
    if (control->client_count >= CONTROL_CLIENTS_MAX) {
        pause_accepting(control, "too many at once");
        return;
    }
    int fd = accept4(source->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0) {
        if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
            pause_accepting(control, error_errno(errno));
        }
        return;
    }
    if (!may_ask(fd)) {
        LOG_WARN("a control request of another user is refused");
        close(fd);
        return;
    }
    add_client(control, fd);
}

/* Owned by whoever started us, not by the services' user: an actor must not steer the house. */
int control_open(struct control *control, struct supervisor *supervisor, struct error *err)
{
    char path[PATH_MAX];
    *control = (struct control){.supervisor = supervisor};
    list_init(&control->clients);
    snprintf(path, sizeof path, "%s/control.sock",
             settings_text(supervisor->settings, SETTING_INSTANCE_RUN_DIR));
    int fd = listeners_unix(path, SOCK_STREAM, geteuid(), getegid(), err);
    control->listener = (struct loop_source){fd, on_connection, control};
    if (fd < 0) {
        return -1;
    }
    return loop_add(&supervisor->loop, &control->listener, EPOLLIN, err);
}

static void answer_last(struct client *client)
{
    int64_t end_ms = clock_monotonic_ms() + CONTROL_FLUSH_MS;
    if (client->phase == CLIENT_STOPPING) {
        buffer_append_text(&client->answer, "ok\n");
    } else if (client->phase == CLIENT_WAITING) {
        buffer_printf(&client->answer, "error %d the server is stopping\n", EXIT_CODE_FAILED);
    }
    while (client->answer.length > 0 && clock_monotonic_ms() < end_ms) {
        struct pollfd room = {.fd = client->source.fd, .events = POLLOUT};
        ssize_t sent = send(client->source.fd, client->answer.data, client->answer.length,
                            MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent < 0 && errno != EAGAIN && errno != EINTR) {
            break;
        }
        buffer_consume(&client->answer, sent > 0 ? (size_t)sent : 0);
        poll(&room, 1, client->answer.length > 0 ? 100 : 0);
    }
    drop(client);
}

void control_close(struct control *control)
{
    for (struct list *node; (node = list_first(&control->clients)) != NULL;) {
        answer_last(LIST_ENTRY(node, struct client, node));
    }
    if (control->listener.fd >= 0) {
        loop_remove(&control->supervisor->loop, &control->listener);
        close(control->listener.fd);
        control->listener.fd = -1;
    }
}

void control_tick(struct control *control, int64_t now_ms)
{
    LIST_FOR_EACH(node, &control->clients)
    {
        struct client *client = LIST_ENTRY(node, struct client, node);
        if ((client->phase == CLIENT_ASKING || client->phase == CLIENT_ANSWERED) &&
            now_ms >= client->deadline_ms) {
            drop(client);
        }
    }
    if (control->paused_until_ms != 0 && now_ms >= control->paused_until_ms) {
        control->paused_until_ms = 0;
        loop_change(&control->supervisor->loop, &control->listener, EPOLLIN);
    }
}

int64_t control_due_ms(const struct control *control)
{
    int64_t due_ms = control->paused_until_ms == 0 ? INT64_MAX : control->paused_until_ms;
    LIST_FOR_EACH(node, &control->clients)
    {
        const struct client *client = LIST_ENTRY(node, struct client, node);
        if ((client->phase == CLIENT_ASKING || client->phase == CLIENT_ANSWERED) &&
            client->deadline_ms < due_ms) {
            due_ms = client->deadline_ms;
        }
    }
    return due_ms;
}
