/* GET /runs/{id}/stream: everything up to the point where a streamer takes the connection over. */
#ifndef SIGNALBOX_API_STREAM_H
#define SIGNALBOX_API_STREAM_H

#include <stdbool.h>

struct exchange;

void stream_open(struct exchange *exchange);
/* The same as one JSON object a line. */
void stream_open_lines(struct exchange *exchange);
/* HEAD: answers it as the streamer would begin. */
bool stream_answers_head(struct exchange *exchange);

#endif
