/* See record.h. */
#include "supervisor/record.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

int record_send(int control_fd, uint64_t generation, enum child_record_type type, int64_t value,
                int passed_fd, struct error *err)
{
    struct child_record record = {
        .version = CHILD_RECORD_VERSION, .type = type, .generation = generation, .value = value};
    struct iovec part = {&record, sizeof record};
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int))];
    } ancillary = {0};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    if (passed_fd >= 0) {
        message.msg_control = &ancillary;
        message.msg_controllen = sizeof ancillary;
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(header), &passed_fd, sizeof passed_fd);
    }
    if (control_fd < 0) {
        return error_set(err, "its control socket is closed");
    }
    if (sendmsg(control_fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL) < 0) {
        return error_set(err, "%s", error_errno(errno));
    }
    return 0;
}

enum record_outcome record_receive(int control_fd, uint64_t generation,
                                   struct child_record *record_out)
{
    /* Descriptors that come along are closed by the kernel: there is no room for them. */
    ssize_t got = recv(control_fd, record_out, sizeof *record_out, MSG_DONTWAIT | MSG_TRUNC);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
        return RECORD_NONE;
    }
    if (got <= 0) {
        return RECORD_CLOSED;
    }
    if ((size_t)got != sizeof *record_out || record_out->version != CHILD_RECORD_VERSION ||
        record_out->generation != generation) {
        return RECORD_FOREIGN;
    }
    return RECORD_TAKEN;
}
