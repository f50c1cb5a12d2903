/* See output.h. */
#include "supervisor/output.h"

#include "runtime/base/clock.h"
#include "supervisor/log_line.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static void on_room(struct loop_source *source, uint32_t events);

void output_init(struct output *output, const char *format)
{
    struct stat status;
    bool terminal = isatty(STDOUT_FILENO);
    *output = (struct output){.source = {.fd = STDOUT_FILENO, .handle = on_room}};
    output->source.owner = output;
    output->text = strcmp(format, "text") == 0 || (strcmp(format, "auto") == 0 && terminal);
    output->colour = output->text && terminal;
    if (fstat(STDOUT_FILENO, &status) == 0) {
        output->socket = S_ISSOCK(status.st_mode);
        if (S_ISFIFO(status.st_mode) || terminal) {
            /* An open file of our own: O_NONBLOCK on the shared one would hit the shell too. */
            int own = open("/proc/self/fd/1", O_WRONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
            output->source.fd = own >= 0 ? own : STDOUT_FILENO;
            output->waits = true;
        }
    }
}

void output_attach(struct output *output, struct loop *loop)
{
    output->loop = loop;
}

/* Bytes taken, or -1 with errno. */
static ssize_t put(struct output *output, const uint8_t *bytes, size_t size)
{
    if (output->socket) {
        return send(output->source.fd, bytes, size, MSG_DONTWAIT | MSG_NOSIGNAL);
    }
    if (output->waits && output->source.fd == STDOUT_FILENO) {
        /* Could not be reopened: only what a ready pipe takes without blocking. */
        struct pollfd room = {.fd = STDOUT_FILENO, .events = POLLOUT};
        if (poll(&room, 1, 0) <= 0 || (room.revents & POLLOUT) == 0) {
            errno = EAGAIN;
            return -1;
        }
        size = size < 4096 ? size : 4096;
    }
    return write(output->source.fd, bytes, size);
}

static void watch(struct output *output, bool on)
{
    struct error err;
    if (output->loop == NULL || output->watched == on) {
        return;
    }
    if (!on) {
        loop_remove(output->loop, &output->source);
        output->watched = false;
    } else {
        /* Refused for plain files, which never are full this way. */
        output->watched = loop_add(output->loop, &output->source, EPOLLOUT, &err) == 0;
    }
}

static void drain(struct output *output)
{
    size_t done = 0;
    while (done < output->backlog.length) {
        ssize_t sent = put(output, output->backlog.data + done, output->backlog.length - done);
        if (sent > 0) {
            done += (size_t)sent;
        } else if (sent < 0 && errno == EINTR) {
            continue;
        } else if (sent < 0 && errno == EAGAIN) {
            break;
        } else {
            /* Disk full, reader gone: nobody can be told, so drop, count and live. */
            done = output->backlog.length;
            output->cut = true;
            output->dropped++;
            output->dropped_total++;
        }
    }
    buffer_consume(&output->backlog, done);
    watch(output, output->backlog.length > 0);
}

static void on_room(struct loop_source *source, uint32_t events)
{
    (void)events;
    drain(source->owner);
}

static void queue_line(struct output *output, const char *line, size_t length)
{
    if (output->cut) {
        buffer_append_byte(&output->backlog, '\n');
        output->cut = false;
    }
    if (output->text) {
        log_line_show(&output->backlog, line, length, output->colour);
    } else {
        buffer_append(&output->backlog, line, length);
        buffer_append_byte(&output->backlog, '\n');
    }
}

static void report_dropped(struct output *output)
{
    struct buffer line = {0};
    char now[CLOCK_TEXT_SIZE];
    clock_format(clock_real_us(), now);
    buffer_printf(&line,
                  "{\"ts\":\"%s\",\"level\":\"warn\",\"actor\":\"supervisor\",\"message\":\"log "
                  "lines were dropped\",\"lines\":%llu}",
                  now, (unsigned long long)output->dropped);
    output->dropped = 0;
    queue_line(output, (const char *)line.data, line.length);
    buffer_deinit(&line);
}

void output_line(struct output *output, const char *line, size_t length)
{
    if (output->backlog.length + length > OUTPUT_BACKLOG_BYTES) {
        drain(output);
        if (output->backlog.length + length > OUTPUT_BACKLOG_BYTES) {
            output->dropped++;
            output->dropped_total++;
            return;
        }
    }
    if (output->dropped > 0 && output->backlog.length == 0) {
        report_dropped(output);
    }
    queue_line(output, line, length);
    drain(output);
}

void output_people(struct output *output, const char *text)
{
    if (output->text && output->backlog.length < OUTPUT_BACKLOG_BYTES) {
        buffer_append_text(&output->backlog, text);
        drain(output);
    }
}

void output_flush(struct output *output, int wait_ms)
{
    int64_t end_ms = clock_monotonic_ms() + wait_ms;
    drain(output);
    while (output->backlog.length > 0 && clock_monotonic_ms() < end_ms) {
        struct pollfd room = {.fd = output->source.fd, .events = POLLOUT};
        poll(&room, 1, (int)(end_ms - clock_monotonic_ms()));
        drain(output);
    }
}

void output_deinit(struct output *output)
{
    watch(output, false);
    buffer_deinit(&output->backlog);
}
