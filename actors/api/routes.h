/* The table of everything this process answers. */
#ifndef SIGNALBOX_API_ROUTES_H
#define SIGNALBOX_API_ROUTES_H

#include "api/match.h"

extern const struct route routes[];
extern const size_t routes_count;

#endif
