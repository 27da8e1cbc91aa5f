/** Is the daemon of this database alive, and who is it? Read from its row and the process table, never by asking it. */
import { isAlive } from '../host/proc.ts'
import type { Reader } from '../store/database.ts'
import { daemonRow } from '../store/lease.ts'
import { lastEvent } from '../store/log.ts'

export type Presence = { pid: number; startedAt: number; rung: string; version: string }

/** The daemon that lives, or null. */
export async function findDaemon(reader: Reader): Promise<Presence | null> {
  const row = await daemonRow(reader)
  if (!row || !isAlive({ bootId: row.boot_id, pid: row.pid, startTime: row.start_time })) return null
  const started = (await lastEvent(reader, 'daemon/main', 'daemon.started'))?.event
  const { rung, version } = started?.type === 'daemon.started' ? started : { rung: 'unknown', version: 'unknown' }
  return { pid: row.pid, startedAt: row.started_at, rung, version }
}
