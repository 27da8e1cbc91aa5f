/**
 * One peer of bench queue, as a program of its own that lies beside the peers' packages: `node queue-peer.mjs PEER COUNT WHERE`, where WHERE is
 * the socket of its server (Redis) or the folder of it (PostgreSQL). Prints one line of JSON: jobs added and jobs carried out per second, with no-op work and a payload of 400 bytes.
 */
const [name, count = '12000', where = ''] = process.argv.slice(2)
const jobs = Number(count)
const payload = { text: 'x'.repeat(380) }
const perSecond = (began) => (jobs * 1000) / (performance.now() - began)

/** Calls `body` so many times, 64 at once. */
async function sixtyFour(body) {
  let left = jobs
  const caller = async () => {
    while (left-- > 0) await body()
  }
  await Promise.all(Array.from({ length: 64 }, caller))
}

const silent = { error() {}, warn() {}, info() {}, debug() {} }

/** On SQLite, and not durable: its connection leaves synchronous at NORMAL, so that a power cut loses what was acknowledged. */
async function plainjob() {
  const { better, defineQueue, defineWorker } = await import('plainjob')
  const { default: Database } = await import('better-sqlite3')
  const queue = defineQueue({ connection: better(new Database('plainjob.db')), logger: silent })
  let began = performance.now()
  for (let n = 0; n < jobs; n++) queue.add('noop', payload)
  const added = perSecond(began)
  let done = 0
  const { promise, resolve } = Promise.withResolvers()
  const onCompleted = () => ++done === jobs && resolve()
  const worker = defineWorker('noop', async () => {}, { queue, logger: silent, pollIntervall: 1, onCompleted })
  began = performance.now()
  void worker.start()
  await promise
  const drained = perSecond(began)
  await worker.stop()
  queue.close()
  return { added, drained }
}

/** On a Redis whose append-only file is synced as that Redis was told. */
async function bullmq() {
  const { Queue, Worker } = await import('bullmq')
  const connection = { path: where, maxRetriesPerRequest: null }
  const queue = new Queue('noop', { connection })
  await queue.waitUntilReady()
  let began = performance.now()
  await sixtyFour(() => queue.add('noop', payload, { removeOnComplete: true }))
  const added = perSecond(began)
  let done = 0
  const { promise, resolve } = Promise.withResolvers()
  const worker = new Worker('noop', async () => {}, { connection, concurrency: 64, autorun: false })
  worker.on('completed', () => ++done === jobs && resolve())
  await worker.waitUntilReady()
  began = performance.now()
  void worker.run()
  await promise
  const drained = perSecond(began)
  await worker.close()
  await queue.close()
  return { added, drained }
}

/** On PostgreSQL as Debian configures it. `batched`: 500 jobs are fetched at once, and told to be complete together. */
async function graphile(batched) {
  const { Logger, makeWorkerUtils, run } = await import('graphile-worker')
  const logger = new Logger(() => () => {})
  const pg = { connectionString: `postgres://bench@/postgres?host=${where}` }
  const utils = await makeWorkerUtils({ ...pg, logger })
  await utils.migrate()
  let began = performance.now()
  await sixtyFour(() => utils.addJob('noop', payload))
  const added = perSecond(began)
  let done = 0
  const { promise, resolve } = Promise.withResolvers()
  const events = new (await import('node:events')).EventEmitter()
  events.on('job:complete', () => ++done === jobs && resolve())
  const preset = { worker: { localQueue: { size: 500 }, completeJobBatchDelay: 0, failJobBatchDelay: 0 } }
  began = performance.now()
  const runner = await run({
    ...pg,
    logger,
    events,
    taskList: { noop: async () => {} },
    concurrency: 64,
    noHandleSignals: true,
    ...(batched ? { preset } : {}),
  })
  await promise
  // it says so before it has told its database: a job counts when that is committed, as with everybody else
  const left = () => utils.withPgClient((client) => client.query('select 1 from graphile_worker._private_jobs limit 1'))
  while ((await left()).rows.length > 0) await new Promise((again) => setTimeout(again, 2))
  const drained = perSecond(began)
  await runner.stop()
  await utils.release()
  return { added, drained }
}

/** On the same PostgreSQL: 64 callers, each of which fetches one job and tells that it is complete. */
async function pgboss() {
  const { PgBoss } = await import('pg-boss')
  const boss = new PgBoss({ connectionString: `postgres://bench@/postgres?host=${where}`, supervise: false })
  boss.on('error', (error) => console.error(error))
  await boss.start()
  await boss.createQueue('noop')
  let began = performance.now()
  await sixtyFour(() => boss.send('noop', payload))
  const added = perSecond(began)
  began = performance.now()
  await sixtyFour(async () => {
    const [job] = await boss.fetch('noop')
    await boss.complete('noop', job.id)
  })
  const drained = perSecond(began)
  await boss.stop({ graceful: false })
  return { added, drained }
}

const peers = { plainjob, bullmq, graphile: () => graphile(false), graphileLocalQueue: () => graphile(true), pgboss }
console.log(JSON.stringify(await peers[name]()))
process.exit(0) // a client may hold on to its connection
