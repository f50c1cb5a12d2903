/* See cluster.h. Everything here runs in a child process as the service user: root never writes
 * into a directory that belongs to somebody else. */
#include "ops/cli/cluster.h"

#include "ops/cli/files.h"
#include "runtime/base/memory.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define UNFINISHED "postgres.unfinished."

struct work {
    const struct place *place;
    const char *bin_dir;
    char invoker[64]; /* who runs `up`, or empty */
    char path[PATH_MAX];
    char unfinished[PATH_MAX]; /* template of mkdtemp(), then the name */
};

static const char include_line[] = "\n# Written anew at every start:\ninclude 'signalbox.conf'\n";

static const char *const mapped_roles[] = {
    "postgres",           "signalbox_owner",      "signalbox_api",     "signalbox_sequencer",
    "signalbox_streamer", "signalbox_job_runner", "signalbox_exporter"};

static int remove_entry(const char *path, const struct stat *status SB_UNUSED, int kind SB_UNUSED,
                        struct FTW *walk SB_UNUSED)
{
    return remove(path);
}

/* What starts that were killed left behind. A straggler of one of them may still write for a
 * moment: what cannot be removed now is removed at the next start. */
static void remove_unfinished(const char *data_dir)
{
    DIR *stream = opendir(data_dir);
    if (stream == NULL) {
        return;
    }
    for (struct dirent *entry; (entry = readdir(stream)) != NULL;) {
        char path[PATH_MAX];
        struct error ignored;
        if (strncmp(entry->d_name, UNFINISHED, strlen(UNFINISHED)) == 0 &&
            path_join(path, sizeof path, data_dir, entry->d_name, &ignored) == 0) {
            (void)nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
        }
    }
    closedir(stream);
}

/* The last line that the program wrote, for the error message. */
static void last_line(int fd, char *out, size_t size)
{
    char text[4096];
    ssize_t got = pread(fd, text, sizeof text - 1, 0);
    off_t end = lseek(fd, 0, SEEK_END);
    if (end > (off_t)sizeof text - 1) {
        got = pread(fd, text, sizeof text - 1, end - (off_t)sizeof text + 1);
    }
    text[got < 0 ? 0 : got] = '\0';
    size_t length = strlen(text);
    while (length > 0 && text[length - 1] == '\n') {
        text[--length] = '\0';
    }
    const char *newline = strrchr(text, '\n');
    const char *line = newline == NULL ? text : newline + 1;
    size_t room = strlen(line) < size ? strlen(line) : size - 1;
    memcpy(out, line, room);
    out[room] = '\0';
}

static void exec_initdb(pid_t parent, const char *program, const char *directory, int output)
{
    char *const argv[] = {(char *)(uintptr_t)program,
                          "-D",
                          (char *)(uintptr_t)directory,
                          "--username=postgres",
                          "--encoding=UTF8",
                          "--locale=C",
                          "--auth-local=peer",
                          "--auth-host=reject",
                          "--data-checksums",
                          NULL};
    char *const environment[] = {"PATH=/usr/bin:/bin", "LC_ALL=C", "TZ=UTC", NULL};
    int null = open("/dev/null", O_RDONLY);
    if (service_user_die_with(parent) == 0 && null >= 0 && dup2(null, 0) == 0 &&
        dup2(output, 1) == 1 && dup2(output, 2) == 2) {
        execve(program, argv, environment);
    }
    _exit(127);
}

static int run_initdb(const struct work *work, struct error *err)
{
    char program[PATH_MAX];
    if (path_join(program, sizeof program, work->bin_dir, "initdb", err) != 0) {
        return -1;
    }
    if (access(program, X_OK) != 0) {
        return error_set(err,
                         "there is no %s: install PostgreSQL (postgresql-15), set "
                         "database.bin_dir, or name a server in DATABASE_URL",
                         program);
    }
    int output = open(work->place->location.data_dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (output < 0) {
        return error_set(err, "cannot write in %s: %s", work->place->location.data_dir,
                         error_errno(errno));
    }
    pid_t parent = getpid();
    pid_t pid = fork();
    if (pid == 0) {
        exec_initdb(parent, program, work->unfinished, output);
    }
    int status = -1;
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    if (status != 0) {
        char line[256];
        last_line(output, line, sizeof line);
        error_set(err, "initdb failed (status %d): %s", status, line);
    }
    close(output);
    return status == 0 ? 0 : -1;
}

static int append_include(const struct work *work, struct error *err)
{
    char path[PATH_MAX];
    struct buffer text = {0};
    int result = path_join(path, sizeof path, work->unfinished, "postgresql.conf", err);
    if (result == 0) {
        result = file_read(path, &text, err) == FILE_FOUND ? 0 : -1;
    }
    if (result == 0) {
        buffer_append_text(&text, include_line);
        result = file_replace(path, buffer_text(&text), 0600, err);
    }
    buffer_deinit(&text);
    return result;
}

/* Made under another name, so that a cluster either exists whole or not at all. */
static int create(const void *arg, struct error *err)
{
    struct work own = *(const struct work *)arg;
    struct work *work = &own;
    if (mkdtemp(work->unfinished) == NULL) {
        return error_set(err, "cannot make %s: %s", work->unfinished, error_errno(errno));
    }
    if (run_initdb(work, err) != 0 || append_include(work, err) != 0 ||
        file_sync_directory(work->unfinished, err) != 0) {
        return -1;
    }
    if (rename(work->unfinished, work->path) != 0) {
        return error_set(err, "cannot name %s: %s", work->path, error_errno(errno));
    }
    return file_sync_directory(work->place->location.data_dir, err);
}

static void append_maps(struct buffer *out, const char *user)
{
    for (size_t i = 0; i < sizeof mapped_roles / sizeof mapped_roles[0]; i++) {
        buffer_printf(out, "signalbox \"%s\" %s\n", user, mapped_roles[i]);
    }
}

static int write_file(const struct work *work, const char *name, struct buffer *text,
                      struct error *err)
{
    char path[PATH_MAX];
    int result = path_join(path, sizeof path, work->path, name, err);
    if (result == 0) {
        result = file_replace(path, buffer_text(text), 0600, err);
    }
    buffer_clear(text);
    return result;
}

/* The run directory and the users may be others than at the last start. */
static int configure(const void *arg, struct error *err)
{
    const struct work *work = arg;
    const char *service = work->place->user.name;
    struct buffer text = {0};
    remove_unfinished(work->place->location.data_dir);
    buffer_printf(&text,
                  "# Written by 'signalbox up' at every start; put your own changes into\n"
                  "# postgresql.conf, behind the include.\n"
                  "listen_addresses = ''\n"
                  "unix_socket_directories = '%s'\n"
                  "unix_socket_permissions = 0700\n"
                  "port = 5432\n"
                  "max_connections = 200\n"
                  "fsync = on\n"
                  "synchronous_commit = on\n"
                  "full_page_writes = on\n"
                  "shared_buffers = 128MB\n"
                  "wal_compression = lz4\n"
                  "min_wal_size = 256MB\n"
                  "max_wal_size = 2GB\n"
                  "jit = off\n"
                  "timezone = 'UTC'\n"
                  "log_timezone = 'UTC'\n"
                  "log_destination = 'stderr'\n"
                  "logging_collector = off\n"
                  "log_checkpoints = off\n",
                  work->place->location.run_dir);
    int result = write_file(work, "signalbox.conf", &text, err);
    buffer_append_text(&text, "# Written by 'signalbox up' at every start.\n"
                              "local all all peer map=signalbox\n"
                              "local replication postgres peer map=signalbox\n");
    result = result == 0 ? write_file(work, "pg_hba.conf", &text, err) : result;
    buffer_append_text(&text, "# Written by 'signalbox up' at every start.\n");
    append_maps(&text, service);
    if (strcmp(service, "root") != 0) {
        append_maps(&text, "root");
    }
    if (work->invoker[0] != '\0' && strcmp(work->invoker, service) != 0 &&
        strcmp(work->invoker, "root") != 0) {
        append_maps(&text, work->invoker);
    }
    result = result == 0 ? write_file(work, "pg_ident.conf", &text, err) : result;
    buffer_deinit(&text);
    return result;
}

static int look(const void *arg, struct error *err)
{
    char path[PATH_MAX];
    if (path_join(path, sizeof path, arg, "postgres/PG_VERSION", err) != 0) {
        return -1;
    }
    return access(path, F_OK);
}

bool cluster_exists(const struct place *place)
{
    struct error ignored;
    return service_user_call(&place->user, look, place->location.data_dir, &ignored) == 0;
}

int cluster_prepare(const struct place *place, const char *bin_dir, struct error *err)
{
    struct work work = {.place = place, .bin_dir = bin_dir};
    const char *data_dir = place->location.data_dir;
    const struct passwd *invoker = getpwuid(getuid());
    if (invoker != NULL) {
        snprintf(work.invoker, sizeof work.invoker, "%s", invoker->pw_name);
    }
    if (path_join(work.path, sizeof work.path, data_dir, "postgres", err) != 0 ||
        path_join(work.unfinished, sizeof work.unfinished, data_dir, UNFINISHED "XXXXXX", err) !=
            0) {
        return -1;
    }
    if (!cluster_exists(place) && service_user_call(&place->user, create, &work, err) != 0) {
        return error_prefix(err, "cannot make the embedded PostgreSQL");
    }
    return service_user_call(&place->user, configure, &work, err);
}
