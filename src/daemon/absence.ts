/**
 * Absence: time in which this process did not get to run, because the machine slept, the process was stopped, or a debugger held it. Nobody was
 * silent in it and no beat was missed: leases are extended once, and the silence of attempts does not count. Some monotonic clocks go on during
 * sleep and some do not, so both clocks are compared with what a look was due at.
 *
 * It cannot tell sleep from a wall clock that was set forward; nothing is decided by that difference.
 */
import type { World } from '../host/world.ts'
import type { Database } from '../store/database.ts'
import { append } from '../store/append.ts'
import { extendLeases } from '../store/lease.ts'

export type Absence = {
  /** Monotonic milliseconds lost so far. */
  lostMs(): number
  /** Looks now, before somebody is judged by a clock. What was lost counts at once; resolves when the leases are extended too. */
  look(): Promise<void>
}

type Ports = { world: World; database: Database; epoch: number; beatMs: number; leaseMs: number }

/** A lease outlives two beats, so what is lost unseen (a sixth of a beat between looks, and a third) ends none. */
const looksPerBeat = 6
const unseenShare = 1 / 3

/** Starts looking. `failed` hears of a database that does not take the extension; the next look tries again. */
export function watchAbsence(
  { world, database, epoch, beatMs, leaseMs }: Ports,
  failed: (error: unknown) => void,
): Absence & Disposable {
  const { clock, timer } = world
  const everyMs = beatMs / looksPerBeat
  let last = { wall: clock.now(), mono: clock.mono() }
  let lost = 0
  let owed = 0
  let extending: Promise<unknown> | null = null

  const look = async () => {
    const now = { wall: clock.now(), mono: clock.mono() }
    const away = { wall: now.wall - last.wall - everyMs, mono: now.mono - last.mono - everyMs }
    last = now
    const longest = Math.max(away.wall, away.mono)
    if (longest > beatMs * unseenShare) owed += longest
    if (away.mono > beatMs * unseenShare) lost += away.mono
    if (owed > 0 && extending === null) extending = extend().finally(() => (extending = null))
    await extending
  }
  const extend = async () => {
    const awayMs = owed
    await database.write(async (tx) => {
      await extendLeases(tx, epoch, clock.mono() + leaseMs)
      const event = { type: 'daemon.resumed' as const, awayMs: Math.round(awayMs) }
      await append(tx, { at: clock.now(), actor: 'daemon', stream: 'daemon/main', events: [event] })
    })
    owed -= awayMs
  }
  let cancel = () => {}
  const tick = () => {
    cancel = timer.after(everyMs, tick)
    look().catch(failed)
  }
  cancel = timer.after(everyMs, tick)
  return { lostMs: () => lost, look, [Symbol.dispose]: () => cancel() }
}
