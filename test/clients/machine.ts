/** What /proc says about the network we are in and about what may have been left. Reads only. */
import { readdirSync, readFileSync } from 'node:fs'
import { basename } from 'node:path'

/** All network interfaces of our namespace, up or down. */
export const namesOfInterfaces = (): string[] =>
  readFileSync('/proc/net/dev', 'utf8')
    .split('\n')
    .flatMap((line) => /^\s*([^\s:]+):/.exec(line)?.[1] ?? [])

/** Living processes that have a folder of ours mounted, or were started in one: a contained one shows it in its mounts, whatever it calls itself. */
export function mayStillSee(folder: string): number[] {
  const name = basename(folder) // a mount is named from the root of its file system, which need not be ours
  const pids = readdirSync('/proc').filter((pid) => /^\d+$/.test(pid) && Number(pid) !== process.pid)
  return pids
    .filter((pid) => ['mountinfo', 'cmdline'].some((file) => read(`/proc/${pid}/${file}`).includes(name)))
    .map(Number)
}

function read(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return '' // it has ended, or belongs to somebody else: none of ours
  }
}
