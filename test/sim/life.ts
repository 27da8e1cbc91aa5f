/**
 * The life of one daemon: everything it does goes through here, and at any of these points it can die. What was not committed then is lost, nothing it
 * waits for ever comes, and its timers are silent; files, processes and the committed database stay for the next one.
 *
 *     pass ──point reached?──▶ dead: every promise it holds stays open for ever, its open transaction is rolled back whole
 */
import type { Database, Reader, Tx } from '../../src/store/database.ts'
import { isFault } from '../../src/host/fault.ts'
import type { World } from '../../src/host/world.ts'
import { blindToAnswers, blindToLimits, blindToPauses, type Bug } from './bug.ts'
import { diceFor } from './chance.ts'
import { never, type Machine } from './machine.ts'

export type Life = {
  world: World
  isDead(): boolean
  /** A point at which it can die. Never resolves when it has. */
  pass(what: string): Promise<void>
  /** As `pass`, for those who cannot wait: true when it is dead. */
  reach(what: string): boolean
  /** Lets so much virtual time pass. */
  delay(lowMs: number, highMs: number): Promise<void>
  /** Has it die at the so-manieth point from now. */
  dieAfter(points: number): void
  die(where: string): void
  /** Where it died. */
  diedAt: string | null
  /** What went wrong in a way that is a bug of the simulation or of the daemon. */
  broke(error: unknown): void
}

/** Begins a life on this machine. `n` names it; `died` is called once. */
export function beginLife(machine: Machine, n: number, ports: { died(): void; broke(error: unknown): void }): Life {
  const { world } = machine
  const dice = diceFor(machine.seed, `life ${n}`)
  let left = Infinity
  let dead = false
  const after = (ms: number, fn: () => void): (() => void) =>
    world.timer.after(ms, () => {
      if (!dead) fn()
    })
  const life: Life = {
    world: {
      ...world,
      timer: {
        after,
        sleep: (ms, signal) =>
          new Promise((resolve) => {
            if (signal?.aborted) return resolve()
            const done = () => {
              cancel()
              signal?.removeEventListener('abort', done)
              resolve()
            }
            const cancel = after(ms, done)
            signal?.addEventListener('abort', done)
          }),
      },
    },
    diedAt: null,
    isDead: () => dead,
    dieAfter: (points) => void (left = points),
    die(where) {
      if (dead) return
      dead = true
      life.diedAt = where
      ports.died()
    },
    reach(what) {
      if (!dead && left-- <= 0) life.die(what)
      return dead
    },
    pass: (what) => (life.reach(what) ? never() : Promise.resolve()),
    delay: (low, high) => life.world.timer.sleep(dice.between(low, high)),
    broke: ports.broke,
  }
  return life
}

/** Thrown into a transaction whose daemon has died, so that it ends; nobody hears of it. */
class Died extends Error {}

/** The database as a life sees it. `real` stays open until the next life has begun: what a process held is given back by the system. */
export function livingDatabase(real: Database, life: Life, machine: Machine): Database {
  let bounded = false
  const readerOf = (reader: Reader): Reader => ({
    all: async (sql, params) => (life.reach('read') ? never() : reader.all(sql, params)),
    get: async (sql, params) => (life.reach('read') ? never() : reader.get(sql, params)),
    table: async (sql, params) => (life.reach('read') ? never() : reader.table(sql, params)),
  })
  const txOf = (tx: Tx): Tx => {
    const step = async <T>(what: string, go: () => Promise<T>): Promise<T> => {
      if (life.reach(what)) {
        await tx.run('rollback').catch(() => {}) // the whole batch is lost, not this caller's part alone
        throw new Died()
      }
      return go()
    }
    const own: Tx = {
      all: (sql, params) => step('statement', () => tx.all(sql, params)),
      get: (sql, params) => step('statement', () => tx.get(sql, params)),
      table: (sql, params) => step('statement', () => tx.table(sql, params)),
      run: (sql, params) => step('statement', () => tx.run(sql, params)),
      appended: tx.appended,
      known: tx.known,
      afterCommit: tx.afterCommit,
    }
    return sick(machine.bug, own)
  }
  /** A full disk, for SQLite: the file may not grow. */
  const bound = async (tx: Tx) => {
    const full = machine.world.clock.mono() < machine.diskFullUntil
    if (full === bounded) return
    const pages = full ? (await tx.get<{ page_count: number }>('pragma page_count'))!.page_count : 1_073_741_823
    await tx.get(`pragma max_page_count = ${pages}`)
    bounded = full
  }
  return {
    ...real,
    async write(body) {
      await life.pass('write begins')
      machine.writes += 1
      try {
        const early = Promise.withResolvers<Awaited<ReturnType<typeof body>>>()
        const written = real.write(async (tx) => {
          if (life.isDead()) throw new Died()
          await bound(tx)
          const own = txOf(tx)
          const done = await body(own)
          early.resolve(done)
          await own.get('select 1') // the last point before it is on disk
          return done
        })
        if (machine.bug === 'acknowledged-before-commit') {
          written.catch(early.reject)
          return await early.promise
        }
        const value = await written
        await life.pass('write committed')
        return value
      } catch (error) {
        if (life.isDead()) return never()
        if (isFault(error, 'disk-full')) noteRefused(machine)
        throw error
      }
    },
    async read(body) {
      await life.pass('read begins')
      const value = await real.read((reader) => body(readerOf(reader)))
      await life.pass('read ended')
      return value
    },
    async anchor() {
      await life.pass('anchor begins')
      const anchor = await real.anchor()
      await life.pass('anchor ended')
      return anchor
    },
    close() {
      if (!life.isDead()) real.close()
    },
  }
}

/** A command that finds no room says so to whoever gave it; a daemon that does goes on trying. */
function noteRefused({ refused, world }: Machine): void {
  const now = world.clock.mono()
  if (now - refused.at >= 1000 && now - refused.at < 2000) refused.againAt = now
  refused.at = now
}

function sick(bug: Bug | null, tx: Tx): Tx {
  switch (bug) {
    case 'pause-ignored':
      return blindToPauses(tx)
    case 'limit-ignored':
      return blindToLimits(tx)
    case 'answers-forgotten':
      return blindToAnswers(tx)
    default:
      return tx
  }
}

/** Every method of a port, with a point before and after it and some time in between. */
export function livingPort<T extends object>(life: Life, name: string, port: T, [low, high]: [number, number]): T {
  const entries = Object.entries(port).map(([method, call]: [string, unknown]) => {
    if (typeof call !== 'function' || method === 'objectFolders') return [method, call]
    const living = async (...args: unknown[]): Promise<unknown> => {
      await life.pass(`${name} ${method} begins`)
      await life.delay(low, high)
      const answer: unknown = await (call as (...given: unknown[]) => unknown)(...args)
      await life.pass(`${name} ${method} ended`)
      return answer
    }
    return [method, living]
  })
  return Object.fromEntries(entries) as T
}
