/* See reload.h. */
#include "supervisor/reload.h"

#include "runtime/base/clock.h"
#include "runtime/base/log.h"
#include "runtime/base/memory.h"
#include "supervisor/notify.h"
#include "supervisor/spawn.h"
#include "supervisor/supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

enum { RELOAD_TABLE_BYTES_MAX = 1 << 20, RELOAD_WORDS_BYTES_MAX = 4096, RELOAD_WAIT_MS = 15000 };

static void on_output(struct loop_source *source, uint32_t events);

void reload_init(struct reload *reload, struct supervisor *supervisor)
{
    *reload = (struct reload){.supervisor = supervisor, .pidfd = -1};
    reload->table = (struct loop_source){-1, on_output, reload};
    reload->words = (struct loop_source){-1, on_output, reload};
}

static void close_source(struct reload *reload, struct loop_source *source)
{
    if (source->fd >= 0) {
        loop_remove(&reload->supervisor->loop, source);
        close(source->fd);
        source->fd = -1;
    }
}

static void answer(struct reload *reload, const struct error *err)
{
    roll_done_fn done = reload->done;
    reload->done = NULL;
    if (done != NULL) {
        done(reload->data, err);
    }
}

/* The end of one reload, good or bad. */
static void conclude(struct reload *reload)
{
    close_source(reload, &reload->table);
    close_source(reload, &reload->words);
    if (reload->pidfd >= 0) {
        close(reload->pidfd);
        reload->pidfd = -1;
    }
    reload->pid = 0;
    if (reload->table_text.data != NULL) {
        explicit_bzero(reload->table_text.data, reload->table_text.length);
    }
    buffer_deinit(&reload->table_text);
    buffer_deinit(&reload->words_text);
    if (reload->supervisor->stage.phase == STAGE_RUNNING) {
        notify_send("READY=1");
    }
    if (reload->again) {
        reload->again = false;
        reload_start(reload, NULL, NULL);
    }
}

static void fail(struct reload *reload, const struct error *err)
{
    LOG_ERROR("reload failed, everything stays as it is", LOG_TEXT("reason", err->text));
    answer(reload, err);
    conclude(reload);
}

/* ---- comparing two tables ---- */

struct changes {
    bool restart[ROSTER_GROUPS]; /* by group: its actors must be started anew */
    bool tell[ROSTER_GROUPS];    /* by group: its actors take the new table over */
    bool listen;
    struct buffer fixed; /* names of what only a new start can change */
};

static void mark(bool groups[ROSTER_GROUPS], const char *owner)
{
    const struct roster_row *row;
    for (unsigned i = 0; (row = roster_row(i)) != NULL; i++) {
        if (row->kind == ROSTER_ACTOR &&
            (strcmp(owner, "all") == 0 || strcmp(owner, row->actor) == 0)) {
            groups[row->group] = true;
        }
    }
}

/* Notes what differs; what cannot be changed is put back into `fresh`. */
static int compare(const struct settings *old, struct settings *fresh, struct changes *changes,
                   struct error *err)
{
    for (unsigned n = 0; n < SETTING_COUNT; n++) {
        enum setting id = (enum setting)n;
        const struct setting_info *info = setting_info(id);
        if (strcmp(settings_text(old, id), settings_text(fresh, id)) == 0) {
            continue;
        }
        if (id == SETTING_SERVER_LISTEN) {
            changes->listen = true;
            mark(changes->restart, "api");
        } else if ((info->flags & SETTING_RELOAD) != 0) {
            mark(changes->tell, info->owner);
        } else if (strcmp(info->owner, "supervisor") != 0 && (info->flags & SETTING_DERIVED) == 0) {
            mark(changes->restart, info->owner);
        } else {
            buffer_printf(&changes->fixed, "%s%s", changes->fixed.length == 0 ? "" : ", ",
                          info->key);
            if (settings_set(fresh, id, settings_text(old, id), err) != 0) {
                return -1;
            }
        }
    }
    return 0;
}

static void tell_actors(struct supervisor *supervisor, const struct changes *changes)
{
    struct error err;
    for (size_t i = 0; i < supervisor->slot_count; i++) {
        struct slot *slot = &supervisor->slots[i];
        struct child *const children[] = {slot->successor, slot->current};
        for (size_t j = 0; j < 2 && changes->tell[slot->row->group]; j++) {
            if (children[j] == NULL || !child_alive(children[j])) {
                continue;
            }
            int fd = supervisor_settings_fd(supervisor, &err);
            if (fd < 0) {
                LOG_ERROR("cannot hand out the settings", LOG_TEXT("reason", err.text));
                return;
            }
            child_tell(children[j], CHILD_RELOAD, fd);
            close(fd);
        }
    }
}

/* Actors that have no process get the new table when they are started. */
static void restart_actors(struct supervisor *supervisor, const struct changes *changes,
                           struct roll_ticket *ticket)
{
    for (size_t i = 0; i < supervisor->slot_count; i++) {
        struct slot *slot = &supervisor->slots[i];
        if (changes->restart[slot->row->group] && slot->row->kind == ROSTER_ACTOR &&
            child_alive(slot->current)) {
            roll_add(&supervisor->rolls, ticket, slot);
        }
        slot_release(slot);
    }
}

static void take_over(struct supervisor *supervisor, struct settings *fresh, int fresh_fd)
{
    enum log_level level;
    settings_destroy(&supervisor->settings);
    close(supervisor->settings_fd);
    supervisor->settings = fresh;
    supervisor->settings_fd = fresh_fd;
    if (log_level_parse(settings_text(fresh, SETTING_LOG_LEVEL), &level) == 0) {
        log_set_level(level);
    }
}

static int apply(struct reload *reload, struct settings *fresh, struct error *err)
{
    struct supervisor *supervisor = reload->supervisor;
    struct changes changes = {0};
    int fresh_fd = -1;
    int failed =
        compare(supervisor->settings, fresh, &changes, err) != 0 ||
        (fresh_fd = supervisor_make_table(fresh, err)) < 0 ||
        (changes.listen && listeners_reopen_public(&supervisor->listeners, fresh, err) != 0);
    if (failed) {
        if (fresh_fd >= 0) {
            close(fresh_fd);
        }
        buffer_deinit(&changes.fixed);
        return -1;
    }
    take_over(supervisor, fresh, fresh_fd);
    if (changes.fixed.length > 0) {
        LOG_WARN("some changes need a new start of the server",
                 LOG_TEXT("settings", buffer_text(&changes.fixed)));
    }
    LOG_INFO("reloaded");
    tell_actors(supervisor, &changes);
    struct roll_ticket *ticket = roll_ticket_create(reload->done, reload->data);
    reload->done = NULL;
    restart_actors(supervisor, &changes, ticket);
    roll_ticket_close(&supervisor->rolls, ticket);
    buffer_deinit(&changes.fixed);
    return 0;
}

/* ---- running the settings command ---- */

static void finish(struct reload *reload)
{
    struct error err;
    if (!reload->ended || reload->table.fd >= 0 || reload->words.fd >= 0) {
        return;
    }
    if (stage_draining(&reload->supervisor->stage)) {
        error_set(&err, "the server is stopping");
        fail(reload, &err);
        return;
    }
    if (!WIFEXITED(reload->status) || WEXITSTATUS(reload->status) != 0) {
        char end[64];
        child_exit_text(reload->status, end, sizeof end);
        char *words = buffer_text(&reload->words_text);
        words[strcspn(words, "\n")] = '\0';
        error_set(&err, "%.400s", *words == '\0' ? end : words);
        fail(reload, &err);
        return;
    }
    int fd =
        supervisor_make_memfd("table", reload->table_text.data, reload->table_text.length, &err);
    struct settings *fresh = fd < 0 ? NULL : settings_read(fd, &err);
    if (fd >= 0) {
        close(fd);
    }
    if (fresh == NULL || apply(reload, fresh, &err) != 0) {
        settings_destroy(&fresh);
        fail(reload, &err);
        return;
    }
    conclude(reload);
}

static void on_output(struct loop_source *source, uint32_t events)
{
    struct reload *reload = source->owner;
    bool is_table = source == &reload->table;
    struct buffer *text = is_table ? &reload->table_text : &reload->words_text;
    size_t max = is_table ? RELOAD_TABLE_BYTES_MAX : RELOAD_WORDS_BYTES_MAX;
    uint8_t bytes[4096];
    (void)events;
    ssize_t got = read(source->fd, bytes, sizeof bytes);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    if (got <= 0) {
        close_source(reload, source);
        finish(reload);
        return;
    }
    size_t room = max - text->length;
    buffer_append(text, bytes, (size_t)got < room ? (size_t)got : room);
    explicit_bzero(bytes, sizeof bytes);
}

static int make_pipe(struct reload *reload, struct loop_source *source, int *write_fd,
                     struct error *err)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) {
        return error_set(err, "cannot make a pipe: %s", error_errno(errno));
    }
    fcntl(ends[0], F_SETFL, O_NONBLOCK);
    source->fd = ends[0];
    *write_fd = ends[1];
    if (loop_add(&reload->supervisor->loop, source, EPOLLIN, err) != 0) {
        close(ends[0]);
        source->fd = -1;
        return -1;
    }
    return 0;
}

/* The environment of `up` itself, since settings may come from it. */
static char **make_environment(char *fd_word)
{
    size_t count = 0;
    while (environ[count] != NULL) {
        count++;
    }
    char **words = memory_array(count + 2, sizeof *words);
    memcpy(words, environ, count * sizeof *words);
    words[count] = fd_word;
    return words;
}

static int run_command(struct reload *reload, struct error *err)
{
    struct supervisor *supervisor = reload->supervisor;
    struct buffer program = {0};
    char fd_word[] = "SIGNALBOX_SETTINGS_FD=3";
    int fds[4] = {supervisor->null_fd, -1, -1, -1};
    pid_t pid = -1;
    buffer_printf(&program, "%s/signalbox",
                  settings_text(supervisor->settings, SETTING_INSTANCE_BIN_DIR));
    char *argv[] = {buffer_text(&program), "settings", "--for-reload", NULL};
    char **environment = make_environment(fd_word);
    if (make_pipe(reload, &reload->table, &fds[1], err) == 0 &&
        make_pipe(reload, &reload->words, &fds[2], err) == 0 &&
        (fds[3] = supervisor_settings_fd(supervisor, err)) >= 0) {
        struct spawn_order order = {.argv = argv,
                                    .envp = environment,
                                    .fds = {fds[0], fds[1], fds[2], fds[3]},
                                    .fd_count = 4,
                                    .death_signal = SIGKILL};
        pid = spawn_process(&order, &reload->pidfd, err);
    }
    for (size_t i = 1; i < 4; i++) {
        if (fds[i] >= 0) {
            close(fds[i]);
        }
    }
    free(environment);
    buffer_deinit(&program);
    reload->pid = pid > 0 ? pid : 0;
    return pid > 0 ? 0 : -1;
}

void reload_start(struct reload *reload, roll_done_fn done, void *data)
{
    struct error err;
    if (stage_draining(&reload->supervisor->stage)) {
        error_set(&err, "the server is stopping");
        if (done != NULL) {
            done(data, &err);
        }
        return;
    }
    if (reload->pid != 0) {
        error_set(&err, "a reload is under way");
        if (done != NULL) {
            done(data, &err);
        } else {
            reload->again = true;
        }
        return;
    }
    reload->done = done;
    reload->data = data;
    reload->ended = false;
    reload->deadline_ms = clock_monotonic_ms() + RELOAD_WAIT_MS;
    if (reload->supervisor->stage.phase == STAGE_RUNNING) {
        notify_reloading();
    }
    if (run_command(reload, &err) != 0) {
        fail(reload, &err);
    }
}

void reload_forget(struct reload *reload, const void *data)
{
    if (reload->data == data) {
        reload->done = NULL;
    }
}

bool reload_reaped(struct reload *reload, pid_t pid, int status)
{
    if (reload->pid == 0 || pid != reload->pid) {
        return false;
    }
    reload->ended = true;
    reload->status = status;
    finish(reload);
    return true;
}

void reload_tick(struct reload *reload, int64_t now_ms)
{
    if (reload->pid != 0 && now_ms >= reload->deadline_ms) {
        if (!reload->ended) {
            LOG_WARN("reading the settings takes too long, killing it");
            pidfd_send_signal(reload->pidfd, SIGKILL, NULL, 0);
        } else {
            /* Somebody else holds its output open. */
            close_source(reload, &reload->table);
            close_source(reload, &reload->words);
            finish(reload);
            return;
        }
        reload->deadline_ms = now_ms + RELOAD_WAIT_MS;
    }
}

int64_t reload_due_ms(const struct reload *reload)
{
    return reload->pid == 0 ? INT64_MAX : reload->deadline_ms;
}
