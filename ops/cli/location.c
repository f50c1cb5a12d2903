/* See location.h. Lines of name=value; unknown names are skipped, so that an older program can read
 * a newer file. */
#include "ops/cli/location.h"

#include "ops/cli/cli.h"
#include "ops/cli/files.h"
#include "runtime/base/buffer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int copy_value(char *out, size_t size, const char *value, struct error *err)
{
    size_t length = strlen(value);
    if (length >= size) {
        return error_set(err, "a path in it is too long");
    }
    memcpy(out, value, length + 1);
    return 0;
}

static int take_line(struct location *location, char *line, struct error *err)
{
    char *equals = strchr(line, '=');
    if (equals == NULL) {
        return error_set(err, "a line has no '='");
    }
    *equals = '\0';
    if (strcmp(line, "run_dir") == 0) {
        return copy_value(location->run_dir, sizeof location->run_dir, equals + 1, err);
    }
    if (strcmp(line, "data_dir") == 0) {
        return copy_value(location->data_dir, sizeof location->data_dir, equals + 1, err);
    }
    if (strcmp(line, "config_file") == 0) {
        return copy_value(location->config_file, sizeof location->config_file, equals + 1, err);
    }
    return 0;
}

static int parse(struct location *location, char *text, struct error *err)
{
    char *rest = text;
    for (char *line = strsep(&rest, "\n"); line != NULL; line = strsep(&rest, "\n")) {
        if (line[0] != '\0' && take_line(location, line, err) != 0) {
            return -1;
        }
    }
    if (location->run_dir[0] != '/' || location->data_dir[0] != '/') {
        return error_set(err, "it names no run_dir and data_dir");
    }
    return 0;
}

enum location_found location_read(const char *dir, struct location *location_out, struct error *err)
{
    struct location location = {0};
    char path[PATH_MAX];
    if (realpath(dir, location.dir) == NULL) {
        return LOCATION_ABSENT;
    }
    if (path_join(path, sizeof path, location.dir, "location", err) != 0) {
        return LOCATION_FAILED;
    }
    struct buffer text = {0};
    enum location_found found = LOCATION_FOUND;
    switch (file_read(path, &text, err)) {
    case FILE_FOUND:
        if (parse(&location, buffer_text(&text), err) != 0) {
            error_prefix(err, "%s is damaged", path);
            found = LOCATION_FAILED;
        }
        break;
    case FILE_ABSENT:
        found = LOCATION_ABSENT;
        break;
    case FILE_FAILED:
        found = LOCATION_FAILED;
        break;
    }
    buffer_deinit(&text);
    if (found == LOCATION_FOUND) {
        *location_out = location;
    }
    return found;
}

int location_write(const struct location *location, struct error *err)
{
    char path[PATH_MAX];
    if (path_join(path, sizeof path, location->dir, "location", err) != 0) {
        return -1;
    }
    struct buffer text = {0};
    buffer_printf(&text, "run_dir=%s\ndata_dir=%s\nconfig_file=%s\n", location->run_dir,
                  location->data_dir, location->config_file);
    /* No secret, and the next one to look may be another user. */
    int result = file_replace(path, buffer_text(&text), 0644, err);
    buffer_deinit(&text);
    return result;
}

int location_require(const char *dir, struct location *location_out)
{
    struct error err;
    switch (location_read(dir, location_out, &err)) {
    case LOCATION_FOUND:
        return EXIT_CODE_DONE;
    case LOCATION_ABSENT:
        return cli_fail(EXIT_CODE_NOT_RUNNING,
                        "no server runs in %s (none was ever started there; see --dir)", dir);
    case LOCATION_FAILED:
        break;
    }
    return cli_fail(EXIT_CODE_FAILED, "%s", err.text);
}
