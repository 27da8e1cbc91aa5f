/** The daemon's backups: one whenever the last is older than `backup.every`, and of all that were taken the newest `retention.backups` stay. */
import type { OperatorSettings } from '../core/setting.ts'
import { putBack } from '../host/secret.ts'
import type { World } from '../host/world.ts'
import { lastBackupAt, pruneBackups, takeBackup } from '../store/backup.ts'
import type { Database } from '../store/database.ts'
import { firstAt } from '../store/log.ts'

/** How often is looked whether one is due: the machine may have slept past it. */
export const lookMs = 60_000

type Ports = {
  world: World
  database: Database
  settings: Pick<OperatorSettings, 'backup'> & { retention: { backups: number } }
  note: (text: string) => void
}

/** One look, also at the key without which no backup is worth much: once this process ends nobody has it. The first backup is due when the database is as old as a backup may be. */
export function backupLook({ world, database, settings, note }: Ports) {
  return async (): Promise<void> => {
    if (database.path === ':memory:') return // what no process outlives
    const keyFile = `${database.path}.key`
    if (database.sealKey && putBack(keyFile, database.sealKey))
      note(`${keyFile} was gone, and is put back: look who removed it, and keep a copy where your secrets are`)
    const last = lastBackupAt(database.path) ?? (await database.read(firstAt))
    if (last === null || world.clock.now() - last < settings.backup.everyMs) return
    await takeBackup({ world, database: database.path, kind: 'backup' })
    await pruneBackups(database.path, settings.retention.backups)
  }
}
