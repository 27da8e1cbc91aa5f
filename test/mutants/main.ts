/**
 * Mutants: the program with one thing wrong, each in a throw-away copy of the tree, each to be killed by the test file it names. A test suite in which
 * one survives does not test what it says.
 *
 *     copies ─▶ every named test file green without a mutant ─▶ one mutant at a time per copy: write it, start its test, put it right ─▶ N of N
 *
 * usage: npm run mutants [-- --only NAME]
 */
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync, existsSync, mkdirSync } from 'node:fs'
import { stripTypeScriptTypes } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { environment } from '../../src/host/environment.ts'
import { capture } from '../../src/host/process.ts'
import { realWorld } from '../../src/host/world.ts'
import { mutants, mutate, type Mutant } from './mutant.ts'

const root = join(import.meta.dirname, '../..')
const world = realWorld()
const workers = 2
/** A mutant may make a test hang; that is as good as a failure, and must not take for ever. */
const hangMs = 60_000

type Verdict = { ended: 'green' | 'red' | 'hung'; tests: number; seconds: number; said: string }
type Copy = { folder: string; home: string }

function makeCopy(parent: string, name: string): Copy {
  const folder = join(parent, name)
  mkdirSync(folder)
  for (const each of ['src', 'sim', 'test', 'package.json', 'tsconfig.json'])
    cpSync(join(root, each), join(folder, each), { recursive: true })
  symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'))
  symlinkSync(join(root, 'tools'), join(folder, 'tools'))
  const home = join(parent, `${name}-home`)
  mkdirSync(home)
  return { folder, home }
}

async function start({ folder, home }: Copy, test: string): Promise<Verdict> {
  const began = world.clock.mono()
  const child = capture(world.spawn, {
    file: process.execPath,
    args: ['--test', '--test-reporter=tap', `--test-timeout=${hangMs}`, test],
    cwd: folder,
    env: { PATH: environment()['PATH'] ?? '/usr/bin:/bin', HOME: home, TMPDIR: home, LANG: 'C.UTF-8' },
  })
  const { code, stdout } = await child
  const tests = Number(/^# tests (\d+)$/m.exec(stdout)?.[1] ?? 0)
  const ended = code === 0 ? 'green' : /# cancelled [1-9]/.test(stdout) ? 'hung' : 'red'
  return { ended, tests, seconds: (world.clock.mono() - began) / 1000, said: stdout }
}

/** Works through `jobs` on all copies; each job has a copy for itself. */
async function share<T>(copies: readonly Copy[], jobs: readonly T[], work: (copy: Copy, job: T) => Promise<void>) {
  const waiting = [...jobs]
  await Promise.all(
    copies.map(async (copy) => {
      for (let job = waiting.shift(); job !== undefined; job = waiting.shift()) await work(copy, job)
    }),
  )
}

async function judge(copy: Copy, mutant: Mutant, healthy: ReadonlyMap<string, Verdict>): Promise<string | null> {
  const mutated = mutate(root, mutant)
  if ('wrong' in mutated) return mutated.wrong
  if (mutant.file.endsWith('.ts')) stripTypeScriptTypes(mutated.text) // throws: it is no program
  const place = join(copy.folder, mutant.file)
  const before = readFileSync(place, 'utf8')
  writeFileSync(place, mutated.text)
  const { ended, tests, seconds } = await start(copy, mutant.test)
  writeFileSync(place, before)
  const usual = healthy.get(mutant.test)!
  if (ended === 'green') return `survived ${mutant.test}`
  if (ended === 'red' && tests < usual.tests / 2) return `${mutant.test} did not even begin: that kills nothing`
  process.stdout.write(`killed    ${mutant.name} (${mutant.test}, ${seconds.toFixed(1)} s)\n`)
  return null
}

async function main(args: readonly string[]): Promise<number> {
  const only = args[0] === '--only' ? args[1] : null
  if (args.length > 0 && only === null) {
    process.stderr.write('usage: npm run mutants [-- --only NAME]\n')
    return 2
  }
  const chosen = mutants.filter(({ name }) => only == null || name === only)
  if (chosen.length === 0) {
    process.stderr.write(
      `no mutant is called ${only}; there are:\n${mutants.map(({ name }) => `  ${name}\n`).join('')}`,
    )
    return 2
  }
  const parent = mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'tri-mutants-'))
  try {
    const copies = Array.from({ length: workers }, (_, n) => makeCopy(parent, `copy-${n}`))
    const healthy = new Map<string, Verdict>()
    await share(copies, [...new Set(chosen.map(({ test }) => test))], async (copy, test) => {
      healthy.set(test, await start(copy, test))
    })
    const ill = [...healthy].filter(([, { ended }]) => ended !== 'green')
    for (const [test, { said }] of ill) process.stdout.write(`${test} is not green without a mutant:\n${said}\n`)
    if (ill.length > 0) return 1
    const failed: string[] = []
    await share(copies, chosen, async (copy, mutant) => {
      const why = await judge(copy, mutant, healthy)
      if (why === null) return
      failed.push(mutant.name)
      process.stdout.write(`NOT KILLED ${mutant.name}: ${why}\n`)
    })
    const killed = chosen.length - failed.length
    process.stdout.write(`${killed} of ${chosen.length} mutants killed\n${killed} passed, ${failed.length} failed\n`)
    return failed.length === 0 ? 0 : 1
  } finally {
    rmSync(parent, { recursive: true, force: true })
  }
}

process.exitCode = await main(process.argv.slice(2))
