/* See store_claims.h. */
#include "api/store_claims.h"

/* clang-format off */
static const struct db_statement get_claim = {
    "api_get_claim",
    "select o.token "
    "  from job_records r left join job_open o on o.id = r.id "
    " where r.job_id = $2::uuid and r.tenant_id = $1::uuid"};
/* clang-format on */

void store_get_claim(struct store *store, const struct uuid *tenant, const struct uuid *job,
                     db_done_fn *done, void *arg)
{
    db_param_uuid(&store->params, tenant);
    db_param_uuid(&store->params, job);
    store_give(store, tenant, &get_claim, done, arg);
}

struct uuid store_read_claim(const struct db_result *result)
{
    struct uuid token = {0};
    if (!db_is_null(result, 0, 0)) {
        db_uuid(result, 0, 0, &token);
    }
    return token;
}
