/**
 * Numbered migrations, forward only; the way back is the copy made before. `user_version` says how many a database has had; a newer one than we know is refused,
 * never guessed at.
 */
import {
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
} from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { Fault } from '../host/fault.ts'
import { adoptedSeal, insertSeal, sealKeyOf, type LogRow } from './seal.ts'

/** 'TRIA' in ASCII: tells our database from any other SQLite file. */
export const applicationId = 0x54524941

const folder = join(import.meta.dirname, 'migrations')

/** The migrations of this program, in order. */
export const migrations = (): { name: string; sql: string }[] =>
  readdirSync(folder)
    .filter((name) => name.endsWith('.sql'))
    .toSorted()
    .map((name) => ({ name, sql: readFileSync(join(folder, name), 'utf8') }))

/** From which schema to which, and where the database lies as it was before. */
export type Migrated = { from: number; to: number; backup: string | null }

/**
 * Brings a database up to this program's schema, having copied it as it was (where `copies`). `sealKey` seals a log that had no seals.
 * Faults: `schema-newer`.
 */
export function migrate(
  db: DatabaseSync,
  path: string,
  sealKey: Buffer | null,
  copies = path !== ':memory:',
): Migrated {
  const known = migrations()
  const from = version(db, 'user_version')
  if (from === known.length && version(db, 'application_id') === applicationId)
    return { from, to: known.length, backup: null }
  const backup = from > 0 && from < known.length && copies ? copyBefore(db, path, from) : null
  db.exec('begin immediate')
  try {
    const done = version(db, 'user_version')
    if (done > known.length) throw newer(path, done, known.length)
    for (const { name, sql } of known.slice(done)) {
      db.exec(sql)
      if (name === sealing) sealAsFound(db, sealKey!) // gone can be only the key of a log that has seals
    }
    db.exec(`pragma user_version = ${known.length}; pragma application_id = ${applicationId}`)
    db.exec('commit')
    return { from, to: known.length, backup }
  } catch (error) {
    db.exec('rollback')
    throw error
  }
}

/** Has it exactly this program's schema? Whoever cannot bring it up to that can read nothing else. */
export const isCurrent = (db: DatabaseSync): boolean => version(db, 'user_version') === migrations().length

/** Where the database lies as it was before it left this schema: the way back. */
const backupOf = (path: string, schema: number): string =>
  join(dirname(path), 'backups', `${basename(path)}.schema-${schema}`)

/** Copies the whole database as it is. Null when another process has migrated it meanwhile, and made its own copy. */
function copyBefore(db: DatabaseSync, path: string, schema: number): string | null {
  const file = backupOf(path, schema)
  mkdirSync(dirname(file), { recursive: true, mode: 0o700 })
  const draft = `${file}.${process.pid}`
  rmSync(draft, { force: true })
  closeSync(openSync(draft, 'wx', 0o600)) // so that nobody else may read what is copied into it
  db.prepare('vacuum into ?').run(draft)
  const copy = new DatabaseSync(draft, { readOnly: true })
  const copied = version(copy, 'user_version')
  copy.close()
  if (copied !== schema) {
    rmSync(draft)
    return null
  }
  const written = openSync(draft, 'r')
  fsyncSync(written)
  closeSync(written)
  renameSync(draft, file)
  return file
}

/** The migration that brings seals. */
const sealing = '0006-seal.sql'

function sealAsFound(db: DatabaseSync, sealKey: Buffer): void {
  const { last } = db.prepare('select coalesce(max(seq), 0) as last from event').get() as { last: number }
  if (last === 0) return
  const rows = db.prepare('select seq, at, stream, version, type, actor, body from event where seq > 0 order by seq')
  db.prepare(insertSeal).run(adoptedSeal(sealKeyOf(sealKey), last, rows.iterate() as Iterable<LogRow>))
}

function newer(path: string, found: number, known: number): Fault {
  const backup = backupOf(path, known)
  const hint = existsSync(backup)
    ? `use the newer tri-agent that wrote it; or go back to what it was before the upgrade: tri-agent restore ${backup}`
    : 'use the newer tri-agent that wrote it, or restore a backup made before the upgrade'
  return new Fault('schema-newer', `${path} has schema ${found}, this program knows up to ${known}`, { hint })
}

function version(db: DatabaseSync, pragma: 'user_version' | 'application_id'): number {
  const row = db.prepare(`pragma ${pragma}`).get() as Record<string, number>
  return row[pragma] ?? 0
}

/** Every table, index and trigger as SQLite keeps them, in an order in which they can be made again. */
export const schemaOf = `select type, name, sql from sqlite_schema
  where sql is not null and substr(name, 1, 7) <> 'sqlite_' order by rowid`

/** SQL that makes an empty database this program accepts: `sqlite3 tasks.db < schema.sql`. */
export function exportSchema(): string {
  const db = new DatabaseSync(':memory:')
  migrate(db, ':memory:', Buffer.alloc(0))
  const parts = db.prepare(schemaOf).all() as { sql: string }[]
  const marks = `pragma application_id = ${applicationId};\npragma user_version = ${version(db, 'user_version')};`
  db.close()
  return `begin;\n${parts.map(({ sql }) => `${sql};`).join('\n\n')}\n\n${marks}\ncommit;\n`
}
