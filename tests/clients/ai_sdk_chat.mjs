// One chat of the AI SDK, as useChat holds it. stdin: {"version":"ai6"|"ai7","api","key","id","messages","do":[step, …]}; a
// step is {"send":text} or {"send":null} (what is there), {"answer":response}, {"regenerate":true} or {"resume":true}.
// Prints {"status","role","text"} as they change, and at the end {"status","error","messages","finished"}.
import { readFileSync } from 'node:fs';

const given = JSON.parse(readFileSync(0, 'utf8'));
const ai = await import(given.version); // one takes long enough to load
const finished = [];
let shown = '';

function show() {
  const last = chat?.messages.at(-1);
  const text = (last?.parts ?? []).filter((part) => part.type === 'text').map((part) => part.text).join('');
  const line = JSON.stringify({ status: chat?.status, role: last?.role, text });
  if (line !== shown) console.log((shown = line));
}

class Chat extends ai.AbstractChat {
  constructor(options) {
    const state = {
      status: 'ready', error: undefined, messages: options.messages ?? [],
      pushMessage(message) { state.messages = [...state.messages, message]; },
      popMessage() { state.messages = state.messages.slice(0, -1); },
      replaceMessage(index, message) {
        state.messages = state.messages.with?.(index, structuredClone(message)) ?? state.messages;
        show();
      },
      snapshot: (value) => structuredClone(value),
    };
    super({ ...options, state });
  }
}

const chat = new Chat({
  id: given.id,
  messages: given.messages,
  generateId: (() => { let n = 0; return () => `${given.prefix ?? 'm'}${++n}`; })(),
  transport: new ai.DefaultChatTransport({ api: given.api, headers: { authorization: `Bearer ${given.key}` }, body: given.body }),
  onFinish: ({ isAbort, isDisconnect, isError, finishReason }) => finished.push({ isAbort, isDisconnect, isError, finishReason }),
});

/** The answer stands in the message that asked. */
function answer(response) {
  chat.messages = chat.messages.map((message, index) => (index < chat.messages.length - 1 ? message : {
    ...message,
    parts: message.parts.map((part) => (part.type !== 'data-clarification' || 'response' in part.data ? part
      : { ...part, data: { ...part.data, response } })),
  }));
  return chat.sendMessage();
}

for (const step of given.do) {
  if ('send' in step) await (step.send === null ? chat.sendMessage() : chat.sendMessage({ text: step.send }));
  else if ('answer' in step) await answer(step.answer);
  else if (step.regenerate) await chat.regenerate();
  else if (step.resume) await chat.resumeStream();
  show();
}
console.log(JSON.stringify({ status: chat.status, error: chat.error?.message, messages: chat.messages, finished }));
