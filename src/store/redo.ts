/**
 * What those who share a commit have written so far. A savepoint for each of them would copy every page each of them touches; nearly none of them is
 * ever undone. So there is one for all: when somebody is undone all are, and what the others wrote is written again, in the same order, to the same end.
 * From then on whoever else comes into this commit has a savepoint of their own.
 *
 *     savepoint batch ─▶ A writes ─▶ B writes, fails ─▶ rollback to batch ─▶ A's again ─▶ C in a savepoint ─▶ commit
 */
import { executeOnly, type Bound } from './statement.ts'

export type Redo = {
  /** Somebody was undone: who comes now is guarded by a savepoint. */
  isGuarded: boolean
  written: Written[]
}

/** A statement that was executed, and what it answered where that was more than rows. */
export type Written = { bound: Bound; answered: { changes: number } | null }

/** For a commit that has just had its savepoint. */
export const startRedo = (): Redo => ({ isGuarded: false, written: [] })

/** To be called when all is undone: writes again what is in `written`. Throws where writing it again comes to another end: then nothing of this commit may stand. */
export function writeAgain(redo: Redo): void {
  redo.isGuarded = true
  for (const { bound, answered } of redo.written) {
    if (answered === null) {
      bound.prepared.statement.all(...bound.values)
      continue
    }
    if (executeOnly(bound).changes !== answered.changes)
      throw new Error(`what was written before a part was undone came to another end: ${bound.prepared.sql}`)
  }
}
