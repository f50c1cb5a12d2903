// What both versions of the AI SDK make of texts of streams. stdin: [{"sse":…,"message":…?}], a message to go on with;
// prints, for each text, for each version: {"chunks":[…],"messages":[…],"errors":[…]}.
import * as ai6 from 'ai6';
import * as ai7 from 'ai7';
import { readFileSync } from 'node:fs';

/** Pieces of odd sizes: chunks of a connection end where they like. */
function body(text) {
  const bytes = new TextEncoder().encode(text);
  return new ReadableStream({
    start(controller) {
      for (let at = 0, size = 1; at < bytes.length; at += size, size = (size * 7 + 13) % 1021 + 1) {
        controller.enqueue(bytes.slice(at, at + size));
      }
      controller.close();
    },
  });
}

async function read(ai, { sse, message }) {
  const result = { chunks: [], messages: [], errors: [] };
  const transport = new ai.DefaultChatTransport({
    api: 'http://nowhere/chat',
    fetch: async () => new Response(body(sse), { headers: { 'content-type': 'text/event-stream' } }),
  });
  const stream = await transport.reconnectToStream({ chatId: 'chat' });
  const [kept, told] = stream.tee();
  const noted = (async () => {
    for await (const chunk of kept) result.chunks.push(chunk);
  })().catch((error) => result.errors.push(String(error)));
  const messages = ai.readUIMessageStream({
    message, stream: told, onError: (error) => result.errors.push(String(error.message ?? error)),
  });
  for await (const one of messages) {
    if (result.messages.at(-1)?.id === one.id) result.messages.pop();
    result.messages.push(one);
  }
  await noted;
  return result;
}

const results = [];
for (const given of JSON.parse(readFileSync(0, 'utf8'))) {
  results.push({ ai6: await read(ai6, structuredClone(given)), ai7: await read(ai7, structuredClone(given)) });
}
console.log(JSON.stringify(results));
