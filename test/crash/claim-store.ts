/** One call of the model, made on the shipped store: what several processes do at once (claim.test.ts) and what fast-check thinks of (test/claim-model.test.ts). */
import { added } from '../../src/core/fixture.ts'
import type { Database, Tx } from '../../src/store/database.ts'
import { beatLease, claimLeases, deadLeases, offerLease, releaseLease, takeEpoch } from '../../src/store/lease.ts'
import { append } from '../../src/store/append.ts'
import { headOfQueue } from '../../src/store/queue.ts'
import type { Call, Holder } from './claim-model.ts'

const leaseMs = 40
const sweepLimit = 4

export type Ask = {
  what: Call['call']
  /** Makes the names of what is new. */
  id: string
  epoch: number
  /** Monotonic milliseconds. */
  now: number
  /** Whoever beats or finishes. */
  holder: Holder
}

type Claim = (database: Database, epoch: number, now: number, leaseMs: number) => Promise<Holder | null>

const claimShipped: Claim = (database, epoch, now) =>
  database.write(async (tx) => (await claimLeases(tx, { epoch, monoMs: now, leaseMs, most: 1 }))[0] ?? null)

const holderOf = ({ attempt, token, epoch }: Holder): Holder => ({ attempt, token, epoch })

const look = { at: Number.MAX_SAFE_INTEGER, laneStepMs: Number.MAX_SAFE_INTEGER, most: 1, pauses: [] }

async function admit(tx: Tx, attempt: string, epoch: number, now: number): Promise<string | null> {
  const [task] = await headOfQueue(tx, look)
  if (task === undefined) return null
  const event = { ...admittedAs, attempt }
  await append(tx, { at: Math.floor(now), actor: 'daemon', stream: `task/${task}`, events: [event] })
  await offerLease(tx, { attempt, task, token: 1, epoch }, now, leaseMs)
  return task
}

const admittedAs = {
  type: 'attempt.admitted',
  token: 1,
  step: 'implement',
  role: 'implementer',
  family: 'openai',
  agent: 'codex',
  model: 'm',
  finding: null,
  because: null,
} as const

/** Makes the call and answers it with what it was answered. */
export async function perform(database: Database, ask: Ask, claim: Claim = claimShipped): Promise<Call> {
  const { id, epoch, now, holder } = ask
  const expires = now + leaseMs
  const lease = { ...holder, task: '' }
  switch (ask.what) {
    case 'restart':
      return { call: 'restart', answer: await database.write((tx) => takeEpoch(tx, daemon)) }
    case 'add': {
      const at = Math.floor(now)
      const events = [added(`task_${id}`)]
      await database.write((tx) => append(tx, { at, actor: 'x', stream: `task/task_${id}`, events }))
      return { call: 'add', task: `task_${id}`, at }
    }
    case 'admit': {
      const answer = await database.write((tx) => admit(tx, `att_${id}`, epoch, now))
      return { call: 'admit', attempt: `att_${id}`, epoch, expires, answer }
    }
    case 'sweep':
      return {
        call: 'sweep',
        epoch,
        mono: now,
        limit: sweepLimit,
        answer: await database.write((tx) => sweep(tx, epoch, now)),
      }
    case 'claim': {
      const taken = await claim(database, epoch, now, leaseMs)
      return { call: 'claim', epoch, expires, answer: taken && holderOf(taken) }
    }
    case 'beat': {
      const answer = await database.write((tx) => beatLease(tx, lease, now, leaseMs, now))
      return { call: 'beat', holder, expires, answer }
    }
    case 'finish':
      return { call: 'finish', holder, answer: await database.write((tx) => releaseLease(tx, lease)) }
  }
}

async function sweep(tx: Tx, epoch: number, now: number): Promise<string[]> {
  const dead = await deadLeases(tx, epoch, now, sweepLimit)
  for (const each of dead) await releaseLease(tx, each)
  return dead.map(({ attempt }) => attempt)
}

export const daemon = { pid: process.pid, boot_id: 'boot', start_time: 1, started_at: 0 }
