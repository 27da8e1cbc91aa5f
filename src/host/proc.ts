/**
 * Processes by an identity that is never given twice: boot, pid and start time. A pid alone says nothing, because pids come around again.
 * Reads /proc; where there is none (macOS) start times are null and a living pid has to do.
 */
import { readFileSync } from 'node:fs'

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

/** The same for a process of ours just started: also when it has ended already and waits to be reaped. */
export const bornAt = (pid: number): number | null => statOf(pid)?.startTime ?? null

export type Stat = { state: string; parent: number; group: number; cpuTicks: number; startTime: number }

/** The line of /proc/PID/stat, or null when it is not there. */
export function statOf(pid: number): Stat | null {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'latin1')
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ') // the name may hold spaces and brackets
    return {
      state: fields[0]!,
      parent: Number(fields[1]),
      group: Number(fields[2]),
      cpuTicks: fields.slice(11, 15).reduce((sum, each) => sum + Number(each), 0), // with that of children that were waited for
      startTime: Number(fields[19]),
    }
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

/** True where processes can be listed at all. */
export const hasProc = (): boolean => startTimeOf(process.pid) !== null

/** SIGKILL to one process; false when it was not there. */
export const killProcess = (pid: number): boolean => signalProcess(pid, 'SIGKILL')

/** A signal to one process; false when it was not there or is not ours. */
export function signalProcess(pid: number, name: NodeJS.Signals): boolean {
  try {
    return process.kill(pid, name)
  } catch {
    return false
  }
}

/** Asks this very process to end; false when it was not there. Faults pass: EPERM says that it is not ours. */
export function terminateProcess(identity: ProcessIdentity, name: 'SIGTERM' | 'SIGINT' = 'SIGTERM'): boolean {
  if (!isAlive(identity)) return false
  try {
    return process.kill(identity.pid, name)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false
    throw error
  }
}
