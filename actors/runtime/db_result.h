/* What db.c hands to db_result.c; callers see struct db_result in db.h only as a name. */
#ifndef SIGNALBOX_RUNTIME_DB_RESULT_H
#define SIGNALBOX_RUNTIME_DB_RESULT_H

#include <libpq-fe.h>

struct db_result {
    const PGresult *pg; /* borrowed */
};

#endif
