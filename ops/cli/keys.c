/* `signalbox keys create|list|revoke`: api keys, through the running server. */
#include "ops/cli/admin.h"
#include "ops/cli/options.h"
#include "runtime/base/memory.h"
#include "runtime/base/number.h"
#include "runtime/base/uuid.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LIFE_MAX_S = 10 * 366 * 86400 };

static bool is_id(const char *text)
{
    struct uuid id;
    return uuid_parse(text, strlen(text), &id) == 0;
}

/* "read,append": a new array. Which names there are is for the server to say. */
static json_t *split(const char *text)
{
    json_t *array = json_array();
    while (*text != '\0') {
        size_t length = strcspn(text, ",");
        json_array_append_new(array, json_stringn(text, length));
        text += length + (text[length] == ',' ? 1 : 0);
    }
    return array;
}

/* "30d", "12h", "90m", "60s" in seconds. */
static int parse_life(const char *text, int64_t *seconds_out)
{
    static const struct {
        char unit;
        int64_t seconds;
    } units[] = {{'d', 86400}, {'h', 3600}, {'m', 60}, {'s', 1}};
    size_t length = strlen(text);
    int64_t count = 0;
    for (size_t i = 0; length > 1 && i < sizeof units / sizeof *units; i++) {
        if (text[length - 1] == units[i].unit && number_parse(text, length - 1, &count) == 0 &&
            count >= 1 && count <= LIFE_MAX_S / units[i].seconds) {
            *seconds_out = count * units[i].seconds;
            return 0;
        }
    }
    return -1;
}

/* ---- create ---- */

struct wish {
    const char *tenant;
    const char *scope;
    const char *expires;
    const char *name;
    const char *user;
};

static int create(const struct cli *cli, const struct wish *wish)
{
    int64_t life_s = 0;
    json_t *answer = NULL;
    if (wish->tenant == NULL) {
        return cli_usage("keys", "--tenant is missing");
    }
    if (!is_id(wish->tenant)) {
        return cli_fail(EXIT_CODE_NOT_FOUND, "there is no tenant %s", wish->tenant);
    }
    if (wish->expires != NULL && parse_life(wish->expires, &life_s) != 0) {
        return cli_usage("keys", "--expires must be a time like 30d, 12h, 90m, at most ten years");
    }
    json_t *body = json_pack("{s:s}", "tenant_id", wish->tenant);
    if (wish->scope != NULL) {
        json_object_set_new(body, "scopes", split(wish->scope));
    }
    if (life_s > 0) {
        json_object_set_new(body, "expires_in_s", json_integer(life_s));
    }
    if (wish->name != NULL) {
        json_object_set_new(body, "name", json_string(wish->name));
    }
    if (wish->user != NULL) {
        json_object_set_new(body, "user", json_string(wish->user));
    }
    int code = admin_call(cli, "POST", "/api/v1/keys", body, &answer);
    if (code == EXIT_CODE_DONE && cli->json) {
        admin_print(answer);
    } else if (code == EXIT_CODE_DONE) {
        printf("%s\n", admin_text(answer, "key"));
        fprintf(stderr, "key %s; it is not shown again\n", admin_text(answer, "id"));
    }
    json_decref(answer);
    return code;
}

/* ---- list ---- */

static void print_key(const json_t *key)
{
    char *scopes = admin_join(json_object_get(key, "scopes"));
    const char *revoked = admin_text(key, "revoked_at");
    const char *expires = admin_text(key, "expires_at");
    printf("%s  %s  %-26s  %s%s  %s\n", admin_text(key, "id"), admin_text(key, "tenant_id"), scopes,
           revoked[0] != '\0'   ? "revoked "
           : expires[0] != '\0' ? "expires "
                                : "valid",
           revoked[0] != '\0' ? revoked : expires, admin_text(key, "name"));
    free(scopes);
}

static int list(const struct cli *cli, const char *tenant)
{
    char path[128] = "/api/v1/keys";
    json_t *keys = NULL;
    const json_t *key;
    size_t index;
    if (tenant != NULL && !is_id(tenant)) {
        return cli_fail(EXIT_CODE_NOT_FOUND, "there is no tenant %s", tenant);
    }
    if (tenant != NULL) {
        snprintf(path, sizeof path, "/api/v1/keys?tenant_id=%s", tenant);
    }
    int code = admin_list(cli, path, "keys", &keys);
    if (code == EXIT_CODE_DONE && cli->json) {
        json_t *document = json_pack("{s:O}", "keys", keys);
        admin_print(document);
        json_decref(document);
    } else if (code == EXIT_CODE_DONE) {
        json_array_foreach(keys, index, key)
        {
            print_key(key);
        }
    }
    json_decref(keys);
    return code;
}

/* ---- revoke ---- */

static int revoke(const struct cli *cli, const char *id)
{
    char path[128];
    json_t *answer = NULL;
    if (!is_id(id)) {
        return cli_fail(EXIT_CODE_NOT_FOUND, "there is no key %s", id);
    }
    snprintf(path, sizeof path, "/api/v1/keys/%s", id);
    int code = admin_call(cli, "DELETE", path, NULL, &answer);
    if (code == EXIT_CODE_DONE && cli->json) {
        admin_print(answer);
    } else if (code == EXIT_CODE_DONE) {
        printf("revoked; ends within 10 s everywhere\n");
    }
    json_decref(answer);
    return code;
}

int command_keys(const struct cli *cli, int argc, char **argv)
{
    struct wish wish = {0};
    const struct option_spec specs[] = {
        {"--tenant", &wish.tenant, NULL},   {"--scope", &wish.scope, NULL},
        {"--expires", &wish.expires, NULL}, {"--name", &wish.name, NULL},
        {"--user", &wish.user, NULL},       {0}};
    struct error err;
    int count = options_parse(argc, argv, specs, 1, 2, &err);
    if (count < 0) {
        return cli_usage("keys", "%s", err.text);
    }
    bool creating = strcmp(argv[1], "create") == 0;
    bool listing = strcmp(argv[1], "list") == 0;
    bool other =
        wish.scope != NULL || wish.expires != NULL || wish.name != NULL || wish.user != NULL;
    if (creating && count == 1) {
        return create(cli, &wish);
    }
    if (listing && count == 1 && !other) {
        return list(cli, wish.tenant);
    }
    if (strcmp(argv[1], "revoke") == 0 && count == 2 && !other && wish.tenant == NULL) {
        return revoke(cli, argv[2]);
    }
    return cli_usage("keys", "create, list or revoke ID, each with its own flags");
}
