/* `signalbox tenants create|list|quota`: tenants, through the running server. */
#include "ops/cli/admin.h"
#include "ops/cli/options.h"
#include "runtime/base/number.h"
#include "runtime/base/uuid.h"

#include <stdio.h>
#include <string.h>

static int create(const struct cli *cli, const char *name)
{
    json_t *answer = NULL;
    json_t *body = json_pack("{s:s}", "name", name);
    if (body == NULL) {
        return cli_usage("tenants", "the name is not UTF-8");
    }
    int code = admin_call(cli, "POST", "/api/v1/tenants", body, &answer);
    if (code == EXIT_CODE_DONE && cli->json) {
        admin_print(answer);
    } else if (code == EXIT_CODE_DONE) {
        printf("%s\n", admin_text(answer, "id"));
    }
    json_decref(answer);
    return code;
}

static int list(const struct cli *cli)
{
    json_t *tenants = NULL;
    const json_t *tenant;
    size_t index;
    int code = admin_list(cli, "/api/v1/tenants", "tenants", &tenants);
    if (code == EXIT_CODE_DONE && cli->json) {
        json_t *document = json_pack("{s:O}", "tenants", tenants);
        admin_print(document);
        json_decref(document);
    } else if (code == EXIT_CODE_DONE) {
        json_array_foreach(tenants, index, tenant)
        {
            printf("%s  %s  %s\n", admin_text(tenant, "id"), admin_text(tenant, "created_at"),
                   admin_text(tenant, "name"));
        }
    }
    json_decref(tenants);
    return code;
}

/* ---- quota ---- */

enum { QUOTAS = 4 };
static const char *const quota_names[QUOTAS] = {"runs_per_day", "events_per_day", "bytes_per_day",
                                                "concurrent_runs"};

static void print_quota(const struct cli *cli, const json_t *quota)
{
    if (cli->json) {
        admin_print(quota);
        return;
    }
    for (size_t i = 0; i < QUOTAS; i++) {
        const json_t *value = json_object_get(quota, quota_names[i]);
        if (json_is_integer(value) && json_integer_value(value) == 0) {
            printf("%-16s no limit\n", quota_names[i]);
        } else if (json_is_integer(value)) {
            printf("%-16s %lld\n", quota_names[i], (long long)json_integer_value(value));
        } else {
            printf("%-16s default\n", quota_names[i]);
        }
    }
}

/* The given ones over those that hold now. */
static int merge(const json_t *now, const char *const given[QUOTAS], json_t *body)
{
    for (size_t i = 0; i < QUOTAS; i++) {
        int64_t number = 0;
        json_t *value = json_incref(json_object_get(now, quota_names[i]));
        if (given[i] != NULL) {
            json_decref(value);
            if (strcmp(given[i], "default") == 0) {
                value = json_null();
            } else if (number_parse(given[i], strlen(given[i]), &number) == 0) {
                value = json_integer(number);
            } else {
                return -1;
            }
        }
        json_object_set_new(body, quota_names[i], value);
    }
    return 0;
}

static int quota(const struct cli *cli, const char *id, const char *const given[QUOTAS])
{
    char path[128];
    struct uuid uuid;
    json_t *now = NULL;
    json_t *answer = NULL;
    bool any = given[0] != NULL || given[1] != NULL || given[2] != NULL || given[3] != NULL;
    if (uuid_parse(id, strlen(id), &uuid) != 0) {
        return cli_fail(EXIT_CODE_NOT_FOUND, "there is no tenant %s", id);
    }
    snprintf(path, sizeof path, "/api/v1/tenants/%s/quota", id);
    int code = admin_call(cli, "GET", path, NULL, &now);
    if (code == EXIT_CODE_DONE && any) {
        json_t *body = json_object();
        if (merge(now, given, body) != 0) {
            json_decref(body);
            json_decref(now);
            return cli_usage("tenants", "a quota is a whole number, or default; 0 is no limit");
        }
        code = admin_call(cli, "PUT", path, body, &answer);
    }
    if (code == EXIT_CODE_DONE) {
        print_quota(cli, any ? answer : now);
    }
    json_decref(now);
    json_decref(answer);
    return code;
}

int command_tenants(const struct cli *cli, int argc, char **argv)
{
    const char *given[QUOTAS] = {0};
    const struct option_spec specs[] = {{"--runs", &given[0], NULL},
                                        {"--events", &given[1], NULL},
                                        {"--bytes", &given[2], NULL},
                                        {"--concurrent", &given[3], NULL},
                                        {0}};
    struct error err;
    int count = options_parse(argc, argv, specs, 1, 2, &err);
    if (count < 0) {
        return cli_usage("tenants", "%s", err.text);
    }
    bool any = given[0] != NULL || given[1] != NULL || given[2] != NULL || given[3] != NULL;
    if (strcmp(argv[1], "quota") == 0 && count == 2) {
        return quota(cli, argv[2], given);
    }
    if (strcmp(argv[1], "create") == 0 && count == 2 && !any) {
        return create(cli, argv[2]);
    }
    if (strcmp(argv[1], "list") == 0 && count == 1 && !any) {
        return list(cli);
    }
    return cli_usage("tenants", "create NAME, list, or quota ID with its flags");
}
