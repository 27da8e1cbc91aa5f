/**
 * restore: a backup takes the place of the database, and everything that happened since and can be known is known afterwards.
 *
 *     verify the backup ─▶ end the daemon ─▶ mark ─▶ end what the daemon left ─▶ stage, carry money and epoch over ─▶ compare with git and the log left behind
 *       ─▶ one transaction: store.restored, landings, holds ─▶ keep the old one, swap ─▶ anchor
 *
 * Until the swap nothing of the living database is touched; the swap is one transaction.
 */
import { rmSync, statSync } from 'node:fs'
import { basename, join } from 'node:path'
import { dayOf } from '../core/day.ts'
import { adoptLog } from '../command/adopt.ts'
import type { StoreRestored } from '../core/event.ts'
import { isRefusal, refuse, type Refusal } from '../core/refusal.ts'
import type { OperatorSettings } from '../core/setting.ts'
import type { LogAnchor } from '../core/trailer.ts'
import type { Git } from '../git/git.ts'
import { createGit } from '../git/subprocess.ts'
import { isFault } from '../host/fault.ts'
import { makeOwnFolder, type Env, type Paths } from '../host/path.ts'
import { drawSecret } from '../host/secret.ts'
import type { World } from '../host/world.ts'
import { endAnchors, nameOfAnchors, readAnchors } from '../store/anchor.ts'
import { backupFolder, keepName, takeBackup, timeOfBackup } from '../store/backup.ts'
import { checkDatabase } from '../store/check.ts'
import { openDatabase, type Database } from '../store/database.ts'
import { append } from '../store/append.ts'
import { carryOver, stageBackup, surveyLiving, swapIn, type Living } from '../store/restore.ts'
import { awaitWriters, markRestoring } from '../store/restoring.ts'
import { keyIdOf, lastSeal } from '../store/seal.ts'
import type { RepoRow } from '../store/task.ts'
import { verifyBackup, type BackupReport } from '../store/verify-backup.ts'
import { sealKeys, withoutSeal } from '../store/verify-log.ts'
import { pathOf } from './ahead.ts'
import { buryTree } from './bury.ts'
import { machinePorts } from './ports.ts'
import {
  compareWithGit,
  findInGit,
  holdHandedIn,
  holdUnasked,
  leftOut,
  record,
  type FoundLanding,
  type Reconciliation,
} from './reconcile.ts'

export type RestoreOptions = {
  world: World
  env: Env
  paths: Paths
  settings: OperatorSettings
  file: string
  actor: string
  /** A backup whose key is lost is taken as it is found, and its log says that it was this person's word. */
  adopt?: boolean
  tell: (what: string) => void
  /** Called once the backup was found whole; a refusal ends the restore. */
  endDaemon: () => Promise<Refusal | null>
}

export type Restored = {
  event: StoreRestored
  /** When the backup was taken. */
  takenAt: number
  /** Why the old database could not be asked, where it could not. */
  damaged: string | null
  /** Tasks added since that are in the old database alone. */
  leftOut: string[]
  unasked: string[]
}

/** Restores. Refuses `no-backup` for the database itself, and a backup that is damaged; faults where the machine fails, and then nothing was changed. */
export async function restore(options: RestoreOptions): Promise<Restored | Refusal> {
  const { paths, file, tell, endDaemon } = options
  const path = paths.database
  if (isSameFile(file, path))
    return refuse(
      'no-backup',
      `${file} is the database itself`,
      'move it away, then restore it; or: tri-agent backup list',
    )
  await makeOwnFolder(paths.stateFolder)
  await makeOwnFolder(backupFolder(path))
  using drawn = options.adopt ? drawSecret(`${path}.key`) : null
  const report = await verifyBackup(path, file, tell)
  if (isRefusal(report)) return report
  const wrong = refuseWrong(options, report)
  if (wrong) return wrong
  const stays = await endDaemon()
  if (stays) return stays
  using _ = markRestoring(path)
  const living = surveyLiving(path)
  if (living.state === 'readable') awaitWriters(path)
  const staged = join(backupFolder(path), `.draft-${process.pid}-${basename(file)}`)
  try {
    drawn?.keep() // whatever fails from here on: what it has sealed may be in its place already
    return await carryOut(options, living, staged)
  } finally {
    for (const end of ['', '-wal', '-shm', '-journal', '.anchors']) rmSync(`${staged}${end}`, { force: true })
  }
}

/** What makes this backup none to restore; what it was sealed with alone is a person's to pass over. */
function refuseWrong({ paths, file, adopt }: RestoreOptions, { looked }: BackupReport): Refusal | null {
  const wrong = looked.flatMap(({ what, problems }) => problems.map((each) => `${what}: ${each}`))
  const first = wrong.find((each) => !each.startsWith('log: other-key'))
  if (wrong.length === 0 || (adopt && first === undefined)) return null
  return refuse(
    'backup-damaged',
    `${file} is not whole: ${first ?? wrong[0]}`,
    first === undefined
      ? `put the key of that log at ${paths.database}.key, then try again; where there is no copy of it, take it as it is: tri-agent restore ${file} --adopt`
      : 'choose another: tri-agent backup list',
  )
}

function isSameFile(one: string, other: string): boolean {
  const [a, b] = [one, other].map((file) => statSync(file, { throwIfNoEntry: false }))
  return a !== undefined && b !== undefined && a.ino === b.ino && a.dev === b.dev
}

async function carryOut(options: RestoreOptions, living: Living, staged: string): Promise<Restored> {
  const { world, paths, settings, file, env, tell } = options
  const path = paths.database
  const at = world.clock.now()
  const takenAt = timeOfBackup(file)
  const kept = living.state === 'missing' ? null : keepName(path, at)
  if (living.state === 'readable') {
    for (const row of living.processes) await buryTree(world, machinePorts.processes, row)
    tell('the copy that is kept')
    if (living.sound) await takeBackup({ world, database: path, kind: 'replaced', into: kept! }) // its last anchor is among those left behind
  }
  tell('the copy that will take its place')
  await stageBackup(file, staged)
  openDatabase(staged, { keyFile: `${path}.key`, copyBefore: false }).close() // brings it up to our schema
  const { left, doubt } = await openLeft(path, living)
  const { epoch } = carryOver(staged, living.state === 'readable' ? { path, epoch: living.epoch } : null, {
    at,
    // what is damaged or older than it should be tells of less than there was
    lost: doubt === null ? null : { since: takenAt, day: dayOf(at), limitNanoUsd: settings.money.dayNanoUsd },
  })
  const database = openDatabase(staged, { keyFile: `${path}.key`, copyBefore: false })
  const git = createGit(world, { path: pathOf(env) })
  let settled: Omit<Restored, 'takenAt' | 'damaged'>
  try {
    if (options.adopt) await adoptLog({ ...options, database }) // refuses only where nothing is to be adopted: it was looked at above
    tell('what landed since, in git')
    settled = await reconcile({ ...options, git, database, left, epoch, isCounted: doubt === null, kept })
  } finally {
    database.close()
    left?.close()
  }
  tell('the swap')
  await swapIn({ database: path, staged, living, kept })
  const restored = openDatabase(path)
  await restored.anchor().finally(() => restored.close())
  return { ...settled, takenAt, damaged: doubt }
}

/** The log left behind, where it can be believed: whole pages, every seal as it was made, every anchor known. `doubt`: why what it says is not all there was. */
async function openLeft(path: string, living: Living): Promise<{ left: Database | null; doubt: string | null }> {
  if (living.state === 'missing') return { left: null, doubt: 'there was none' }
  if (living.state === 'unreadable') return { left: null, doubt: living.why }
  const damaged = { left: null, doubt: 'it is damaged or an older copy' }
  if (!living.sound) return damaged
  let opened: Database
  try {
    opened = openDatabase(path)
  } catch (error) {
    if (isFault(error, 'schema-newer')) return { left: null, doubt: null }
    if (isFault(error)) return damaged
    throw error
  }
  const looked = await checkDatabase(opened)
  if (looked.every(({ what, problems }) => what === 'schema' || problems.length === 0))
    return { left: opened, doubt: null }
  opened.close()
  return damaged
}

type Parts = RestoreOptions & {
  git: Git
  database: Database
  left: Database | null
  epoch: number
  /** Is all known that was spent? */
  isCounted: boolean
  kept: string | null
}

async function reconcile(parts: Parts): Promise<Omit<Restored, 'takenAt' | 'damaged'>> {
  const { world, paths, settings, actor, git, database, left } = parts
  const keys = await database.read((reader) => sealKeys(reader, keyIdOf(database.sealKey!)))
  const asked = { git, repos: paths.repos, branch: settings.landing.branch, staged: database, left, keys }
  const inGit = await findInGit(asked)
  const { found, unasked } = inGit
  const comparison = await compareWithGit(asked, inGit)
  const event = await describe({ ...parts, keys }, found, unasked, comparison)
  const at = world.clock.now()
  await database.write(async (tx) => {
    await append(tx, { at, actor, stream: 'daemon/main', events: [event] })
    await record(tx, comparison, at)
    await holdHandedIn(tx, comparison.handedIn, at)
    await holdUnasked(tx, unasked, at)
  })
  return {
    event,
    leftOut: left === null ? [] : await leftOut(database, left),
    unasked: unasked.map(({ name }) => name),
  }
}

/** The event: what was restored, and exactly which anchors it leaves behind. */
async function describe(
  { paths, file, database, left, epoch, isCounted, kept, keys }: Parts & { keys: ReadonlySet<string> },
  found: readonly FoundLanding[],
  unasked: readonly RepoRow[],
  { recorded, handedIn }: Reconciliation,
): Promise<StoreRestored> {
  const bytes = endAnchors(paths.database)
  const inFile = readAnchors(paths.database, bytes)
  const inGit = found.flatMap(({ anchor }) => (anchor && keys.has(anchor.key) ? [anchor] : []))
  const [behindInFile, behind, seal, end] = [
    await database.read((reader) => withoutSeal(reader, inFile)),
    await database.read((reader) => withoutSeal(reader, inGit)),
    await database.read(lastSeal),
    await left?.read(lastSeal),
  ]
  const ends = [...behindInFile, ...behind, ...(end ? [{ seq: end.last_seq, mac: end.mac, key: end.key_id }] : [])]
  return {
    type: 'store.restored',
    file,
    kept,
    from: seal ? { seq: seal.last_seq, mac: seal.mac, key: seal.key_id } : null,
    left: ends.reduce<LogAnchor | null>((last, each) => (last === null || each.seq > last.seq ? each : last), null),
    anchors: { bytes, count: behindInFile.length, sha256: nameOfAnchors(behindInFile) },
    behind,
    landings: recorded,
    handedIn,
    unasked: unasked.map(({ name }) => name),
    money: isCounted ? 'counted' : 'day-closed',
    epoch,
  }
}
