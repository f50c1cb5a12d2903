/* GET /runs/{id}/stream: everything up to the point where a streamer takes the connection over. */
#ifndef SIGNALBOX_API_STREAM_H
#define SIGNALBOX_API_STREAM_H

struct exchange;

void stream_open(struct exchange *exchange);

#endif
