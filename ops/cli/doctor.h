/*
 * `signalbox doctor`: the runbooks of docs/runbooks as programs. A book is a table of steps; a step
 * looks at one thing and says what it saw, whether that is well, and what to do. The titles of the
 * steps are those of the pages; a test compares them.
 */
#ifndef SIGNALBOX_CLI_DOCTOR_H
#define SIGNALBOX_CLI_DOCTOR_H

#include "ops/cli/cli.h"
#include "ops/cli/http.h"

#include <jansson.h>
#include <libpq-fe.h>
#include <stdbool.h>
#include <stdint.h>

enum doctor_verdict { DOCTOR_OK, DOCTOR_PROBLEM, DOCTOR_UNKNOWN };

/* What one step found. A step starts with UNKNOWN and empty texts. */
struct doctor_finding {
    enum doctor_verdict verdict;
    char seen[400];
    char todo[400]; /* empty: nothing */
};

/* What one look at a run's stream brought; see doctor_stream.c. */
struct doctor_stream {
    bool looked;
    int status;        /* of the answer; 0: none came */
    bool complete;     /* the body ended properly */
    int64_t first_ms;  /* until the first byte; -1: none came */
    int64_t first_seq; /* 0: no event came */
    int64_t last_seq;  /* of the dense part */
    int64_t events;
    int64_t reset_head; /* -1: no reset came */
    int64_t pings;
    int64_t ping_gap_ms; /* between the last two pings; -1: fewer came */
    char terminal[32];   /* type of the terminal event, or empty */
    struct error fault;  /* the first event out of order, or what ended the stream; "" is none */
    bool out_of_order;
};

struct doctor {
    const struct cli *cli;
    const char *run_id;             /* NULL: the book is about no run */
    const char *log_path, *through; /* options, or NULL */
    int64_t after_seq;
    json_t *status;     /* owned: what `signalbox status` shows */
    const char *dsn;    /* in `status` */
    PGconn *connection; /* owned; broken when the database does not answer */
    struct http *http;  /* owned */
    char *key;          /* owned */
    int64_t head;       /* of the run */
    bool closed;
    bool rows_missing;   /* a step found the log damaged */
    const char *restart; /* the actor that a step blames, or NULL */
    struct doctor_stream stream;
};

typedef void doctor_step_fn(struct doctor *doctor, struct doctor_finding *finding);

struct doctor_step {
    const char *title;
    doctor_step_fn *look;
};

struct doctor_book {
    const char *name;
    const char *about; /* one line */
    bool needs_run;
    const struct doctor_step *steps; /* ends with a NULL title */
};

extern const struct doctor_book DOCTOR_GENERAL, DOCTOR_RUN_STUCK, DOCTOR_REBUILD_STREAM,
    DOCTOR_RECONNECT_RATE;

/* Fill a finding; they return nothing, so that a step ends with one of them. */
void doctor_ok(struct doctor_finding *finding, const char *format, ...) SB_PRINTF(2, 3);
void doctor_problem(struct doctor_finding *finding, const char *format, ...) SB_PRINTF(2, 3);
void doctor_unknown(struct doctor_finding *finding, const char *format, ...) SB_PRINTF(2, 3);
void doctor_todo(struct doctor_finding *finding, const char *format, ...) SB_PRINTF(2, 3);

/* One statement with $1 = the run (or NULL). Returns a result the caller clears, with at least one
 * row; NULL: it failed, and `finding` says so. */
PGresult *doctor_query(struct doctor *doctor, const char *sql, struct doctor_finding *finding);
/* A cell as a number; 0 for what is none. */
int64_t doctor_number(const PGresult *result, int row, int column);
void doctor_pause(int64_t ms);

/* Names of actors that are not ready and healthy, with how their last process ended; returns their
 * number. `deaths_out`: of all actors together. */
int doctor_ill_actors(const struct doctor *doctor, struct buffer *names, int64_t *deaths_out);
/* Steps that several books have. */
void doctor_look_unpublished(struct doctor *doctor, struct doctor_finding *finding);

/* What ends a look at a stream. */
struct doctor_look {
    const char *run_id;
    int64_t after_seq;
    int64_t until_seq;   /* 0: no matter */
    int64_t until_pings; /* 0: no matter */
    bool until_reset;
    int64_t patience_ms; /* for all of it */
};
/* Reads the stream until what is looked for was seen or the patience is over; fills `stream_out`. */
void doctor_stream_look(struct http *http, const struct doctor_look *look,
                        struct doctor_stream *stream_out);
/* Sum over all actors of one metric in Prometheus text; -1: it is not there. */
int64_t doctor_metric(const char *text, const char *name);

#endif
