/*
 * Commands that ask the running server for something with the key in DIR/api-key: one request, its
 * JSON answer, an exit code.
 */
#ifndef SIGNALBOX_CLI_ADMIN_H
#define SIGNALBOX_CLI_ADMIN_H

#include "ops/cli/cli.h"
#include "runtime/base/buffer.h"

#include <jansson.h>

/* Sends `body` (takes the reference; NULL: none). EXIT_CODE_DONE and *answer_out a new reference, to
 * be given back by the caller; any other exit code has been explained on stderr. */
int admin_call(const struct cli *cli, const char *method, const char *path, json_t *body,
               json_t **answer_out);
/* All pages of a list: `path` with its query, or without; the array `name` of each. As above. */
int admin_list(const struct cli *cli, const char *path, const char *name, json_t **array_out);
/* admin_call() whose answer is shown by `print`, or as JSON. */
int admin_call_and_print(const struct cli *cli, const char *method, const char *path, json_t *body,
                         void (*print)(const json_t *answer));
/* `text` as a part of a path or of a query. */
void admin_escape(struct buffer *out, const char *text);
/* A text in a body; nothing when it is NULL. */
void admin_member(json_t *body, const char *name, const char *value);
/* One line a member, but for those named (NULL behind the last). */
void admin_print_members(const json_t *object, const char *const *without);
/* One line of JSON on stdout. */
void admin_print(const json_t *value);
/* A member's text, "" when it has none. */
const char *admin_text(const json_t *object, const char *name);
/* "read,append" of an array of texts; the caller frees. */
char *admin_join(const json_t *array);

#endif
