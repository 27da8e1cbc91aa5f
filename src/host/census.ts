/**
 * Which processes have to do with a folder: they stand in it, name it, know it or see it mounted. In a pid namespace of our own nothing else can be there, so
 * that every process counts but those we descend from: one that wiped all its traces is found, too. Reads /proc; where there is none it finds nothing.
 */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { bootId, startTimeOf, type ProcessIdentity } from './proc.ts'

/** Living processes of `folder`, or, `alone` in a pid namespace, all of it. Ourselves and our ancestors never count. */
export function takeCensus(folder: string, alone: boolean): ProcessIdentity[] {
  const own = new Set(ancestors(process.pid))
  return pidsNow()
    .filter((pid) => !own.has(pid) && (alone || concerns(pid, folder)))
    .flatMap((pid) => {
      const startTime = startTimeOf(pid)
      return startTime === null ? [] : [{ bootId: bootId(), pid, startTime }] // zombies hold nothing
    })
}

/** For people: what it is, and where in the kernel it waits. */
export const describeProcess = ({ pid }: ProcessIdentity): string =>
  `pid ${pid} ${read(pid, 'cmdline').replaceAll('\0', ' ').trim().slice(0, 160) || read(pid, 'comm').trim()} (in ${read(pid, 'wchan') || '?'})`

function pidsNow(): number[] {
  try {
    return readdirSync('/proc')
      .filter((name) => /^\d+$/.test(name))
      .map(Number)
  } catch {
    return [] // no /proc here
  }
}

function ancestors(pid: number): number[] {
  const parent = Number(/^PPid:\s+(\d+)$/m.exec(read(pid, 'status'))?.[1] ?? 0)
  return parent > 0 ? [pid, ...ancestors(parent)] : [pid]
}

function concerns(pid: number, folder: string): boolean {
  if (['cmdline', 'environ', 'mountinfo'].some((name) => read(pid, name).includes(folder))) return true
  try {
    return readlinkSync(`/proc/${pid}/cwd`).startsWith(folder)
  } catch {
    return false // gone, or not ours
  }
}

function read(pid: number, name: string): string {
  try {
    return readFileSync(`/proc/${pid}/${name}`, 'latin1')
  } catch {
    return '' // gone, or not ours
  }
}
