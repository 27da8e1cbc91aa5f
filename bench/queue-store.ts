/**
 * Our own part of bench queue: the store through the shipped functions, durable (every answer after an fsync) and event-sourced.
 *
 * One cycle: the head of the queue is looked up, admitted (event), offered and claimed; then its lease is given back behind the fence and its end
 * recorded (two events). The next one is taken in the very commit that ends the last, as the daemon's dispatcher does.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { AttemptEnded, TaskAdded } from '../src/core/event.ts'
import { openDatabase, type Database, type Tx } from '../src/store/database.ts'
import { claimLease, offerLease, releaseLease, takeEpoch, type Lease } from '../src/store/lease.ts'
import { append } from '../src/store/append.ts'
import { headOfQueue } from '../src/store/queue.ts'
import { world } from '../test/cli-rig.ts'
import { median } from './measure.ts'

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

export type Made = { folder: string; database: Database; nextId: () => string; epoch: number }

/** `on`: without a disk nothing is durable, and what is left is what our code and SQLite take. */
export async function withStore<T>(body: (made: Made) => Promise<T>, on: 'disk' | 'memory' = 'disk'): Promise<T> {
  const folder = await mkdtemp(join(tmpdir(), 'tri-agent-queue-'))
  const database = openDatabase(on === 'disk' ? join(folder, 'tasks.db') : ':memory:', { mono: world.clock.mono })
  let n = 0
  try {
    const epoch = await database.write((tx) => takeEpoch(tx, { pid: 1, boot_id: 'b', start_time: 1, started_at: 1 }))
    return await body({ folder, database, epoch, nextId: () => (++n).toString(36).padStart(8, '0') })
  } finally {
    database.close()
    await rm(folder, { recursive: true, force: true })
  }
}

const at = () => world.clock.now()

export async function add(tx: Tx, id: string): Promise<void> {
  const task = `task_${id}`
  await append(tx, { at: at(), actor: 'person:bench', stream: `task/${task}`, events: [{ ...wish, task, root: task }] })
}

/** Tasks per second, each acknowledged after its commit. */
export async function enqueue({ database, nextId }: Made, tasks: number, callers: number): Promise<number> {
  const began = world.clock.mono()
  let left = tasks
  const caller = async () => {
    while (left-- > 0) await database.write((tx) => add(tx, nextId()))
  }
  await Promise.all(Array.from({ length: callers }, caller))
  return (tasks * 1000) / (world.clock.mono() - began)
}

export const leaseMs = 90_000

/** Lets in the task at the head of the queue; answers its attempt, or null. */
export async function admitHead({ nextId }: Made, tx: Tx): Promise<{ attempt: string; task: string; token: 1 } | null> {
  const [task] = await headOfQueue(tx, { at: at(), laneStepMs: 900_000, most: 1, pauses: [] })
  if (task === undefined) return null
  const attempt = `att_${nextId()}`
  const stream = `task/${task}`
  const admitted = { type: 'attempt.admitted', attempt, token: 1, step: 'implement', role: 'implementer' } as const
  const who = { family: 'openai', agent: 'scripted', model: 'gpt-6-sol', finding: null, because: null }
  await append(tx, { at: at(), actor: 'daemon', stream, events: [{ ...admitted, ...who }] })
  return { attempt, task, token: 1 }
}

async function claim(made: Made, tx: Tx): Promise<Lease | null> {
  const admitted = await admitHead(made, tx)
  if (!admitted) return null
  await offerLease(tx, { ...admitted, epoch: made.epoch }, world.clock.mono(), leaseMs)
  return claimLease(tx, made.epoch, world.clock.mono(), leaseMs)
}

export async function finish(tx: Tx, lease: Lease): Promise<void> {
  if (!(await releaseLease(tx, lease))) throw new Error('the lease was lost')
  const events = [
    { ...ended, attempt: lease.attempt },
    { type: 'task.reported' as const, report: 'done' },
  ]
  await append(tx, { at: at(), actor: 'daemon', stream: `task/${lease.task}`, events })
}

/** Claim and finish until the queue is empty; cycles per second. */
export async function drain(made: Made, loops: number): Promise<number> {
  const { database } = made
  const began = world.clock.mono()
  let cycles = 0
  const loop = async () => {
    let lease = await database.write((tx) => claim(made, tx))
    while (lease !== null) {
      const ending = lease
      lease = await database.write(async (tx) => {
        await finish(tx, ending)
        return claim(made, tx)
      })
      cycles += 1
    }
  }
  await Promise.all(Array.from({ length: loops }, loop))
  return (cycles * 1000) / (world.clock.mono() - began)
}

/** Milliseconds of one claim, one at a time, in the middle of how long it takes; each is given back. */
export async function claimMs(made: Made, times: number): Promise<number> {
  const spent: number[] = []
  for (let n = 0; n < times; n++) {
    const began = world.clock.mono()
    const lease = await made.database.write((tx) => claim(made, tx))
    spent.push(world.clock.mono() - began)
    await made.database.write((tx) => finish(tx, lease!))
  }
  return median(spent)
}
