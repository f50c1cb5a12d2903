/*
 * The sequencer's one state, passed to every handler, and what its files offer each other.
 *
 * A command's way: intake (frame -> command, order per origin) -> queue -> resolve (heads, keys and
 * earlier answers it needs, read in bulk on the reading connection) -> batch (evaluated in order,
 * one statement) -> settle (answers) -> publish. At most one batch and one resolve query are under
 * way.
 */
#ifndef SIGNALBOX_SEQUENCER_SEQUENCER_H
#define SIGNALBOX_SEQUENCER_SEQUENCER_H

#include "sequencer/jobs.h"
#include "sequencer/order.h"
#include "sequencer/producers.h"
#include "sequencer/questions.h"
#include "sequencer/quota.h"
#include "sequencer/status.h"
#include "sequencer/stuck.h"
#include "proto/messages.h"
#include "proto/outcome.h"
#include "runtime/actor.h"
#include "runtime/base/list.h"
#include "runtime/base/map.h"
#include "runtime/bus.h"
#include "runtime/db.h"

#include <stdbool.h>
#include <stdint.h>

enum { SEQUENCER_SHARD = 0 };

/* Head of one run, as committed, and as it will be when the batch being built commits. */
struct run {
    struct list node; /* in sequencer.runs_by_use, least recently used first */
    struct uuid id;
    struct uuid tenant;
    struct uuid thread;      /* nil: none; for the streams of its thread */
    struct account *account; /* of its tenant, borrowed from sequencer.quotas.accounts */
    int64_t last_seq;
    enum run_status status;
    struct questions *questions; /* owned; NULL: none open */
    struct uuid resumed;         /* hash of the last answer that named no question; nil: none */
    bool resumed_known;          /* `resumed` is what the table has */
    uint64_t asked_commit;       /* the last commit here that changed its questions; 0: none */
    int64_t liveness_ms;         /* without a sign of life for so long it fails; 0: never */
    int64_t touched_us;          /* last TOUCH_RUN; 0: none here */
    unsigned users;              /* queued commands that point here: not evicted */
    struct list jobs;            /* struct job.of_run: its open jobs that are in memory */
    int64_t jobs_known;          /* how many these are */
    int64_t jobs_open;           /* how many there are */
    int64_t batch_jobs;          /* more of them by the batch under way */
    /* In the batch under way; batch_head 0: not part of it. */
    int batch_head;
    int64_t batch_seq;
    enum run_status batch_status;
    struct questions *batch_questions; /* owned; NULL: as they are */
    struct uuid batch_resumed;         /* nil: `resumed` stays */
    bool batch_new;                    /* made by it */
};

/* What a client's Idempotency-Key led to, for keys newer than any resolve query under way. */
struct key_entry {
    struct uuid hash;
    struct uuid run;
    enum run_status status; /* of `run` when it was read; memory knows better */
    uint64_t first_seq;
    uint64_t last_seq;
    uint8_t body[32];
};

/* What a start looks at: how many places its key has taken, and the unfinished runs of its thread
 * that were there before. */
struct gate {
    int64_t taken;
    size_t count;
    struct run *others[]; /* borrowed, each with a user */
};

/* What the table said of a run that is due, or may have waited long enough. */
struct due {
    enum run_status status;
    int64_t last_seq;
    int64_t wake_us; /* 0: it waits for others */
    int64_t sign_us; /* of its last event */
    int64_t created_us;
    bool has_expired;
    struct uuid expired; /* open question whose time is over, as in struct questions */
    struct uuid thread;
    uint64_t strategy;
    int64_t limit;
    struct message_span group; /* in command->frame, behind `payload` */
    struct message_span payload;
};

enum command_need {
    NEED_NOTHING,
    NEED_LOOKUP, /* waits for the next resolve query */
    NEED_ANSWER  /* part of the resolve query under way */
};

/* Where a key is unique. */
enum key_scope { KEY_NONE, KEY_OF_RUN, KEY_OF_TENANT, KEY_OF_JOBS };

struct command {
    struct list node; /* in sequencer.queue or batch.commands */
    struct bus_peer peer;
    uint64_t number;
    struct order_origin *origin; /* borrowed from sequencer.order */
    uint8_t *frame;              /* owned copy; the decoded message points into it */
    size_t length;
    const struct command_kind *kind;
    union {
        struct message_create_run create;
        struct message_append append;
        struct message_cancel_run cancel;
        struct message_resume_run resume;
        struct message_touch_run touch;
        struct message_fork_run fork;
        struct message_prune prune;
        struct due due; /* of the timers' own commands */
    } message;
    /* Of every kind, from the message: */
    uint64_t sender; /* its origin */
    struct uuid run_id;
    struct uuid tenant;
    struct message_span actor;
    struct uuid trace;       /* W3C trace id of the request; nil: none */
    uint64_t span;           /* that caused it, within the trace */
    uint64_t trace_flags;    /* enum trace_flag */
    struct message_span key; /* the client's, or one that follows from the message; empty: none */
    struct message_span hash;
    enum key_scope key_scope;
    char *made_key;       /* owned; what `key` points to when it is not in the frame */
    struct uuid key_hash; /* of the scope and the key; nil without key */
    struct uuid producer; /* of the run and the Producer-Id; nil without one */
    struct run *run;      /* borrowed; NULL: not there */
    bool key_checked;     /* a resolve query has looked for the key: `found` says what it saw */
    bool key_found;
    struct key_entry *found; /* owned; NULL unless key_found */
    bool asks;            /* APPEND with questions; the table knows which ids have been used ... */
    bool asked_before;    /* ... and one of these was, as of ... */
    uint64_t seen_commit; /* ... this commit */
    bool recover;         /* re-asked from before this process: look in the table first */
    enum command_need need;
    struct gate *gate;     /* owned; NULL: has not looked */
    struct job_work *work; /* owned; NULL: not about jobs */
    unsigned *counted;     /* counts down when it is destroyed; NULL: nobody counts */
    bool creates;          /* it makes its run in the batch under way */
    bool recovered;        /* the table had its rows: `result` stands */
    bool forked;           /* FORK_RUN, PRUNE: done or refused by the database, `result` stands */
    struct message_result result;
};

struct row {
    int head; /* 1-based index into batch.heads */
    int64_t seq;
    int type;
    struct message_span payload;
    const struct command *first; /* NULL but on the first event of a command */
    size_t next;                 /* 1-based index of the next row of the same run; 0: none */
};

/* A run touched by a batch, with its rows. */
struct head {
    struct run *run;
    size_t first; /* 1-based indices into batch.rows; the others follow by row.next */
    size_t last;
};

/* A run that a batch makes. */
struct create {
    struct run *run;
    const struct message_create_run *create; /* borrowed from its command, or from the batch */
    const struct command *command;           /* CREATE_RUN; NULL: made for a job */
};

/* Which event of a batch is about which claim of a job. */
struct job_row {
    size_t row; /* 1-based index into batch.rows */
    int64_t id;
    int32_t claim;
};

struct batch {
    struct list commands; /* struct command, in order, settled or not */
    size_t count;
    size_t bytes;
    struct row *rows;
    size_t rows_count;
    size_t rows_capacity;
    struct head *heads;
    size_t heads_count;
    size_t heads_capacity;
    struct create *creates;
    size_t creates_count;
    size_t creates_capacity;
    bool gated;                    /* its first command has looked at the table */
    bool lifecycle;                /* it has events or runs that append_batch must be told of */
    struct order_origin **origins; /* with a new high mark in batch_number */
    size_t origins_count;
    size_t origins_capacity;
    int64_t ts_us;
    int64_t started_us;
    struct batch_job *jobs;
    size_t jobs_count;
    size_t jobs_capacity;
    struct batch_dep *deps; /* that it makes */
    size_t deps_count;
    size_t deps_capacity;
    struct map pairs;         /* which these are */
    struct job_row *job_rows; /* in the order of the rows */
    size_t job_rows_count;
    size_t job_rows_capacity;
    void **texts; /* owned: what rows of jobs say */
    size_t texts_count;
    size_t texts_capacity;
    size_t keys_before; /* keys_count when it was begun: newer ones go when it fails */
    bool under_way;
    struct db_params params;
};

/* A wake_at that is to move. */
struct move {
    struct uuid run;
    int64_t old_us;
    int64_t new_us; /* 0: none */
};

/* A run whose due command was refused: it is left alone for a while. */
struct refused_run {
    struct uuid run;
    int64_t until_ms;
};

enum { TIMERS_LIMIT = 64, TIMERS_ENDED = 256, TIMERS_REFUSED = 64 };

struct timers {
    struct event *timer;
    int64_t next_us;       /* earliest known wake_at in the future; 0: none */
    int64_t since_us;      /* signs of life before we served cannot be known */
    unsigned asking;       /* queries under way */
    uint64_t asking_epoch; /* in which the last one was asked */
    unsigned commands;     /* of its own, not yet done */
    bool overdue;          /* something that was due may be so still */
    bool sweep;            /* look at the next of the queued runs */
    int64_t swept_us;      /* behind this one, by creation; from the oldest again: 0 */
    struct uuid swept;
    bool sweeping;                   /* the look under way does so */
    bool settled;                    /* the look at the queued runs under way sees all of them */
    bool queued;                     /* runs may wait for others */
    struct uuid ended[TIMERS_ENDED]; /* runs that have ended since the last look at those */
    size_t ended_count;
    struct move moves[TIMERS_LIMIT];
    size_t moves_count;
    struct refused_run refused[TIMERS_REFUSED]; /* a ring */
    size_t refused_count;                       /* ever */
};

/* What came of a statement of its own: the command's result. */
typedef void lone_answered_fn(struct sequencer *sequencer, struct command *command,
                              const struct db_result *result);

/* The statement of its own that is under way between two batches. */
struct lone {
    struct command *command; /* whose it is, borrowed from the queue; NULL: none */
    lone_answered_fn *answered;
    int64_t ts_us; /* FORK_RUN: its time */
};

struct sequencer {
    struct actor *actor; /* borrowed */
    struct db *writer;
    struct db *reader;
    struct bus_socket *commands;
    struct bus_socket *events;

    /* Taking the shard. */
    uint64_t epoch; /* 0: not held */
    uint64_t previous_epoch;
    bool wanted;  /* GO was given */
    bool taking;  /* the take-over is under way */
    bool serving; /* epoch held, origins read, unpublished drained */
    struct event *lease_timer;

    /* Commands. */
    struct order order;
    struct list queue; /* struct command, in order of arrival */
    size_t queue_count;
    size_t queue_bytes;
    struct event *work; /* looks for something to resolve or to commit, once per turn of the loop */
    unsigned resolving; /* resolve queries under way */
    uint64_t resolving_epoch;  /* in which they were asked */
    uint64_t resolving_commit; /* after which */
    uint64_t commits;          /* batches, ever */
    struct map found_keys;     /* struct key_entry by hash, owned: what they have found */
    struct map runs;           /* struct run by id, owned */
    struct list runs_by_use;
    struct map keys; /* struct key_entry by hash, in key_ring */
    struct key_entry *key_ring;
    size_t key_capacity;
    size_t keys_count;            /* ever added */
    struct batch *batch;          /* being filled, or under way; owned */
    struct batch *spare_batch;    /* being answered and published, otherwise empty; owned */
    struct command *gate_command; /* whose look is under way; borrowed from the queue */
    unsigned gates_asked;         /* queries under way: the last one is that command's */
    struct timers timers;
    struct lone lone;
    size_t split; /* at most so many commands in the next batch; 0: no limit */

    struct stuck stuck; /* batches that fail for no data of theirs */

    struct producers producers;
    struct quotas quotas;
    struct jobs jobs;

    /* The log's end, and publishing. */
    int64_t position;
    int64_t last_ts_us;
    uint64_t counter; /* of EVENTS frames */
    int64_t published;
    int64_t published_stored;
    bool storing_cursor;
    struct event *hint_timer;
    int64_t hinted_ms;
};

/* sequencer.c */
/* Another sequencer holds the epoch: the process ends with EXIT_CODE_FENCED, answering nothing
 * more. */
void sequencer_fenced(struct sequencer *sequencer);
/* Outcome of something unknown, or the connection gone: forget everything in memory and take the
 * shard again. */
void sequencer_lost(struct sequencer *sequencer);
/* Called when the queue may have become empty. */
void sequencer_check_drained(struct sequencer *sequencer);

/* epoch.c: taking and keeping the shard. */
void epoch_take(struct sequencer *sequencer);
void epoch_keep(struct sequencer *sequencer);

/* intake.c: frames of the ROUTER; see also commands.h. */
void intake_received(void *arg, const struct bus_peer *peer, const uint8_t *frame, size_t length);
void intake_answer(struct sequencer *sequencer, const struct command *command);
struct message_header intake_header(const struct sequencer *sequencer, uint64_t number);
void intake_reply(struct sequencer *sequencer, const struct bus_peer *peer,
                  const struct msgpack_sbuffer *frame);
/* Asks every known sender to send again what it has not got an answer for. */
void intake_ask_again(struct sequencer *sequencer);

/* runs.c: heads in memory, and recent keys. */
struct run *runs_get(const struct sequencer *sequencer, const struct uuid *id);
struct run *runs_add(struct sequencer *sequencer, const struct uuid *id, const struct uuid *tenant,
                     const struct uuid *thread, int64_t last_seq, enum run_status status);
void runs_remove(struct sequencer *sequencer, struct run *run);
/* Frees the least recently used that nobody needs, down to the limit; not while a resolve query is
 * under way. */
void runs_evict(struct sequencer *sequencer);
void runs_clear(struct sequencer *sequencer);
/* What a query says in the columns of these numbers. */
enum run_status runs_stored_status(const struct db_result *result, int row, int column);
struct uuid runs_stored_thread(const struct db_result *result, int row, int column);
void runs_load(struct run *run, const struct db_result *result, int row, int liveness, int open,
               int jobs);
void runs_load_questions(struct run *run, const struct db_result *result, int row, int open);
/* As the batch being built leaves them. */
int64_t runs_seq(const struct run *run);
enum run_status runs_status(const struct run *run);
const struct questions *runs_questions(const struct run *run);
const struct uuid *runs_resumed(const struct run *run);
/* Of a key within its run or tenant. */
struct uuid keys_hash(enum key_scope scope, const struct uuid *id, struct message_span key);
const struct key_entry *keys_get(const struct sequencer *sequencer, const struct uuid *hash);
void keys_add(struct sequencer *sequencer, const struct key_entry *entry);
/* Removes the newest ones until `count` have ever been added. */
void keys_drop_to(struct sequencer *sequencer, size_t count);

/* resolve.c: what queued commands need from the table. */
void resolve_start(struct sequencer *sequencer);
/* For what is read for commands about jobs: whether the answer counts; it is done with; one more is
 * asked. */
bool resolve_is_usable(struct sequencer *sequencer, enum db_status status,
                       const struct db_result *result);
void resolve_one_done(struct sequencer *sequencer);
void resolve_ask(struct sequencer *sequencer, int statement, struct db_params *params,
                 db_done_fn *done);

/* batch.c: the append statement, answers. */
void batch_start(struct sequencer *sequencer);
/* The run becomes part of the batch being built. Called by evaluations before they change
 * batch_status or batch_questions. */
struct head *batch_join(struct batch *batch, struct run *run);
/* The next event of the run. `first`: the command, on its first event; the payload is borrowed
 * until the batch has been published. */
void batch_add_row(struct batch *batch, struct run *run, enum event_type type,
                   struct message_span payload, const struct command *first);
/* The run is made by the batch being built. `create` is borrowed until it has been published. */
void batch_add_create(struct batch *batch, struct run *run, const struct message_create_run *create,
                      const struct command *command);
void batch_abandon(struct sequencer *sequencer);

/* gate.c: what a start must see of the table as it is now. */
/* Whether the command, at the head of the queue, must look first. */
bool gate_is_needed(const struct sequencer *sequencer, const struct command *command);
/* Looks; only with no batch under way. The command can be evaluated when batch_start() is next
 * called. */
void gate_look(struct sequencer *sequencer, struct command *command);
void gate_destroy(struct gate **gate);

/* lone.c: commands that are a statement of their own between two batches, done by the database. */
/* Whether none is under way. */
bool lone_is_free(const struct sequencer *sequencer);
/* Sends it; only with no batch under way. `answered` is called unless the database refuses: what is
 * refused for what it holds is refused, the rest is tried again as batches are. */
void lone_send(struct sequencer *sequencer, struct command *command, int statement,
               const struct db_params *params, lone_answered_fn *answered);

/* fork.c: FORK_RUN, a statement of its own. */
/* Whether the command, at the head of the queue, waits for that statement. */
bool fork_is_needed(const struct command *command);
/* Sends it, unless it is under way; only with no batch under way. The command can be evaluated when
 * batch_start() is next called. */
void fork_start(struct sequencer *sequencer, struct command *command);

/* prune.c: PRUNE, the same way. */
bool prune_is_needed(const struct command *command);
void prune_start(struct sequencer *sequencer, struct command *command);

/* timers.c: runs whose time has come. */
void timers_start(struct sequencer *sequencer);
void timers_stop(struct sequencer *sequencer);
/* A run is due at that time. */
void timers_note(struct sequencer *sequencer, int64_t wake_us);
/* A run has to wait for others. */
void timers_queued(struct sequencer *sequencer);
/* After a commit: runs that have ended let others start. */
void timers_committed(struct sequencer *sequencer, const struct batch *batch);
/* The database refuses what the timers made of a run. */
void timers_refused(struct sequencer *sequencer, const struct command *command);
/* Called once per turn of the loop. */
void timers_work(struct sequencer *sequencer);

/* traces.c: what is exported of the traces of a batch; nothing, when traces are not exported. */
void traces_committed(struct sequencer *sequencer, struct batch *batch);
/* After traces_committed(). started_us: when publishing began, monotonic. */
void traces_published(struct sequencer *sequencer, struct batch *batch, int64_t started_us);

/* publish.c: the event bus. */
void publish_batch(struct sequencer *sequencer, const struct batch *batch);
/* Events of one stored row (drain after a restart). */
void publish_stored(struct sequencer *sequencer, const struct db_result *result);
void publish_start(struct sequencer *sequencer);
void publish_hint(struct sequencer *sequencer);
void publish_store_cursor(struct sequencer *sequencer);

#endif
