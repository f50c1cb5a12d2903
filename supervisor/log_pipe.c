/* See log_pipe.h. */
#include "supervisor/log_pipe.h"

#include "runtime/base/limits.h"
#include "runtime/base/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    LOG_PIPE_KERNEL_BYTES = 256 << 10,
    LOG_PIPE_READ_BYTES = 16 << 10,
    LOG_PIPE_READS_A_TURN = 4, /* so that one chatty actor does not hold up the rest */
    LOG_PIPE_READS_AT_END = 64
};

struct log_pipe {
    struct loop *loop;     /* borrowed */
    struct output *output; /* borrowed */
    struct loop_source source;
    enum log_line_kind kind;
    bool released;
    bool skipping; /* the rest of a line that was too long */
    struct buffer line;
    char name[LOG_PIPE_NAME_BYTES];
    char last[LOG_PIPE_LAST_BYTES];
};

static void on_readable(struct loop_source *source, uint32_t events);

struct log_pipe *log_pipe_create(struct loop *loop, struct output *output, const char *name,
                                 enum log_line_kind kind, int *write_fd_out, struct error *err)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) {
        error_set(err, "cannot make a log pipe: %s", error_errno(errno));
        return NULL;
    }
    fcntl(ends[0], F_SETPIPE_SZ, LOG_PIPE_KERNEL_BYTES); /* the default does too */
    struct log_pipe *pipe = memory_new(sizeof *pipe);
    pipe->loop = loop;
    pipe->output = output;
    pipe->kind = kind;
    pipe->source = (struct loop_source){ends[0], on_readable, pipe};
    snprintf(pipe->name, sizeof pipe->name, "%s", name);
    if (loop_add(loop, &pipe->source, EPOLLIN, err) != 0) {
        close(ends[0]);
        close(ends[1]);
        free(pipe);
        return NULL;
    }
    *write_fd_out = ends[1];
    return pipe;
}

static void keep_last(struct log_pipe *pipe, const char *text, size_t length)
{
    snprintf(pipe->last, sizeof pipe->last, "%.*s",
             (int)(length < sizeof pipe->last ? length : sizeof pipe->last - 1), text);
}

static void pass_on(struct log_pipe *pipe, const char *text, size_t length)
{
    struct log_line parsed;
    struct buffer words = {0};
    while (length > 0 && (text[length - 1] == '\r' || text[length - 1] == ' ')) {
        length--;
    }
    if (length == 0) {
        return;
    }
    if (log_line_parse(text, length, &parsed) == 0) {
        log_line_complaint(&words, &parsed);
        if (words.length > 0) {
            keep_last(pipe, (const char *)words.data, words.length);
        }
        output_line(pipe->output, text, length);
    } else {
        keep_last(pipe, text, length);
        log_line_wrap(&words, pipe->kind, pipe->name, text, length);
        output_line(pipe->output, (const char *)words.data, words.length);
    }
    buffer_deinit(&words);
}

/* A line beyond the limit is passed on as far as it goes; its rest is skipped. */
static void take_piece(struct log_pipe *pipe, const char *piece, size_t length, bool complete)
{
    size_t room = LIMIT_LOG_LINE_BYTES - pipe->line.length;
    if (!pipe->skipping) {
        buffer_append(&pipe->line, piece, length < room ? length : room);
        pipe->skipping = length > room;
        if (complete || pipe->skipping) {
            pass_on(pipe, (const char *)pipe->line.data, pipe->line.length);
            buffer_clear(&pipe->line);
        }
    }
    if (complete) {
        pipe->skipping = false;
    }
}

/* 1: there may be more, 0: nothing now, -1: end of file. */
static int read_some(struct log_pipe *pipe)
{
    char bytes[LOG_PIPE_READ_BYTES];
    ssize_t got = read(pipe->source.fd, bytes, sizeof bytes);
    if (got < 0) {
        return errno == EINTR ? 1 : errno == EAGAIN ? 0 : -1;
    }
    if (got == 0) {
        return -1;
    }
    for (const char *at = bytes, *end = bytes + got; at < end;) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        take_piece(pipe, at, (size_t)((stop == NULL ? end : stop) - at), stop != NULL);
        at = stop == NULL ? end : stop + 1;
    }
    return 1;
}

static void close_pipe(struct log_pipe *pipe)
{
    if (pipe->source.fd >= 0) {
        if (pipe->line.length > 0) {
            take_piece(pipe, "", 0, true);
        }
        loop_remove(pipe->loop, &pipe->source);
        close(pipe->source.fd);
        pipe->source.fd = -1;
    }
}

static void destroy(struct log_pipe *pipe)
{
    close_pipe(pipe);
    buffer_deinit(&pipe->line);
    free(pipe);
}

static void on_readable(struct loop_source *source, uint32_t events)
{
    struct log_pipe *pipe = source->owner;
    (void)events;
    for (int i = 0; i < LOG_PIPE_READS_A_TURN; i++) {
        int more = read_some(pipe);
        if (more < 0) {
            close_pipe(pipe);
            if (pipe->released) {
                destroy(pipe);
            }
            return;
        }
        if (more == 0) {
            return;
        }
    }
}

static void read_rest(struct log_pipe *pipe)
{
    for (int i = 0; i < LOG_PIPE_READS_AT_END && pipe->source.fd >= 0; i++) {
        int more = read_some(pipe);
        if (more < 0) {
            close_pipe(pipe);
        }
        if (more <= 0) {
            return;
        }
    }
}

const char *log_pipe_last(struct log_pipe *pipe)
{
    read_rest(pipe);
    return pipe->last;
}

void log_pipe_release(struct log_pipe **pipe)
{
    struct log_pipe *self = *pipe;
    *pipe = NULL;
    if (self == NULL) {
        return;
    }
    read_rest(self);
    self->released = true;
    if (self->source.fd < 0) {
        destroy(self);
    }
}
