/**
 * The database: one SQLite file, one writing connection with a queue and group commit, one reading connection.
 *
 * Many callers of `write` share one `begin immediate … commit` with a real fsync (synchronous=FULL); each is answered after the commit.
 * A caller that throws or asks for `rollback` undoes only its own part (savepoint). Nothing foreign may be awaited inside: a body settles
 * within the microtask queue, and `write` fails loudly when a timer tick passes.
 *
 * Everything special to SQLite is in this file.
 */
import { mkdirSync, chmodSync, existsSync } from 'node:fs'
import { dirname } from 'node:path'
import { DatabaseSync, type SQLInputValue, type StatementSync } from 'node:sqlite'
import type { LogAnchor } from '../core/trailer.ts'
import { Fault } from '../host/fault.ts'
import { fileSystemType, networkNameOf } from '../host/file-system.ts'
import { ownSecret, readSecret } from '../host/secret.ts'
import { crossesAnchor, writeAnchor } from './anchor.ts'
import { migrate, type Migrated } from './migrate.ts'
import { lastSeal, sealAppended, type LogRow, type Seal } from './seal.ts'

export type SqlValue = SQLInputValue
type Params = Record<string, SqlValue>

/** What a query needs. Async, so that another database can stand behind it; on SQLite every promise is already settled. */
export type Reader = {
  all<T>(sql: string, params?: Params): Promise<T[]>
  get<T>(sql: string, params?: Params): Promise<T | undefined>
}

export type Tx = Reader & {
  run(sql: string, params?: Params): Promise<{ changes: number }>
  /** Told of every event appended, for the seal of this commit. */
  appended(row: LogRow): void
  /** Called after this transaction is durable, in order; never when it was rolled back. */
  afterCommit(listener: () => void): void
}

export type Database = {
  path: string
  /** One transaction. Resolves after the commit is on disk. What `body` throws undoes this caller's part alone and is rethrown here. */
  write<T>(body: (tx: Tx) => Promise<T>): Promise<T>
  /** One consistent snapshot. */
  read<T>(body: (reader: Reader) => Promise<T>): Promise<T>
  /** The key of the log's seals; null where it was opened read-only and there is none. */
  sealKey: Buffer | null
  /** What opening it did to its schema; null where it was opened read-only. */
  schema: Migrated | null
  /** Writes down beside the database how far the log has come; null for an empty log. */
  anchor(): Promise<LogAnchor | null>
  close(): void
}

type Waiting = {
  body: (tx: Tx) => Promise<unknown>
  resolve: (value: unknown) => void
  reject: (error: unknown) => void
}
type Answer = () => void

const memory = ':memory:'

/** SQLite before this version can corrupt a WAL database (WAL-reset bug, fixed 2026-03-13). */
const oldestSqlite = [3, 51, 3] as const
/** More callers than this in one commit gain nothing and make the first of them wait. */
const batchSize = 256

/** `fileSystemType`: what statfs says of a folder. */
type OpenOptions = { busyMs?: number; readOnly?: boolean; fileSystemType?: (folder: string) => number }

/** Opens (and makes, and migrates) the database at `path`. Faults: `sqlite-too-old`, `database-unusable`, `schema-newer`, `network-file-system`. */
export function openDatabase(path: string, options: OpenOptions = {}): Database {
  const writer = connect(path, options)
  const sealKey = keyOf(path, options.readOnly ?? false)
  const schema = options.readOnly ? null : migrate(writer, path, sealKey!)
  const reader = options.readOnly || path === memory ? writer : connect(path, { ...options, readOnly: true })
  const queue: Waiting[] = []
  let draining = false
  let owed = false
  const sealed = (before: number, seal: Seal) => {
    if (path === memory || !(owed || crossesAnchor(before, seal.last_seq))) return
    owed = !tryAnchor(path, anchorOf(seal))
  }
  const drain = async () => {
    while (queue.length > 0) await commitBatch(writer, queue.splice(0, batchSize), sealKey!, sealed)
    draining = false
  }
  const query = statements(reader)
  let reading: Promise<unknown> = Promise.resolve()
  const read: Database['read'] = (body) => {
    if (reader === writer) return body(query) // in memory or read-only: no second connection to snapshot with
    const mine = reading.then(() => snapshot(reader, () => body(query)))
    reading = mine.catch(() => {})
    return mine
  }
  return {
    path,
    write: <T>(body: (tx: Tx) => Promise<T>) =>
      new Promise<T>((resolve, reject) => {
        queue.push({ body, resolve: resolve as (value: unknown) => void, reject })
        if (draining) return
        draining = true
        queueMicrotask(() => void drain()) // so that everyone who calls in this turn shares the first commit
      }),
    read,
    sealKey,
    schema,
    async anchor() {
      const seal = await read(lastSeal)
      if (!seal) return null
      const anchor = anchorOf(seal)
      if (path !== memory) writeAnchor(path, anchor, true)
      return anchor
    },
    close() {
      if (reader !== writer) reader.close()
      writer.close()
    },
  }
}

async function snapshot<T>(db: DatabaseSync, body: () => Promise<T>): Promise<T> {
  db.exec('begin')
  try {
    return await body()
  } finally {
    db.exec('commit')
  }
}

/** What no process outlives needs no secret; and the same seed makes the same seals. */
const memoryKey = Buffer.alloc(32)

function keyOf(path: string, readOnly: boolean): Buffer | null {
  if (path === memory) return memoryKey
  return readOnly ? readSecret(`${path}.key`) : ownSecret(`${path}.key`)
}

const anchorOf = ({ last_seq, mac, key_id }: Seal): LogAnchor => ({ seq: last_seq, mac, key: key_id })

/** The commit stands whether or not its anchor could be written (a full disk): then the next one writes it. */
function tryAnchor(path: string, anchor: LogAnchor): boolean {
  try {
    writeAnchor(path, anchor, false)
    return true
  } catch {
    return false
  }
}

async function commitBatch(
  db: DatabaseSync,
  batch: Waiting[],
  sealKey: Buffer,
  sealed: (before: number, seal: Seal) => void,
): Promise<void> {
  const answers: Answer[] = []
  const rows: LogRow[] = []
  const listeners: (() => void)[] = []
  let tick = nextTick()
  try {
    db.exec('begin immediate')
    for (const { body, resolve, reject } of batch) {
      const heard: (() => void)[] = []
      const mine: LogRow[] = []
      let over = false
      db.exec('savepoint caller')
      try {
        const tx = {
          ...statements(db, () => over),
          appended: (row: LogRow) => void mine.push(row),
          afterCommit: (listener: () => void) => void heard.push(listener),
        }
        const value = await Promise.race([body(tx), tick.passed])
        db.exec('release caller')
        listeners.push(...heard)
        rows.push(...mine)
        answers.push(() => resolve(value))
      } catch (error) {
        db.exec('rollback to caller; release caller')
        answers.push(() => reject(error))
        tick.cancel()
        tick = nextTick() // the next caller is not to blame
      } finally {
        over = true
      }
    }
    if (rows.length > 0) {
      const seal = await sealAppended(statements(db), sealKey, rows)
      listeners.unshift(() => sealed(rows[0]!.seq - 1, seal))
    }
    db.exec('commit')
  } catch (error) {
    if (db.isTransaction) db.exec('rollback')
    for (const { reject } of batch) reject(explain(error))
    return
  } finally {
    tick.cancel()
  }
  for (const answer of answers) answer()
  for (const listener of listeners) listener()
}

/** Rejects as soon as the event loop has turned. */
function nextTick(): { passed: Promise<never>; cancel: () => void } {
  const { promise: passed, reject } = Promise.withResolvers<never>()
  passed.catch(() => {}) // nobody may be looking when it happens
  const tick = setImmediate(() =>
    reject(new Error('a timer tick passed inside a transaction: something foreign was awaited in it')),
  )
  return { passed, cancel: () => clearImmediate(tick) }
}

const prepared = new WeakMap<DatabaseSync, Map<string, StatementSync>>()

/** Queries of one caller, until `isOver`: after that they would write into the transaction of another. */
function statements(db: DatabaseSync, isOver = () => false): Reader & Pick<Tx, 'run'> {
  const cache = prepared.get(db) ?? new Map<string, StatementSync>()
  prepared.set(db, cache)
  const statement = (sql: string) => {
    if (isOver()) throw new Error('the transaction is over: a statement came after its end')
    let found = cache.get(sql)
    if (!found) cache.set(sql, (found = db.prepare(sql)))
    return found
  }
  return {
    all: async <T>(sql: string, params: Params = {}) => statement(sql).all(params) as T[],
    get: async <T>(sql: string, params: Params = {}) => statement(sql).get(params) as T | undefined,
    run: async (sql, params = {}) => ({ changes: Number(statement(sql).run(params).changes) }),
  }
}

function connect(path: string, options: OpenOptions): DatabaseSync {
  if (path !== memory) refuseNetwork(path, options.fileSystemType ?? fileSystemType)
  const fresh = path !== memory && !existsSync(path)
  if (fresh && options.readOnly)
    throw new Fault('database-missing', `there is no database at ${path}`, { hint: 'tri-agent init' })
  try {
    if (path !== memory) mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
    const db = new DatabaseSync(path, { timeout: options.busyMs ?? 5000, readOnly: options.readOnly ?? false })
    if (fresh) chmodSync(path, 0o600)
    checkVersion(db)
    if (!options.readOnly)
      db.exec('pragma journal_mode = wal; pragma synchronous = full; pragma journal_size_limit = 67108864')
    db.exec('pragma foreign_keys = on; pragma trusted_schema = off')
    return db
  } catch (error) {
    throw explain(error, path)
  }
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

function explain(error: unknown, path?: string): unknown {
  if (error instanceof Fault || !(error instanceof Error) || (error as { code?: string }).code !== 'ERR_SQLITE_ERROR')
    return error
  const constraint = /constraint failed: (.+)/.exec(error.message)?.[1]
  if (constraint) return error
  return new Fault('database-unusable', `${path ? `${path}: ` : ''}${error.message}`, { cause: error })
}
