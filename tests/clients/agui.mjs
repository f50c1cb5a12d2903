// One HttpAgent with its verifier on, against a server. Given on stdin: {"url", "key", "thread", "runs": [{…}, …]}; each run is
// {"id", "messages"?, "resume"?, "get"?: a URL to attach to instead}. Prints {"event"} for each event as it comes, {"run"} behind each run.
import { HttpAgent } from '@ag-ui/client';
import { text } from 'node:stream/consumers';

const say = (value) => console.log(JSON.stringify(value));
console.warn = (...parts) => say({ warning: parts.join(' ') });
console.error = () => {};
// Behind an error that it has told the client cancels the body once more, and lets the refusal of that go unheard.
process.on('unhandledRejection', () => {});

const { url, key, thread, runs, messages, state } = JSON.parse(await text(process.stdin));
let instead;
const agent = new HttpAgent({
  url,
  threadId: thread,
  headers: { Authorization: `Bearer ${key}` },
  initialMessages: messages,
  initialState: state,
  fetch: (target, init) => (instead ? fetch(instead, { headers: init.headers, signal: init.signal }) : fetch(target, init)),
});
for (const run of runs) {
  instead = run.get;
  if (run.messages) agent.addMessages(run.messages);
  const parameters = { runId: run.id, tools: run.tools, context: run.context, forwardedProps: run.forwardedProps };
  if (run.resume) parameters.resume = run.resume;
  const customs = [];
  let outcome = null;
  let error = null;
  try {
    await agent.runAgent(parameters, {
      onEvent: ({ event }) => say({ event }),
      onCustomEvent: ({ event }) => void customs.push([event.name, event.value]),
      onRunFinishedEvent: (finished) => void (outcome = finished.outcome),
      onRunErrorEvent: ({ event }) => void (outcome = { error: event.message, code: event.code }),
    });
  } catch (caught) {
    error = String(caught);
  }
  say({ run: run.id, outcome, error, customs, messages: agent.messages, state: agent.state, pending: agent.pendingInterrupts });
}
