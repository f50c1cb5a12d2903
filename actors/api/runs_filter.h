/* Which runs a request means: the same words in the query of a list and in the body of a bulk
 * cancel. */
#ifndef SIGNALBOX_API_RUNS_FILTER_H
#define SIGNALBOX_API_RUNS_FILTER_H

#include "api/request.h"
#include "api/store_runs.h"

enum {
    RUNS_FILTER_STATUS,
    RUNS_FILTER_THREAD,
    RUNS_FILTER_PARENT,
    RUNS_FILTER_AFTER,
    RUNS_FILTER_BEFORE,
    RUNS_FILTER_METADATA,
    RUNS_FILTER_ID,
    RUNS_FILTER_FIELDS
};

/* Names of the fields, to be filled in by request_parameters. */
void runs_filter_parameters(struct request_parameter parameters[RUNS_FILTER_FIELDS]);
/* Reads them. -1: answered, 400. The filter's tenant is that of the exchange; the caller frees it
 * with runs_filter_deinit in either case. */
SB_MUST_CHECK int runs_filter_from_query(struct exchange *exchange,
                                         const struct request_parameter *parameters,
                                         struct store_runs_filter *filter_out);
/* The same from a JSON object at `pointer`. -1: answered, 422. */
SB_MUST_CHECK int runs_filter_from_body(struct exchange *exchange, struct json_span object,
                                        const char *pointer, struct store_runs_filter *filter_out);
void runs_filter_deinit(struct store_runs_filter *filter);
/* The same 32 bytes for the same filter, for the scope of cursors. */
void runs_filter_digest(const struct store_runs_filter *filter, uint8_t digest_out[32]);

#endif
