/* See heads.h. */
#include "streamer/heads.h"

#include "runtime/base/clock.h"
#include "runtime/base/log.h"
#include "runtime/base/memory.h"
#include "streamer/run.h"
#include "streamer/store.h"
#include "streamer/streamer.h"

#include <stdlib.h>

enum {
    HEADS_RUNS_MAX = 1000,  /* of one question */
    HEADS_SUSPECT_MS = 100, /* time for frames that were under way during a sweep */
};

/* One question: which lives of which runs were asked about, in order. */
struct heads_question {
    struct streamer *streamer;
    size_t count;
    struct {
        struct uuid id;
        uint64_t serial;
        bool sweep;
    } runs[];
};

/* NULL: it is not watched any more. */
static struct run *asked_about(struct streamer *streamer, const struct heads_question *question,
                               size_t at)
{
    return run_find_life(streamer, &question->runs[at].id, question->runs[at].serial);
}

static void put(struct run *run, bool sweep)
{
    struct heads *heads = &run->streamer->heads;
    if (list_is_linked(&run->in_dirty) && run->suspect == 0) {
        run->sweep = run->sweep && sweep;
        return;
    }
    list_remove(&run->in_dirty);
    run->suspect = 0;
    run->sweep = sweep;
    list_append(&heads->dirty, &run->in_dirty);
    streamer_wake(run->streamer);
}

void heads_ask(struct run *run)
{
    put(run, false);
}

static void put_all(struct streamer *streamer, bool sweep)
{
    struct run_cursor cursor = {0};
    struct run *run;
    while ((run = run_next(streamer, &cursor)) != NULL) {
        put(run, sweep);
    }
}

void heads_ask_all(struct streamer *streamer)
{
    put_all(streamer, false);
}

bool heads_is_pending(const struct run *run)
{
    return run->asking || (list_is_linked(&run->in_dirty) && run->suspect == 0);
}

void heads_suspect(struct run *run)
{
    struct heads *heads = &run->streamer->heads;
    if (!list_is_linked(&run->in_dirty)) {
        heads->suspects_ms = clock_monotonic_ms();
        list_append(&heads->suspects, &run->in_dirty);
    }
}

/* ---- the question and its answer ---- */

static void answer_one(struct run *run, const struct db_result *result, int row, bool sweep)
{
    run->asking = false;
    if (db_is_null(result, row, STORE_HEADS_LAST_SEQ)) {
        LOG_WARN("a watched run has no head", LOG_UUID("run_id", &run->id));
        run->gone = true;
        run_changed(run);
        return;
    }
    run_learn(run, (uint64_t)db_int8(result, row, STORE_HEADS_LAST_SEQ),
              db_bool(result, row, STORE_HEADS_CLOSED), sweep);
}

/* The answer did not come: they are asked about again. */
static void ask_again(struct run *run, bool sweep)
{
    run->asking = false;
    put(run, sweep);
}

static void on_heads(void *arg, enum db_status status, const struct db_result *result)
{
    struct heads_question *question = arg;
    struct streamer *streamer = question->streamer;
    streamer->heads.asking = false;
    if (status == DB_REFUSED) {
        LOG_WARN("cannot read heads", LOG_TEXT("error", db_message(result)));
        streamer->heads.pause_until_ms = clock_monotonic_ms() + STREAMER_REFUSED_PAUSE_MS;
    } else if (status == DB_LOST) {
        /* Asking again in this very pass would lose it again, and the loop would never come to see
         * that the connection is gone. */
        streamer->heads.pause_until_ms = clock_monotonic_ms() + STREAMER_LOST_PAUSE_MS;
    }
    for (size_t i = 0; i < question->count; i++) {
        struct run *run = asked_about(streamer, question, i);
        if (run != NULL && status == DB_OK) {
            answer_one(run, result, (int)i, question->runs[i].sweep);
        } else if (run != NULL) {
            ask_again(run, question->runs[i].sweep);
        }
    }
    free(question);
    streamer_wake(streamer);
}

static struct heads_question *collect(struct streamer *streamer)
{
    struct heads_question *question =
        memory_new(sizeof *question + HEADS_RUNS_MAX * sizeof question->runs[0]);
    struct list *first;
    question->streamer = streamer;
    while (question->count < HEADS_RUNS_MAX &&
           (first = list_first(&streamer->heads.dirty)) != NULL) {
        struct run *run = LIST_ENTRY(first, struct run, in_dirty);
        size_t at = question->count++;
        list_remove(first);
        run->asking = true;
        question->runs[at].id = run->id;
        question->runs[at].serial = run->serial;
        question->runs[at].sweep = run->sweep;
    }
    return question;
}

/* Runs of one tenant often stand side by side: those are named once. */
static void write_scope(struct streamer *streamer, const struct heads_question *question,
                        struct db_params *scope)
{
    const struct uuid *tenants[HEADS_RUNS_MAX];
    size_t count = 0;
    for (size_t i = 0; i < question->count; i++) {
        const struct run *run = asked_about(streamer, question, i);
        if (count == 0 || !uuid_equal(tenants[count - 1], &run->tenant)) {
            tenants[count++] = &run->tenant;
        }
    }
    db_param_null(scope);
    db_array_begin(scope, DB_ARRAY_UUID, count);
    for (size_t i = 0; i < count; i++) {
        db_array_uuid(scope, tenants[i]->bytes);
    }
    db_array_end(scope);
}

static void ask(struct streamer *streamer, struct heads_question *question)
{
    struct db_params params = {0};
    struct db_params scope = {0};
    db_array_begin(&params, DB_ARRAY_UUID, question->count);
    for (size_t i = 0; i < question->count; i++) {
        db_array_uuid(&params, question->runs[i].id.bytes);
    }
    db_array_end(&params);
    db_array_begin(&params, DB_ARRAY_UUID, question->count);
    for (size_t i = 0; i < question->count; i++) {
        db_array_uuid(&params, asked_about(streamer, question, i)->tenant.bytes);
    }
    db_array_end(&params);
    streamer->heads.asking = true;
    write_scope(streamer, question, &scope);
    db_query_in(streamer->db, &(struct db_scope){&store_scope, &scope}, &store_heads, &params,
                on_heads, question);
    db_params_deinit(&params);
    db_params_deinit(&scope);
}

void heads_go(struct streamer *streamer)
{
    struct heads *heads = &streamer->heads;
    if (heads->asking || list_is_empty(&heads->dirty) || !db_is_connected(streamer->db) ||
        clock_monotonic_ms() < heads->pause_until_ms) {
        return;
    }
    ask(streamer, collect(streamer));
}

/* ---- by the clock ---- */

static void look_at_suspects(struct streamer *streamer)
{
    struct list *first;
    while ((first = list_first(&streamer->heads.suspects)) != NULL) {
        struct run *run = LIST_ENTRY(first, struct run, in_dirty);
        uint64_t suspect = run->suspect;
        list_remove(first);
        run->suspect = 0;
        if (suspect > run->target && suspect >= run->window.next) {
            run->target = suspect;
            run_repair(run, "a lost tail, found by the sweep");
        }
    }
}

void heads_tick(struct streamer *streamer, int64_t now_ms)
{
    struct heads *heads = &streamer->heads;
    if (now_ms - heads->suspects_ms >= HEADS_SUSPECT_MS) {
        look_at_suspects(streamer);
    }
    if (now_ms >= heads->next_sweep_ms) {
        heads->next_sweep_ms = now_ms + streamer->limits.sweep_ms;
        put_all(streamer, true);
    }
    heads_go(streamer);
}
