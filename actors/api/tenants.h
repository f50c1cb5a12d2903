/* Tenants and the audit as resources. */
#ifndef SIGNALBOX_API_TENANTS_H
#define SIGNALBOX_API_TENANTS_H

struct exchange;

void tenants_list(struct exchange *exchange);
void tenants_create(struct exchange *exchange);
void tenants_get(struct exchange *exchange);
void tenants_get_quota(struct exchange *exchange);
void tenants_set_quota(struct exchange *exchange);
void tenants_audit(struct exchange *exchange);

#endif
