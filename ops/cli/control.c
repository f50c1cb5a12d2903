/* See control.h. */
#include "ops/cli/control.h"

#include "runtime/base/number.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { CONTROL_BODY_BYTES_MAX = 4 << 20 };

/* The connected socket, or -1 with errno. */
static int connect_control(const char *run_dir)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int length =
        snprintf(address.sun_path, sizeof address.sun_path, "%s/%s", run_dir, CONTROL_SOCKET);
    if (length < 0 || (size_t)length >= sizeof address.sun_path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (const struct sockaddr *)&address, sizeof address) != 0) {
        int failed_errno = errno;
        close(fd);
        errno = failed_errno;
        return -1;
    }
    return fd;
}

bool control_is_running(const char *run_dir)
{
    int fd = connect_control(run_dir);
    if (fd >= 0) {
        close(fd);
    }
    /* Somebody listens, even when we may not talk to him. */
    return fd >= 0 || errno == EACCES || errno == EAGAIN;
}

static int send_line(int fd, const char *line, struct error *err)
{
    struct buffer out = {0};
    buffer_append_text(&out, line);
    buffer_append_byte(&out, '\n');
    int failed = 0;
    size_t sent = 0;
    while (!failed && sent < out.length) {
        ssize_t now = send(fd, out.data + sent, out.length - sent, MSG_NOSIGNAL);
        if (now > 0) {
            sent += (size_t)now;
        } else if (errno != EINTR) {
            failed = error_set(err, "the server does not listen: %s", error_errno(errno));
        }
    }
    buffer_deinit(&out);
    return failed;
}

static int receive_all(int fd, struct buffer *in, struct error *err)
{
    for (;;) {
        ssize_t got = recv(fd, buffer_reserve(in, 16384), 16384, 0);
        if (got > 0) {
            in->length += (size_t)got;
        } else if (got == 0) {
            return 0;
        } else if (errno != EINTR) {
            return error_set(err, "the server broke off: %s", error_errno(errno));
        }
        if (in->length > CONTROL_BODY_BYTES_MAX) {
            return error_set(err, "the server's answer has no end");
        }
    }
}

/* "error CODE text" */
static enum control_outcome refused(char *rest, int *code_out, struct error *err)
{
    char *space = strchr(rest, ' ');
    int64_t code = 0;
    size_t length = space == NULL ? strlen(rest) : (size_t)(space - rest);
    if (number_parse(rest, length, &code) != 0 || code < 1 || code > 255) {
        error_set(err, "the server's answer is not understood: %s", rest);
        return CONTROL_FAILED;
    }
    *code_out = (int)code;
    error_set(err, "%s", space == NULL ? "refused" : space + 1);
    return CONTROL_REFUSED;
}

static enum control_outcome understand(struct buffer *in, struct buffer *body, int *code_out,
                                       struct error *err)
{
    char *text = buffer_text(in);
    char *end = strchr(text, '\n');
    if (end == NULL) {
        error_set(err, "the server broke off");
        return CONTROL_FAILED;
    }
    *end = '\0';
    if (strncmp(text, "error ", 6) == 0) {
        return refused(text + 6, code_out, err);
    }
    if (strcmp(text, "ok") != 0) {
        error_set(err, "the server's answer is not understood: %s", text);
        return CONTROL_FAILED;
    }
    size_t head = (size_t)(end + 1 - text);
    buffer_append(body, in->data + head, in->length - head);
    return CONTROL_OK;
}

enum control_outcome control_ask(const char *run_dir, const char *line, struct buffer *body,
                                 int *code_out, struct error *err)
{
    int fd = connect_control(run_dir);
    if (fd < 0 && (errno == ENOENT || errno == ECONNREFUSED || errno == ENOTDIR)) {
        return CONTROL_NOT_RUNNING;
    }
    if (fd < 0) {
        error_set(err, "cannot reach the server in %s: %s", run_dir, error_errno(errno));
        return CONTROL_FAILED;
    }
    struct buffer in = {0};
    enum control_outcome outcome = CONTROL_FAILED;
    if (send_line(fd, line, err) == 0 && receive_all(fd, &in, err) == 0) {
        outcome = understand(&in, body, code_out, err);
    }
    close(fd);
    buffer_deinit(&in);
    return outcome;
}
