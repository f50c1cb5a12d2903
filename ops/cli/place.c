/* See place.h. */
#include "ops/cli/place.h"

#include "ops/cli/control.h"
#include "ops/cli/files.h"
#include "runtime/base/clock.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* The longest name in a run directory (.s.PGSQL.5432, commands.sock) has 13 characters; the rest is
 * room for names that a takeover makes beside them. */
enum { RUN_DIR_LENGTH_MAX = LIMIT_SOCKET_PATH_BYTES - 1 - 24, HASH_BYTES = 6, RANDOM_BYTES = 8 };
enum { LOCK_WAIT_MS = 30000, LOCK_POLL_MS = 20 };

static const char outside_data[] = "/var/lib/signalbox";

static bool is_empty(const char *dir)
{
    DIR *stream = opendir(dir);
    if (stream == NULL) {
        return false;
    }
    int entries = 0;
    while (readdir(stream) != NULL) {
        entries++;
    }
    closedir(stream);
    return entries <= 2;
}

/* Waits for a start that is on its way, or was killed a moment ago. */
static int lock(struct place *place, struct error *err)
{
    const char *dir = place->location.dir;
    int64_t deadline_ms = clock_monotonic_ms() + LOCK_WAIT_MS;
    place->lock_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (place->lock_fd < 0) {
        return error_set(err, "cannot open %s: %s", dir, error_errno(errno));
    }
    while (flock(place->lock_fd, LOCK_EX | LOCK_NB) != 0) {
        if (errno != EWOULDBLOCK && errno != EINTR) {
            return error_set(err, "cannot lock %s: %s", dir, error_errno(errno));
        }
        if (clock_monotonic_ms() > deadline_ms) {
            return error_set(err, "another 'signalbox up' is starting in %s", dir);
        }
        (void)poll(NULL, 0, LOCK_POLL_MS);
    }
    return 0;
}

/* DIR itself. *ours_out: made here, empty, or used by an earlier start, so its mode is ours to set.
 */
static int make_dir(const char *dir, struct place *place, bool *ours_out, struct error *err)
{
    bool created = false;
    if (directory_make(dir, 0700, &created, err) != 0) {
        return -1;
    }
    struct location *location = &place->location;
    if (realpath(dir, location->dir) == NULL) {
        return error_set(err, "cannot use %s: %s", dir, error_errno(errno));
    }
    if (strpbrk(location->dir, "\r\n'\\") != NULL) {
        return error_set(err, "the path of DIR must not hold a line break, quote or backslash");
    }
    if (lock(place, err) != 0) {
        return -1;
    }
    struct location old;
    switch (location_read(location->dir, &old, err)) {
    case LOCATION_FOUND:
        if (control_is_running(old.run_dir)) {
            return error_set(err, "a server is running in %s already ('signalbox status' shows it)",
                             location->dir);
        }
        memcpy(location->data_dir, old.data_dir, sizeof old.data_dir);
        *ours_out = true;
        return 0;
    case LOCATION_ABSENT:
        *ours_out = created || is_empty(location->dir);
        return 0;
    case LOCATION_FAILED:
        break;
    }
    return -1;
}

/* DIR of our own belongs to the service user, so that it can walk through; somebody else's DIR with
 * other things in it is left as it is. */
static int take_dir(const struct place *place, struct error *err)
{
    if (fchmod(place->lock_fd, 0700) != 0 ||
        (geteuid() == 0 && fchown(place->lock_fd, place->user.uid, place->user.gid) != 0)) {
        return error_set(err, "cannot take %s: %s", place->location.dir, error_errno(errno));
    }
    return 0;
}

static int inside(const struct place *place, const char *name, char *out, size_t size,
                  struct error *err)
{
    return path_join(out, size, place->location.dir, name, err);
}

/* Data that an earlier start put outside DIR stays there; a DIR that was moved takes its data
 * along. */
static int choose_data_dir(struct place *place, bool reachable, struct error *err)
{
    struct location *location = &place->location;
    char own[PATH_MAX];
    if (inside(place, "data", own, sizeof own, err) != 0) {
        return -1;
    }
    bool outside_before = strncmp(location->data_dir, outside_data, strlen(outside_data)) == 0 &&
                          strcmp(location->data_dir, own) != 0;
    if (outside_before) {
        return 0;
    }
    if (reachable) {
        memcpy(location->data_dir, own, sizeof own);
        return 0;
    }
    if (access(own, F_OK) == 0) {
        return error_set(err, "user %s cannot reach %s (see the modes of the directories above)",
                         place->user.name, own);
    }
    uint8_t random[RANDOM_BYTES];
    char name[2 * RANDOM_BYTES + 1];
    randombytes_buf(random, sizeof random);
    sodium_bin2hex(name, sizeof name, random, sizeof random);
    return path_join(location->data_dir, sizeof location->data_dir, outside_data, name, err);
}

static const char *outside_run_dir(void)
{
    const char *own = getenv("XDG_RUNTIME_DIR");
    if (geteuid() == 0 && access("/run", W_OK) == 0) {
        return "/run";
    }
    return geteuid() != 0 && own != NULL && own[0] == '/' && access(own, W_OK) == 0 ? own : "/tmp";
}

static int choose_run_dir(struct place *place, bool reachable, struct error *err)
{
    struct location *location = &place->location;
    char own[PATH_MAX];
    if (inside(place, "run", own, sizeof own, err) != 0) {
        return -1;
    }
    if (reachable && strlen(own) <= RUN_DIR_LENGTH_MAX) {
        memcpy(location->run_dir, own, strlen(own) + 1);
        return 0;
    }
    uint8_t hash[crypto_generichash_BYTES_MIN];
    char name[2 * HASH_BYTES + 1];
    (void)crypto_generichash(hash, sizeof hash, (const uint8_t *)location->dir,
                             strlen(location->dir), NULL, 0);
    sodium_bin2hex(name, sizeof name, hash, HASH_BYTES);
    int length = snprintf(location->run_dir, sizeof location->run_dir, "%s/signalbox-%s",
                          outside_run_dir(), name);
    if (length < 0 || length > RUN_DIR_LENGTH_MAX) {
        length = snprintf(location->run_dir, sizeof location->run_dir, "/tmp/signalbox-%s", name);
    }
    return length > 0 ? 0 : error_set(err, "cannot name a run directory");
}

static int make_directories(const struct place *place, struct error *err)
{
    const struct location *location = &place->location;
    const struct service_user *user = &place->user;
    bool created = false;
    if (strncmp(location->data_dir, outside_data, strlen(outside_data)) == 0 &&
        directory_make(outside_data, 0755, &created, err) != 0) {
        return -1;
    }
    if (directory_own(location->data_dir, user->uid, user->gid, err) != 0 ||
        directory_own(location->run_dir, user->uid, user->gid, err) != 0) {
        return -1;
    }
    if (!service_user_reaches(user, location->data_dir) ||
        !service_user_reaches(user, location->run_dir)) {
        return error_set(err, "user %s can reach neither %s nor %s", user->name, location->data_dir,
                         location->run_dir);
    }
    return 0;
}

static int choose(struct place *place, bool ours, struct error *err)
{
    struct location *location = &place->location;
    char data_dir[PATH_MAX];
    const char *known = location->data_dir[0] == '\0' ? NULL : location->data_dir;
    if (known == NULL || access(known, F_OK) != 0) {
        if (inside(place, "data", data_dir, sizeof data_dir, err) != 0) {
            return -1;
        }
        known = data_dir;
    }
    if (service_user_choose(known, &place->user, err) != 0 || (ours && take_dir(place, err) != 0)) {
        return -1;
    }
    bool reachable = service_user_reaches(&place->user, location->dir);
    return choose_data_dir(place, reachable, err) != 0 ? -1 : choose_run_dir(place, reachable, err);
}

int place_prepare(const char *dir, const char *config_file, struct place *place_out,
                  struct error *err)
{
    struct place place = {.lock_fd = -1};
    bool ours = false;
    int length =
        snprintf(place.location.config_file, sizeof place.location.config_file, "%s", config_file);
    if (length < 0 || (size_t)length >= sizeof place.location.config_file) {
        return error_set(err, "the path of the settings file is too long");
    }
    /* The location goes first: a random name that nobody remembers would be a leak. */
    if (make_dir(dir, &place, &ours, err) != 0 || choose(&place, ours, err) != 0 ||
        location_write(&place.location, err) != 0 || make_directories(&place, err) != 0) {
        place_close(&place);
        return -1;
    }
    *place_out = place;
    return 0;
}

void place_close(struct place *place)
{
    if (place->lock_fd >= 0) {
        close(place->lock_fd);
        place->lock_fd = -1;
    }
}

bool place_is_split(const struct place *place)
{
    const char *dir = place->location.dir;
    size_t length = strlen(dir);
    return strncmp(place->location.data_dir, dir, length) != 0 ||
           strncmp(place->location.run_dir, dir, length) != 0;
}
