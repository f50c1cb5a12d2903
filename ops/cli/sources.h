/*
 * Where settings come from: defaults < file < environment < flags. An unknown name, a value out of
 * bounds and a derived setting are errors everywhere.
 */
#ifndef SIGNALBOX_CLI_SOURCES_H
#define SIGNALBOX_CLI_SOURCES_H

#include "runtime/base/settings.h"

enum source { SOURCE_DEFAULT, SOURCE_FILE, SOURCE_ENVIRONMENT, SOURCE_FLAG, SOURCE_UP };

struct sources {
    struct settings *settings; /* owned */
    enum source from[SETTING_COUNT];
};

/* All defaults. */
void sources_init(struct sources *sources);
void sources_deinit(struct sources *sources);
/* "file: line: what" in err. */
SB_MUST_CHECK int sources_read_file(struct sources *sources, const char *path, struct error *err);
/* `environment`: like environ. DATABASE_URL and REDIS_URL count below their SIGNALBOX_ names. */
SB_MUST_CHECK int sources_read_environment(struct sources *sources, char *const *environment,
                                           struct error *err);
SB_MUST_CHECK int sources_set(struct sources *sources, enum setting id, const char *value,
                              enum source from, struct error *err);
/* What single settings cannot say: forms of addresses, words, times that must fit together. */
SB_MUST_CHECK int sources_check(const struct sources *sources, struct error *err);
/* "SIGNALBOX_SECTION_NAME" of a setting; returns, the caller frees. */
char *sources_environment_name(enum setting id);
/* Takes every secret out of this process's environment: names in /proc are for the service user to
 * read. */
void sources_hide_secrets(void);

#endif
