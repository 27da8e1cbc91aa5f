/**
 * What the writing connection knows without asking: the tasks it wrote last, and the last seal. True for as long as nobody else writes and nothing is
 * undone; then all of it is forgotten, and read again.
 *
 *     read ──a commit of ours──▶ known ──another connection wrote, a part or a commit was undone, other SQL changed tasks──▶ forgotten
 */
import type { Task } from '../core/task.ts'
import type { Seal } from './seal.ts'

export type Known = {
  /** As after their last event in this transaction, without their text. */
  tasks: Map<string, Task>
  seal: Seal | null
  /** What SQLite says of what others have written. */
  version: number
}

export const startKnown = (): Known => ({ tasks: new Map(), seal: null, version: -1 })

export function forgetAll(known: Known): void {
  known.tasks.clear()
  known.seal = null
}

/** To be called in a transaction, with SQLite's `data_version`. */
export function checkKnown(known: Known, version: number): void {
  if (version !== known.version) forgetAll(known)
  known.version = version
}
