/** Taking secrets out of the environment we were started with. Beside environment.ts, which every command loads. */
import { closeSync, openSync, readFileSync, writeSync } from 'node:fs'

/**
 * Takes variables out of this process's environment, and out of what the kernel shows of it to every program of this user (`/proc/PID/environ`): that is the
 * memory we were started with, which no unsetting touches. Answers those that can still be read there. Copy what you need of them before.
 */
export function takeOut(names: readonly string[]): string[] {
  for (const name of names) delete process.env[name]
  if (process.platform !== 'linux') return []
  const shown = () =>
    entriesOf(readFileSync('/proc/self/environ')).filter(({ name, bytes }) => names.includes(name) && bytes > 0)
  try {
    const found = shown()
    if (found.length === 0) return []
    const stat = readFileSync('/proc/self/stat', 'latin1')
    const begins = Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[envStart])
    const memory = openSync('/proc/self/mem', 'r+')
    try {
      for (const { at, bytes } of found) writeSync(memory, Buffer.alloc(bytes), 0, bytes, begins + at)
    } finally {
      closeSync(memory)
    }
  } catch {
    // a kernel that does not let us: what is still shown is what we answer
  }
  try {
    return shown().map(({ name }) => name)
  } catch {
    return [] // without /proc nobody can read it there
  }
}

/** Place of `env_start` in proc(5)'s stat, counted from the state on. */
const envStart = 47

/** Where the values of an environment stand. What was overwritten has none. */
function entriesOf(environ: Buffer): { name: string; at: number; bytes: number }[] {
  const entries: { name: string; at: number; bytes: number }[] = []
  for (let from = 0; from < environ.length;) {
    const end = environ.indexOf(0, from) < 0 ? environ.length : environ.indexOf(0, from)
    const equals = environ.subarray(from, end).indexOf(0x3d)
    if (equals > 0)
      entries.push({
        name: environ.toString('utf8', from, from + equals),
        at: from + equals + 1,
        bytes: end - from - equals - 1,
      })
    from = end + 1
  }
  return entries
}
