/**
 * The daemon's database when the disk is full, failing or read-only: what is to be written waits instead of being lost, and is written when there is
 * room again. Nothing is admitted meanwhile, because admission is a write; a paid result waits in its worker; a request waits for its hold.
 *
 *     well ─ a write meets a full disk ─▶ in trouble: said on stderr, in a file, in /health ─ a probe succeeds ─▶ well: events, leases extended
 *
 * It never waits for what will not pass by itself (a damaged database, a mistake of ours), nor once the daemon ends.
 */
import type { Event } from '../core/event.ts'
import { Fault, isFault } from '../host/fault.ts'
import { prepareSecrets, scrubText } from '../host/scrub.ts'
import type { World } from '../host/world.ts'
import type { Database, Tx } from '../store/database.ts'
import { append } from '../store/append.ts'
import { extendLeases } from '../store/lease.ts'
import { tellTrouble, type Trouble } from '../store/told.ts'
import { mayPass } from '../store/trouble.ts'
import { sayError } from './loop.ts'

export type Patient = Disposable & {
  database: Database
  /** What is wrong now, or null. */
  trouble(): Trouble | null
  /** Resolves, with why, once the database is not where it was any more, or is another daemon's. */
  lost: Promise<Fault>
  /** Writes `loop.failed` down, or says it where that cannot be. Never rejects. */
  failed(loop: string, error: unknown): Promise<void>
}

type Ports = {
  world: World
  database: Database
  epoch: number
  leaseMs: number
  /** What may not stand in what is written down. */
  secrets: () => readonly string[]
  note: (text: string) => void
}

/** How often a database in trouble is tried. */
const probeMs = 1000

/** From here on writes wait while the disk takes none. Disposed, they fail. */
export function patientDatabase({ world, database, epoch, leaseMs, secrets, note }: Ports): Patient {
  let trouble: Trouble | null = null
  let ended = false
  let recovered: PromiseWithResolvers<void> | null = null
  let cancel = () => {}
  const lost = Promise.withResolvers<Fault>()
  if (database.path !== ':memory:') tellTrouble(database.path, null)

  const probe = async () => {
    try {
      await database.write((tx) => writeRecovery(tx, trouble!))
    } catch {
      if (!ended) cancel = world.timer.after(probeMs, () => void probe())
      return
    }
    trouble = null
    tellTrouble(database.path, null)
    note('The database can be written again: work goes on.')
    recovered?.resolve()
  }
  const writeRecovery = async (tx: Tx, { code, why, since }: Trouble) => {
    const now = world.clock.now()
    await extendLeases(tx, epoch, world.clock.mono() + leaseMs) // no beat could be written: nobody is lost for that
    const events = (at: number, event: Event) =>
      append(tx, { at, actor: 'daemon', stream: 'daemon/main', events: [event] })
    await events(since, { type: 'store.failed', code, why })
    await events(now, { type: 'store.recovered', code, awayMs: Math.max(0, now - since) })
  }
  /** Resolves when writing is worth another try. */
  const wait = (error: unknown): Promise<void> => {
    if (!mayPass(error) || ended) throw error
    if (trouble === null) {
      trouble = { code: error.code, why: error.message, hint: error.hint ?? null, since: world.clock.now() }
      recovered = Promise.withResolvers<void>()
      recovered.promise.catch(() => {}) // nobody may be waiting when the daemon ends
      tellTrouble(database.path, trouble)
      note(`${trouble.why}: nothing new starts, what is done waits to be written.\n  → ${trouble.hint ?? ''}`)
      cancel = world.timer.after(probeMs, () => void probe())
    }
    return recovered!.promise
  }
  const write = <T>(body: (tx: Tx) => Promise<T>): Promise<T> =>
    database.write(body).catch(async (error: unknown) => {
      if (isFault(error, 'database-gone') || isFault(error, 'daemon-superseded')) lost.resolve(error)
      await wait(error)
      return write(body)
    })
  return {
    database: { ...database, write },
    trouble: () => trouble,
    lost: lost.promise,
    async failed(loop, error) {
      // said already, and that it waited to its end is no mistake of a loop
      if (isFault(error, 'daemon-ends') || (trouble !== null && mayPass(error))) return
      const said = scrubText(sayError(error), prepareSecrets(secrets()))
      const event: Event = { type: 'loop.failed', loop, error: said }
      const at = world.clock.now()
      await database
        .write((tx) => append(tx, { at, actor: 'daemon', stream: 'daemon/main', events: [event] }))
        .catch((why: unknown) => {
          note(`the ${loop} loop failed and it cannot be written down: ${said}`)
          if (mayPass(why) && !ended) void wait(why)
        })
    },
    [Symbol.dispose]() {
      ended = true
      cancel()
      recovered?.reject(new Fault('daemon-ends', 'the daemon ends while its database cannot be written'))
    },
  }
}
