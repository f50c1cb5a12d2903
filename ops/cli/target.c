/* See target.h. */
#include "ops/cli/target.h"

#include "ops/cli/cli.h"
#include "ops/cli/control.h"
#include "ops/cli/files.h"
#include "ops/cli/location.h"

#include "runtime/base/memory.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

/* The status document of the server, a new reference; NULL and err when it is not running. */
static json_t *read_status(const char *dir, struct location *location, struct error *err)
{
    enum location_found found = location_read(dir, location, err);
    if (found != LOCATION_FOUND) {
        if (found == LOCATION_ABSENT) {
            error_set(err, "no server is running in %s", dir);
        }
        return NULL;
    }
    struct buffer body = {0};
    int code = 0;
    json_t *status = NULL;
    switch (control_ask(location->run_dir, "status", &body, &code, err)) {
    case CONTROL_OK:
        status = json_loadb((char *)body.data, body.length, 0, NULL);
        if (status == NULL) {
            error_set(err, "the server's status is not understood");
        }
        break;
    case CONTROL_NOT_RUNNING:
        error_set(err, "no server is running in %s", dir);
        break;
    case CONTROL_REFUSED:
    case CONTROL_FAILED:
        break;
    }
    buffer_deinit(&body);
    return status;
}

/* DIR/api-key, one line. */
static int read_key(const char *dir, char **key_out, struct error *err)
{
    char path[PATH_MAX];
    struct buffer text = {0};
    if (path_join(path, sizeof path, dir, "api-key", err) != 0) {
        return -1;
    }
    enum file_found found = file_read(path, &text, err);
    if (found == FILE_ABSENT) {
        error_set(err, "%s is missing", path);
    }
    if (found == FILE_FOUND) {
        char *key = buffer_text(&text);
        key[strcspn(key, "\r\n")] = '\0';
        *key_out = memory_string(key);
    }
    buffer_deinit(&text);
    return found == FILE_FOUND ? 0 : -1;
}

json_t *target_status(const struct cli *cli, struct error *err)
{
    struct location location;
    return read_status(cli->dir, &location, err);
}

int target_find(const struct cli *cli, struct target *target, struct error *err)
{
    struct location location;
    json_t *status = read_status(cli->dir, &location, err);
    if (status == NULL) {
        return -1;
    }
    const char *address = json_string_value(json_object_get(status, "listen"));
    int result = -1;
    if (address == NULL || address[0] == '\0') {
        error_set(err, "the server has no address yet");
    } else if (read_key(location.dir, &target->key, err) == 0) {
        target->address = memory_string(address);
        result = 0;
    }
    json_decref(status);
    return result;
}

int target_database(const struct cli *cli, char **dsn_out, struct error *err)
{
    struct location location;
    json_t *status = read_status(cli->dir, &location, err);
    if (status == NULL) {
        return -1;
    }
    const char *dsn =
        json_string_value(json_object_get(json_object_get(status, "database"), "dsn"));
    int result = 0;
    if (dsn != NULL) {
        *dsn_out = memory_string(dsn);
    } else {
        result = error_set(err, "the server's status names no database");
    }
    json_decref(status);
    return result;
}

bool target_given_database(const struct cli *cli, char **dsn_out)
{
    struct location location;
    struct error err;
    bool given = true;
    json_t *status = read_status(cli->dir, &location, &err);
    const json_t *service;
    size_t index;
    const json_t *services = json_object_get(status, "services");
    json_array_foreach(services, index, service)
    {
        const char *name = json_string_value(json_object_get(service, "name"));
        given = given && !(name != NULL && strcmp(name, "postgres") == 0);
    }
    const char *dsn =
        json_string_value(json_object_get(json_object_get(status, "database"), "dsn"));
    given = given && json_is_array(services) && dsn != NULL;
    if (given) {
        *dsn_out = memory_string(dsn);
    }
    json_decref(status);
    return given;
}

void target_deinit(struct target *target)
{
    free(target->address);
    free(target->key);
    *target = (struct target){0};
}
