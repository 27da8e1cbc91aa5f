/** One connection to the database: what is refused before it is opened, and what is set on each. */
import { chmodSync, existsSync, mkdirSync } from 'node:fs'
import { dirname } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { pathToFileURL } from 'node:url'
import { Fault } from '../host/fault.ts'
import { fileSystemType, networkNameOf } from '../host/file-system.ts'
import { refuseForeign, refuseForeignWal, refuseUnfit } from './fit.ts'
import { troubleOf } from './trouble.ts'

export const memory = ':memory:'
/** SQLite before this version can corrupt a WAL database (WAL-reset bug, fixed 2026-03-13). */
const oldestSqlite = [3, 51, 3] as const
export const usualBusyMs = 5000

/** `fileSystemType`: what statfs says of a folder. `keyFile`: where the key of the seals lies; a backup has none of its own. */
export type ConnectOptions = {
  busyMs?: number
  readOnly?: boolean
  keyFile?: string
  /** With `readOnly`, on a disk that takes nothing: only where no WAL holds more than the file does. */
  immutable?: boolean
  fileSystemType?: (folder: string) => number
}

export function connect(path: string, options: ConnectOptions): DatabaseSync {
  if (path !== memory) refuseNetwork(path, options.fileSystemType ?? fileSystemType)
  const fresh = path !== memory && !existsSync(path)
  if (fresh && options.readOnly)
    throw new Fault('database-missing', `there is no database at ${path}`, { hint: 'tri-agent init' })
  if (path !== memory) refuseUnfit(path)
  try {
    if (path !== memory) mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
    if (path !== memory && !options.readOnly) refuseForeignWal(path, options.keyFile ?? `${path}.key`)
    // where nothing can be written not even a reader may say that it reads: SQLite is told that nobody else writes either
    const place = options.immutable ? new URL(`${pathToFileURL(path).href}?immutable=1`) : path
    const db = new DatabaseSync(place, { timeout: options.busyMs ?? usualBusyMs, readOnly: options.readOnly ?? false })
    if (fresh) chmodSync(path, 0o600)
    try {
      prepare(db, path, options)
    } catch (error) {
      db.close()
      throw error
    }
    return db
  } catch (error) {
    throw explain(error, path)
  }
}

function prepare(db: DatabaseSync, path: string, { readOnly = false, immutable = false }: ConnectOptions): void {
  checkVersion(db)
  if (!readOnly || immutable) refuseForeign(db, path)
  if (!readOnly) db.exec('pragma journal_mode = wal; pragma synchronous = full; pragma journal_size_limit = 67108864')
  db.exec('pragma foreign_keys = on; pragma trusted_schema = off; pragma temp_store = memory')
}

function refuseNetwork(path: string, typeOf: (folder: string) => number): void {
  const network = networkNameOf(typeOf(dirname(path)))
  if (network !== null)
    throw new Fault('network-file-system', `${path} is on ${network}: a database there is lost sooner or later`, {
      hint: 'export XDG_STATE_HOME=/a/folder/on/a/local/disk',
    })
}

function checkVersion(db: DatabaseSync): void {
  const { version } = db.prepare('select sqlite_version() as version').get() as { version: string }
  const parts = version.split('.').map(Number)
  const older = oldestSqlite.findIndex((least, index) => (parts[index] ?? 0) !== least)
  if (older >= 0 && (parts[older] ?? 0) < oldestSqlite[older]!)
    throw new Fault('sqlite-too-old', `this Node carries SQLite ${version}; 3.51.3 or newer is needed`, {
      hint: 'install Node 24.15 or newer',
    })
}

/** What SQLite says, in our words where it is no mistake of ours. */
export function explain(error: unknown, path?: string): unknown {
  if (error instanceof Fault || !(error instanceof Error) || (error as { code?: string }).code !== 'ERR_SQLITE_ERROR')
    return error
  const trouble = troubleOf(error, path)
  if (trouble) return trouble
  const constraint = /constraint failed: (.+)/.exec(error.message)?.[1]
  if (constraint) return error
  return new Fault('database-unusable', `${path ? `${path}: ` : ''}${error.message}`, { cause: error })
}
