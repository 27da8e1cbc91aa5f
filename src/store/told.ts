/**
 * Where a daemon whose database takes nothing says so: a file made while there was room, written over in place when there is none. `status` reads it.
 * Padded with blanks, so that saying more needs no new block.
 */
import { closeSync, constants, openSync, readFileSync, writeSync } from 'node:fs'

export type Trouble = {
  code: string
  why: string
  hint: string | null
  /** Epoch milliseconds. */
  since: number
}

const bytes = 1024

const fileOf = (database: string): string => `${database}.trouble`

/** Says it, or with null that there is none. False where not even that can be written. */
export function tellTrouble(database: string, trouble: Trouble | null): boolean {
  try {
    const file = openSync(fileOf(database), constants.O_WRONLY | constants.O_CREAT | constants.O_NOFOLLOW, 0o600)
    try {
      const why = trouble && { ...trouble, why: trouble.why.slice(0, 400), hint: trouble.hint?.slice(0, 200) ?? null }
      writeSync(file, Buffer.from(JSON.stringify(why).padEnd(bytes)), 0, bytes, 0)
    } finally {
      closeSync(file)
    }
    return true
  } catch {
    return false
  }
}

/** What the daemon said last; null: nothing is wrong, or nobody said. */
export function readTrouble(database: string): Trouble | null {
  try {
    return JSON.parse(readFileSync(fileOf(database), 'utf8')) as Trouble | null
  } catch {
    return null // not there, or cut off: then the database says it itself
  }
}
