/* What a confined actor cannot do any more, tried from inside: each case in a process of its own, under the row of each actor,
 * in both modes. */
#include "runtime/confine.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#ifdef __SANITIZE_ADDRESS__
enum { UNDER_ASAN = 1 };
#else
enum { UNDER_ASAN = 0 };
#endif
/* Counts of lines are written wherever the build says: files are not confined then. */
#ifdef SB_COVERAGE
enum { UNDER_COVERAGE = 1 };
#else
enum { UNDER_COVERAGE = 0 };
#endif

static const char *const actors[] = {"api",        "sequencer", "streamer",
                                     "job-runner", "exporter",  "fetcher"};
enum { ACTORS = sizeof actors / sizeof actors[0] };

/* What happened to the child: 0 it did what it was asked to, an errno, or a signal below 0. */
static int in_child(int (*what)(const void *), const struct confine *confine, const void *arg)
{
    int status;
    fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct error err;
        (void)confine_files(confine);
        if (confine_calls(confine, &err) != 0) {
            _exit(250);
        }
        _exit(what(arg));
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

static struct confine row(const char *actor, enum confine_mode mode)
{
    return (struct confine){
        .actor = actor, .mode = mode, .children = strcmp(actor, "job-runner") == 0};
}

/* ---- system calls ---- */

struct call {
    const char *name;
    long number;
    bool asan; /* needed there */
    bool parents;
};

static int call(const void *arg)
{
    const struct call *wanted = arg;
    return syscall(wanted->number, 0L, 0L, 0L, 0L, 0L, 0L) < 0 ? errno : 0;
}

static void test_nobody_may_call_these(void **state)
{
    (void)state;
    static const struct call calls[] = {
        {"ptrace", SYS_ptrace, true, false},
        {"process_vm_readv", SYS_process_vm_readv, false, false},
        {"process_vm_writev", SYS_process_vm_writev, false, false},
        {"bpf", SYS_bpf, false, false},
        {"mount", SYS_mount, false, false},
        {"keyctl", SYS_keyctl, false, false},
        {"add_key", SYS_add_key, false, false},
        {"userfaultfd", SYS_userfaultfd, false, false},
        {"perf_event_open", SYS_perf_event_open, false, false},
        {"io_uring_setup", SYS_io_uring_setup, false, false},
        {"unshare", SYS_unshare, false, false},
        {"setns", SYS_setns, false, false},
        {"init_module", SYS_init_module, false, false},
        {"pidfd_getfd", SYS_pidfd_getfd, false, false},
        {"execve", SYS_execve, false, true},
        {"execveat", SYS_execveat, false, true},
        {"vfork", SYS_clone, true, true}, /* clone without flags: a process */
    };
    for (size_t a = 0; a < ACTORS; a++) {
        struct confine log = row(actors[a], CONFINE_LOG);
        struct confine kill = row(actors[a], CONFINE_KILL);
        for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++) {
            if ((calls[i].asan && UNDER_ASAN) || (calls[i].parents && log.children)) {
                continue;
            }
            int logged = in_child(call, &log, &calls[i]);
            int killed = in_child(call, &kill, &calls[i]);
            if (logged != EPERM || killed != -SIGSYS) {
                fail_msg("%s calls %s: %d, %d", actors[a], calls[i].name, logged, killed);
            }
        }
    }
}

static int open_packet_socket(const void *arg)
{
    return socket(*(const int *)arg, SOCK_RAW | SOCK_CLOEXEC, 0) < 0 ? errno : 0;
}

static void test_only_the_usual_sockets(void **state)
{
    (void)state;
    int packet = AF_PACKET;
    int crypto = AF_ALG;
    struct confine kill = row("api", CONFINE_KILL);
    assert_int_equal(in_child(open_packet_socket, &kill, &packet), -SIGSYS);
    assert_int_equal(in_child(open_packet_socket, &kill, &crypto), -SIGSYS);
}

static void *run_thread(void *arg)
{
    return arg;
}

/* What every actor goes on doing: threads, sockets, waiting, memory, time. */
static int work(const void *arg)
{
    pthread_t thread;
    void *result = NULL;
    int mark;
    int ends[2];
    char byte = 'x';
    if (pthread_create(&thread, NULL, run_thread, &mark) != 0 ||
        pthread_join(thread, &result) != 0 || result != &mark) {
        return 1;
    }
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) != 0 || write(ends[0], &byte, 1) != 1 ||
        read(ends[1], &byte, 1) != 1) {
        return 2;
    }
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    char *memory = malloc(8 << 20);
    if (fd < 0 || memory == NULL) {
        return 3;
    }
    memset(memory, 1, 8 << 20);
    free(memory);
    fd = open("/etc/hosts", O_RDONLY);
    return fd < 0 ? errno : arg == NULL ? 0 : 4;
}

static void test_work_goes_on(void **state)
{
    (void)state;
    for (size_t a = 0; a < ACTORS; a++) {
        struct confine kill = row(actors[a], CONFINE_KILL);
        kill.files = true;
        assert_int_equal(in_child(work, &kill, NULL), 0);
    }
}

/* ---- files, sockets, signals ---- */

static bool has_landlock(int abi)
{
    return syscall(SYS_landlock_create_ruleset, NULL, 0, 1) >= abi;
}

struct file {
    const char *path;
    int flags;
};

static int open_file(const void *arg)
{
    const struct file *file = arg;
    int fd = open(file->path, file->flags, 0600);
    return fd < 0 ? errno : 0;
}

static void test_files_that_are_no_business_of_an_actor(void **state)
{
    (void)state;
    char secret[] = "/tmp/confine-XXXXXX";
    char *made = mkdtemp(secret);
    char path[64];
    char fresh[64];
    assert_non_null(made);
    snprintf(path, sizeof path, "%s/api-key", secret);
    snprintf(fresh, sizeof fresh, "%s/fresh", secret);
    int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    close(fd);
    const struct file forbidden[] = {{path, O_RDONLY},
                                     {path, O_WRONLY},
                                     {secret, O_RDONLY},
                                     {fresh, O_CREAT | O_WRONLY},
                                     {"/etc/hosts", O_RDWR},
                                     {"/root", O_RDONLY},
                                     {"/proc/1/environ", O_RDONLY}};
    for (size_t i = 0;
         i < sizeof forbidden / sizeof forbidden[0] && has_landlock(1) && !UNDER_COVERAGE; i++) {
        struct confine files = row("api", CONFINE_LOG);
        files.files = true;
        if (UNDER_ASAN && strncmp(forbidden[i].path, "/proc", 5) == 0) {
            continue;
        }
        if (in_child(open_file, &files, &forbidden[i]) != EACCES) {
            fail_msg("opened: %s", forbidden[i].path);
        }
    }
    struct confine given = row("api", CONFINE_LOG);
    given.files = true;
    confine_add_path(&given, path);
    confine_add_path(&given, ""); /* ignored */
    confine_add_path(&given, "/nowhere/at/all");
    assert_int_equal(in_child(open_file, &given, &(struct file){path, O_RDONLY}), 0);
    confine_deinit(&given);
    struct confine off = row("api", CONFINE_OFF);
    assert_int_equal(in_child(open_file, &off, &(struct file){path, O_RDONLY}), 0);
    unlink(path);
    unlink(fresh);
    rmdir(secret);
}

static int bind_or_connect(const void *arg)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (*(const bool *)arg) {
        return bind(fd, (struct sockaddr *)&address, sizeof address) == 0 ? 0 : errno;
    }
    address.sin_port = htons(9);
    return connect(fd, (struct sockaddr *)&address, sizeof address) == 0 ? 0 : errno;
}

static int signal_parent(const void *arg)
{
    (void)arg;
    return kill(getppid(), 0) == 0 ? 0 : errno;
}

static void test_nobody_listens_or_signals(void **state)
{
    (void)state;
    struct confine remote = row("api", CONFINE_LOG);
    remote.files = true;
    struct confine local = remote;
    local.local = true;
    if (has_landlock(4)) {
        assert_int_equal(in_child(bind_or_connect, &remote, &(bool){true}), EACCES);
        assert_int_equal(in_child(bind_or_connect, &local, &(bool){false}), EACCES);
        assert_int_not_equal(in_child(bind_or_connect, &remote, &(bool){false}), EACCES);
    }
    if (has_landlock(6)) {
        assert_int_equal(in_child(signal_parent, &remote, NULL), EPERM);
    }
}

/* ---- settings ---- */

static void test_modes(void **state)
{
    (void)state;
    enum confine_mode mode;
    struct error err;
    assert_int_equal(confine_mode_parse("off", &mode, &err), 0);
    assert_int_equal(mode, CONFINE_OFF);
    assert_int_equal(confine_mode_parse("kill", &mode, &err), 0);
    assert_int_equal(mode, CONFINE_KILL);
    assert_int_equal(confine_mode_parse("strict", &mode, &err), -1);
    assert_int_equal(confine_mode_parse("", &mode, &err), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nobody_may_call_these),
        cmocka_unit_test(test_only_the_usual_sockets),
        cmocka_unit_test(test_work_goes_on),
        cmocka_unit_test(test_files_that_are_no_business_of_an_actor),
        cmocka_unit_test(test_nobody_listens_or_signals),
        cmocka_unit_test(test_modes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
