/** What this process may not exceed, as the kernel says it. */
import { readFileSync } from 'node:fs'

/** The hard limit of this process on open files or on processes; Infinity where there is none or it is not known. */
export function hardLimit(of: 'open files' | 'processes'): number {
  try {
    const written = new RegExp(`^Max ${of} +\\S+ +(\\d+)`, 'm').exec(readFileSync('/proc/self/limits', 'latin1'))?.[1]
    return written === undefined ? Infinity : Number(written)
  } catch {
    return Infinity
  }
}
