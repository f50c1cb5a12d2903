// graphile-worker, as shipped or tuned for rate: jobs fetched 500 at a time into its local queue, completions in batches.
import { Logger, makeWorkerUtils, run } from 'graphile-worker';
import pg from 'pg';

const TASK = 'noop';
const TUNED = { localQueue: { size: 500 }, completeJobBatchDelay: 0, failJobBatchDelay: 0 };
const logger = new Logger(() => () => {});

// Its pages ask for this many connections.
const connections = (concurrency) => Math.max(10, concurrency + 2);

export async function open({ postgres, tuned = false, concurrency = 10 }) {
  const pgPool = new pg.Pool({ ...postgres, max: connections(concurrency) });
  pgPool.on('error', () => {});
  await pgPool.query('drop schema if exists graphile_worker cascade');
  const utils = await makeWorkerUtils({ pgPool, logger });
  await utils.migrate();
  const left = async () => Number((await pgPool.query('select count(*) from graphile_worker._private_jobs')).rows[0].count);

  return {
    add: (payload) => utils.addJob(TASK, payload),
    addMany: (list) => utils.addJobs(list.map((payload) => ({ identifier: TASK, payload }))),
    settle: () => pgPool.query('vacuum analyze'),
    // done() counts the rows that are gone: it deletes what is complete, some time after the handler.
    async work(workers, handler) {
      const all = await left();
      let handled = 0;
      let wake = () => {};
      const runner = await run({
        pgPool,
        logger,
        noHandleSignals: true,
        preset: { worker: { concurrentJobs: workers, maxPoolSize: connections(workers), ...(tuned ? TUNED : {}) } },
        taskList: {
          [TASK]: (payload) => {
            handler(payload);
            if (++handled === all) wake();
          },
        },
      });
      return {
        wait: (ms) =>
          handled >= all ? Promise.resolve() : new Promise((resolve) => { wake = resolve; setTimeout(resolve, ms); }),
        done: async () => all - (await left()),
        stop: () => runner.stop(),
      };
    },
    async close() {
      await utils.release();
      await pgPool.end();
    },
  };
}
