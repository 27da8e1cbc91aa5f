/**
 * The disk fails at the k-th write, sync or truncation, for every k there is in a small life of a database, once or from then on: whoever wrote is told,
 * what was acknowledged is there, and the database opens again, whole.
 */
import assert from 'node:assert/strict'
import { cp, mkdir } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { after, before, test } from 'node:test'
import { capture } from '../../src/host/process.ts'
import { openDatabase } from '../../src/store/database.ts'
import { readLog } from '../../src/store/log.ts'
import { verifyProjections } from '../../src/store/rebuild.ts'
import { checkDatabase } from '../../src/store/check.ts'
import { makeScratch, noStrace, path, world } from './strace.ts'

const player = join(import.meta.dirname, 'fault-player.ts')
const kinds = ['pwrite64', 'fsync,fdatasync', 'ftruncate'] as const
type Kind = (typeof kinds)[number]

let scratch: Awaited<ReturnType<typeof makeScratch>>
/** A database as it was before, to begin each life with. */
let begin = ''
before(async () => {
  scratch = await makeScratch('tri-fault-')
  begin = join(scratch.folder, 'begin', 'tasks.db')
  openDatabase(begin).close()
})
after(() => scratch[Symbol.asyncDispose]())

/** One life with these words for strace; answers what was said and how many calls of a kind there were. */
async function live(name: string, words: readonly string[]): Promise<{ file: string; said: string; trace: string }> {
  const file = join(scratch.folder, name, 'tasks.db')
  await mkdir(dirname(file), { mode: 0o700 })
  await cp(dirname(begin), dirname(file), { recursive: true })
  const files = [file, `${file}-wal`].flatMap((each) => ['-P', each])
  const done = await capture(world.spawn, {
    file: 'strace',
    args: [
      '-f',
      '--seccomp-bpf',
      '-qq',
      '-s',
      '0',
      '-o',
      `${file}.trace`,
      ...words,
      ...files,
      process.execPath,
      player,
      file,
    ],
    cwd: scratch.folder,
    env: { PATH: path, HOME: scratch.folder, NODE_COMPILE_CACHE: join(scratch.folder, 'cache') },
  })
  assert.equal(done.code, 0, `${name}: ${done.stderr}`)
  return { file, said: done.stdout, trace: await scratch.read(`${file}.trace`) }
}

/** What is wrong afterwards, or null. */
async function problemOf(file: string, said: string): Promise<string | null> {
  const done = [...said.matchAll(/^done (\S+)$/gm)].map(([, id]) => `task/${id}`)
  if (!said.endsWith('end\n')) return `it did not live to its end: ${said}`
  const database = openDatabase(file)
  try {
    const problems = (await checkDatabase(database)).flatMap((each) => each.problems)
    if (problems.length > 0) return problems.join('; ')
    const { differences } = await verifyProjections(database)
    if (differences.length > 0) return `tables and log differ: ${JSON.stringify(differences)}`
    const there = new Set(
      (await database.read((reader) => readLog(reader, { limit: 1000 }))).map(({ stream }) => stream),
    )
    const lost = done.filter((stream) => !there.has(stream))
    return lost.length === 0 ? null : `acknowledged and lost: ${lost.join(', ')}`
  } finally {
    database.close()
  }
}

const callsOf = (trace: string, kind: Kind): number =>
  trace.split('\n').filter((line) => kind.split(',').some((name) => line.includes(` ${name}(`))).length

for (const kind of kinds)
  test(
    `a disk that fails at any ${kind} loses nothing that was acknowledged, and whoever wrote is told`,
    { skip: noStrace },
    async () => {
      const healthy = await live(`healthy-${kind}`, ['-e', `trace=${kind}`])
      const count = callsOf(healthy.trace, kind)
      assert.equal(await problemOf(healthy.file, healthy.said), null)
      assert.equal(healthy.said.match(/^done/gm)?.length, 9)
      const faults = Array.from({ length: count }, (_, n) => n + 1).flatMap((k) => [
        { when: `${k}`, error: k % 2 === 0 ? 'EIO' : 'ENOSPC' },
        ...(k % 4 === 0 ? [{ when: `${k}+`, error: 'EIO' }] : []),
      ])
      const problems: string[] = []
      let told = 0
      const waiting = [...faults]
      const work = async () => {
        for (let fault = waiting.shift(); fault !== undefined; fault = waiting.shift()) {
          const { when, error } = fault
          const words = ['-e', `trace=${kind}`, '-e', `inject=${kind}:error=${error}:when=${when}`]
          const { file, said, trace } = await live(`${kind}-${when}`, words)
          assert.match(trace, /INJECTED/, `${kind} ${when}: the disk did not fail`)
          if (said.includes('told ')) told += 1
          const problem = await problemOf(file, said)
          if (problem !== null) problems.push(`${kind} ${when} ${error}: ${problem}`)
        }
      }
      await Promise.all([work(), work()])
      process.stdout.write(`${kind}: ${faults.length} failures of ${count} calls, told of ${told}\n`)
      assert.deepEqual(problems, [])
      assert.ok(told > 0 || kind === 'ftruncate', 'nobody was told of any failure')
    },
  )
