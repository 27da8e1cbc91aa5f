/**
 * Our own part of bench queue: the store through the shipped functions, durable (every answer after an fsync) and event-sourced.
 *
 * One cycle: a pass over the head of the queue admits it (event) and offers it, the shipped engine claims it and hands it to a worker; then its lease
 * is given back behind the fence and its end recorded (two events). What is free then is taken by the next pass in the very commit, as in the daemon.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { AttemptEnded, TaskAdded } from '../src/core/event.ts'
import { embeddedEngine } from '../src/engine/embedded.ts'
import { openDatabase, type Database, type Tx } from '../src/store/database.ts'
import { claimLeases, offerLease, releaseLease, takeEpoch, type Lease } from '../src/store/lease.ts'
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

const leaseMs = 90_000

/** Lets in the tasks at the head of the queue, at most so many; answers their attempts. */
async function admitHead(
  { nextId }: Made,
  tx: Tx,
  most: number,
): Promise<{ attempt: string; task: string; token: 1 }[]> {
  const attempts: { attempt: string; task: string; token: 1 }[] = []
  for (const task of await headOfQueue(tx, { at: at(), laneStepMs: 900_000, most, pauses: [] })) {
    const attempt = `att_${nextId()}`
    const stream = `task/${task}`
    const admitted = { type: 'attempt.admitted', attempt, token: 1, step: 'implement', role: 'implementer' } as const
    const who = { family: 'openai', agent: 'scripted', model: 'gpt-6-sol', finding: null, because: null }
    await append(tx, { at: at(), actor: 'daemon', stream, events: [{ ...admitted, ...who }] })
    attempts.push({ attempt, task, token: 1 })
  }
  return attempts
}

/** Gives a lease back behind the fence, and records how the attempt ended. */
async function finish(tx: Tx, lease: Lease): Promise<void> {
  if (!(await releaseLease(tx, lease))) throw new Error('the lease was lost')
  const events = [
    { ...ended, attempt: lease.attempt },
    { type: 'task.reported' as const, report: 'done' },
  ]
  await append(tx, { at: at(), actor: 'daemon', stream: `task/${lease.task}`, events })
}

/**
 * A daemon in small, with so many slots. A pass lets in what is at the head and offers it; the engine hands it to a worker, which ends it at once;
 * that wakes the next pass, which shares its commit.
 */
export function work(made: Made, slots: number, on: { picked?: () => void; ended?: () => void } = {}) {
  const { database, epoch } = made
  const onFault = (error: unknown) => {
    throw error
  }
  const engine = embeddedEngine({ world, database, epoch, leaseMs, onFault })
  let free = slots
  let woken = false
  const pass = async (tx: Tx) => {
    woken = false
    const admitted = await admitHead(made, tx, free)
    free -= admitted.length
    for (const each of admitted) await engine.offer(tx, each)
  }
  const wake = () => {
    if (woken) return
    woken = true
    void database.write(pass).catch(onFault)
  }
  const working = engine.work(async (carried) => {
    on.picked?.()
    await database.write(async (tx) => {
      await finish(tx, { ...carried, epoch })
      free += 1
      wake()
    })
    on.ended?.()
  })
  return { wake, [Symbol.asyncDispose]: () => working[Symbol.asyncDispose]() }
}

/** Claims and finishes all that is queued, which are so many tasks; cycles per second. */
export async function drain(made: Made, tasks: number, slots: number): Promise<number> {
  const { promise: drained, resolve } = Promise.withResolvers<void>()
  let left = tasks
  const began = world.clock.mono()
  await using working = work(made, slots, { ended: () => --left === 0 && resolve() })
  working.wake()
  await drained
  return (tasks * 1000) / (world.clock.mono() - began)
}

/** Milliseconds of one claim, one at a time, in the middle of how long it takes; each is given back. */
export async function claimMs(made: Made, times: number): Promise<number> {
  const { database, epoch } = made
  const spent: number[] = []
  for (let n = 0; n < times; n++) {
    const began = world.clock.mono()
    const [lease] = await database.write(async (tx) => {
      for (const each of await admitHead(made, tx, 1))
        await offerLease(tx, { ...each, epoch }, world.clock.mono(), leaseMs)
      return claimLeases(tx, { epoch, monoMs: world.clock.mono(), leaseMs })
    })
    spent.push(world.clock.mono() - began)
    await database.write((tx) => finish(tx, lease!))
  }
  return median(spent)
}
