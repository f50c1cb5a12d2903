/* See tool.h. */
#include "tests/bench/tool.h"

#include "runtime/base/memory.h"
#include "runtime/base/number.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

_Noreturn void tool_fail(const char *what)
{
    fprintf(stderr, "%s: %s\n", what, strerror(errno));
    exit(1);
}

static int64_t clock_us(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

int64_t tool_now_us(void)
{
    return clock_us(CLOCK_MONOTONIC);
}

int64_t tool_real_us(void)
{
    return clock_us(CLOCK_REALTIME);
}

double tool_cpu_s(void)
{
    return (double)clock_us(CLOCK_PROCESS_CPUTIME_ID) / 1e6;
}

int64_t tool_number(const char *text)
{
    int64_t value = 0;
    if (number_parse(text, strlen(text), &value) != 0) {
        errno = EINVAL;
        tool_fail(text);
    }
    return value;
}

struct tool_runs tool_read_runs(const char *path)
{
    struct tool_runs runs = {0};
    char line[64];
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        tool_fail(path);
    }
    while (fgets(line, sizeof line, file) != NULL) {
        runs.ids = memory_grow(runs.ids, runs.count + 1, sizeof *runs.ids);
        memcpy(runs.ids[runs.count], line, 36);
        runs.ids[runs.count++][36] = '\0';
    }
    fclose(file);
    if (runs.count == 0) {
        errno = ENODATA;
        tool_fail(path);
    }
    return runs;
}

char *tool_read_line(const char *path)
{
    char *line = NULL;
    size_t capacity = 0;
    FILE *file = fopen(path, "re");
    if (file == NULL || getline(&line, &capacity, file) < 0) {
        tool_fail(path);
    }
    fclose(file);
    line[strcspn(line, "\r\n")] = '\0';
    return line;
}

struct tool_address tool_resolve(const char *host_and_port)
{
    struct tool_address address = {0};
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST};
    struct addrinfo *found = NULL;
    char *host = memory_string(host_and_port);
    char *colon = strrchr(host, ':');
    if (colon != NULL) {
        *colon = '\0';
    }
    if (colon == NULL || getaddrinfo(host, colon + 1, &hints, &found) != 0) {
        errno = EINVAL;
        tool_fail(host_and_port);
    }
    memcpy(&address.storage, found->ai_addr, found->ai_addrlen);
    address.length = found->ai_addrlen;
    freeaddrinfo(found);
    free(host);
    return address;
}

int tool_connect(const struct tool_address *address)
{
    return tool_connect_from(address, 0, 0);
}

int tool_connect_from(const struct tool_address *address, int source, int receive_buffer)
{
    int fd = socket(address->storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int on = 1;
    if (fd < 0) {
        tool_fail("socket");
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (receive_buffer > 0) {
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer);
    }
    if (source > 0) {
        struct sockaddr_in from = {.sin_family = AF_INET,
                                   .sin_addr.s_addr =
                                       htonl(INADDR_LOOPBACK - 1 + (uint32_t)source)};
        setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
        if (bind(fd, (const struct sockaddr *)&from, sizeof from) != 0) {
            tool_fail("bind");
        }
    }
    if (connect(fd, (const struct sockaddr *)&address->storage, address->length) != 0 &&
        errno != EINPROGRESS) {
        tool_fail("connect");
    }
    return fd;
}

void tool_raise_files(void)
{
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

uint64_t tool_random(uint64_t *state)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * 0x2545f4914f6cdd1dULL;
}

size_t tool_payload(char *out)
{
    static const char begin[] = "{\"message_id\":\"message-1\",\"delta\":\"" TOOL_STAMP;
    static const char words[] = "a quick model writes what a lazy reader will never miss, ";
    size_t at = sizeof begin - 1;
    memcpy(out, begin, at);
    memset(out + at, '0', TOOL_STAMP_DIGITS);
    at += TOOL_STAMP_DIGITS;
    out[at++] = ' ';
    for (size_t i = 0; at < TOOL_PAYLOAD_BYTES - 2; i++) {
        out[at++] = words[i % (sizeof words - 1)];
    }
    memcpy(out + at, "\"}", 2);
    return sizeof begin - 1;
}

void tool_digits(char *out, int width, uint64_t value)
{
    for (int i = width - 1; i >= 0; i--) {
        out[i] = (char)('0' + value % 10);
        value /= 10;
    }
}
