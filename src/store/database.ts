/**
 * The database: one SQLite file, one writing connection with a queue and group commit, one reading connection.
 *
 * Many callers of `write` share one `begin immediate … commit` with a real fsync (synchronous=FULL); each is answered after the commit.
 * A caller that throws or asks for `rollback` undoes only its own part (redo.ts). Nothing foreign may be awaited inside: a body settles
 * within the microtask queue, and `write` fails loudly when a timer tick passes.
 *
 * A commit is synchronous: no turn of the event loop passes in it. So one takes in no more of those who waited for it once it has taken 5 ms, and
 * between two of a busy time everybody else gets a turn. Everything special to SQLite is in this file, connect.ts and statement.ts.
 */
import type { DatabaseSync } from 'node:sqlite'
import type { LogAnchor } from '../core/trailer.ts'
import { ownSecret, readSecret } from '../host/secret.ts'
import { crossesAnchor, writeAnchor } from './anchor.ts'
import { connect, explain, memory, usualBusyMs, type ConnectOptions } from './connect.ts'
import { gone, isSealed, sameFile } from './fit.ts'
import { checkKnown, forgetAll, startKnown, type Known } from './known.ts'
import { isCurrent, migrate, type Migrated } from './migrate.ts'
import { refuseWhileRestoring } from './restoring.ts'
import { lastSeal, sealAppended, sealingKey, type LogRow, type Seal } from './seal.ts'
import { troubleOf } from './trouble.ts'
import { startRedo, writeAgain, type Redo, type Written } from './redo.ts'
import { allRows, bind, executeOnly, firstRow, wholeTable, type Bound, type Params, type Table } from './statement.ts'
import { everybody, turn, watchTurns, type Watch } from './watch.ts'

/** What a query needs. Async, so that another database can stand behind it; on SQLite every promise is already settled. */
export type Reader = {
  all<T>(sql: string, params?: Params): Promise<T[]>
  get<T>(sql: string, params?: Params): Promise<T | undefined>
  /** As `all`, with rows as lists of values: for a great many. */
  table(sql: string, params?: Params): Promise<Table>
}

export type Tx = Reader & {
  /** `rowId`: that of the last row inserted into a table with row ids. */
  run(sql: string, params?: Params): Promise<{ changes: number; rowId: number }>
  /** Told of every event appended, for the seal of this commit. */
  appended(row: LogRow): void
  known: Known
  /** Called after this transaction is durable, in order; never when it was rolled back. */
  afterCommit(listener: () => void): void
}

export type Database = {
  path: string
  /** One transaction. Resolves after the commit is on disk. What `body` throws undoes this caller's part alone and is rethrown here. */
  write<T>(body: (tx: Tx) => Promise<T>): Promise<T>
  /** One consistent snapshot. */
  read<T>(body: (reader: Reader) => Promise<T>): Promise<T>
  /** The key of the log's seals; null where it is gone, and where it was opened read-only and there is none. */
  sealKey: Buffer | null
  /** What opening it did to its schema; null where it was opened read-only. */
  schema: Migrated | null
  /** Has it this program's schema? One that is opened read-only may have another. */
  isCurrent: boolean
  /** Another one once anything was written, by whomever: looked at instead of everything. Null where that cannot be said: whoever writes is told why. */
  stamp(): string | null
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

/** More callers than this in one commit gain nothing and make the first of them wait. */
const batchSize = 256
/**
 * Nor does one that has taken so long take in more of those who waited for it; whom it has woken itself still comes in. And after so long without,
 * the event loop gets a turn.
 */
const batchMs = 5

/**
 * `mono`: monotonic milliseconds, for whoever has more to do than to write. `wait`: how whoever has more to do waits while another process writes;
 * without it SQLite does the waiting, and nothing else happens meanwhile. `copyBefore: false`: it is a copy already, and is migrated without another one.
 */
export type OpenOptions = ConnectOptions & {
  copyBefore?: false
  mono?: () => number
  wait?: (ms: number) => Promise<void>
}

/** SQLITE_BUSY: another process writes. */
const sqliteBusy = 5
/** Between two looks whether another process has written. Milliseconds. */
const busyLookMs = 2

/** Opens (and makes, and migrates) the database at `path`. Faults: `sqlite-too-old`, `database-unusable`, `schema-newer`, `network-file-system`. */
export function openDatabase(path: string, options: OpenOptions = {}): Database {
  const writer = connect(path, options)
  const sealKey = keyOf(writer, path, options)
  let sealing: SealingKey | null = null // made at the first commit: whoever only reads loads no cryptography
  const schema = options.readOnly ? null : migrated(writer, path, sealKey, options.copyBefore ?? path !== memory)
  const reader = options.readOnly || path === memory ? writer : connect(path, { ...options, readOnly: true })
  const free = beginning(writer, options)
  const isThere = path === memory ? () => true : sameFile(path)
  const known = startKnown()
  const begin = async () => {
    if (!isThere()) throw gone(path)
    await free()
    refuseWhileRestoring(writer)
    checkKnown(known, outsideVersion(writer))
  }
  const queue: Waiting[] = []
  let draining = false
  let owed = false
  const sealed = (before: number, seal: Seal) => {
    if (path === memory || !(owed || crossesAnchor(before, seal.last_seq))) return
    owed = !tryAnchor(path, anchorOf(seal))
  }
  const sealWith = () => (sealing ??= sealingKey(keyFileOf(path, options), sealKey))
  const mono = options.mono ?? (() => 0)
  const drain = async () => {
    let turnedAt = mono()
    while (queue.length > 0) {
      await commitBatch(writer, queue, begin, mono, { known, sealWith, sealed })
      await everybody() // whom this commit answered writes again by then, and shares the next one
      if (mono() - turnedAt < batchMs) continue
      await turn()
      turnedAt = mono()
    }
    draining = false
  }
  const query = statements(reader)
  let reading: Promise<unknown> = Promise.resolve()
  const read: Database['read'] = (body) => {
    if (reader === writer) return body(query) // in memory or read-only: no second connection to snapshot with
    const mine = reading
      .then(() => snapshot(reader, () => body(query)))
      .catch((error: unknown) => {
        throw troubleOf(error, path) ?? error
      })
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
        void everybody().then(drain) // everyone who calls in this turn shares the first commit
      }),
    read,
    sealKey,
    schema,
    get isCurrent() {
      return schema !== null || isCurrent(writer)
    },
    stamp() {
      try {
        return isThere() ? `${outsideVersion(writer)} ${ownChanges(writer)}` : null
      } catch {
        return null
      }
    },
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

/** One that cannot be brought up to our schema is closed again, and what SQLite says of it is said in our words. */
function migrated(db: DatabaseSync, path: string, sealKey: Buffer | null, copies: boolean): Migrated {
  try {
    return migrate(db, path, sealKey, copies)
  } catch (error) {
    db.close()
    throw troubleOf(error, path) ?? error
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

const keyFileOf = (path: string, { keyFile = `${path}.key` }: OpenOptions): string => keyFile

type SealingKey = ReturnType<typeof sealingKey>

/** A new one is drawn for a log that never had any. One that is gone is missed by whoever appends; the rest goes on without. */
function keyOf(db: DatabaseSync, path: string, options: OpenOptions): Buffer | null {
  if (path === memory) return memoryKey
  const file = keyFileOf(path, options)
  const found = readSecret(file)
  if (found || options.readOnly) return found
  try {
    return isSealed(db) ? readSecret(file) : ownSecret(file) // drawn meanwhile by whoever made the database
  } catch (error) {
    db.close()
    throw troubleOf(error, path) ?? error
  }
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

/** One commit of those that come first: at least one of them, and no more once it has taken too long. */
async function commitBatch(
  db: DatabaseSync,
  queue: Waiting[],
  begin: () => Promise<void>,
  mono: () => number,
  {
    known,
    sealWith,
    sealed,
  }: { known: Known; sealWith: () => SealingKey; sealed: (before: number, seal: Seal) => void },
): Promise<void> {
  const taken: Waiting[] = []
  const answers: Answer[] = []
  const made: Made = { rows: [], listeners: [] }
  const watch = watchTurns()
  try {
    await begin()
    control(db, 'savepoint batch')
    const redo = startRedo()
    const until = mono() + batchMs
    const waited = queue.length
    while (taken.length < batchSize && (taken.length === 0 || taken.length >= waited || mono() <= until)) {
      if (queue.length === 0) await everybody() // whom one of these has woken may have something to write with it
      const caller = queue.shift()
      if (!caller) break
      taken.push(caller)
      answers.push(await makePart(db, caller, made, { watch, redo, known }))
    }
    const { rows, listeners } = made
    if (rows.length > 0) {
      const seal = await sealAppended({ ...statements(db), known }, sealWith(), rows)
      listeners.unshift(() => sealed(rows[0]!.seq - 1, seal))
    }
    control(db, 'commit')
  } catch (error) {
    forgetAll(known)
    if (db.isOpen && db.isTransaction) db.exec('rollback')
    if (taken.length === 0) taken.push(...queue.splice(0, batchSize)) // it did not even begin
    for (const { reject } of taken) reject(explain(error))
    return
  } finally {
    watch.end()
  }
  for (const answer of answers) answer()
  for (const listener of made.listeners) listener()
}

/** What the callers of one commit appended, and who is to hear of it. */
type Made = { rows: LogRow[]; listeners: (() => void)[] }

/** One caller's part; the answer is for after the commit. */
async function makePart(
  db: DatabaseSync,
  { body, resolve, reject }: Waiting,
  made: Made,
  { watch, redo, known }: { watch: Watch; redo: Redo; known: Known },
): Promise<Answer> {
  const heard: (() => void)[] = []
  const mine: LogRow[] = []
  const written: Written[] = []
  let over = false
  let lost: unknown = null
  const { isGuarded } = redo
  if (isGuarded) control(db, 'savepoint caller')
  const check = () => {
    if (over) throw new Error('the transaction is over: a statement came after its end')
    if (lost !== null) throw lost // what is written now would be in no transaction at all
  }
  const failed = (error: unknown) => {
    if (!db.isTransaction) lost ??= error // SQLite gave all of it up, as it does on a full disk
  }
  try {
    const tx = {
      ...statements(db, check, failed, isGuarded ? undefined : written, known),
      known,
      appended: (row: LogRow) => void mine.push(row),
      afterCommit: (listener: () => void) => void heard.push(listener),
    }
    const value = await watch.over(() => body(tx))
    if (lost !== null) throw lost
    if (isGuarded) control(db, 'release caller')
    else redo.written.push(...written)
    made.listeners.push(...heard)
    made.rows.push(...mine)
    return () => resolve(value)
  } catch (error) {
    forgetAll(known)
    if (!db.isTransaction) throw lost ?? error
    if (isGuarded) db.exec('rollback to caller; release caller')
    else if (written.length > 0) {
      db.exec('rollback to batch')
      writeAgain(redo)
    }
    return () => reject(troubleOf(error) ?? error)
  } finally {
    over = true
  }
}

/** Begins a transaction. Who says how to wait does so here, and its event loop turns meanwhile. */
function beginning(db: DatabaseSync, { wait, busyMs = usualBusyMs }: OpenOptions): () => Promise<void> {
  if (!wait) return async () => void control(db, 'begin immediate')
  db.exec('pragma busy_timeout = 0')
  return async () => {
    for (let waited = 0; ; waited += busyLookMs)
      try {
        return void control(db, 'begin immediate')
      } catch (error) {
        if ((error as { errcode?: number }).errcode !== sqliteBusy || waited >= busyMs) throw error
        await wait(busyLookMs)
      }
  }
}

/** Queries of one caller. `check` throws where it may ask nothing any more; `failed` hears of what SQLite refused; `written` keeps what it wrote. */
function statements(
  db: DatabaseSync,
  check = () => {},
  failed: (error: unknown) => void = () => {},
  written?: Written[],
  known?: Known,
) {
  const ask = <T>(by: (bound: Bound) => T, sql: string, params: Params): T => {
    check()
    try {
      const bound = bind(db, sql, params)
      if (bound.prepared.forgets && known) forgetAll(known)
      const answer = by(bound)
      if (written && !bound.prepared.reads)
        written.push({ bound, answered: by === executeOnly ? (answer as ReturnType<typeof executeOnly>) : null })
      return answer
    } catch (error) {
      failed(error)
      throw error
    }
  }
  return {
    async all<T>(sql: string, params: Params = {}) {
      return ask(allRows<T>, sql, params)
    },
    async get<T>(sql: string, params: Params = {}) {
      return ask(firstRow<T>, sql, params)
    },
    async table(sql: string, params: Params = {}) {
      return ask(wholeTable, sql, params)
    },
    async run(sql: string, params: Params = {}) {
      return ask(executeOnly, sql, params)
    },
  }
}

/** What stands around transactions and their parts, compiled once like any other. */
const control = (db: DatabaseSync, sql: string): unknown => executeOnly(bind(db, sql, {}))

/** Rows that this connection has changed. */
const ownChanges = (db: DatabaseSync): number =>
  firstRow<{ changes: number }>(bind(db, 'select total_changes() as changes', {}))!.changes

/** Changes when another connection has written. */
const outsideVersion = (db: DatabaseSync): number =>
  firstRow<{ data_version: number }>(bind(db, 'pragma data_version', {}))!.data_version
