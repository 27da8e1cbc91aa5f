/**
 * bench queue: the store at full drain, durable (every answer after an fsync) and event-sourced, through the shipped functions; beside it the
 * queues a person would take instead, each as it comes, in turn in the same sitting. Peers are installed outside the tree (queue-peer.ts).
 *
 * One cycle of ours: the head of the queue is looked up, admitted (event), offered and claimed in one transaction; then its lease is given back
 * behind the fence and its end recorded (two events) in another.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { AttemptEnded, TaskAdded } from '../src/core/event.ts'
import { openDatabase, type Database, type Tx } from '../src/store/database.ts'
import { claimLease, offerLease, releaseLease, takeEpoch, type Lease } from '../src/store/lease.ts'
import { append } from '../src/store/log.ts'
import { headOfQueue } from '../src/store/queue.ts'
import { verifyProjections } from '../src/store/rebuild.ts'
import { verifyLog } from '../src/store/verify-log.ts'
import { world } from '../test/cli-rig.ts'
import { median, type Bench, type Row } from './measure.ts'
import { measurePeers } from './queue-peer.ts'

/** numbers.md and facts on engines: what each figure must reach. */
const leastEnqueuePerSecond = 50_000
const leastWithThreeLoops = 4000
const timesTheFastestPeer = 1.1
const mostTimesAtZero = 1.5
const leastReplayPerSecond = 300_000

const rounds = 3
const tasksPerRound = 12_000
const long = 1_000_000

const text = 'x'.repeat(400) // as large as the peers' payload
const wish: Omit<TaskAdded, 'task' | 'root'> = {
  type: 'task.added',
  repo: 'repo_1',
  title: 'Sell tea',
  text,
  kind: 'feature',
  lane: 'normal',
  size: 'small',
  tags: [],
  after: [],
  acceptance: [],
  budgetNanoUsd: null,
  parent: null,
  depth: 0,
  ref: null,
}
const ended: Omit<AttemptEnded, 'attempt'> = {
  type: 'attempt.ended',
  outcome: 'passed',
  reason: 'nothing was to be done',
  signature: null,
  tokens: { input: 0, cachedInput: 0, cacheWrite: 0, output: 0 },
  costNanoUsd: 0,
  transcript: null,
  promptSha256: null,
  killed: null,
}

type Made = { database: Database; nextId: () => string; epoch: number }

async function withStore<T>(body: (made: Made) => Promise<T>): Promise<T> {
  const folder = await mkdtemp(join(tmpdir(), 'tri-agent-queue-'))
  const database = openDatabase(join(folder, 'tasks.db'))
  let n = 0
  try {
    const epoch = await database.write((tx) => takeEpoch(tx, { pid: 1, boot_id: 'b', start_time: 1, started_at: 1 }))
    return await body({ database, epoch, nextId: () => (++n).toString(36).padStart(8, '0') })
  } finally {
    database.close()
    await rm(folder, { recursive: true, force: true })
  }
}

const at = () => world.clock.now()

async function add(tx: Tx, id: string): Promise<void> {
  const task = `task_${id}`
  await append(tx, { at: at(), actor: 'person:bench', stream: `task/${task}`, events: [{ ...wish, task, root: task }] })
}

/** Tasks per second, each acknowledged after its commit. */
async function enqueue({ database, nextId }: Made, tasks: number, callers: number): Promise<number> {
  const began = world.clock.mono()
  let left = tasks
  const caller = async () => {
    while (left-- > 0) await database.write((tx) => add(tx, nextId()))
  }
  await Promise.all(Array.from({ length: callers }, caller))
  return (tasks * 1000) / (world.clock.mono() - began)
}

const leaseMs = 90_000

async function claim({ epoch, nextId }: Made, tx: Tx): Promise<Lease | null> {
  const [task] = await headOfQueue(tx, { at: at(), laneStepMs: 900_000, most: 1, pauses: [] })
  if (task === undefined) return null
  const attempt = `att_${nextId()}`
  const stream = `task/${task}`
  const admitted = { type: 'attempt.admitted', attempt, token: 1, step: 'implement', role: 'implementer' } as const
  const who = { family: 'openai', agent: 'scripted', model: 'gpt-6-sol', finding: null, because: null }
  await append(tx, { at: at(), actor: 'daemon', stream, events: [{ ...admitted, ...who }] })
  await offerLease(tx, { attempt, task, token: 1, epoch }, world.clock.mono(), leaseMs)
  return claimLease(tx, epoch, world.clock.mono(), leaseMs)
}

async function finish(tx: Tx, lease: Lease): Promise<void> {
  if (!(await releaseLease(tx, lease))) throw new Error('the lease was lost')
  const events = [
    { ...ended, attempt: lease.attempt },
    { type: 'task.reported' as const, report: 'done' },
  ]
  await append(tx, { at: at(), actor: 'daemon', stream: `task/${lease.task}`, events })
}

/** Claim and finish until the queue is empty; cycles per second. */
async function drain(made: Made, loops: number): Promise<number> {
  const { database } = made
  const began = world.clock.mono()
  let cycles = 0
  const loop = async () => {
    for (;;) {
      const lease = await database.write((tx) => claim(made, tx))
      if (!lease) return
      await database.write((tx) => finish(tx, lease))
      cycles += 1
    }
  }
  await Promise.all(Array.from({ length: loops }, loop))
  return (cycles * 1000) / (world.clock.mono() - began)
}

/** Milliseconds of one claim, one at a time, in the middle of how long it takes; each is given back. */
async function claimMs(made: Made, times: number): Promise<number> {
  const spent: number[] = []
  for (let n = 0; n < times; n++) {
    const began = world.clock.mono()
    const lease = await made.database.write((tx) => claim(made, tx))
    spent.push(world.clock.mono() - began)
    await made.database.write((tx) => finish(tx, lease!))
  }
  return median(spent)
}

async function eventsPerSecond(body: () => Promise<{ events: number }>): Promise<number> {
  const began = world.clock.mono()
  const { events } = await body()
  return (events * 1000) / (world.clock.mono() - began)
}

export const benchQueue: Bench = async (note) => {
  const perSecond = (what: string, measured: number, baseline: number | null, target: number | null): Row => ({
    what,
    unit: '/s',
    measured,
    baseline,
    target,
    atLeast: true,
  })
  const enqueued: number[] = []
  const sixtyFour: number[] = []
  const three: number[] = []
  const replayed: number[] = []
  const verified: number[] = []
  for (let round = 1; round <= rounds; round++) {
    note(`round ${round} of ${rounds}: enqueue, drain with 64 loops, drain with 3, fold the log again`)
    await withStore(async (made) => {
      enqueued.push(await enqueue(made, tasksPerRound, 64))
      sixtyFour.push(await drain(made, 64))
      await enqueue(made, tasksPerRound / 4, 64)
      three.push(await drain(made, 3))
      replayed.push(await eventsPerSecond(() => verifyProjections(made.database)))
      verified.push(await eventsPerSecond(() => verifyLog(made.database)))
    })
  }
  const peers = await measurePeers(note)
  const fastest = peers.length === 0 ? null : Math.max(...peers.map(({ drainPerSecond }) => drainPerSecond))
  note(`claims at 2,000 and at ${long} queued`)
  const { short, far } = await withStore(async (made) => {
    await enqueue(made, 2000, 64)
    const short = await claimMs(made, 500)
    await enqueue(made, long, 64)
    return { short, far: await claimMs(made, 500) }
  })
  return [
    perSecond('enqueue, durable, 64 callers', median(enqueued), null, leastEnqueuePerSecond),
    perSecond(
      'claim + finish, durable, 64 loops',
      median(sixtyFour),
      fastest,
      fastest && fastest * timesTheFastestPeer,
    ),
    perSecond('claim + finish, durable, 3 loops', median(three), null, leastWithThreeLoops),
    ...peers.flatMap(({ name, enqueuePerSecond, drainPerSecond }) => [
      perSecond(`  ${name}: enqueue`, enqueuePerSecond, null, null),
      perSecond(`  ${name}: claim + finish`, drainPerSecond, null, null),
    ]),
    {
      what: 'claim p50 at 1,000,000 queued',
      unit: 'ms',
      measured: far,
      baseline: short,
      target: short * mostTimesAtZero,
    },
    perSecond('replay and comparison, events', median(replayed), null, leastReplayPerSecond),
    perSecond('log verify, events', median(verified), null, null),
  ]
}
