/* The files of migrations/, compiled into the program. */
#ifndef SIGNALBOX_CLI_EMBEDDED_SQL_H
#define SIGNALBOX_CLI_EMBEDDED_SQL_H

struct embedded_migration {
    int version;
    const char *name; /* "runs" of 0002_runs.up.sql */
    const char *up;
    const char *down;
};

/* By version, from 1, without a gap; the last one has version 0. */
extern const struct embedded_migration embedded_migrations[];
/* migrations/roles.sql and migrations/schema_migrations.sql */
extern const char embedded_roles[];
extern const char embedded_bookkeeping[];

#endif
