/* `signalbox jobs retry --all`: dead jobs wait again, by the thousand, after their count was shown. */
#ifndef SIGNALBOX_CLI_JOBS_RETRY_H
#define SIGNALBOX_CLI_JOBS_RETRY_H

#include "ops/cli/cli.h"

#include <jansson.h>

/* Those that `filter` names, as POST /jobs/retry has it; asks first, unless `yes`. Returns the exit
 * code; what is wrong has been said. */
int jobs_retry_all(const struct cli *cli, const json_t *filter, bool yes);

#endif
