/*
 * The two secrets that `up` makes at the first start, each kept in a file that is never replaced.
 *
 * The key file is the truth for the first api key: it is written before anything else knows the
 * key. Its public id and hash travel to the database in the settings (auth.first_key), and
 * `prepare` adds the row whenever the database does not know that public id. So after any kill the
 * file is there first and the row follows; a key that was revoked stays revoked.
 */
#ifndef SIGNALBOX_CLI_SECRETS_H
#define SIGNALBOX_CLI_SECRETS_H

#include "ops/cli/place.h"
#include "ops/cli/sources.h"

/* Sets auth.pepper from DATA/auth-pepper (made when absent) unless file or environment gave one. */
SB_MUST_CHECK int secrets_pepper(const struct place *place, struct sources *sources,
                                 struct error *err);
/* Sets auth.first_key from DIR/api-key (made when absent, owned by who runs `up`). */
SB_MUST_CHECK int secrets_first_key(const struct place *place, struct sources *sources,
                                    bool *created_out, struct error *err);

/* Puts the text of auth.jwks_file into auth.jwks; none: empties it. */
SB_MUST_CHECK int secrets_token_keys(struct sources *sources, struct error *err);

#endif
