// Gives recorded AG-UI streams to HttpAgent, verifier and all. Given on stdin: a list of requests, one agent each; a
// request is {"streams": [[text, …], …], "initial": {…}?}: the bodies of its answers, in pieces, one for each run in turn.
// Prints one list: what became of each agent.
import { HttpAgent } from '@ag-ui/client';
import { text } from 'node:stream/consumers';

let warnings = [];
console.warn = (...parts) => warnings.push(parts.join(' '));
console.error = () => {};

function body(pieces) {
  const encoder = new TextEncoder();
  return new ReadableStream({
    start(controller) {
      for (const piece of pieces) controller.enqueue(encoder.encode(piece));
      controller.close();
    },
  });
}

async function replay({ streams, initial }) {
  const bodies = [...streams];
  const types = [];
  const customs = [];
  const outcomes = [];
  const errors = [];
  warnings = [];
  const agent = new HttpAgent({
    url: 'http://agent.example/',
    threadId: 'thread',
    initialMessages: initial?.messages,
    initialState: initial?.state,
    fetch: async () => new Response(body(bodies.shift()), { headers: { 'content-type': 'text/event-stream' } }),
  });
  for (const stream of streams) {
    void stream;
    const resume = agent.pendingInterrupts.map((one) => ({ interruptId: one.id, status: 'cancelled' }));
    try {
      await agent.runAgent(resume.length ? { resume } : {}, {
        onEvent: ({ event }) => void types.push(event.type),
        onCustomEvent: ({ event }) => void customs.push([event.name, event.value]),
        onRunFinishedEvent: ({ outcome }) => void outcomes.push(outcome),
        onRunErrorEvent: ({ event }) => void outcomes.push(event.message),
      });
      errors.push(null);
    } catch (error) {
      errors.push(String(error));
    }
  }
  return { errors, types, customs, outcomes, warnings, messages: agent.messages, state: agent.state ?? null, pending: agent.pendingInterrupts };
}

const results = [];
for (const request of JSON.parse(await text(process.stdin))) results.push(await replay(request));
console.log(JSON.stringify(results));
