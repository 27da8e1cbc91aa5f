/**
 * While a restore swaps the database nobody else may commit to it: what is acknowledged between the copy that is kept and the swap would be in neither.
 * The mark is a file beside the database that names the restoring process; once that process is gone the mark says nothing any more.
 *
 *     mark ─▶ one empty write transaction: who began before it has ended, who begins after it sees the mark ─▶ keep, swap ─▶ unmark
 */
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'
import { Fault } from '../host/fault.ts'
import { bootId, isAlive, startTimeOf, type ProcessIdentity } from '../host/proc.ts'

const markFile = (database: string): string => `${database}.restoring`

/** Asked inside every write transaction. Faults: `restoring`. */
export function refuseWhileRestoring(db: DatabaseSync): void {
  const path = db.location()
  const by = path === null ? null : restorerOf(path)
  if (by === null || by.pid === process.pid) return
  throw new Fault('restoring', `a restore (pid ${by.pid}) is putting another database in this one's place`, {
    hint: 'nothing was written: try again when it has ended',
  })
}

/** The living process that restores this database, or null. */
function restorerOf(database: string): ProcessIdentity | null {
  const file = markFile(database)
  if (!existsSync(file)) return null // the usual case, and an error caught would cost more than the transaction
  let text: string
  try {
    text = readFileSync(file, 'utf8')
  } catch {
    return null // removed since
  }
  const [boot = '', pid = '0', startTime = ''] = text.split(' ')
  const identity = { bootId: boot, pid: Number(pid), startTime: startTime === '' ? null : Number(startTime) }
  return isAlive(identity) ? identity : null
}

/** Marks the database as ours to restore. Faults: `restoring` where another process does. */
export function markRestoring(database: string): Disposable {
  const by = restorerOf(database)
  if (by !== null)
    throw new Fault('restoring', `another restore (pid ${by.pid}) is under way`, { hint: 'wait until it has ended' })
  writeFileSync(markFile(database), [bootId(), process.pid, startTimeOf(process.pid) ?? ''].join(' '), { mode: 0o600 })
  return { [Symbol.dispose]: () => rmSync(markFile(database), { force: true }) }
}

/** Returns when every transaction that began before the mark has ended. */
export function awaitWriters(database: string): void {
  const db = new DatabaseSync(database, { timeout: 30_000 })
  try {
    db.exec('begin immediate; rollback')
  } finally {
    db.close()
  }
}
