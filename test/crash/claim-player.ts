/**
 * A process that works on the queue and its leases through the shipped store, as fast as it can, and says what it was answered and when.
 * usage: node claim-player.ts DATABASE NAME SEED CALLS [careless]
 */
import { seededRandom } from '../../sim/world.ts'
import { added } from '../../src/core/fixture.ts'
import { openDatabase, type Database, type Tx } from '../../src/store/database.ts'
import {
  beatLease,
  claimLease,
  daemonRow,
  deadLeases,
  offerLease,
  releaseLease,
  takeEpoch,
} from '../../src/store/lease.ts'
import { append } from '../../src/store/log.ts'
import { headOfQueue } from '../../src/store/queue.ts'
import type { Call, Holder } from './claim-model.ts'
import type { Recorded } from './linear.ts'

const [path = '', name = '', seed = '0', calls = '0', careless] = process.argv.slice(2)
const leaseMs = 40
const sweepLimit = 4
/** One clock for all processes of the machine. */
const mono = (): number => Number(process.hrtime.bigint() / 1000n) / 1000

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

/** Wrong: it looks in one transaction and takes in another, so somebody else may have taken it in between. */
async function claimCarelessly(database: Database, epoch: number, expires: number): Promise<Holder | null> {
  const first = await database.read((reader) =>
    reader.get<Holder>(
      "select attempt, token, epoch from lease where state = 'offered' and epoch = :epoch order by attempt limit 1",
      { epoch },
    ),
  )
  if (!first) return null
  await database.write((tx) =>
    tx.run("update lease set state = 'claimed', expires_at = :expires where attempt = :attempt", {
      expires,
      attempt: first.attempt,
    }),
  )
  return first
}

async function play(database: Database, client: string, chance: () => number): Promise<Recorded<Call>[]> {
  const history: Recorded<Call>[] = []
  const held: Holder[] = []
  const record = async (go: () => Promise<Call>) => {
    const began = mono()
    const call = await go()
    history.push({ call, began, ended: mono() })
  }
  for (let n = 0; n < Number(calls); n++) {
    const { epoch } = (await database.read(daemonRow))!
    const id = `${client}_${String(n).padStart(5, '0')}`
    const now = mono()
    const expires = now + leaseMs
    const holder = held[Math.floor(chance() * held.length)]
    const dice = chance()
    await record(async (): Promise<Call> => {
      if (dice < 0.01) return { call: 'restart', answer: await database.write((tx) => takeEpoch(tx, daemon)) }
      if (dice < 0.2) {
        const at = Math.floor(now)
        const events = [added(`task_${id}`)]
        await database.write((tx) => append(tx, { at, actor: 'x', stream: `task/task_${id}`, events }))
        return { call: 'add', task: `task_${id}`, at }
      }
      if (dice < 0.4) {
        const answer = await database.write((tx) => admit(tx, `att_${id}`, epoch, now))
        return { call: 'admit', attempt: `att_${id}`, epoch, expires, answer }
      }
      if (dice < 0.5) {
        const answer = await database.write(async (tx) => {
          const dead = await deadLeases(tx, epoch, now, sweepLimit)
          for (const each of dead) await releaseLease(tx, each)
          return dead.map(({ attempt }) => attempt)
        })
        return { call: 'sweep', epoch, mono: now, limit: sweepLimit, answer }
      }
      if (dice < 0.75 || !holder) {
        const taken = careless
          ? await claimCarelessly(database, epoch, expires)
          : await database.write((tx) => claimLease(tx, epoch, now, leaseMs))
        if (taken) held.push(holderOf(taken as Holder))
        return { call: 'claim', epoch, expires, answer: taken && holderOf(taken as Holder) }
      }
      const lease = { ...holder, task: '' }
      if (dice < 0.85)
        return {
          call: 'beat',
          holder,
          expires,
          answer: await database.write((tx) => beatLease(tx, lease, now, leaseMs, now)),
        }
      return { call: 'finish', holder, answer: await database.write((tx) => releaseLease(tx, lease)) }
    })
  }
  return history
}

const daemon = { pid: process.pid, boot_id: 'boot', start_time: 1, started_at: 0 }
const database = openDatabase(path)
const chance = seededRandom(Number(seed))
const both = await Promise.all(['a', 'b'].map((half) => play(database, `${name}${half}`, chance)))
database.close()
process.stdout.write(JSON.stringify(both))
