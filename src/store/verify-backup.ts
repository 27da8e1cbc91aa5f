/**
 * Is a backup one that could be restored? It is opened as a restore would open it: every page, reference and seal is looked at, with the key that lies
 * beside the living database, and every table folded again from its log. It changes nothing; one of an older schema is brought up to ours in a copy.
 */
import { rm } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { existsSync, lstatSync } from 'node:fs'
import { isRefusal, refuse, type Refusal } from '../core/refusal.ts'
import { readAnchors } from './anchor.ts'
import { backupFolder, listBackups } from './backup.ts'
import { checkDatabase, isDamage, type Looked } from './check.ts'
import { openDatabase, type Database, type Reader } from './database.ts'
import { applicationId, migrations } from './migrate.ts'
import { verifyProjections } from './rebuild.ts'
import { stageBackup } from './restore.ts'
import { lastSeal, type Seal } from './seal.ts'
import type { KnownAnchor } from './verify-log.ts'

export type BackupReport = {
  file: string
  ok: boolean
  schema: number
  events: number
  /** The last seal of its log. */
  seal: Seal | null
  looked: Looked[]
}

/** The backup a person means: a path, a name in the folder of backups, or `latest`. Refuses `no-such-backup`. */
export function findBackup(database: string, cwd: string, said: string): string | Refusal {
  const folder = backupFolder(database)
  const latest = said === 'latest' ? listBackups(database).find(({ kind }) => kind === 'backup')?.file : undefined
  const there = [latest, join(cwd, said), said.startsWith('/') ? said : undefined, join(folder, said)].find(
    (file) => file !== undefined && existsSync(file) && lstatSync(file).isFile(),
  )
  return there ?? refuse('no-such-backup', `there is no backup ${said}`, 'tri-agent backup list')
}

/** Looks at everything. Refuses `schema-newer`, `not-ours`, `seal-key-gone`; what is damaged is in the report. `tell` hears what is being looked at. */
export async function verifyBackup(
  database: string,
  file: string,
  tell: (what: string) => void,
): Promise<BackupReport | Refusal> {
  const known = migrations().length
  const keyFile = `${database}.key`
  const schema = await schemaOfFile(file, keyFile)
  if (isRefusal(schema)) return schema
  if (typeof schema !== 'number') return { file, ok: false, schema: 0, events: 0, seal: null, looked: [schema] }
  if (schema > known)
    return refuse(
      'schema-newer',
      `${file} has schema ${schema}, this program knows up to ${known}`,
      'use the newer tri-agent that wrote it',
    )
  if (schema === known) return look(database, openDatabase(file, { readOnly: true, keyFile }), file, tell)
  const scratch = join(dirname(file), `.draft-${process.pid}-${basename(file)}`)
  try {
    await stageBackup(file, scratch)
    return await look(database, openDatabase(scratch, { keyFile, copyBefore: false }), file, tell)
  } finally {
    for (const end of ['', '-wal', '-shm', '.anchors']) await rm(`${scratch}${end}`, { force: true })
  }
}

/** Its schema's number; what was wrong where it does not open. */
async function schemaOfFile(file: string, keyFile: string): Promise<number | Refusal | Looked> {
  let opened: Database | null = null
  try {
    opened = openDatabase(file, { readOnly: true, keyFile })
    const marks = await opened.read(marksOf)
    if (!marks.isOurs) return refuse('not-ours', `${file} is a database of another program`, 'tri-agent backup list')
    return marks.schema
  } catch (error) {
    if (!isDamage(error)) throw error
    return { what: 'pages', problems: [(error as Error).message] }
  } finally {
    opened?.close()
  }
}

async function marksOf(reader: Reader): Promise<{ schema: number; isOurs: boolean }> {
  const version = await reader.get<{ user_version: number }>('pragma user_version')
  const id = await reader.get<{ application_id: number }>('pragma application_id')
  return { schema: version!.user_version, isOurs: id!.application_id === applicationId && version!.user_version > 0 }
}

async function look(
  living: string,
  opened: Database,
  file: string,
  tell: (what: string) => void,
): Promise<BackupReport | Refusal> {
  const report = { file, schema: migrations().length, events: 0, seal: null as Seal | null }
  try {
    tell('pages, references, schema and seals')
    report.seal = (await opened.read(lastSeal)) ?? null
    if (report.seal && !opened.sealKey)
      return refuse(
        'seal-key-gone',
        `the key that ${file} was sealed with (${report.seal.key_id}) is not at ${living}.key`,
        `put it back from where you keep a copy; where there is none, take the backup as it is: tri-agent restore ${file} --adopt`,
      )
    const looked = await checkDatabase(opened, anchorsAgainst(living, report.seal))
    const isDamaged = looked.some(({ problems }) => problems.length > 0)
    if (isDamaged) return { ...report, events: report.seal?.last_seq ?? 0, ok: false, looked } // what was changed does not fold
    tell('every table, folded again from the log')
    const { events, differences } = await verifyProjections(opened)
    report.events = events
    looked.push({
      what: 'tables',
      problems: differences.map(({ table, row }) => `${table} ${row} is not what the log says`),
    })
    return { ...report, ok: looked.every(({ problems }) => problems.length === 0), looked }
  } catch (error) {
    if (!isDamage(error)) throw error
    return { ...report, ok: false, looked: [{ what: 'pages', problems: [(error as Error).message] }] }
  } finally {
    opened.close()
  }
}

/**
 * The anchors of the living database it must be at one with. None where its own end is among them: then it is a state that the database was in, and
 * what does not fit was written after a restore had left it behind.
 */
function anchorsAgainst(living: string, end: Seal | null): KnownAnchor[] {
  if (!end) return []
  const anchors = readAnchors(living)
  if (anchors.some(({ seq, mac }) => seq === end.last_seq && mac === end.mac)) return []
  return anchors
    .filter(({ seq }) => seq <= end.last_seq)
    .map((anchor) => ({ ...anchor, where: 'the file of anchors of the living database' }))
}
