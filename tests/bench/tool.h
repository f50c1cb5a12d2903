/* What the load tools share: clocks, arguments, files of run ids, connections. They are small
 * programs of one job; whatever goes wrong ends them with a message. */
#ifndef SIGNALBOX_BENCH_TOOL_H
#define SIGNALBOX_BENCH_TOOL_H

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

struct tool_runs {
    char (*ids)[37];
    size_t count;
};

struct tool_address {
    struct sockaddr_storage storage;
    socklen_t length;
};

_Noreturn void tool_fail(const char *what);
int64_t tool_now_us(void); /* CLOCK_MONOTONIC: comparable between the tools of one machine */
int64_t tool_real_us(void);
int64_t tool_number(const char *text);
double tool_cpu_s(void); /* of this process so far */
/* Lines of a file; freed by the end of the process. */
struct tool_runs tool_read_runs(const char *path);
/* First line of a file, owned by the caller. */
char *tool_read_line(const char *path);
struct tool_address tool_resolve(const char *host_and_port);
/* A non-blocking connection that is being made, TCP_NODELAY set. */
int tool_connect(const struct tool_address *address);
/* The same from 127.0.0.SOURCE (0: any address) and with this receive buffer (0: the usual one). */
int tool_connect_from(const struct tool_address *address, int source, int receive_buffer);
/* As many descriptors as the hard limit gives. */
void tool_raise_files(void);
/* xorshift64*: cheap, good enough to pick a run. `state` must not be 0. */
uint64_t tool_random(uint64_t *state);

/* Payload text of a benchmark event: a MESSAGE_DELTA of 310 bytes whose delta begins with
 * TOOL_STAMP and 16 digits, the monotonic microsecond at which it was sent. */
#define TOOL_STAMP "t="
enum { TOOL_STAMP_DIGITS = 16, TOOL_PAYLOAD_BYTES = 310 };
/* Writes TOOL_PAYLOAD_BYTES bytes; returns where the digits go. */
size_t tool_payload(char *out);
void tool_digits(char *out, int width, uint64_t value);

#endif
