/**
 * A process that works on the queue and its leases through the shipped store, as fast as it can, and says what it was answered and when.
 * usage: node claim-player.ts DATABASE NAME SEED CALLS [careless]
 */
import { seededRandom } from '../../sim/world.ts'
import { openDatabase, type Database } from '../../src/store/database.ts'
import { daemonRow } from '../../src/store/lease.ts'
import type { Call, Holder } from './claim-model.ts'
import { perform } from './claim-store.ts'
import type { Recorded } from './linear.ts'

const [path = '', name = '', seed = '0', calls = '0', careless] = process.argv.slice(2)
/** One clock for all processes of the machine. */
const mono = (): number => Number(process.hrtime.bigint() / 1000n) / 1000

/** What a client does next, by a throw below 1. */
const shares: readonly [below: number, what: Call['call']][] = [
  [0.01, 'restart'],
  [0.2, 'add'],
  [0.4, 'admit'],
  [0.5, 'sweep'],
  [0.75, 'claim'],
  [0.85, 'beat'],
  [1, 'finish'],
]

/** Wrong: it looks in one transaction and takes in another, so somebody else may have taken it in between. */
async function claimCarelessly(
  database: Database,
  epoch: number,
  now: number,
  leaseMs: number,
): Promise<Holder | null> {
  const first = await database.read((reader) =>
    reader.get<Holder>(
      "select attempt, token, epoch from lease where state = 'offered' and epoch = :epoch order by attempt limit 1",
      { epoch },
    ),
  )
  if (!first) return null
  await database.write((tx) =>
    tx.run("update lease set state = 'claimed', expires_at = :expires where attempt = :attempt", {
      expires: now + leaseMs,
      attempt: first.attempt,
    }),
  )
  return first
}

async function play(database: Database, client: string, chance: () => number): Promise<Recorded<Call>[]> {
  const history: Recorded<Call>[] = []
  const held: Holder[] = []
  for (let n = 0; n < Number(calls); n++) {
    const { epoch } = (await database.read(daemonRow))!
    const holder = held[Math.floor(chance() * held.length)]
    const dice = chance()
    const drawn = shares.find(([below]) => dice < below)![1]
    const what = holder === undefined && (drawn === 'beat' || drawn === 'finish') ? 'claim' : drawn
    const id = `${client}_${String(n).padStart(5, '0')}`
    const began = mono()
    const ask = { what, id, epoch, now: began, holder: holder ?? { attempt: '', token: 0, epoch } }
    const call = await perform(database, ask, careless ? claimCarelessly : undefined)
    history.push({ call, began, ended: mono() })
    if (call.call === 'claim' && call.answer) held.push(call.answer)
  }
  return history
}

const database = openDatabase(path, { busyMs: 60_000 }) // nobody is starved out of a test on a busy machine
const chance = seededRandom(Number(seed))
const both = await Promise.all(['a', 'b'].map((half) => play(database, `${name}${half}`, chance)))
database.close()
process.stdout.write(JSON.stringify(both))
