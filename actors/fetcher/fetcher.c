/*
 * The fetcher: makes requests to the outside for the process that started it, so that whatever
 * comes back is parsed by a program without secrets, database or bus.
 *
 * Receives  FETCH on descriptor 0, from its parent. Sends  FETCHED on the same. Owns  nothing. On
 * crash  requests under way are lost; its parent starts another and decides what to repeat.
 *
 *   signalbox-fetcher [--http] [--allow NETWORKS] [--ports PORTS] [--seccomp off|log|kill]
 */
#include "proto/messages.h"
#include "runtime/base/memory.h"
#include "runtime/confine.h"
#include "runtime/frame_pipe.h"
#include "runtime/http_client.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>

enum { MEMORY_MAX = 512 << 20, TIMEOUT_MS_MAX = 600000, ANSWER_MAX = FRAME_PIPE_MAX - (128 << 10) };

struct fetcher {
    struct event_base *base;
    struct http_client *client;
    struct frame_pipe *parent;
};

/* A request under way. */
struct fetch {
    struct fetcher *fetcher;
    uint64_t number;
};

static struct message_span span(const void *data, size_t length)
{
    return (struct message_span){data, length};
}

static void answer(struct fetcher *fetcher, uint64_t number, const struct message_fetched *message)
{
    struct msgpack_sbuffer frame = {0};
    message_fetched_encode(&frame, &(struct message_header){.request = number}, message);
    if (frame_pipe_send(fetcher->parent, frame.data, frame.size) != 0) {
        /* The parent does not read: it will miss this one and repeat it, or not. */
        fprintf(stderr, "answer dropped: the parent does not read\n");
    }
    msgpack_sbuffer_destroy(&frame);
}

static void answered(void *arg, const struct http_client_answer *found)
{
    struct fetch *fetch = arg;
    struct message_fetched message = {
        .status = (uint64_t)found->status,
        .refused = found->refused,
        .error = span(found->error, strlen(found->error)),
        .headers = span(found->headers, found->headers_length),
        .body = span(found->body, found->body_length),
    };
    answer(fetch->fetcher, fetch->number, &message);
    free(fetch);
}

static char *text_of(struct message_span text)
{
    char *copy = memory_new(text.length + 1);
    if (text.length > 0) {
        memcpy(copy, text.data, text.length);
    }
    return copy;
}

/* A NUL would end a text early, a CR would begin a line of its own. */
static bool is_plain(struct message_span text)
{
    return text.length == 0 || (memchr(text.data, '\0', text.length) == NULL &&
                                memchr(text.data, '\r', text.length) == NULL);
}

static void refuse(struct fetcher *fetcher, uint64_t number, const char *why)
{
    answer(fetcher, number,
           &(struct message_fetched){.refused = true, .error = span(why, strlen(why))});
}

static void begin(struct fetcher *fetcher, uint64_t number, const struct message_fetch *message)
{
    struct error err;
    char *method = text_of(message->method);
    char *url = text_of(message->url);
    char *headers = text_of(message->headers);
    struct fetch *fetch = memory_new(sizeof *fetch);
    *fetch = (struct fetch){fetcher, number};
    struct http_client_request request = {
        .method = method,
        .url = url,
        .headers = headers,
        .body = message->body.data,
        .body_length = message->body.length,
        .timeout_ms = (int64_t)message->timeout_ms,
        .answer_max = message->answer_max,
    };
    if (http_client_send(fetcher->client, &request, answered, fetch, &err) != 0) {
        refuse(fetcher, number, err.text);
        free(fetch);
    }
    free(method);
    free(url);
    free(headers);
}

static void received(void *arg, const uint8_t *frame, size_t length)
{
    struct fetcher *fetcher = arg;
    struct message_header header;
    struct message_fetch message;
    if (message_fetch_decode(frame, length, &header, &message) != 0) {
        fprintf(stderr, "malformed FETCH of %zu bytes\n", length);
        return;
    }
    if (!is_plain(message.method) || !is_plain(message.url) || !is_plain(message.headers) ||
        message.timeout_ms < 1 || message.timeout_ms > TIMEOUT_MS_MAX ||
        message.answer_max > ANSWER_MAX) {
        refuse(fetcher, header.request, "the request is malformed");
        return;
    }
    begin(fetcher, header.request, &message);
}

static void closed(void *arg)
{
    struct fetcher *fetcher = arg;
    event_base_loopbreak(fetcher->base);
}

static int read_arguments(int argc, char **argv, struct egress_policy *policy,
                          enum confine_mode *mode, struct error *err)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--http") == 0) {
            policy->http = true;
        } else if (strcmp(argv[i], "--allow") == 0 && i + 1 < argc) {
            if (egress_parse_rules(policy, argv[++i], err) != 0) {
                return -1;
            }
        } else if (strcmp(argv[i], "--ports") == 0 && i + 1 < argc) {
            if (egress_parse_ports(policy, argv[++i], err) != 0) {
                return -1;
            }
        } else if (strcmp(argv[i], "--seccomp") == 0 && i + 1 < argc) {
            if (confine_mode_parse(argv[++i], mode, err) != 0) {
                return -1;
            }
        } else {
            return error_set(err, "unknown argument %s", argv[i]);
        }
    }
    return 0;
}

/* What comes from outside shall find nothing here worth having, and not much room. */
static void limit(void)
{
    struct rlimit none = {0, 0};
    struct rlimit memory = {MEMORY_MAX, MEMORY_MAX};
    (void)prctl(PR_SET_DUMPABLE, 0);
    (void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    (void)setrlimit(RLIMIT_CORE, &none);
    (void)setrlimit(RLIMIT_FSIZE, &none);
#if !defined(__SANITIZE_ADDRESS__)
    (void)setrlimit(RLIMIT_AS, &memory);
#else
    (void)memory;
#endif
    signal(SIGPIPE, SIG_IGN);
}

int main(int argc, char **argv)
{
    struct error err;
    struct egress_policy policy = {0};
    struct fetcher fetcher = {0};
    enum confine_mode mode = CONFINE_OFF;
    if (read_arguments(argc, argv, &policy, &mode, &err) != 0) {
        fprintf(stderr, "signalbox-fetcher: %s\n", err.text);
        return EXIT_CODE_USAGE;
    }
    limit();
    fetcher.base = event_base_new();
    fetcher.client = fetcher.base == NULL ? NULL : http_client_create(fetcher.base, &policy, &err);
    if (fetcher.client == NULL) {
        fprintf(stderr, "signalbox-fetcher: cannot start\n");
        return EXIT_CODE_FAILED;
    }
    fetcher.parent = frame_pipe_create(fetcher.base, 0,
                                       &(struct frame_pipe_handler){received, closed, &fetcher});
    /* Files are its parent's: Landlock is inherited. */
    if (confine_calls(&(struct confine){.actor = "fetcher", .mode = mode}, &err) != 0) {
        fprintf(stderr, "signalbox-fetcher: %s\n", err.text);
        return EXIT_CODE_FAILED;
    }
    event_base_dispatch(fetcher.base);
    http_client_destroy(&fetcher.client);
    frame_pipe_destroy(&fetcher.parent);
    event_base_free(fetcher.base);
    return EXIT_CODE_DONE;
}
