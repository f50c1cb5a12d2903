/* GET /runs/{id}: what is shown of a run is read from the table, which a read after an
 * acknowledgement always includes. */
#include "api/runs.h"

#include "api/exchange.h"
#include "api/runs_view.h"

static void show_run(void *arg, enum db_status status, const struct db_result *result)
{
    struct exchange *exchange = arg;
    struct store_run run;
    if (!exchange_resume(exchange)) {
        return;
    }
    if (status != DB_OK) {
        exchange_unavailable(exchange);
        return;
    }
    if (db_rows(result) == 0) {
        exchange_problem(exchange, PROBLEM_NOT_FOUND, "There is no such run.", NULL);
        return;
    }
    store_read_run(result, 0, &run);
    struct buffer *body = &exchange->api->text;
    buffer_clear(body);
    runs_view_write(body, &run);
    exchange_json(exchange, 200, body);
}

void runs_get(struct exchange *exchange)
{
    exchange_hold(exchange);
    store_get_run(exchange->api->store, &exchange->who.tenant, &exchange->id, show_run, exchange);
}
