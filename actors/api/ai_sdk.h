/* POST /ai-sdk/chat, GET /ai-sdk/chat/{id}/stream, POST /ai-sdk/chat/{id}/stop: what the AI SDK's chat
 * transport asks for (docs/protocols.md). */
#ifndef SIGNALBOX_API_AI_SDK_H
#define SIGNALBOX_API_AI_SDK_H

struct exchange;

void ai_sdk_chat(struct exchange *exchange);
void ai_sdk_stream(struct exchange *exchange);
void ai_sdk_stop(struct exchange *exchange);

#endif
