// Which clients are here, and on which Node.js; that they can be loaded at all.
import * as agui from '@ag-ui/client';
import * as ai6 from 'ai6';
import * as ai7 from 'ai7';
import { createRequire } from 'node:module';
import { WebSocket } from 'ws';

const require = createRequire(import.meta.url);
const version = (name) => require(`./node_modules/${name}/package.json`).version;

console.log(JSON.stringify({
  node: process.version,
  loaded: [agui.HttpAgent, ai6.readUIMessageStream, ai7.readUIMessageStream, WebSocket].map((one) => typeof one),
  versions: Object.fromEntries(['@ag-ui/client', 'ai6', 'ai7', 'ws'].map((name) => [name, version(name)])),
}));
