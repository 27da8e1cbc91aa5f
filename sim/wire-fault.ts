/**
 * Faults a test orders from the loopback provider: what it does to which requests, how often, from when on.
 * Pure but for the counters of `FaultBook`. Given faults stay in order; the first that fits and is not used up wins.
 */
import { refuse } from '../src/core/refusal.ts'
import type { Refusal } from '../src/core/refusal.ts'

export const faultActions = [
  'reset', // the connection is cut before an answer
  'hang', // no answer at all
  'midhang', // the beginning of an answer, then nothing
  'cut', // half an answer, then the connection is cut
  'slow', // the whole answer, a pause before each frame
  'error-event', // half an answer, then an error inside the stream
] as const

export type FaultAction = (typeof faultActions)[number]

export type WireFault = {
  /** Regular expression on `METHOD /path`; without it every request fits. */
  match?: string
  family?: string
  /** Answer this status… */
  status?: number
  /** …or do this. `error-event` takes its status from `status`, 529 without. */
  action?: FaultAction
  /** So often; without it for ever. */
  times?: number
  /** Let so many fitting requests through first. */
  after?: number
  /** Between frames, for `slow`. */
  delayMs?: number
  headers?: Readonly<Record<string, string>>
  body?: unknown
}

export type FaultBook = { faults: readonly WireFault[]; seen: number[]; given: number[] }

/** A book with fresh counters. */
export const faultBook = (faults: readonly WireFault[]): FaultBook => ({
  faults,
  seen: faults.map(() => 0),
  given: faults.map(() => 0),
})

/** The fault for this request, or null; counts it. */
export function takeFault(book: FaultBook, line: string, family: string | null): WireFault | null {
  for (const [index, fault] of book.faults.entries()) {
    if (fault.family !== undefined && fault.family !== family) continue
    if (fault.match !== undefined && !new RegExp(fault.match).test(line)) continue
    const seen = book.seen[index] ?? 0
    const given = book.given[index] ?? 0
    book.seen[index] = seen + 1
    if (seen < (fault.after ?? 0) || given >= (fault.times ?? Infinity)) continue
    book.given[index] = given + 1
    return fault
  }
  return null
}

/** Reads faults that came from outside. */
export function readFaults(value: unknown): WireFault[] | Refusal {
  if (!Array.isArray(value)) return refuse('bad-faults', 'faults are a list')
  for (const [at, fault] of (value as (WireFault | null)[]).entries()) {
    const hasStatus = typeof fault?.status === 'number'
    const hasAction = fault?.action !== undefined && faultActions.includes(fault.action)
    if (!hasStatus && !hasAction)
      return refuse('bad-faults', `fault ${at} needs a "status" or an "action" of ${faultActions.join(', ')}`)
  }
  return value as WireFault[]
}
