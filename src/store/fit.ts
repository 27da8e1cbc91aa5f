/**
 * Is what lies there fit to be our database? Looked at before SQLite opens it for writing, because by then it may be too late: a pipe is waited at for
 * ever, and the WAL of another database is taken for this one's own and written into it.
 */
import { existsSync, lstatSync, statSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'
import { pathToFileURL } from 'node:url'
import { Fault } from '../host/fault.ts'
import { isAlive } from '../host/proc.ts'
import { readSecret } from '../host/secret.ts'
import { applicationId } from './migrate.ts'
import { keyIdOf } from './seal.ts'

/**
 * Faults: `database-unsafe` for a link, a folder, anything but a plain file, somebody else's, or one that others may write; `database-damaged` for an
 * empty one whose key is there: the key is made after the first page, so there was more.
 */
export function refuseUnfit(path: string): void {
  const found = lstatSync(path, { throwIfNoEntry: false })
  if (!found) return refuseRemains(path)
  const unfit = (what: string, hint: string) => new Fault('database-unsafe', `${path} ${what}`, { hint })
  if (found.isSymbolicLink())
    throw unfit('is a symbolic link', 'put the database itself there, or point XDG_STATE_HOME at the folder it lies in')
  if (!found.isFile())
    throw unfit(
      found.isDirectory() ? 'is a folder, not a database' : 'is not a plain file',
      'move it away; where there was a database: tri-agent restore latest',
    )
  const mine = process.getuid?.()
  if (mine !== undefined && found.uid !== mine)
    throw unfit(`belongs to user ${found.uid}, not to you`, 'start as that user, or set XDG_STATE_HOME')
  if ((found.mode & 0o022) !== 0)
    throw unfit('can be written by other users', `tri-agent db check after: chmod 600 ${path}`)
  if (found.size === 0 && existsSync(`${path}.key`))
    throw new Fault('database-damaged', `${path} is empty, and it was not: beside it lies the key of its log`, {
      hint: 'tri-agent restore latest; to begin anew, move it and its key away',
    })
}

/** A new database beside the WAL of one that was removed would take that for its own. Faults: `database-gone`. */
function refuseRemains(path: string): void {
  if ((statSync(`${path}-wal`, { throwIfNoEntry: false })?.size ?? 0) === 0) return
  throw new Fault('database-gone', `${path} is gone, and its WAL is left of it`, {
    hint: `put it back, or: tri-agent restore latest; to begin anew, move ${path}-wal away`,
  })
}

/** Nothing of another program's is written to, nor copied. Faults: `not-ours`. */
export function refuseForeign(db: DatabaseSync, path: string): void {
  const id = db.prepare('pragma application_id').get()?.['application_id']
  if (
    id === applicationId ||
    db.prepare("select 1 from sqlite_schema where type = 'table' limit 1").get() === undefined
  )
    return
  throw new Fault('not-ours', `${path} is a database of another program`, {
    hint: 'set XDG_STATE_HOME to another folder',
  })
}

/** A larger one is not looked at whole before it is opened; its last seals are. */
const wholeBytes = 64 * 1024 * 1024

/**
 * A WAL that a process left which is dead: is it this database's own? Read with it, never written into it. Faults: `database-damaged`. Whoever copies
 * a database into the place of another and leaves the WAL there is stopped here.
 */
export function refuseForeignWal(path: string, keyFile: string): void {
  const wal = statSync(`${path}-wal`, { throwIfNoEntry: false })
  if (!wal || wal.size === 0) return
  const db = new DatabaseSync(path, { readOnly: true, timeout: 5000 }) // one that only reads writes nothing back when it closes
  try {
    if (isOwn(db, statSync(path).size) && hasOwnSeals(db, path, keyFile)) return
  } catch (error) {
    if (!isDamage(error)) throw error
  } finally {
    db.close()
  }
  throw new Fault('database-damaged', `${path}-wal does not belong to ${path}, or one of the two is damaged`, {
    hint: `where ${keyFile} was replaced, put back what lay there; else: tri-agent restore latest. It keeps both as they are`,
  })
}

/** What SQLite says of pages that do not fit together (SQLITE_CORRUPT, SQLITE_NOTADB), and of tables that are not there (SQLITE_ERROR). */
const isDamage = (error: unknown): boolean =>
  [1, 11, 26].includes(((error as { errcode?: number }).errcode ?? 0) & 0xff)

function isOwn(db: DatabaseSync, bytes: number): boolean {
  const pragma = (name: string) => Number(Object.values(db.prepare(`pragma ${name}`).get() ?? {})[0])
  const tables = db.prepare("select count(*) as n from sqlite_schema where type = 'table'").get() as { n: number }
  if (tables.n === 0) return true // being made
  if (pragma('application_id') !== applicationId) return false
  const daemon = db.prepare('select pid, boot_id, start_time from daemon').get() as
    | { pid: number; boot_id: string; start_time: number | null }
    | undefined
  if (daemon && isAlive({ bootId: daemon.boot_id, pid: daemon.pid, startTime: daemon.start_time })) return true
  if (bytes <= wholeBytes) return db.prepare('pragma integrity_check(1)').get()?.['integrity_check'] === 'ok'
  return sealsFollow(db)
}

/** A WAL that holds all of another database of ours makes a whole one, sealed with another key. Where it is the key that was replaced, the log goes on. */
function hasOwnSeals(db: DatabaseSync, path: string, keyFile: string): boolean {
  const key = readSecret(keyFile)
  const has = db.prepare("select 1 from sqlite_schema where name = 'seal'").get() !== undefined
  const last = has ? db.prepare('select key_id from seal order by last_seq desc limit 1').get() : undefined
  return key === null || last === undefined || last['key_id'] === keyIdOf(key) || goesOn(db, path)
}

/** Does the last seal of the database without its WAL stand in the one with it? */
function goesOn(db: DatabaseSync, path: string): boolean {
  const alone = new DatabaseSync(new URL(`${pathToFileURL(path).href}?immutable=1`), { readOnly: true })
  try {
    const last = alone.prepare('select last_seq, mac from seal order by last_seq desc limit 1').get()
    if (last === undefined) return false
    return db.prepare('select 1 from seal where last_seq = :last_seq and mac = :mac').get(last) !== undefined
  } finally {
    alone.close()
  }
}

/** Do the last seals follow one another, up to the last event? */
function sealsFollow(db: DatabaseSync): boolean {
  const rows = db
    .prepare('select last_seq, first_seq, previous, mac from seal order by last_seq desc limit 500')
    .all() as {
    last_seq: number
    first_seq: number
    previous: string
    mac: string
  }[]
  const { last } = db.prepare('select coalesce(max(seq), 0) as last from event').get() as { last: number }
  return (
    (rows[0]?.last_seq ?? 0) === last &&
    rows.every((seal, index) => {
      const before = rows[index + 1]
      return before === undefined || (before.mac === seal.previous && before.last_seq === seal.first_seq - 1)
    })
  )
}

/** Asks whether the file at `path` is still the one that it is now. */
export function sameFile(path: string): () => boolean {
  const identity = () => {
    const found = lstatSync(path, { throwIfNoEntry: false })
    return found && `${found.dev} ${found.ino}`
  }
  const first = identity()
  return () => identity() === first
}

/** Whoever has the old file open could write into it, and nobody would find that again. */
export const gone = (path: string): Fault =>
  new Fault('database-gone', `${path} was moved away, removed or replaced while it was open`, {
    hint: 'nothing was written; put it back, or: tri-agent restore latest',
  })

/** Has the log in this database ever been sealed, or should it have been? Then its key is not a new one's to replace. */
export const isSealed = (db: DatabaseSync): boolean =>
  db.prepare("select 1 from sqlite_schema where name = 'seal'").get() !== undefined &&
  db.prepare('select 1 where exists (select 1 from seal) or exists (select 1 from event)').get() !== undefined
