/**
 * Which processes have to do with a folder: they stand in it, name it, know it or see it mounted. In a pid namespace of our own nothing else can be there, so
 * that every process counts but those we descend from: one that wiped all its traces is found, too. Reads /proc; where there is none it finds nothing.
 */
import { bootId, startTimeOf, statOf, type ProcessIdentity } from './proc.ts'
import { linkOf, living, textOf } from './process-tree.ts'

/** Living processes of `folder`, or, `alone` in a pid namespace, all of it. Ourselves and our ancestors never count. */
export function takeCensus(folder: string, alone: boolean): ProcessIdentity[] {
  const own = new Set(ancestors(process.pid))
  return living((pid) => !own.has(pid) && (alone || concerns(pid, folder))).flatMap((pid) => {
    const startTime = startTimeOf(pid)
    return startTime === null ? [] : [{ bootId: bootId(), pid, startTime }] // gone meanwhile
  })
}

/** For people: what it is, and where in the kernel it waits. */
export const describeProcess = ({ pid }: ProcessIdentity): string =>
  `pid ${pid} ${textOf(pid, 'cmdline').replaceAll('\0', ' ').trim().slice(0, 160) || textOf(pid, 'comm').trim()} (in ${textOf(pid, 'wchan') || '?'})`

function ancestors(pid: number): number[] {
  const parent = statOf(pid)?.parent ?? 0
  return parent > 0 ? [pid, ...ancestors(parent)] : [pid]
}

const concerns = (pid: number, folder: string): boolean =>
  ['cmdline', 'environ', 'mountinfo'].some((name) => textOf(pid, name).includes(folder)) ||
  linkOf(`/proc/${pid}/cwd`)?.startsWith(folder) === true
