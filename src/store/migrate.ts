/** Numbered migrations, forward only. `user_version` says how many a database has had; a newer one than we know is refused, never guessed at. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { DatabaseSync } from 'node:sqlite'
import { Fault } from '../host/fault.ts'
import { adoptedSeal, insertSeal, type LogRow } from './seal.ts'

/** 'TRIA' in ASCII: tells our database from any other SQLite file. */
const applicationId = 0x54524941

const folder = join(import.meta.dirname, 'migrations')

/** The migrations of this program, in order. */
export const migrations = (): { name: string; sql: string }[] =>
  readdirSync(folder)
    .filter((name) => name.endsWith('.sql'))
    .toSorted()
    .map((name) => ({ name, sql: readFileSync(join(folder, name), 'utf8') }))

/** Brings a database up to this program's schema. `sealKey` seals a log that had no seals. Faults: `not-ours`, `schema-newer`. */
export function migrate(db: DatabaseSync, path: string, sealKey: Buffer): void {
  const known = migrations()
  if (version(db, 'user_version') === known.length && version(db, 'application_id') === applicationId) return
  db.exec('begin immediate')
  try {
    const done = version(db, 'user_version')
    checkOwner(db, path)
    if (done > known.length) throw newer(path, done, known.length)
    for (const { name, sql } of known.slice(done)) {
      db.exec(sql)
      if (name === sealing) adoptLog(db, sealKey)
    }
    db.exec(`pragma user_version = ${known.length}; pragma application_id = ${applicationId}`)
    db.exec('commit')
  } catch (error) {
    db.exec('rollback')
    throw error
  }
}

/** The migration that brings seals. */
const sealing = '0006-seal.sql'

function adoptLog(db: DatabaseSync, sealKey: Buffer): void {
  const { last } = db.prepare('select coalesce(max(seq), 0) as last from event').get() as { last: number }
  if (last === 0) return
  const rows = db.prepare('select seq, at, stream, version, type, actor, body from event where seq > 0 order by seq')
  db.prepare(insertSeal).run(adoptedSeal(sealKey, last, rows.iterate() as Iterable<LogRow>))
}

function checkOwner(db: DatabaseSync, path: string): void {
  const id = version(db, 'application_id')
  const tables = db.prepare("select count(*) as n from sqlite_schema where type = 'table'").get() as { n: number }
  if (id !== applicationId && tables.n > 0)
    throw new Fault('not-ours', `${path} is a database of another program`, {
      hint: 'set XDG_STATE_HOME to another folder',
    })
}

const newer = (path: string, found: number, known: number): Fault =>
  new Fault('schema-newer', `${path} has schema ${found}, this program knows up to ${known}`, {
    hint: 'use the newer tri-agent that wrote it, or restore a backup made before the upgrade',
  })

function version(db: DatabaseSync, pragma: 'user_version' | 'application_id'): number {
  const row = db.prepare(`pragma ${pragma}`).get() as Record<string, number>
  return row[pragma] ?? 0
}
