/* `signalbox tenants create|list`: tenants, through the running server. */
#include "ops/cli/admin.h"
#include "ops/cli/options.h"

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

int command_tenants(const struct cli *cli, int argc, char **argv)
{
    const struct option_spec specs[] = {{0}};
    struct error err;
    int count = options_parse(argc, argv, specs, 1, 2, &err);
    if (count < 0) {
        return cli_usage("tenants", "%s", err.text);
    }
    if (strcmp(argv[1], "create") == 0 && count == 2) {
        return create(cli, argv[2]);
    }
    if (strcmp(argv[1], "list") == 0 && count == 1) {
        return list(cli);
    }
    return cli_usage("tenants", "create NAME, or list");
}
