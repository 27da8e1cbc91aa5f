/** backup: the database as one file, taken while the daemon writes; looked at closely (`--verify`); listed. */
import { resolve } from 'node:path'
import { isRefusal, type Refusal } from '../core/refusal.ts'
import { plural } from '../core/quantity.ts'
import { makeOwnFolder } from '../host/path.ts'
import type { Backup, Progress } from '../store/backup.ts'
import type { BackupReport } from '../store/verify-backup.ts'
import { answer, withDatabase, type Act, type Context } from './context.ts'
import { exitCode } from './exit-code.ts'
import { age, table } from './format.ts'

export const backup: Act = (context, said) => {
  const file = said.text('verify')
  if (said.args[0] === 'list') return list(context)
  if (file !== undefined) return verify(context, file)
  return take(context, said.text('to'))
}

const megabytes = (bytes: number): string => `${(bytes / 1024 ** 2).toFixed(1)} MB`

const take = (context: Context, to: string | undefined): Promise<number | Refusal> =>
  withDatabase(context, async (database) => {
    const { backupFolder, takeBackup } = await import('../store/backup.ts')
    if (to === undefined) await makeOwnFolder(backupFolder(database.path))
    const began = context.world.clock.mono()
    const taken = await takeBackup({
      world: context.world,
      database: database.path,
      kind: 'backup',
      ...(to === undefined ? {} : { into: resolve(context.cwd, to) }),
      ...(context.isTerminal ? { progress: tellProgress(context) } : {}),
    })
    const ms = Math.round(context.world.clock.mono() - began)
    return answer(
      context,
      { ...taken, ms },
      `${taken.file}\n${megabytes(taken.bytes)}, up to event ${taken.events}, in ${(ms / 1000).toFixed(1)} s. The key of the seals (${database.path}.key) is not in it: keep that elsewhere.\nNext: tri-agent backup --verify ${taken.file}`,
    )
  })

/** One line that is written over, on a terminal alone. */
const tellProgress =
  ({ note }: Context): Progress =>
  ({ bytes, of }) =>
    note(`${megabytes(bytes)} of ${megabytes(of)}${bytes === of ? '\n' : '…\n'}`)

async function verify(context: Context, said: string): Promise<number | Refusal> {
  const { findBackup, verifyBackup } = await import('../store/verify-backup.ts')
  const file = findBackup(context.paths.database, context.cwd, said)
  if (isRefusal(file)) return file
  const report = await verifyBackup(context.paths.database, file, (what) => {
    if (context.isTerminal) context.note(`Looking at ${what}…\n`)
  })
  if (isRefusal(report)) return report
  const { seal: _, ...shown } = report
  answer(context, shown, reportText(report))
  return report.ok ? exitCode.done : exitCode.refused
}

/** What was looked at, line by line, and what to do with it. */
export function reportText({ file, ok, events, looked }: BackupReport): string {
  return [
    ...looked.flatMap(({ what, problems }) => [
      `${what.padEnd(12)}${problems.length === 0 ? 'whole' : plural(problems.length, 'problem')}`,
      ...problems.slice(0, 20).map((each) => `  ${each}`),
    ]),
    ok
      ? `${plural(events, 'event')}. It can be restored: tri-agent restore ${file}`
      : isOtherKey(looked)
        ? `Put the key of that log back, then look again. Where there is no copy of it: tri-agent restore ${file} --adopt`
        : 'It is not to be trusted: tri-agent backup list names others.',
  ].join('\n')
}

/** Is all that is wrong with it that it was sealed with another key? */
const isOtherKey = (looked: BackupReport['looked']): boolean =>
  looked.every(({ problems }) => problems.every((each) => each.startsWith('other-key')))

async function list(context: Context): Promise<number> {
  const { backupFolder, listBackups } = await import('../store/backup.ts')
  const folder = backupFolder(context.paths.database)
  const backups = listBackups(context.paths.database)
  const now = context.world.clock.now()
  return answer(
    context,
    { folder, backups },
    backups.length === 0
      ? 'No backup yet: tri-agent backup'
      : `${listText(backups, now, context.columns)}\nIn ${folder}`,
  )
}

const what: Readonly<Record<Backup['kind'], string>> = {
  backup: 'backup',
  replaced: 'put aside by a restore',
  schema: 'before a migration',
}

const listText = (backups: readonly Backup[], now: number, columns: number): string =>
  table(
    ['age', 'size', 'events', 'schema', 'what', 'file'],
    backups.map(({ at, bytes, events, schema, kind, file }) => [
      age(now - at),
      megabytes(bytes),
      String(events),
      schema === 0 ? 'unreadable' : String(schema),
      what[kind],
      file.slice(file.lastIndexOf('/') + 1),
    ]),
    columns,
  )
