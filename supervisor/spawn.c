/* See spawn.h. */
#include "supervisor/spawn.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SPAWN_OPEN_FILES = 262144 };

static void say(const char *text)
{
    ssize_t ignored = write(STDERR_FILENO, text, strlen(text));
    (void)ignored;
}

static void give_up(const char *what, const char *detail)
{
    int code = errno;
    char number[12];
    size_t at = sizeof number;
    number[--at] = '\0';
    do {
        number[--at] = (char)('0' + code % 10);
        code /= 10;
    } while (code > 0 && at > 0);
    say("cannot start: ");
    say(what);
    say(" ");
    say(detail);
    say(" failed with errno ");
    say(number + at);
    say("\n");
    _exit(SPAWN_EXIT_FAILED);
}

/* Every source is first moved out of the way of the targets, then put in its place. */
static void place_descriptors(const struct spawn_order *order)
{
    int moved[SPAWN_FDS_MAX];
    for (size_t i = 0; i < order->fd_count; i++) {
        moved[i] = fcntl(order->fds[i], F_DUPFD, (int)order->fd_count);
        if (moved[i] < 0) {
            give_up("moving", "a descriptor");
        }
    }
    for (size_t i = 0; i < order->fd_count; i++) {
        if (dup2(moved[i], (int)i) < 0) {
            give_up("placing", "a descriptor");
        }
    }
    if (close_range((unsigned)order->fd_count, ~0U, 0) != 0) {
        give_up("closing", "descriptors");
    }
}

static void set_limits(void)
{
    struct rlimit none = {0, 0};
    struct rlimit files;
    setrlimit(RLIMIT_CORE, &none);
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        if (geteuid() == 0 && files.rlim_max < SPAWN_OPEN_FILES) {
            struct rlimit more = {SPAWN_OPEN_FILES, SPAWN_OPEN_FILES};
            if (setrlimit(RLIMIT_NOFILE, &more) == 0) {
                return;
            }
        }
        files.rlim_cur = files.rlim_max < SPAWN_OPEN_FILES ? files.rlim_max : SPAWN_OPEN_FILES;
        setrlimit(RLIMIT_NOFILE, &files);
    }
}

static void drop_rights(const struct spawn_order *order)
{
    if (order->drop &&
        (setgroups(0, NULL) != 0 || setresgid(order->gid, order->gid, order->gid) != 0 ||
         setresuid(order->uid, order->uid, order->uid) != 0)) {
        give_up("becoming", "the service user");
    }
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
        give_up("setting", "no_new_privs");
    }
}

static void reset_signals(void)
{
    for (int number = 1; number < NSIG; number++) {
        signal(number, number == SIGPIPE ? SIG_IGN : SIG_DFL);
    }
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

static void __attribute__((noreturn)) run_child(const struct spawn_order *order, pid_t parent)
{
    setsid();
    umask(0077);
    place_descriptors(order);
    set_limits();
    if (chdir("/") != 0) {
        give_up("entering", "/");
    }
    /* Found while we still may: the service user need not reach the directory it is in. */
    int program = open(order->argv[0], O_PATH | O_CLOEXEC);
    drop_rights(order);
    /* After the change of user: the kernel clears it there. The parent may be dead already. */
    if (prctl(PR_SET_PDEATHSIG, order->death_signal, 0, 0, 0) != 0) {
        give_up("setting", "the death signal");
    }
    if (getppid() != parent) {
        _exit(EXIT_CODE_ORPHANED);
    }
    reset_signals();
    execve(order->argv[0], order->argv, order->envp);
    if (errno == EACCES) {
        execveat(program, "", order->argv, order->envp, AT_EMPTY_PATH);
    }
    give_up("executing", order->argv[0]);
    _exit(SPAWN_EXIT_FAILED);
}

pid_t spawn_process(const struct spawn_order *order, int *pidfd_out, struct error *err)
{
    assert(order->fd_count >= 3 && order->fd_count <= SPAWN_FDS_MAX);
    pid_t parent = getpid();
    pid_t pid = fork();
    if (pid == 0) {
        run_child(order, parent);
    }
    if (pid < 0) {
        return error_set(err, "cannot fork: %s", error_errno(errno));
    }
    *pidfd_out = pidfd_open(pid, 0);
    if (*pidfd_out < 0) {
        /* Not reaped yet, so the pid is still this child and nobody else. */
        int code = errno;
        kill(pid, SIGKILL);
        while (waitpid(pid, NULL, 0) < 0 && errno == EINTR) {
        }
        return error_set(err, "cannot open a pidfd: %s", error_errno(code));
    }
    return pid;
}
