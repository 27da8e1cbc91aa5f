/**
 * One peer of bench queue, as a program of its own that lies beside the peers' packages: `node queue-peer.mjs plainjob|bullmq COUNT SOCKET`.
 * Prints one line of JSON: jobs added and jobs carried out per second, with no-op work and a payload of 400 bytes.
 */
const [name, count = '12000', socket = ''] = process.argv.slice(2)
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
  const connection = { path: socket, maxRetriesPerRequest: null }
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

const measured = await { plainjob, bullmq }[name]()
console.log(JSON.stringify(measured))
process.exit(0) // a client of Redis may hold on to its connection
