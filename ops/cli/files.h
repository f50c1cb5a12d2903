/* Small files that are whole or absent, and directories that are ours alone. */
#ifndef SIGNALBOX_CLI_FILES_H
#define SIGNALBOX_CLI_FILES_H

#include "runtime/base/buffer.h"
#include "runtime/base/error.h"

#include <stdbool.h>
#include <sys/types.h>

enum { FILES_BYTES_MAX = 1 << 20 };

enum file_found { FILE_FOUND, FILE_ABSENT, FILE_FAILED };

/* Appends the file to `out`. A symbolic link as last part of the path is refused. */
enum file_found file_read(const char *path, struct buffer *out, struct error *err);
/* Writes beside, syncs, renames over: readers see the old file or the new one, also after a crash.
 */
SB_MUST_CHECK int file_replace(const char *path, const char *text, mode_t mode, struct error *err);
/* Like file_replace, but an existing file stays as it is: *created_out says whose text it holds. */
SB_MUST_CHECK int file_create(const char *path, const char *text, mode_t mode, bool *created_out,
                              struct error *err);
/* Syncs a directory, so that a rename in it survives a crash. */
SB_MUST_CHECK int file_sync_directory(const char *path, struct error *err);
/* Makes `path` and its missing parents. Existing ones are left as they are. */
SB_MUST_CHECK int directory_make(const char *path, mode_t mode, bool *created_out,
                                 struct error *err);
/*
 * `path` becomes a directory of `uid`:`gid` with mode 0700; its parent must exist. An existing one
 * is taken over only from root by root. A symbolic link, or somebody else's directory, is refused:
 * the parent may be writable by everybody.
 */
SB_MUST_CHECK int directory_own(const char *path, uid_t uid, gid_t gid, struct error *err);
/* Joins into a fixed array; -1 and err when it does not fit. */
SB_MUST_CHECK int path_join(char *out, size_t size, const char *directory, const char *name,
                            struct error *err);

#endif
