/* See files.h. */
#include "ops/cli/files.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum file_found file_read(const char *path, struct buffer *out, struct error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0 && (errno == ENOENT || errno == ENOTDIR)) {
        return FILE_ABSENT;
    }
    if (fd < 0) {
        error_set(err, "cannot read %s: %s", path, error_errno(errno));
        return FILE_FAILED;
    }
    size_t before = out->length;
    ssize_t got;
    do {
        uint8_t *at = buffer_reserve(out, 4096);
        got = read(fd, at, 4096);
        if (got > 0) {
            out->length += (size_t)got;
        }
    } while (got > 0 && out->length - before <= FILES_BYTES_MAX);
    int failed_errno = got < 0 ? errno : EFBIG;
    close(fd);
    if (got != 0) {
        error_set(err, "cannot read %s: %s", path, error_errno(failed_errno));
        return FILE_FAILED;
    }
    return FILE_FOUND;
}

int file_sync_directory(const char *path, struct error *err)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int failed = fd < 0 || fsync(fd) != 0;
    int failed_errno = errno;
    if (fd >= 0) {
        close(fd);
    }
    return failed ? error_set(err, "cannot sync %s: %s", path, error_errno(failed_errno)) : 0;
}

static int write_all(int fd, const char *text)
{
    size_t left = strlen(text);
    while (left > 0) {
        ssize_t written = write(fd, text, left);
        if (written < 0 && errno != EINTR) {
            return -1;
        }
        if (written > 0) {
            text += written;
            left -= (size_t)written;
        }
    }
    return 0;
}

/* A synced file with `text` beside `path`; its name goes to `beside_out`. */
static int write_beside(const char *path, const char *text, mode_t mode, char beside_out[PATH_MAX],
                        struct error *err)
{
    int length = snprintf(beside_out, PATH_MAX, "%s.XXXXXX", path);
    if (length < 0 || length >= PATH_MAX) {
        return error_set(err, "the path %s is too long", path);
    }
    int fd = mkostemp(beside_out, O_CLOEXEC);
    if (fd < 0) {
        return error_set(err, "cannot write beside %s: %s", path, error_errno(errno));
    }
    int failed = write_all(fd, text) != 0 || fchmod(fd, mode) != 0 || fsync(fd) != 0;
    int failed_errno = errno;
    close(fd);
    if (failed) {
        unlink(beside_out);
        return error_set(err, "cannot write %s: %s", path, error_errno(failed_errno));
    }
    return 0;
}

static int sync_parent(const char *path, struct error *err)
{
    char parent[PATH_MAX];
    const char *slash = strrchr(path, '/');
    if (slash == NULL) {
        return file_sync_directory(".", err);
    }
    size_t length = slash == path ? 1 : (size_t)(slash - path);
    memcpy(parent, path, length);
    parent[length] = '\0';
    return file_sync_directory(parent, err);
}

int file_replace(const char *path, const char *text, mode_t mode, struct error *err)
{
    char beside[PATH_MAX];
    if (write_beside(path, text, mode, beside, err) != 0) {
        return -1;
    }
    if (rename(beside, path) != 0) {
        int failed_errno = errno;
        unlink(beside);
        return error_set(err, "cannot write %s: %s", path, error_errno(failed_errno));
    }
    return sync_parent(path, err);
}

int file_create(const char *path, const char *text, mode_t mode, bool *created_out,
                struct error *err)
{
    char beside[PATH_MAX];
    if (write_beside(path, text, mode, beside, err) != 0) {
        return -1;
    }
    /* link() refuses to replace, rename() would not. */
    int failed = link(beside, path) != 0;
    int failed_errno = errno;
    unlink(beside);
    if (failed && failed_errno != EEXIST) {
        return error_set(err, "cannot write %s: %s", path, error_errno(failed_errno));
    }
    *created_out = !failed;
    return sync_parent(path, err);
}

int directory_make(const char *path, mode_t mode, bool *created_out, struct error *err)
{
    char partial[PATH_MAX];
    size_t length = strlen(path);
    if (length == 0 || length >= sizeof partial) {
        return error_set(err, "'%s' cannot be a directory", path);
    }
    *created_out = false;
    memcpy(partial, path, length + 1);
    for (size_t i = 1; i <= length; i++) {
        if (partial[i] != '/' && partial[i] != '\0') {
            continue;
        }
        partial[i] = '\0';
        bool last = i == length || path[i + 1] == '\0';
        if (mkdir(partial, last ? mode : 0755) == 0) {
            *created_out = true;
        } else if (errno != EEXIST) {
            return error_set(err, "cannot make %s: %s", partial, error_errno(errno));
        }
        partial[i] = path[i];
    }
    return 0;
}

int directory_own(const char *path, uid_t uid, gid_t gid, struct error *err)
{
    if (mkdir(path, 0700) != 0 && errno != EEXIST) {
        return error_set(err, "cannot make %s: %s", path, error_errno(errno));
    }
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    struct stat status;
    if (fd < 0 || fstat(fd, &status) != 0) {
        int failed_errno = errno;
        if (fd >= 0) {
            close(fd);
        }
        return error_set(err, "cannot use %s: %s", path, error_errno(failed_errno));
    }
    if (status.st_uid != uid && !(status.st_uid == 0 && geteuid() == 0)) {
        close(fd);
        return error_set(err, "%s belongs to another user (uid %u)", path, (unsigned)status.st_uid);
    }
    int failed = (status.st_uid != uid && fchown(fd, uid, gid) != 0) ||
                 ((status.st_mode & 07777) != 0700 && fchmod(fd, 0700) != 0);
    int failed_errno = errno;
    close(fd);
    return failed ? error_set(err, "cannot take %s: %s", path, error_errno(failed_errno)) : 0;
}

int path_join(char *out, size_t size, const char *directory, const char *name, struct error *err)
{
    int length = snprintf(out, size, "%s/%s", directory, name);
    if (length < 0 || (size_t)length >= size) {
        return error_set(err, "the path %s/%s is too long", directory, name);
    }
    return 0;
}
