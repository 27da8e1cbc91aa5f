/**
 * A world in which time passes only when told to: for unit tests and for the simulation. Same seed, same story.
 *
 *     advance(ms) ─▶ next timer due? ─yes─▶ clock moves to it ─▶ it fires ─▶ promises settle ─┐
 *                        ▲  └─no─▶ clock moves to the end                                     │
 *                        └────────────────────────────────────────────────────────────────────┘
 *
 * It never reads the machine's clock, never draws from its randomness, and starts no process unless given a `spawn`.
 */
import { setImmediate as turn } from 'node:timers/promises'
import { Fault } from '../src/host/fault.ts'
import type { Spawn } from '../src/host/process.ts'
import type { World } from '../src/host/world.ts'

export type VirtualWorld = World & {
  /** Moves both clocks by `ms`, firing every timer that falls due on the way, earliest first, oldest first among equals. */
  advance(ms: number): Promise<void>
  /** Fires timers, jumping from one to the next, until none is left. Resolves with the virtual milliseconds that passed. */
  runUntilIdle(limit?: { maxMs?: number; maxTimers?: number }): Promise<number>
  /** Fires the next timer due by `endMono` and lets promises settle. False where none is due: then the clocks stand at `endMono`. */
  step(endMono: number): Promise<boolean>
  /** Moves both clocks by `ms` and fires nothing: the machine slept. */
  oversleep(ms: number): void
  /** Lets promises settle without moving the clocks. */
  settle(): Promise<void>
  /** Timers that wait. */
  pending(): number
  /** Moves the wall clock alone, as an administrator or NTP would: durations must not notice. */
  jumpWall(ms: number): void
}

export type VirtualWorldOptions = {
  seed?: number
  /** Epoch milliseconds at which the story starts. */
  startAt?: number
  /** `counted` ids are readable (`task_00000001`); `drawn` ones sort by chance, as real ids do. */
  ids?: 'counted' | 'drawn'
  spawn?: Spawn
}

type Waiting = { dueAt: number; order: number; fn: () => void }

const firstOfJanuary2026 = 1_767_225_600_000
const alphabet = '0123456789abcdefghjkmnpqrstvwxyz' // the one of the real world, so that ids have the same shape

/** A virtual world. Ids, secrets and random numbers come from three streams, so one more id does not change the dice. */
export function virtualWorld(options: VirtualWorldOptions = {}): VirtualWorld {
  const seed = options.seed ?? 1
  const time = virtualTime(options.startAt ?? firstOfJanuary2026)
  const random = seededRandom(seed)
  const secretDice = seededRandom(seed ^ 0x5ec2e7)
  return {
    clock: time.clock,
    timer: { after: time.after, sleep: (ms, signal) => sleepOn(time.after, ms, signal) },
    random,
    secret: (bytes) => Array.from({ length: bytes }, () => byteOf(secretDice)).join(''),
    id: idSource(options.ids ?? 'counted', seededRandom(seed ^ 0x1d5)),
    spawn:
      options.spawn ??
      ((spec) => Promise.reject(new Fault('spawn-forbidden', `the virtual world starts no process: ${spec.file}`))),
    advance: time.advance,
    runUntilIdle: time.runUntilIdle,
    step: time.step,
    oversleep: time.oversleep,
    settle,
    pending: time.pending,
    jumpWall: time.jumpWall,
  }
}

/** The real world with its time gone by faster: for what waits for minutes and needs real sockets. */
export function hastyWorld(real: World, times: number): World {
  const startAt = real.clock.now()
  const began = real.clock.mono()
  const mono = (): number => (real.clock.mono() - began) * times
  return {
    ...real,
    clock: { now: () => Math.floor(startAt + mono()), mono },
    timer: {
      after: (ms, fn) => real.timer.after(ms / times, fn),
      sleep: (ms, signal) => real.timer.sleep(ms / times, signal),
    },
  }
}

/** Numbers in [0, 1) from a seed: mulberry32, whose 2^32 states are plenty for a test and whose code is four lines. */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
}

function virtualTime(startAt: number) {
  let monoMs = 0
  let wallOffset = startAt
  let order = 0
  const waiting = new Set<Waiting>()

  const after = (ms: number, fn: () => void): (() => void) => {
    const entry = { dueAt: monoMs + Math.max(0, ms), order: order++, fn }
    waiting.add(entry)
    return () => void waiting.delete(entry)
  }

  const fireNext = async (endMs: number): Promise<boolean> => {
    const next = earliest(waiting)
    if (!next || next.dueAt > endMs) return false
    waiting.delete(next)
    monoMs = Math.max(monoMs, next.dueAt)
    next.fn()
    await settle()
    return true
  }

  const fireUntil = async (endMs: number, maxTimers: number): Promise<void> => {
    await settle()
    for (let fired = 0; ; fired++) {
      if (fired >= maxTimers && (earliest(waiting)?.dueAt ?? Infinity) <= endMs)
        throw new Fault('never-idle', `${maxTimers} timers fired and ${waiting.size} still wait`)
      if (!(await fireNext(endMs))) return
    }
  }

  return {
    clock: { now: () => wallOffset + monoMs, mono: () => monoMs },
    after,
    pending: () => waiting.size,
    jumpWall: (ms: number) => void (wallOffset += ms),
    oversleep: (ms: number) => void (monoMs += ms),
    step: async (endMs: number) => {
      if (await fireNext(endMs)) return true
      monoMs = Math.max(monoMs, endMs)
      return false
    },
    advance: async (ms: number) => {
      const end = monoMs + ms
      await fireUntil(end, Infinity)
      monoMs = Math.max(monoMs, end)
    },
    runUntilIdle: async (limit: { maxMs?: number; maxTimers?: number } = {}) => {
      const start = monoMs
      await fireUntil(start + (limit.maxMs ?? Infinity), limit.maxTimers ?? 100_000)
      return monoMs - start
    },
  }
}

function earliest(waiting: ReadonlySet<Waiting>): Waiting | null {
  let best: Waiting | null = null
  for (const entry of waiting) {
    if (!best || entry.dueAt < best.dueAt || (entry.dueAt === best.dueAt && entry.order < best.order)) best = entry
  }
  return best
}

/** One turn of the event loop: by its end every promise that could settle without time or I/O has. */
async function settle(): Promise<void> {
  await turn()
}

function sleepOn(after: World['timer']['after'], ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted) return resolve()
    const done = () => {
      cancel()
      signal?.removeEventListener('abort', done)
      resolve()
    }
    const cancel = after(ms, done)
    signal?.addEventListener('abort', done)
  })
}

const byteOf = (dice: () => number): string =>
  Math.floor(dice() * 256)
    .toString(16)
    .padStart(2, '0')

function idSource(style: 'counted' | 'drawn', dice: () => number): (kind: string) => string {
  const counts = new Map<string, number>()
  return (kind) => {
    if (style === 'drawn')
      return `${kind}_${Array.from({ length: 8 }, () => alphabet[Math.floor(dice() * 32)]).join('')}`
    const count = (counts.get(kind) ?? 0) + 1
    counts.set(kind, count)
    return `${kind}_${String(count).padStart(8, '0')}`
  }
}
