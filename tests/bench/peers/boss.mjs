// pg-boss: loops that fetch and complete `batch` jobs at a time; for latency its own worker, woken by NOTIFY.
import pg from 'pg';
import { PgBoss } from 'pg-boss';

const QUEUE = 'noop';

export async function open({ postgres, batch, cell, concurrency = 10 }) {
  const pool = new pg.Pool({ ...postgres, max: 1 });
  await pool.query('drop schema if exists pgboss cascade');
  const boss = new PgBoss({ ...postgres, max: Math.max(10, concurrency), useListenNotify: true });
  boss.on('error', () => {});
  await boss.start();
  await boss.createQueue(QUEUE, { notify: true });

  const loops = (count, handler) => {
    let done = 0;
    let ended = false;
    const loop = async () => {
      while (!ended) {
        const jobs = await boss.fetch(QUEUE, { batchSize: batch });
        if (jobs.length === 0) return;
        jobs.forEach((job) => handler(job.data));
        await boss.complete(QUEUE, jobs.map((job) => job.id));
        done += jobs.length;
      }
    };
    const all = Promise.all(Array.from({ length: count }, loop));
    return {
      wait: (ms) => Promise.race([all, new Promise((resolve) => setTimeout(resolve, ms))]),
      done: async () => done,
      stop: () => { ended = true; return all; },
    };
  };
  const workers = async (count, handler) => {
    await boss.work(QUEUE, { localConcurrency: count }, async (jobs) => jobs.forEach((job) => handler(job.data)));
    return { stop: () => boss.offWork(QUEUE, { wait: true }) };
  };

  return {
    add: (payload) => boss.send(QUEUE, payload),
    addMany: (list) => boss.insert(QUEUE, list.map((data) => ({ data }))),
    settle: () => pool.query('vacuum analyze'),
    work: async (count, handler) => (cell === 'latency' ? workers(count, handler) : loops(count, handler)),
    async close() {
      await boss.stop({ graceful: false });
      await pool.end();
    },
  };
}
