/* Problem documents (RFC 9457): the one error envelope of every answer. */
#ifndef SIGNALBOX_RUNTIME_PROBLEM_H
#define SIGNALBOX_RUNTIME_PROBLEM_H

#include "contracts/generated/problems.h"
#include "runtime/base/buffer.h"
#include "runtime/schema.h"

#include <stdint.h>

#define PROBLEM_MEDIA_TYPE "application/problem+json"

/* What a document says beyond its type. Zero is nothing; all borrowed. */
struct problem_extra {
    const char *pointer;                /* JSON pointer into the request, for `errors` */
    const char *pointer_about;          /* what is wrong there; NULL: as `detail` */
    const struct schema_report *report; /* instead of `pointer`: all that is wrong */
    const char *name;                   /* for the field `quota` */
    const char *number_name;            /* one field named per problem, such as "last_seq" */
    int64_t number;
    const char *second_name; /* and another */
    int64_t second;
    const char *third_name;
    int64_t third;
};

/* Appends a whole document. `extra` may be NULL. */
void problem_write(struct buffer *out, enum problem problem, const char *detail,
                   const struct problem_extra *extra);
/* Appends the page behind `type`: text/html. */
void problem_page(struct buffer *out, enum problem problem);

#endif
