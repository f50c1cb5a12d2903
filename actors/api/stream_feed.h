/* GET /api/v1/threads/{id}/stream and GET /api/v1/stream. */
#ifndef SIGNALBOX_API_STREAM_FEED_H
#define SIGNALBOX_API_STREAM_FEED_H

struct exchange;

void stream_feed_thread(struct exchange *exchange);
/* Of a thread, the messages of the assistant. */
void stream_feed_chat(struct exchange *exchange);
void stream_feed_tenant(struct exchange *exchange);

#endif
