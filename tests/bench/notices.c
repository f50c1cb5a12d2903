/* See notices.h. */
#include "tests/bench/notices.h"

#include "tests/bench/tool.h"

#include "proto/messages.h"
#include "runtime/base/buffer.h"
#include "runtime/base/memory.h"
#include "runtime/base/uuid.h"

#include <pthread.h>
#include <stdbool.h>
#include <string.h>
#include <zmq.h>

enum { NOTICES_MAX = 1 << 20, NOTICES_FRAME_BYTES = 1 << 21 };

struct notices {
    struct uuid run;
    void *socket;
    uint8_t *frame;
    int64_t at_us[NOTICES_MAX]; /* by seq */
};

static void note(struct notices *notices, const uint8_t *frame, size_t length, int64_t now_us)
{
    struct message_header header;
    struct message_events message;
    if (message_events_decode(frame, length, &header, &message) != 0 ||
        memcmp(message.run, notices->run.bytes, sizeof message.run) != 0) {
        return;
    }
    for (uint64_t i = 0; i < message.events.count; i++) {
        if (message.first_seq + i < NOTICES_MAX) {
            __atomic_store_n(&notices->at_us[message.first_seq + i], now_us, __ATOMIC_RELEASE);
        }
    }
}

static void *listen_all(void *arg)
{
    struct notices *notices = arg;
    for (;;) {
        int length = zmq_recv(notices->socket, notices->frame, NOTICES_FRAME_BYTES, 0);
        if (length > 1 && length <= NOTICES_FRAME_BYTES) {
            note(notices, notices->frame + 1, (size_t)length - 1, tool_now_us());
        }
    }
    return NULL;
}

struct notices *notices_start(const char *path, const char *run_id)
{
    struct notices *notices = memory_new(sizeof *notices);
    struct buffer endpoint = {0};
    pthread_t thread;
    notices->frame = memory_new(NOTICES_FRAME_BYTES);
    notices->socket = zmq_socket(zmq_ctx_new(), ZMQ_SUB);
    buffer_printf(&endpoint, "ipc://%s", path);
    if (uuid_parse(run_id, strlen(run_id), &notices->run) != 0 ||
        zmq_setsockopt(notices->socket, ZMQ_SUBSCRIBE, "E", 1) != 0 ||
        zmq_connect(notices->socket, buffer_text(&endpoint)) != 0 ||
        pthread_create(&thread, NULL, listen_all, notices) != 0) {
        tool_fail("listening to the bus");
    }
    buffer_deinit(&endpoint);
    return notices;
}

int64_t notices_at(const struct notices *notices, int64_t seq)
{
    return seq > 0 && seq < NOTICES_MAX ? __atomic_load_n(&notices->at_us[seq], __ATOMIC_ACQUIRE)
                                        : 0;
}
