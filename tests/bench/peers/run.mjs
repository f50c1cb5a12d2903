// One cell with one peer, both told by a JSON value in the only argument; prints what was measured as JSON.
//   {"peer": "graphile", "cell": "drain", "jobs": 20000, "concurrency": 10, "ms": 5000, …}
// cell: drain    so many jobs wait, then workers begin: jobs/s until all are done, or for so many ms
//       enqueue  for so many ms: one at a time in `abreast` loops, or in batches of `batch`
//       latency  50 jobs a second, workers idle: from before the call that adds it to the handler
// How each peer does it is in its own file, which exports open(options).
import * as boss from './boss.mjs';
import * as bullmq from './bullmq.mjs';
import * as graphile from './graphile.mjs';

const PEERS = {
  graphile: (options) => graphile.open(options),
  'graphile-tuned': (options) => graphile.open({ ...options, tuned: true }),
  boss: (options) => boss.open({ ...options, batch: 1 }),
  'boss-batch': (options) => boss.open({ ...options, batch: 100 }),
  bullmq: (options) => bullmq.open(options),
  'bullmq-postgres': (options) => bullmq.open({ ...options, onPostgres: true }),
};
const FILL_BATCH = 1000;
const LATENCY_PER_S = 50;
const LATENCY_WARMUP_JOBS = 25;

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const payloads = (count) => Array.from({ length: count }, (_, number) => ({ number }));

async function drain(peer, { jobs, concurrency, ms }) {
  for (let at = 0; at < jobs; at += FILL_BATCH) {
    await peer.addMany(payloads(Math.min(FILL_BATCH, jobs - at)));
  }
  await peer.settle();
  let begun;
  const worker = await peer.work(concurrency, () => (begun ??= performance.now()));
  let done = 0;
  let now = performance.now();
  do {
    await worker.wait(Math.max(0, ms - (now - (begun ?? now))));
    done = await worker.done();
    now = performance.now();
  } while (done < jobs && (begun === undefined || now - begun < ms));
  await worker.stop();
  return { jobs: done, seconds: (now - begun) / 1000, jobs_per_s: done / ((now - begun) / 1000) };
}

async function enqueue(peer, { ms, abreast = 1, batch = 1 }) {
  const begun = performance.now();
  let jobs = 0;
  const loop = async () => {
    while (performance.now() - begun < ms) {
      await (batch > 1 ? peer.addMany(payloads(batch)) : peer.add({ number: jobs }));
      jobs += batch;
    }
  };
  await Promise.all(Array.from({ length: abreast }, loop));
  const seconds = (performance.now() - begun) / 1000;
  return { jobs, seconds, jobs_per_s: jobs / seconds };
}

async function latency(peer, { ms, concurrency }) {
  const took = [];
  const worker = await peer.work(concurrency, ({ at }) => took.push(performance.now() - at));
  await pause(500);
  const begun = performance.now();
  const adds = [];
  for (let number = 0; number * 1000 < ms * LATENCY_PER_S; number++) {
    await pause(Math.max(0, begun + (number * 1000) / LATENCY_PER_S - performance.now()));
    adds.push(peer.add({ at: performance.now() }));
  }
  await Promise.all(adds);
  for (let left = 200; took.length < adds.length && left > 0; left--) {
    await pause(50);
  }
  await worker.stop();
  const sorted = took.slice(LATENCY_WARMUP_JOBS).sort((one, other) => one - other);
  const at = (quantile) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * quantile))];
  return { jobs: took.length, lost: adds.length - took.length, p50_ms: at(0.5), p99_ms: at(0.99) };
}

const options = JSON.parse(process.argv[2]);
const peer = await PEERS[options.peer](options);
const measured = await { drain, enqueue, latency }[options.cell](peer, options);
console.log(JSON.stringify(measured));
await peer.close();
process.exit(0);
