/* See birth.h. */
#include "supervisor/birth.h"

#include "supervisor/slot.h"
#include "supervisor/spawn.h"
#include "supervisor/supervisor.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

static void add_fd(struct spawn_order *order, struct buffer *names, const char *name, int fd)
{
    assert(order->fd_count < SPAWN_FDS_MAX);
    buffer_printf(names, "%s%s:%zu", names->length == 0 ? "" : ",", name, order->fd_count);
    order->fds[order->fd_count++] = fd;
}

/* Everything that is open only while one process is being made. */
struct birth {
    int log_fd;
    int control_fd;
    int settings_fd;
    struct buffer names;
    struct roster_command command;
    struct spawn_order order;
};

static int open_birth(struct child *child, struct birth *birth, struct error *err)
{
    struct supervisor *supervisor = child->slot->supervisor;
    struct slot *slot = child->slot;
    int ends[2];
    child->log = log_pipe_create(&supervisor->loop, &supervisor->output, slot->name,
                                 slot->row->log_kind, &birth->log_fd, err);
    birth->settings_fd = child->log == NULL ? -1 : supervisor_settings_fd(supervisor, err);
    if (birth->settings_fd < 0 || child->slot->row->kind != ROSTER_ACTOR) {
        return birth->settings_fd < 0 ? -1 : 0;
    }
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) {
        return error_set(err, "cannot make a control socket: %s", error_errno(errno));
    }
    child->control.fd = ends[0];
    birth->control_fd = ends[1];
    if (loop_add(&supervisor->loop, &child->control, EPOLLIN, err) != 0) {
        close(ends[0]);
        child->control.fd = -1;
        return -1;
    }
    return 0;
}

/* Streams come to the listener of the slot; what another slot's streamer leaves waiting, any may
 * take. */
static void list_handover(const struct child *child, struct birth *birth)
{
    const struct slot_listeners *slots = &child->slot->supervisor->listeners.handover;
    for (unsigned i = 0; i < slots->count; i++) {
        char name[ROSTER_NAME_SIZE] = CHILD_LISTENER_HANDOVER;
        if (i + 1 != child->slot->number) {
            snprintf(name, sizeof name, CHILD_LISTENER_NEIGHBOUR, i + 1);
        }
        add_fd(&birth->order, &birth->names, name, slots->fds[i]);
    }
}

static void list_descriptors(struct child *child, struct birth *birth)
{
    struct supervisor *supervisor = child->slot->supervisor;
    const struct roster_row *row = child->slot->row;
    struct spawn_order *order = &birth->order;
    order->fds[0] = supervisor->null_fd;
    order->fds[1] = order->fds[2] = birth->log_fd;
    order->fd_count = 3;
    if (row->kind == ROSTER_ONE_SHOT) {
        order->fds[order->fd_count++] = birth->settings_fd;
    } else if (row->kind == ROSTER_ACTOR) {
        order->fds[order->fd_count++] = birth->control_fd;
        assert(order->fd_count == CHILD_FD_FIRST_NAMED);
        add_fd(order, &birth->names, CHILD_FD_SETTINGS_NAME, birth->settings_fd);
        add_fd(order, &birth->names, CHILD_FD_METRICS_NAME, supervisor->board_fd);
        for (unsigned i = 0; i < row->listener_count; i++) {
            add_fd(order, &birth->names, listener_name(row->listeners[i]),
                   supervisor->listeners.fds[row->listeners[i]]);
        }
        if (row->takes_streams) {
            list_handover(child, birth);
        }
        if (row->gives_jobs) {
            add_fd(order, &birth->names, CHILD_LISTENER_JOBS,
                   supervisor->listeners.jobs.fds[child->slot->number - 1]);
        }
    }
}

static void describe_birth(struct child *child, struct birth *birth)
{
    const struct settings *settings = child->slot->supervisor->settings;
    const struct slot *slot = child->slot;
    struct roster_instance instance = {.name = slot->name,
                                       .generation = child->generation,
                                       .slot = slot->index,
                                       .hold = child->hold,
                                       .settings_fd = CHILD_FD_CONTROL};
    list_descriptors(child, birth);
    roster_command(&birth->command, slot->row, settings, &instance, buffer_text(&birth->names));
    birth->order.argv = birth->command.argv;
    birth->order.envp = birth->command.envp;
    birth->order.uid = (uid_t)settings_int(settings, SETTING_INSTANCE_UID);
    birth->order.gid = (gid_t)settings_int(settings, SETTING_INSTANCE_GID);
    /* A one-shot stays with our rights: it writes the api key where the operator looks for it. */
    birth->order.drop =
        geteuid() == 0 && birth->order.uid != 0 && slot->row->kind != ROSTER_ONE_SHOT;
    birth->order.death_signal = slot->row->log_kind == LOG_LINE_POSTGRES ? SIGINT : SIGTERM;
}

static void close_birth(struct birth *birth)
{
    int fds[] = {birth->log_fd, birth->control_fd, birth->settings_fd};
    for (size_t i = 0; i < sizeof fds / sizeof fds[0]; i++) {
        if (fds[i] >= 0) {
            close(fds[i]);
        }
    }
    buffer_deinit(&birth->names);
    roster_command_deinit(&birth->command);
}

int birth_make(struct child *child, struct error *err)
{
    struct birth birth = {.log_fd = -1, .control_fd = -1, .settings_fd = -1};
    pid_t pid = -1;
    if (open_birth(child, &birth, err) == 0) {
        describe_birth(child, &birth);
        pid = spawn_process(&birth.order, &child->pidfd, err);
    }
    close_birth(&birth);
    if (pid < 0) {
        return -1;
    }
    child->pid = pid;
    return 0;
}
