/* See service_user.h. */
#include "ops/cli/service_user.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static int take(const struct passwd *entry, struct service_user *user_out, struct error *err)
{
    int length = snprintf(user_out->name, sizeof user_out->name, "%s", entry->pw_name);
    if (length < 0 || (size_t)length >= sizeof user_out->name) {
        return error_set(err, "the user name %s is too long", entry->pw_name);
    }
    user_out->uid = entry->pw_uid;
    user_out->gid = entry->pw_gid;
    return 0;
}

static int take_uid(uid_t uid, struct service_user *user_out, struct error *err)
{
    const struct passwd *entry = getpwuid(uid);
    if (entry == NULL) {
        return error_set(err, "user id %u has no name on this machine", (unsigned)uid);
    }
    return take(entry, user_out, err);
}

int service_user_choose(const char *data_dir, struct service_user *user_out, struct error *err)
{
    static const char *const names[] = {"signalbox", "postgres", "nobody"};
    if (geteuid() != 0) {
        return take_uid(geteuid(), user_out, err);
    }
    struct stat status;
    if (data_dir != NULL && lstat(data_dir, &status) == 0 && S_ISDIR(status.st_mode) &&
        status.st_uid != 0) {
        return take_uid(status.st_uid, user_out, err);
    }
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        const struct passwd *entry = getpwnam(names[i]);
        if (entry != NULL && entry->pw_uid != 0) {
            return take(entry, user_out, err);
        }
    }
    return error_set(err, "there is no user to run the services as: make a user 'signalbox'");
}

static int drop_privileges(const struct service_user *user, struct error *err)
{
    if (geteuid() == 0 &&
        (setgroups(0, NULL) != 0 || setresgid(user->gid, user->gid, user->gid) != 0 ||
         setresuid(user->uid, user->uid, user->uid) != 0)) {
        return error_set(err, "cannot become user %s: %s", user->name, error_errno(errno));
    }
    return chdir("/") == 0 ? 0 : error_set(err, "cannot enter /: %s", error_errno(errno));
}

int service_user_die_with(pid_t parent)
{
    return prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != parent ? -1 : 0;
}

static void child(const struct service_user *user, pid_t parent, service_user_fn *work,
                  const void *arg, int pipe)
{
    struct error err = {0};
    int failed = drop_privileges(user, &err) != 0;
    /* After the change of user, which clears it. */
    if (!failed && service_user_die_with(parent) != 0) {
        _exit(1);
    }
    failed = failed || work(arg, &err) != 0;
    /* A packet below PIPE_BUF: whole, and the parent is reading. */
    if (failed && write(pipe, &err, sizeof err) < 0) {
        _exit(2);
    }
    _exit(failed);
}

int service_user_call(const struct service_user *user, service_user_fn *work, const void *arg,
                      struct error *err)
{
    int pipes[2];
    if (pipe2(pipes, O_CLOEXEC) != 0) {
        return error_set(err, "cannot make a pipe: %s", error_errno(errno));
    }
    fflush(NULL);
    pid_t parent = getpid();
    pid_t pid = fork();
    if (pid == 0) {
        close(pipes[0]);
        child(user, parent, work, arg, pipes[1]);
    }
    int failed_errno = errno;
    close(pipes[1]);
    if (pid < 0) {
        close(pipes[0]);
        return error_set(err, "cannot fork: %s", error_errno(failed_errno));
    }
    struct error told = {0};
    ssize_t got;
    do {
        got = read(pipes[0], &told, sizeof told);
    } while (got < 0 && errno == EINTR);
    close(pipes[0]);
    int status = 0;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
        return 0;
    }
    if (got == (ssize_t)sizeof told) {
        return error_set(err, "%s", told.text);
    }
    return error_set(err, "a helper process of user %s died (status %d)", user->name, status);
}

static int enter(const void *arg, struct error *err)
{
    const char *directory = arg;
    return chdir(directory) == 0 ? 0 : error_set(err, "%s", error_errno(errno));
}

bool service_user_reaches(const struct service_user *user, const char *directory)
{
    struct error ignored;
    return service_user_call(user, enter, directory, &ignored) == 0;
}
