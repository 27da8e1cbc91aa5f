/**
 * Putting a backup in the place of the living database: what the living one knows and a backup cannot (money, epochs, process trees) is carried over
 * into a staged copy, and the staged copy then takes the place in one transaction of SQLite's own.
 *
 *     survey ─▶ stage ─▶ carry over ─▶ (reconcile: daemon/restore.ts) ─▶ keep ─▶ swap
 *
 * A living database that is damaged is put aside bit for bit. It never decides what happened; it never lets an epoch or an account go back.
 */
import {
  chmodSync,
  closeSync,
  constants,
  copyFileSync,
  existsSync,
  linkSync,
  openSync,
  renameSync,
  rmSync,
  statSync,
} from 'node:fs'
import { copyFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { backup as copyPages, DatabaseSync } from 'node:sqlite'
import { syncFolder } from './backup.ts'
import type { ProcessRow } from './lease.ts'

/** The living database as far as it can be read. `sound`: every page of it is whole. */
export type Living =
  | { state: 'missing' }
  | { state: 'unreadable'; why: string }
  | { state: 'readable'; sound: boolean; epoch: number; processes: ProcessRow[] }

/** Looks at the living database; changes nothing. */
export function surveyLiving(path: string): Living {
  if (!existsSync(path)) return { state: 'missing' }
  let db: DatabaseSync | null = null
  try {
    db = new DatabaseSync(path, { readOnly: true, timeout: 5000 })
    const sound = db.prepare('pragma integrity_check').get()?.['integrity_check'] === 'ok'
    const daemon = db.prepare('select epoch from daemon where one = 1').get() as { epoch: number } | undefined
    db.prepare('select count(*), sum(nano_usd) from charge').get()
    const processes = db.prepare('select * from process').all() as ProcessRow[]
    return { state: 'readable', sound, epoch: daemon?.epoch ?? 0, processes }
  } catch (error) {
    return { state: 'unreadable', why: (error as Error).message }
  } finally {
    db?.close()
  }
}

/** A copy of the backup that may be written, with what a WAL beside it holds: a backup of ours has none, a file that somebody moved may. */
export async function stageBackup(file: string, staged: string): Promise<void> {
  if ((statSync(`${file}-wal`, { throwIfNoEntry: false })?.size ?? 0) === 0)
    await copyFile(file, staged, constants.COPYFILE_FICLONE)
  else {
    closeSync(openSync(staged, 'wx', 0o600))
    await copyInto(file, staged)
  }
  chmodSync(staged, 0o600)
}

/** Rows that are true whatever database is restored: what was spent is spent. Each is taken whole from the living database. */
const moneyTables = ['account', 'hold', 'virtual_key', 'pacer', 'spending'] as const

/**
 * Money and the epoch, taken over from a living database that can be read. What it does not tell (`lost`) may have been since the backup: the epoch goes
 * forward by more than there can have been starts, and the day counts as used.
 */
export function carryOver(
  staged: string,
  living: { path: string; epoch: number } | null,
  { at, lost }: { at: number; lost: { since: number; day: string; limitNanoUsd: number } | null },
): { epoch: number } {
  const db = new DatabaseSync(staged)
  try {
    if (living !== null) db.prepare('attach ? as living').run(living.path)
    db.exec('begin immediate')
    if (living !== null && (lost === null || knowsAllMoney(db))) carryMoney(db)
    if (lost !== null) closeDay(db, lost, at)
    const before = db.prepare('select epoch from daemon where one = 1').get() as { epoch: number } | undefined
    const starts = lost === null ? 0 : mostStarts(at - lost.since)
    const epoch = Math.max(before?.epoch ?? 0, living?.epoch ?? 0) + starts + 1
    db.prepare(
      `insert into daemon (one, epoch, pid, boot_id, start_time, started_at) values (1, :epoch, 0, 'restored', null, :at)
       on conflict (one) do update set epoch = :epoch, pid = 0, boot_id = 'restored', start_time = null, circumstances = null`,
    ).run({ epoch, at })
    db.prepare('update virtual_key set revoked_at = :at where revoked_at is null').run({ at })
    db.exec('commit')
    return { epoch }
  } finally {
    db.close()
  }
}

/** A daemon's start takes longer than this. */
const shortestStartMs = 100
const mostStarts = (ms: number): number => Math.ceil(Math.max(0, ms) / shortestStartMs)

/** Has the living database every charge and every hold that the backup has ever had? An older copy has not, and would take them back. */
function knowsAllMoney(db: DatabaseSync): boolean {
  const one = (sql: string) => Number(Object.values(db.prepare(sql).get() ?? { none: 0 })[0])
  const holds = (schema: string) => one(`select seq from ${schema}.sqlite_sequence where name = 'hold'`)
  const missing = one('select count(*) from main.charge where hold not in (select hold from living.charge)')
  return missing === 0 && holds('living') >= holds('main')
}

function carryMoney(db: DatabaseSync): void {
  const shared = (table: string): string => {
    const columns = db.prepare('select name from pragma_table_info(:table, :schema)')
    const theirs = new Set(columns.all({ table, schema: 'living' }).map(({ name }) => String(name)))
    return columns
      .all({ table, schema: 'main' })
      .map(({ name }) => String(name))
      .filter((name) => theirs.has(name))
      .map((name) => `"${name}"`)
      .join(', ')
  }
  const take = (table: string) => {
    const columns = shared(table)
    if (columns !== '') db.exec(`insert into ${table} (${columns}) select ${columns} from living.${table}`)
  }
  for (const table of moneyTables) {
    db.exec(`delete from ${table}`)
    take(table)
  }
  // a charge is never changed or removed: the living database has all that the backup has, and those since
  const columns = shared('charge')
  db.exec(`insert or ignore into charge (${columns}) select ${columns} from living.charge`)
  db.exec(`update sqlite_sequence set seq = max(seq, (select coalesce(max(hold), 0) from charge)) where name = 'hold'`)
}

/** What was spent since the backup nobody can say: the rest of the day is charged, so that sums stay sums of charges. */
function closeDay(db: DatabaseSync, { day, limitNanoUsd }: { day: string; limitNanoUsd: number }, at: number): void {
  const scope = `day/${day}`
  const held = db.prepare('select * from account where scope = :scope').get({ scope }) as
    | { spent_nano_usd: number; limit_nano_usd: number | null }
    | undefined
  const rest = Math.max(limitNanoUsd, held?.limit_nano_usd ?? 0) - (held?.spent_nano_usd ?? 0)
  if (rest <= 0) return
  const { hold } = db
    .prepare(
      `select 1 + max(coalesce((select max(hold) from charge), 0), coalesce((select max(id) from hold), 0),
       coalesce((select seq from sqlite_sequence where name = 'hold'), 0)) as hold`,
    )
    .get() as { hold: number }
  db.prepare(
    `insert into charge (hold, attempt, task, repo, stage, family, model, input, cached_input, cache_write, output, nano_usd, how, at, day)
     values (:hold, 'restore', 'restore', 'restore', 'restore', 'restore', 'restore', 0, 0, 0, 0, :rest, 'recovered', :at, :day)`,
  ).run({ hold, rest, at, day })
  for (const each of ['total', scope])
    db.prepare(
      `insert into account (scope, spent_nano_usd) values (:each, :rest)
       on conflict (scope) do update set spent_nano_usd = spent_nano_usd + :rest`,
    ).run({ each, rest })
  db.prepare("delete from sqlite_sequence where name = 'hold'").run()
  db.prepare("insert into sqlite_sequence (name, seq) values ('hold', :hold)").run({ hold })
}

type Swap = { database: string; staged: string; living: Living; kept: string | null }

/** Puts the staged database in the living one's place; one that is damaged goes to `kept` as it is, bit for bit. */
export async function swapIn({ database, staged, living, kept }: Swap): Promise<void> {
  makePlain(staged)
  if (living.state === 'readable' && living.sound) return overwrite(staged, database)
  if (kept !== null) {
    linkSync(database, kept)
    if (existsSync(`${database}-wal`)) copyFileSync(`${database}-wal`, `${kept}-wal`)
  }
  for (const end of ['-wal', '-shm']) rmSync(`${database}${end}`, { force: true }) // another database's WAL would be taken for its own
  renameSync(staged, database)
  await syncFolder(dirname(database))
}

function makePlain(file: string): void {
  const db = new DatabaseSync(file)
  db.exec('pragma wal_checkpoint(truncate); pragma journal_mode = delete')
  db.close()
}

/** Page by page, in one transaction: whoever reads meanwhile sees the one or the other, and a power cut leaves the one or the other. */
async function overwrite(staged: string, database: string): Promise<void> {
  await copyInto(staged, database)
  const to = new DatabaseSync(database, { timeout: 5000 })
  to.exec('pragma synchronous = full; pragma journal_mode = wal; pragma wal_checkpoint(truncate)')
  to.close()
}

async function copyInto(file: string, into: string): Promise<void> {
  const from = new DatabaseSync(file, { readOnly: true })
  try {
    await copyPages(from, into, { rate: 1_000_000_000 })
  } finally {
    from.close()
  }
}
