/**
 * The daemon's own log, turned over: what was said until now is put into a file beside it, named by when, and the log begins anew. Whoever writes to it appends,
 * so that nobody has to open it again. In one breath: this process is the one that writes, and nothing it says can come in between.
 *
 *     daemon.log ─ a day since it was last turned ─▶ daemon.log.2026-11-28T12-30-05-123Z ─ older than it is kept ─▶ gone
 */
import { copyFileSync, lstatSync, readdirSync, truncateSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { stampOf } from './moment.ts'

/** What a turned one ends with. */
const stamp = /\.\d{4}-\d\d-\d\dT[\d-]+Z$/

/** Turns the log over where it was not for so long; answers where what was said lies now, or null. `at`: epoch milliseconds. */
export function turnLog(log: string, at: number, everyMs: number): string | null {
  const found = lstatSync(log, { throwIfNoEntry: false })
  if (!found?.isFile() || found.size === 0) return null
  const turned = Math.max(
    found.birthtimeMs,
    ...turnedLogs(log).map((name) => lstatSync(join(dirname(log), name)).mtimeMs),
  )
  if (at - turned < everyMs) return null
  const into = `${log}.${stampOf(at).replaceAll(/[:.]/g, '-')}`
  copyFileSync(log, into)
  truncateSync(log)
  return into
}

/** Names of what was turned over. */
export function turnedLogs(log: string): string[] {
  try {
    return readdirSync(dirname(log)).filter((name) => name.startsWith(`${basename(log)}.`) && stamp.test(name))
  } catch {
    return [] // no folder, no log
  }
}
