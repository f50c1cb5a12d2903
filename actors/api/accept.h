/*
 * What a client wants to be answered in: the Accept field by RFC 9110, section 12.5.1. Pure.
 *
 * Clients send odd things here, so nothing in the field is an error. An element that is no media
 * range with a weight is passed over; if nothing else fits, the first offer is given, for who knows
 * what was meant. Only a field that is understood whole, and accepts none of the offers, is refused.
 */
#ifndef SIGNALBOX_API_ACCEPT_H
#define SIGNALBOX_API_ACCEPT_H

#include "runtime/base/error.h"

#include <stddef.h>

enum { ACCEPT_OFFERS_MAX = 8 };

/* Which of the offers ("type/subtype", lower case; the preferred one first, at most
 * ACCEPT_OFFERS_MAX) answers best: the one with the highest weight, of equals the first. All offers
 * are UTF-8: a range may say charset=utf-8 of them, and has no other parameter that fits. An absent
 * or empty field accepts everything. -1: nothing fits. */
SB_MUST_CHECK int accept_choose(const char *field, size_t length, const char *const *offers,
                                size_t count, size_t *chosen_out);

#endif
