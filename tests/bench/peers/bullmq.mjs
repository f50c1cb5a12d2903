// BullMQ: on Redis as its pages show it, or on its PostgreSQL back end.
import { createPostgresBackend, Queue, setDefaultBackendFactory, Worker } from 'bullmq';
import { Redis } from 'ioredis';
import pg from 'pg';

const QUEUE = 'noop';
const SCHEMA = 'bullmq';

async function postgresConnection(postgres) {
  const client = new pg.Client(postgres);
  await client.connect();
  await client.query(`drop schema if exists ${SCHEMA} cascade; create schema ${SCHEMA}`);
  await client.end();
  setDefaultBackendFactory(createPostgresBackend);
  return { ...postgres, schema: SCHEMA, migrate: true, max: 12 };
}

async function redisConnection(redis) {
  const client = new Redis({ ...redis, maxRetriesPerRequest: null });
  await client.flushdb();
  return client;
}

export async function open({ postgres, redis, onPostgres = false }) {
  const connection = onPostgres ? await postgresConnection(postgres) : await redisConnection(redis);
  const queue = new Queue(QUEUE, { connection });
  await queue.waitUntilReady();

  return {
    add: (payload) => queue.add(QUEUE, payload),
    addMany: (list) => queue.addBulk(list.map((data) => ({ name: QUEUE, data }))),
    settle: async () => {},
    async work(concurrency, handler) {
      let done = 0;
      let all = Infinity;
      let wake = () => {};
      const worker = new Worker(QUEUE, async (job) => { handler(job.data); }, { connection, concurrency, autorun: false });
      worker.on('completed', () => { if (++done === all) wake(); });
      worker.on('error', () => {});
      await worker.waitUntilReady();
      all = await queue.getWaitingCount();
      worker.run();
      return {
        wait: (ms) => (done >= all ? Promise.resolve() : new Promise((resolve) => { wake = resolve; setTimeout(resolve, ms); })),
        done: async () => done,
        stop: () => worker.close(true),
      };
    },
    async close() {
      await queue.close();
      if (!onPostgres) {
        await connection.flushdb();
        connection.disconnect();
      }
    },
  };
}
