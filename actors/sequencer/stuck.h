/*
 * What becomes of a batch that the database refused, but not for its data: heads that are not as
 * believed, a statement that took too long, a full disk. Pure; table-tested.
 *
 * First everything is forgotten and begun again from the table, because what is in memory may be
 * wrong. If that does not help, and the reason may lie in a command, the commands go one by one, and
 * the one that fails alone is refused. If the reason lies in the database's surroundings, no command
 * is to blame: it is tried for ever, and the sequencer says so.
 */
#ifndef SIGNALBOX_SEQUENCER_STUCK_H
#define SIGNALBOX_SEQUENCER_STUCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { STUCK_TRIES = 2, STUCK_CALM_MS = 30000 };

struct stuck {
    unsigned failures; /* without a calm time between them */
    size_t suspects;   /* commands that go one by one, and of which none has been refused yet */
    int64_t last_ms;   /* of the last failure */
    bool blocked;      /* nothing is written, and no command is to blame */
};

enum stuck_step {
    STUCK_AGAIN, /* forget everything, begin again from the table */
    STUCK_SPLIT, /* take it back; its commands go one by one */
    STUCK_REFUSE /* its only command cannot be done */
};

/* Whether the statement was refused for what it held: 22, data exception; 23, integrity constraint;
 * 54, program limit. Nothing of the above concerns it. */
bool stuck_is_data(const char *sqlstate);
/* A batch of `count` commands was refused for something else. */
enum stuck_step stuck_failed(struct stuck *stuck, const char *sqlstate, size_t count,
                             int64_t now_ms);
void stuck_committed(struct stuck *stuck, int64_t now_ms);
/* Whether the next batch may hold one command only. */
bool stuck_narrows(const struct stuck *stuck);

#endif
