/* See confine.h. libseccomp builds the filters; Landlock has no library and needs none. */
#include "runtime/confine.h"

#include "runtime/base/buffer.h"
#include "runtime/base/log.h"
#include "runtime/base/memory.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <sched.h>
#include <seccomp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The leak check at the end of a process under AddressSanitizer stops its threads with ptrace, from
 * a process of its own, and reads /proc. */
#ifdef __SANITIZE_ADDRESS__
enum { UNDER_ASAN = true };
#else
enum { UNDER_ASAN = false };
#endif
#ifdef SB_FAULTS
enum { TEST_BUILD = true };
#else
enum { TEST_BUILD = false };
#endif

enum { WORD_SIZE = 32 };

/* ---- the table ---- */

enum group {
    GROUP_EVERY = 1,    /* reading, waiting, memory, threads, connections to services */
    GROUP_ACCEPT = 2,   /* takes connections from a listener */
    GROUP_CHILDREN = 4, /* starts a process */
    GROUP_TEST = 8,     /* fault points, counts of lines */
    GROUP_ASAN = 16
};

static const struct row {
    const char *actor;
    unsigned groups;
} rows[] = {
    {"api", GROUP_EVERY | GROUP_ACCEPT},
    {"sequencer", GROUP_EVERY | GROUP_ACCEPT},
    {"streamer", GROUP_EVERY | GROUP_ACCEPT},
    {"job-runner", GROUP_EVERY | GROUP_ACCEPT | GROUP_CHILDREN},
    {"exporter", GROUP_EVERY},
    {"fetcher", GROUP_EVERY},
};

/* `clone` and `socket` are not here: which of them may be called is in their arguments. */
static const struct {
    enum group group;
    const char *names;
} allowed[] = {
    {GROUP_EVERY,
     "read write readv writev pread64 pwrite64 close close_range lseek fcntl ioctl dup "
     "dup2 dup3 pipe pipe2 poll ppoll select pselect6 epoll_create epoll_create1 "
     "epoll_ctl epoll_wait epoll_pwait epoll_pwait2 eventfd eventfd2 signalfd signalfd4 "
     "timerfd_create timerfd_settime timerfd_gettime"},
    {GROUP_EVERY, "open openat stat fstat lstat newfstatat statx statfs fstatfs access faccessat "
                  "faccessat2 readlink readlinkat getdents64 getcwd"},
    {GROUP_EVERY, "mmap mprotect munmap mremap madvise brk mlock munlock membarrier"},
    {GROUP_EVERY, "socketpair connect bind getsockname getpeername sendto recvfrom sendmsg recvmsg "
                  "sendmmsg recvmmsg setsockopt getsockopt shutdown"},
    {GROUP_EVERY, "futex set_robust_list get_robust_list set_tid_address rseq sched_yield "
                  "sched_getaffinity sched_setaffinity sched_getparam sched_getscheduler "
                  "sched_setscheduler sched_get_priority_max sched_get_priority_min"},
    {GROUP_EVERY, "rt_sigaction rt_sigprocmask rt_sigreturn rt_sigtimedwait sigaltstack kill tkill "
                  "tgkill exit exit_group restart_syscall"},
    {GROUP_EVERY,
     "getpid getppid gettid getuid geteuid getgid getegid getresuid getresgid getpgrp "
     "getsid uname sysinfo getrlimit prlimit64 getrusage times prctl arch_prctl "
     "getrandom clock_gettime clock_getres clock_nanosleep nanosleep gettimeofday time"},
    {GROUP_ACCEPT, "accept accept4 listen"},
    {GROUP_CHILDREN, "clone fork vfork execve execveat wait4 waitid seccomp"},
    {GROUP_TEST, "unlinkat mkdir mkdirat ftruncate umask fadvise64 flock"},
    {GROUP_ASAN, "clone ptrace wait4 waitid personality mincore set_tid_address"},
};

/* Nobody needs these, and they are what a stranger in the process would reach for. */
static const char forbidden[] =
    "ptrace process_vm_readv process_vm_writev process_madvise pidfd_getfd kcmp bpf "
    "perf_event_open userfaultfd io_uring_setup io_uring_enter io_uring_register keyctl add_key "
    "request_key mount umount umount2 pivot_root chroot move_mount open_tree fsopen fsconfig "
    "fsmount "
    "fspick mount_setattr setns unshare open_by_handle_at name_to_handle_at init_module "
    "finit_module delete_module kexec_load kexec_file_load reboot swapon swapoff acct quotactl "
    "iopl ioperm execve execveat fork vfork personality";

static unsigned groups_of(const struct confine *confine)
{
    unsigned groups = GROUP_EVERY;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        groups |= strcmp(rows[i].actor, confine->actor) == 0 ? rows[i].groups : 0;
    }
    groups |= confine->children ? GROUP_CHILDREN : 0;
    groups |= TEST_BUILD ? GROUP_TEST : 0;
    return groups | (UNDER_ASAN ? GROUP_ASAN : 0);
}

/* ---- what is wanted ---- */

int confine_mode_parse(const char *text, enum confine_mode *mode_out, struct error *err)
{
    static const char *const names[] = {
        [CONFINE_OFF] = "off", [CONFINE_LOG] = "log", [CONFINE_KILL] = "kill"};
    for (unsigned i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(text, names[i]) == 0) {
            *mode_out = (enum confine_mode)i;
            return 0;
        }
    }
    return error_set(err, "security.seccomp must be off, log or kill");
}

static bool starts_children(const char *actor)
{
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (strcmp(rows[i].actor, actor) == 0) {
            return (rows[i].groups & GROUP_CHILDREN) != 0;
        }
    }
    return false;
}

int confine_init(struct confine *confine, const char *actor, const struct settings *settings,
                 struct error *err)
{
    enum confine_mode mode;
    if (confine_mode_parse(settings_text(settings, SETTING_SECURITY_SECCOMP), &mode, err) != 0) {
        return -1;
    }
    const char *faults = settings_text(settings, SETTING_INSTANCE_FAULT_DIR);
    *confine =
        (struct confine){.actor = actor,
                         .mode = mode,
                         .files = settings_bool(settings, SETTING_SECURITY_LANDLOCK),
                         .children = starts_children(actor) ||
                                     settings_text(settings, SETTING_TRACE_OTLP_URL)[0] != '\0',
                         .local = settings_bool(settings, SETTING_DATABASE_EMBEDDED) &&
                                  settings_bool(settings, SETTING_REDIS_EMBEDDED),
                         .writable = TEST_BUILD && faults[0] != '\0' ? faults : NULL};
    if (confine->children) {
        struct buffer program = {0};
        buffer_printf(&program, "%s/signalbox-fetcher",
                      settings_text(settings, SETTING_INSTANCE_BIN_DIR));
        confine->program = memory_string(buffer_text(&program));
        buffer_deinit(&program);
    }
    return 0;
}

void confine_deinit(struct confine *confine)
{
    for (size_t i = 0; i < confine->paths_count; i++) {
        free(confine->paths[i]);
    }
    free(confine->program);
    *confine = (struct confine){0};
}

void confine_add_path(struct confine *confine, const char *path)
{
    if (path[0] == '/' && confine->paths_count < CONFINE_PATHS_MAX) {
        confine->paths[confine->paths_count++] = memory_string(path);
    }
}

/* ---- files ---- */

/* Rights that a kernel of each ABI knows; what it does not know it would refuse. */
static uint64_t known_rights(int abi)
{
    uint64_t rights = (LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1;
    rights |= abi >= 2 ? UINT64_C(1) << 13 : 0; /* refer: moving between directories */
    rights |= abi >= 3 ? UINT64_C(1) << 14 : 0; /* truncate */
    rights |= abi >= 5 ? UINT64_C(1) << 15 : 0; /* ioctl of devices */
    return rights;
}

/* The kernel's structure of ABI 6; an older one is given its beginning only. */
struct ruleset {
    uint64_t files;
    uint64_t network; /* from ABI 4 */
    uint64_t scoped;  /* from ABI 6 */
};

enum { BIND_TCP = 1, CONNECT_TCP = 2, ABSTRACT_SOCKETS = 1, SIGNALS = 2 };

static int make_ruleset(const struct confine *confine, int abi)
{
    struct ruleset ruleset = {.files = known_rights(abi)};
    size_t size = abi >= 6 ? sizeof ruleset : abi >= 4 ? 2 * sizeof(uint64_t) : sizeof(uint64_t);
    if (abi >= 4) {
        ruleset.network = BIND_TCP | (confine->local && !confine->children ? CONNECT_TCP : 0U);
    }
    if (abi >= 6) {
        ruleset.scoped = ABSTRACT_SOCKETS | SIGNALS;
    }
    return (int)syscall(SYS_landlock_create_ruleset, &ruleset, size, 0);
}

static void allow_path(int ruleset, const char *path, uint64_t rights)
{
    int fd = open(path, O_PATH | O_CLOEXEC);
    struct stat status;
    if (fd < 0) {
        return; /* not on this machine */
    }
    if (fstat(fd, &status) == 0 && !S_ISDIR(status.st_mode)) {
        rights &= LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_READ_FILE |
                  LANDLOCK_ACCESS_FS_WRITE_FILE | UINT64_C(1) << 14;
    }
    struct landlock_path_beneath_attr rule = {.allowed_access = rights, .parent_fd = fd};
    if (syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) != 0) {
        LOG_WARN("Landlock does not take a path", LOG_TEXT("path", path),
                 LOG_TEXT("error", error_errno(errno)));
    }
    close(fd);
}

/* Libraries, names of hosts and certificates, time zones: what libpq, OpenSSL and the C library read
 * while they work. Nothing may be written. */
static void allow_paths(int ruleset, const struct confine *confine, int abi)
{
    static const char *const readable[] = {"/usr",
                                           "/lib",
                                           "/lib64",
                                           "/etc",
                                           "/dev/urandom",
                                           "/sys/devices/system/cpu",
                                           "/run/systemd/resolve",
                                           "/run/resolvconf",
                                           "/run/NetworkManager"};
    static const char *const interpreters[] = {"/lib64/ld-linux-x86-64.so.2",
                                               "/lib/ld-linux-aarch64.so.1"};
    uint64_t read_rights = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR;
    for (size_t i = 0; i < sizeof readable / sizeof readable[0]; i++) {
        allow_path(ruleset, readable[i], read_rights);
    }
    for (size_t i = 0; i < confine->paths_count; i++) {
        allow_path(ruleset, confine->paths[i], read_rights);
    }
    allow_path(ruleset, "/dev/null", read_rights | LANDLOCK_ACCESS_FS_WRITE_FILE);
    if (confine->children && confine->program != NULL) {
        allow_path(ruleset, confine->program, read_rights | LANDLOCK_ACCESS_FS_EXECUTE);
        for (size_t i = 0; i < sizeof interpreters / sizeof interpreters[0]; i++) {
            allow_path(ruleset, interpreters[i], read_rights | LANDLOCK_ACCESS_FS_EXECUTE);
        }
    }
    if (UNDER_ASAN) {
        allow_path(ruleset, "/proc", read_rights);
    }
    if (confine->writable != NULL) {
        allow_path(ruleset, confine->writable, read_rights | LANDLOCK_ACCESS_FS_REMOVE_FILE);
    }
#ifdef SB_COVERAGE
    allow_path(ruleset, SB_COVERAGE, known_rights(abi)); /* the counts are written at the end */
#else
    (void)abi;
#endif
}

int confine_files(const struct confine *confine)
{
    int abi = (int)syscall(SYS_landlock_create_ruleset, NULL, 0, 1 /* which version */);
    if (prctl(PR_SET_DUMPABLE, 0) != 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
        LOG_WARN("cannot give up being dumped", LOG_TEXT("error", error_errno(errno)));
    }
    if (!confine->files) {
        return 0;
    }
    if (abi < 1) {
        LOG_WARN("this kernel has no Landlock: files are not confined",
                 LOG_TEXT("error", error_errno(errno)));
        return 0;
    }
    int ruleset = make_ruleset(confine, abi);
    if (ruleset < 0) {
        LOG_WARN("Landlock refuses: files are not confined", LOG_TEXT("error", error_errno(errno)));
        return 0;
    }
    allow_paths(ruleset, confine, abi);
    bool in_force = syscall(SYS_landlock_restrict_self, ruleset, 0) == 0;
    if (!in_force) {
        LOG_WARN("Landlock refuses: files are not confined", LOG_TEXT("error", error_errno(errno)));
    } else if (abi < 6) {
        LOG_INFO("Landlock of this kernel knows files only in part: TCP from 4, signals from 6",
                 LOG_INT("abi", abi));
    }
    close(ruleset);
    return in_force ? abi : 0;
}

/* ---- system calls ---- */

static bool next_word(const char **words, char word[WORD_SIZE])
{
    size_t length = strcspn(*words, " ");
    if (length == 0) {
        return false;
    }
    assert(length < WORD_SIZE);
    memcpy(word, *words, length);
    word[length] = '\0';
    *words += length + strspn(*words + length, " ");
    return true;
}

static bool has_word(const char *words, const char *wanted)
{
    char word[WORD_SIZE];
    while (next_word(&words, word)) {
        if (strcmp(word, wanted) == 0) {
            return true;
        }
    }
    return false;
}

static bool is_allowed(const char *name, unsigned groups)
{
    for (size_t i = 0; i < sizeof allowed / sizeof allowed[0]; i++) {
        if ((allowed[i].group & groups) != 0 && has_word(allowed[i].names, name)) {
            return true;
        }
    }
    return false;
}

/* What this architecture does not have needs no rule. */
static int add_rule(scmp_filter_ctx filter, const char *name, uint32_t action)
{
    int number = seccomp_syscall_resolve_name(name);
    return number == __NR_SCMP_ERROR ? 0 : seccomp_rule_add(filter, action, number, 0);
}

static int allow(scmp_filter_ctx filter, unsigned groups)
{
    char name[WORD_SIZE];
    int result = 0;
    for (size_t i = 0; i < sizeof allowed / sizeof allowed[0]; i++) {
        const char *names = allowed[i].names;
        while ((allowed[i].group & groups) != 0 && result == 0 && next_word(&names, name)) {
            result = add_rule(filter, name, SCMP_ACT_ALLOW);
        }
    }
    return result;
}

static int forbid(scmp_filter_ctx filter, unsigned groups)
{
    char name[WORD_SIZE];
    const char *names = forbidden;
    int result = 0;
    while (result == 0 && next_word(&names, name)) {
        result = is_allowed(name, groups) ? 0 : add_rule(filter, name, SCMP_ACT_ERRNO(EPERM));
    }
    return result;
}

/* Threads, not processes. What clone3 is asked for stands in memory, where no filter can see it:
 * callers fall back to clone. */
static int allow_threads(scmp_filter_ctx filter, const struct confine *confine, unsigned groups)
{
    int result = seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
    if (result != 0 || is_allowed("clone", groups)) {
        return result;
    }
    result = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1,
                              SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, CLONE_THREAD));
    if (result != 0 || confine->mode == CONFINE_KILL) {
        return result;
    }
    return seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(clone), 1,
                            SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, 0));
}

/* No raw packets, no kernel crypto, no virtual machines' sockets. Netlink: names of hosts. */
static int allow_sockets(scmp_filter_ctx filter)
{
    static const unsigned families[] = {AF_UNIX, AF_INET, AF_INET6, AF_NETLINK};
    int result = 0;
    for (size_t i = 0; i < sizeof families / sizeof families[0] && result == 0; i++) {
        result = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(socket), 1,
                                  SCMP_A0(SCMP_CMP_EQ, families[i]));
    }
    return result;
}

static int fill(scmp_filter_ctx filter, const struct confine *confine)
{
    unsigned groups = groups_of(confine);
    int result = allow_threads(filter, confine, groups);
    result = result == 0 ? allow_sockets(filter) : result;
    result = result == 0 ? allow(filter, groups) : result;
    return result == 0 && confine->mode == CONFINE_LOG ? forbid(filter, groups) : result;
}

int confine_calls(const struct confine *confine, struct error *err)
{
    if (confine->mode == CONFINE_OFF) {
        return 0;
    }
    bool log = confine->mode == CONFINE_LOG;
    scmp_filter_ctx filter = seccomp_init(log ? SCMP_ACT_LOG : SCMP_ACT_KILL_PROCESS);
    if (filter == NULL) {
        return error_set(err, "libseccomp cannot make a filter");
    }
    (void)seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
    (void)seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2); /* a tree, not a list */
    (void)seccomp_attr_set(filter, SCMP_FLTATR_CTL_LOG, log ? 1 : 0);
    int result = seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1);
    result = result == 0 ? fill(filter, confine) : result;
    result = result == 0 ? seccomp_load(filter) : result;
    seccomp_release(filter);
    return result == 0 ? 0 : error_set(err, "seccomp: %s", error_errno(-result));
}
