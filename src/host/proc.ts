/**
 * Processes by an identity that is never given twice: boot, pid and start time. A pid alone says nothing, because pids come around again.
 * Reads /proc; where there is none (macOS) start times are null and a living pid has to do.
 */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs'

export type ProcessIdentity = { bootId: string; pid: number; startTime: number | null }

/** Names this boot of the machine. */
export function bootId(): string {
  try {
    return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()
  } catch {
    return 'unknown' // no /proc: then start times are null too
  }
}

/** Clock ticks since boot at which a process started (field 22 of its stat), or null when it is not there or is a zombie. */
export function startTimeOf(pid: number): number | null {
  const fields = statOf(pid)
  return fields === null || fields.state === 'Z' ? null : fields.startTime
}

function statOf(pid: number): { state: string; parent: number; group: number; startTime: number } | null {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'latin1')
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ') // the name may hold spaces and brackets
    return { state: fields[0]!, parent: Number(fields[1]), group: Number(fields[2]), startTime: Number(fields[19]) }
  } catch {
    return null
  }
}

/** Is this very process alive? */
export function isAlive({ bootId: boot, pid, startTime }: ProcessIdentity): boolean {
  if (boot !== bootId()) return false
  if (startTime !== null) return startTimeOf(pid) === startTime
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}

/** The pid namespace of a process, or null. */
export function pidNamespaceOf(pid: number): string | null {
  try {
    return readlinkSync(`/proc/${pid}/ns/pid`)
  } catch {
    return null
  }
}

const pids = (): number[] => {
  try {
    return readdirSync('/proc')
      .filter((name) => /^\d+$/.test(name))
      .map(Number)
  } catch {
    return []
  }
}

/** Every living process for which `test` holds. Zombies do not count: they hold nothing. */
const living = (test: (pid: number) => boolean): number[] =>
  pids().filter((pid) => startTimeOf(pid) !== null && test(pid))

export const inPidNamespace = (namespace: string): number[] => living((pid) => pidNamespaceOf(pid) === namespace)

/** Processes that carry this exact entry (`NAME=value`) in their environment, as far as we may read it. */
export function withEnvironment(entry: string): number[] {
  return living((pid) => {
    try {
      return readFileSync(`/proc/${pid}/environ`, 'latin1').split('\0').includes(entry)
    } catch {
      return false
    }
  })
}

/** Living descendants of a process, itself not counted. */
export function descendantsOf(pid: number): number[] {
  const children = new Map<number, number[]>()
  for (const each of pids()) {
    const stat = statOf(each)
    if (stat && stat.state !== 'Z') children.set(stat.parent, [...(children.get(stat.parent) ?? []), each])
  }
  const found: number[] = []
  const queue = [pid]
  for (let next = queue.pop(); next !== undefined; next = queue.pop())
    for (const child of children.get(next) ?? []) {
      found.push(child)
      queue.push(child)
    }
  return found
}

/** SIGKILL to one process; false when it was not there. */
export function killProcess(pid: number): boolean {
  try {
    process.kill(pid, 'SIGKILL')
    return true
  } catch {
    return false
  }
}

/** Asks this very process to end (SIGTERM); false when it was not there. Faults pass: EPERM says that it is not ours. */
export function terminateProcess(identity: ProcessIdentity): boolean {
  if (!isAlive(identity)) return false
  try {
    return process.kill(identity.pid, 'SIGTERM')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false
    throw error
  }
}
