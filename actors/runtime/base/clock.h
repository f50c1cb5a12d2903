/* Clocks. Monotonic time measures waits; real time only labels events and logs. */
#ifndef SIGNALBOX_BASE_CLOCK_H
#define SIGNALBOX_BASE_CLOCK_H

#include <stdint.h>

int64_t clock_monotonic_ms(void);
int64_t clock_monotonic_us(void);
/* Microseconds since 1970-01-01T00:00:00Z. */
int64_t clock_real_us(void);

enum { CLOCK_TEXT_SIZE = 28 }; /* "2026-11-20T09:22:00.123456Z" and NUL */
/* RFC 3339 UTC with microseconds and Z. `real_us` within the years 1970..9999. */
void clock_format(int64_t real_us, char text[CLOCK_TEXT_SIZE]);

#endif
