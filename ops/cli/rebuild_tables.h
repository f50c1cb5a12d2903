/*
 * What `signalbox rebuild` makes anew: each projection of the run log as an empty table, a statement
 * that fills it from the events of some runs, and one whose rows are the differences to the table
 * the server keeps.
 */
#ifndef SIGNALBOX_CLI_REBUILD_TABLES_H
#define SIGNALBOX_CLI_REBUILD_TABLES_H

#include <stddef.h>

struct rebuild_table {
    const char *name; /* of the server's table */
    const char *make_sql;
    /* $1, $2: runs after $1 up to $2, null: no limit. */
    const char *fill_sql;
    /* Columns: run_id text, detail text. */
    const char *compare_sql;
};

extern const struct rebuild_table REBUILD_TABLES[];
extern const size_t REBUILD_TABLES_COUNT;

/* Columns: runs, events. */
extern const char *const REBUILD_COUNT_SQL;
/* $1: the last run of the part before, or null; a row with the last run of the next part, none when
 * the rest is smaller. */
extern const char *const REBUILD_NEXT_SQL;

enum { REBUILD_PART_RUNS = 5000 };

#endif
