/**
 * Backups: the database as one file, taken while it is written, and beside it the anchors it is at one with. The key of the seals is never among them.
 *
 *     read mark ─▶ copy the file, then its WAL ─▶ recover the copy into one plain file ─▶ fsync ─▶ anchors ─▶ rename
 *
 * While a reader holds its mark, no checkpoint writes past it and nobody starts the WAL over: file and WAL together are one moment, whoever writes.
 * The copying is a program of the machine's, for two reasons: it clones blocks where the file system can, and a descriptor of the database that is
 * closed in this process would take SQLite's locks with it. It never changes the database, and never leaves half a backup under its name.
 */
import { chmodSync, closeSync, openSync, readdirSync, rmSync, statSync } from 'node:fs'
import { mkdir, open, rename, rm, stat, statfs, writeFile } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { anchorLine, type LogAnchor } from '../core/trailer.ts'
import { Fault } from '../host/fault.ts'
import { environment } from '../host/environment.ts'
import { momentOf, stampOf } from '../host/moment.ts'
import { startTimeOf } from '../host/proc.ts'
import { capture } from '../host/process.ts'
import type { World } from '../host/world.ts'
import { anchorFile, readAnchors, writeAnchor } from './anchor.ts'
import type { Seal } from './seal.ts'

/** `backup`: taken by hand or by the daemon. `replaced`: what a restore put another in place of. `schema`: as it was before a migration. */
export type BackupKind = 'backup' | 'replaced' | 'schema'

export type Backup = {
  file: string
  kind: BackupKind
  /** When it was taken, epoch milliseconds. */
  at: number
  bytes: number
  schema: number
  /** How far its log goes. */
  events: number
}

export type Progress = (done: { bytes: number; of: number }) => void

export const backupFolder = (database: string): string => join(dirname(database), 'backups')

const suffix = '.db'
const named = /^(tasks|replaced)-(\d{4}-\d\d-\d\dT)(\d\d)-(\d\d)-(\d\d)-(\d{3}Z)\.db$/
const beforeMigration = /\.schema-\d+$/
const draftName = /^\.draft-(\d+)-/

/** A name with the time in it, so that names sort by age. */
const nameAt = (kind: 'backup' | 'replaced', at: number): string =>
  `${kind === 'backup' ? 'tasks' : 'replaced'}-${stampOf(at).replaceAll(/[:.]/g, '-')}${suffix}`

/** The kind and the time a name says, or null for a name that is not ours. */
function readName(name: string): { kind: 'backup' | 'replaced'; at: number } | null {
  const [, kind, day, hour, minute, second, rest] = named.exec(name) ?? []
  const at = kind === undefined ? null : momentOf(`${day}${hour}:${minute}:${second}.${rest}`)
  return at === null ? null : { kind: kind === 'tasks' ? 'backup' : 'replaced', at }
}

/** When a backup was taken: by its name, or by its file where that says nothing. Epoch milliseconds. */
export const timeOfBackup = (file: string): number => readName(basename(file))?.at ?? Math.round(statSync(file).mtimeMs)

/** Where a database that is put aside goes. */
export const keepName = (database: string, at: number): string => join(backupFolder(database), nameAt('replaced', at))

type Asked = { world: World; database: string; kind: 'backup' | 'replaced'; into?: string; progress?: Progress }

/** Takes a backup, 0600. `into`: this file instead of a name in the folder of backups. Faults: `backup-exists`, `disk-full`, `database-unusable`. */
export async function takeBackup({ world, database, kind, into, progress }: Asked): Promise<Backup> {
  const at = world.clock.now()
  const file = into ?? join(backupFolder(database), nameAt(kind, at))
  const folder = dirname(file)
  if (into === undefined) await mkdir(folder, { recursive: true, mode: 0o700 })
  if (!(await isThere(folder)))
    throw new Fault('no-such-folder', `there is no folder ${folder}`, {
      hint: 'make it, or mount the disk that belongs there',
    })
  if (await isThere(file)) throw new Fault('backup-exists', `${file} is there already`, { hint: 'name another file' })
  await makeSureItFits(database, folder)
  const draft = join(folder, `.draft-${process.pid}-${basename(file)}`)
  try {
    await copyWhole(world, database, draft, progress)
    const { schema, seal, events } = await settleCopy(draft)
    if (seal) {
      const end: LogAnchor = { seq: seal.last_seq, mac: seal.mac, key: seal.key_id }
      writeAnchor(database, end, true) // by which it is known later as a state this database was in
      await rm(anchorFile(file), { force: true })
      await writeFile(anchorFile(file), anchorsIn(draft, database), { mode: 0o600, flag: 'wx', flush: true })
    }
    await rename(draft, file)
    await syncFolder(folder)
    return { file, kind, at, bytes: (await stat(file)).size, schema, events }
  } catch (error) {
    for (const end of ['', '-wal', '-shm', '-journal']) rmSync(`${draft}${end}`, { force: true })
    throw error
  }
}

const isThere = (file: string): Promise<boolean> =>
  stat(file).then(
    () => true,
    () => false,
  )

/** Room that is left beside a backup, so that taking one never fills the disk under the daemon. */
const spareBytes = 16 * 1024 * 1024

async function makeSureItFits(database: string, folder: string): Promise<void> {
  const wanted = (await sizeOf(database)) + (await sizeOf(`${database}-wal`))
  const { bavail, bsize } = await statfs(folder)
  if (bavail * bsize >= wanted + spareBytes) return
  const megabytes = (bytes: number) => `${Math.ceil(bytes / 1024 ** 2)} MB`
  throw new Fault(
    'disk-full',
    `a backup takes ${megabytes(wanted)}, and ${megabytes(bavail * bsize)} are free for ${folder}`,
    { hint: 'make room, or: tri-agent backup --to /another/disk/tasks.db' },
  )
}

const sizeOf = (file: string): Promise<number> =>
  stat(file).then(
    ({ size }) => size,
    () => 0,
  )

/** The file and its WAL as they are under one read mark. */
async function copyWhole(world: World, database: string, draft: string, progress?: Progress): Promise<void> {
  const reader = new DatabaseSync(database, { readOnly: true, timeout: 5000 })
  try {
    reader.exec('begin')
    reader.prepare('select count(*) from sqlite_schema').get() // a transaction has its mark from its first read on
    const of = await sizeOf(database)
    const ended = { yes: false }
    const telling = progress && tellGrowth(world, draft, of, ended, progress)
    try {
      await copyFile(world, database, draft)
      if ((await sizeOf(`${database}-wal`)) > 0) await copyFile(world, `${database}-wal`, `${draft}-wal`)
    } finally {
      ended.yes = true
      await telling
    }
    progress?.({ bytes: of, of })
    reader.exec('commit')
  } finally {
    reader.close()
  }
}

const lookMs = 200

async function tellGrowth(
  world: World,
  draft: string,
  of: number,
  ended: { yes: boolean },
  progress: Progress,
): Promise<void> {
  for (;;) {
    await world.timer.sleep(lookMs)
    if (ended.yes) return
    progress({ bytes: Math.min(of, await sizeOf(draft)), of })
  }
}

/** Copies by `cp`, which clones blocks where it can. The copy is there before, so that nobody else may ever read what is put into it. */
async function copyFile(world: World, from: string, to: string): Promise<void> {
  closeSync(openSync(to, 'wx', 0o600))
  chmodSync(to, 0o600)
  const words = process.platform === 'linux' ? ['--reflink=auto'] : []
  const programs = environment()['PATH'] ?? '/usr/bin:/bin'
  const copy = (options: readonly string[]) =>
    capture(world.spawn, { file: 'cp', args: [...options, '--', from, to], cwd: '/', env: { PATH: programs } })
  const first = await copy(words)
  if (first.code === 0) return
  const { code, stderr } = await copy([]) // one that does not know the option
  if (code === 0) return
  const isFull = /no space left|quota/i.test(stderr)
  throw new Fault(isFull ? 'disk-full' : 'copy-failed', `${from} cannot be copied: ${stderr.trim()}`, {
    hint: isFull ? 'make room, then try again' : 'tri-agent doctor',
  })
}

type Settled = { schema: number; events: number; seal: Seal | null }

/** Makes one plain file of the copy and its WAL, on disk, and says what is in it. */
async function settleCopy(draft: string): Promise<Settled> {
  const copy = new DatabaseSync(draft)
  let settled: Settled
  try {
    copy.exec('pragma journal_mode = delete')
    settled = lookInto(copy)
  } finally {
    copy.close()
  }
  const written = await open(draft, 'r')
  await written.sync().finally(() => written.close())
  return settled
}

function lookInto(db: DatabaseSync): Settled {
  const { user_version: schema } = db.prepare('pragma user_version').get() as { user_version: number }
  const has = (table: string) =>
    db.prepare("select 1 from sqlite_schema where type = 'table' and name = :table").get({ table }) !== undefined
  const { events } = has('event')
    ? (db.prepare('select coalesce(max(seq), 0) as events from event').get() as { events: number })
    : { events: 0 }
  const seal = has('seal') ? db.prepare('select * from seal order by last_seq desc limit 1').get() : undefined
  return { schema, events, seal: (seal as Seal | undefined) ?? null }
}

/** The anchors of the living database that this copy of it is at one with: not those of later events, nor those a restore left behind. */
function anchorsIn(copy: string, database: string): string {
  const db = new DatabaseSync(copy, { readOnly: true })
  try {
    const macAt = db.prepare('select mac from seal where last_seq = :seq')
    return readAnchors(database)
      .filter(({ seq, mac }) => macAt.get({ seq })?.['mac'] === mac)
      .map((anchor) => `${anchorLine(anchor)}\n`)
      .join('')
  } finally {
    db.close()
  }
}

/** Makes what was renamed in a folder last through a power cut. */
export async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r')
  await handle.sync().finally(() => handle.close())
}

/** What lies in the folder of backups, newest first. Files of other names are nobody's. */
export function listBackups(database: string): Backup[] {
  const folder = backupFolder(database)
  const found: Backup[] = []
  for (const name of namesIn(folder)) {
    if (readName(name) === null && !beforeMigration.test(name)) continue
    const file = join(folder, name)
    const { mtimeMs, size } = statSync(file)
    const { kind, at } = readName(name) ?? { kind: 'schema' as const, at: Math.round(mtimeMs) }
    found.push({ file, kind, at, bytes: size, ...measure(file) })
  }
  return found.toSorted((a, b) => b.at - a.at)
}

const namesIn = (folder: string): string[] => {
  try {
    return readdirSync(folder)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
    throw error
  }
}

/** Zeros for one that cannot be read: the list says so, `--verify` says why. */
function measure(file: string): { schema: number; events: number } {
  let db: DatabaseSync | null = null
  try {
    db = new DatabaseSync(file, { readOnly: true })
    const { schema, events } = lookInto(db)
    return { schema, events }
  } catch {
    return { schema: 0, events: 0 }
  } finally {
    db?.close()
  }
}

/** When the last backup was taken, epoch milliseconds; null where there is none. */
export const lastBackupAt = (database: string): number | null => {
  const taken = namesIn(backupFolder(database)).map(readName)
  return taken.reduce<number | null>(
    (last, each) => (each?.kind === 'backup' ? Math.max(last ?? 0, each.at) : last),
    null,
  )
}

/** Removes all but the newest `keep` backups, and drafts of processes that are gone. What a restore or a migration put aside is a person's to remove. */
export async function pruneBackups(database: string, keep: number): Promise<string[]> {
  const folder = backupFolder(database)
  const names = namesIn(folder)
  const old = names
    .filter((name) => readName(name)?.kind === 'backup')
    .toSorted()
    .slice(0, -keep)
  for (const name of old) {
    await rm(join(folder, name), { force: true })
    await rm(anchorFile(join(folder, name)), { force: true })
  }
  for (const name of names) {
    const pid = draftName.exec(name)?.[1]
    if (pid !== undefined && startTimeOf(Number(pid)) === null) await rm(join(folder, name), { force: true })
  }
  return old
}
