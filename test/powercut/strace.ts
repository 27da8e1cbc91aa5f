/** What both suites need of the machine: strace, and a place for thousands of databases. */
import { existsSync } from 'node:fs'
import { mkdtemp, readFile, realpath, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { environment } from '../../src/host/environment.ts'
import { capture } from '../../src/host/process.ts'
import { realWorld } from '../../src/host/world.ts'

export const world = realWorld()
export const path = environment()['PATH'] ?? '/usr/bin:/bin'

/** Why nothing can be recorded or made to fail here, or false. */
export const noStrace: string | false = await capture(world.spawn, {
  file: 'strace',
  args: ['-f', '--seccomp-bpf', '-o', '/dev/null', 'true'],
  cwd: '/',
  env: { PATH: path },
}).then(
  ({ code, stderr }) => code !== 0 && `strace does not work here: ${stderr.trim()}`,
  () => 'there is no strace here',
)
if (noStrace !== false) process.stdout.write(`SKIPPED power cut: ${noStrace}\n`)

/** A folder in memory where there is such a place. */
export async function makeScratch(prefix: string) {
  const parent = existsSync('/dev/shm') ? '/dev/shm' : tmpdir()
  const folder = await realpath(await mkdtemp(join(parent, prefix)))
  return {
    folder,
    read: (file: string) => readFile(file, 'latin1'),
    [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }),
  }
}
