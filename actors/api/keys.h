/* Api keys as a resource. */
#ifndef SIGNALBOX_API_KEYS_H
#define SIGNALBOX_API_KEYS_H

struct exchange;

void keys_list(struct exchange *exchange);
void keys_create(struct exchange *exchange);
void keys_revoke(struct exchange *exchange);

#endif
