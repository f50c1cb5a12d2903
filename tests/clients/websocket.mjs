// npm `ws` as a client. Given on stdin:
//   {"url", "headers", "echo": [text, …]}     each is sent as text, as bytes and in two parts, and must come back; pings; a close
//   {"url", "headers", "send": [message, …], "until": op}     sends these, prints each message that comes, closes behind `until`
// Prints a last value with what the close frame of the server said.
import { text } from 'node:stream/consumers';
import { WebSocket } from 'ws';

const given = JSON.parse(await text(process.stdin));
const socket = new WebSocket(given.url, { headers: given.headers });
const arrived = [];
const waiting = [];
const put = (value) => (waiting.length ? waiting.shift()(value) : arrived.push(value));
const next = () => (arrived.length ? Promise.resolve(arrived.shift()) : new Promise((resolve) => waiting.push(resolve)));
socket.on('message', (data, isBinary) => put({ message: isBinary ? data.toString('base64') : data.toString(), isBinary }));
socket.on('pong', (data) => put({ pong: data.toString() }));
socket.on('error', (error) => { throw error; });
const closed = new Promise((resolve) => socket.on('close', (code, reason) => resolve({ code, reason: reason.toString() })));
await new Promise((resolve) => socket.on('open', resolve));

async function expect(value) {
  const found = await next();
  if (JSON.stringify(found) !== JSON.stringify(value)) throw new Error(`${JSON.stringify(found)} instead of ${JSON.stringify(value)}`);
}

async function echo(word) {
  const bytes = Buffer.from(word);
  const cut = Math.floor(bytes.length / 2);
  socket.send(word);
  await expect({ message: word, isBinary: false });
  socket.send(bytes);
  await expect({ message: bytes.toString('base64'), isBinary: true });
  socket.send(bytes.subarray(0, cut), { fin: false, binary: false });
  socket.ping('between');
  socket.send(bytes.subarray(cut), { fin: true, binary: false });
  await expect({ pong: 'between' });
  await expect({ message: word, isBinary: false });
}

if (given.echo) {
  for (const word of given.echo) await echo(word);
} else {
  for (const message of given.send) socket.send(JSON.stringify(message));
  for (let op = ''; op !== given.until;) {
    const message = JSON.parse((await next()).message);
    console.log(JSON.stringify(message));
    op = message.op;
  }
}
socket.close(3001, 'done');
console.log(JSON.stringify({ extensions: socket.extensions, protocol: socket.protocol, close: await closed }));
