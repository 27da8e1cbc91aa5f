/**
 * The world as a parameter: clock, timers, chance, ids, processes. Production makes one with `realWorld()`; tests and the simulation hand in theirs.
 * Outside this folder nothing reads a clock, sets a timer, draws a number or starts a process (lint enforces it).
 */
import { randomBytes } from 'node:crypto'
import { spawnProcess, type Spawn } from './process.ts'

export type Clock = {
  /** Wall clock, epoch milliseconds: for people and for the log. */
  now(): number
  /** Monotonic milliseconds: for every duration, lease and window. */
  mono(): number
}

export type Timer = {
  /** Calls `fn` once after `ms`; the returned function cancels it. */
  after(ms: number, fn: () => void): () => void
  /** Resolves after `ms`, or at once when the signal fires. Never rejects. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>
}

export type World = {
  clock: Clock
  timer: Timer
  /** In [0, 1). */
  random(): number
  /** `bytes` of unguessable randomness, in hex. */
  secret(bytes: number): string
  /** An id that carries its kind: `task_7k2m9x4q`. */
  id(kind: string): string
  spawn: Spawn
}

const alphabet = '0123456789abcdefghjkmnpqrstvwxyz' // Crockford base32: no i, l, o, u to misread

/** The machine we are on. */
export function realWorld(): World {
  return {
    clock: { now: () => Date.now(), mono: () => performance.now() },
    timer: { after, sleep },
    random: () => Math.random(),
    secret: (bytes) => randomBytes(bytes).toString('hex'),
    id: (kind) => `${kind}_${Array.from(randomBytes(8), (byte) => alphabet[byte % 32]).join('')}`,
    spawn: spawnProcess,
  }
}

function after(ms: number, fn: () => void): () => void {
  const timer = setTimeout(fn, ms)
  return () => clearTimeout(timer)
}

function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted) return resolve()
    const done = () => {
      clearTimeout(timer)
      signal?.removeEventListener('abort', done)
      resolve()
    }
    const timer = setTimeout(done, ms)
    signal?.addEventListener('abort', done)
  })
}
