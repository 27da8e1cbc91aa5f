/**
 * bench latency: from the call that adds a task to the first instruction of its agent, through the daemon, sandboxed, on a repository of 5,000 files;
 * beside it a bare spawn of the same agent. Warm: a clone was made ahead. Cold: the base has just moved, so nothing made ahead fits.
 */
import { existsSync } from 'node:fs'
import { readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { addTask } from '../src/command/add.ts'
import { cancelTask } from '../src/command/cancel.ts'
import { registerRepository } from '../src/command/register.ts'
import { isRefusal } from '../src/core/refusal.ts'
import { nudge } from '../src/host/nudge.ts'
import { capture } from '../src/host/process.ts'
import type { Database } from '../src/store/database.ts'
import { attemptsOf } from '../src/store/task.ts'
import { bundle, person, world, type Person } from '../test/cli-rig.ts'
import { median, type Bench } from './measure.ts'
import { configure, freePort, startUp } from './rig.ts'

/** numbers.md: milliseconds above a bare spawn. */
const aboveMs = 40
const files = 5000
const warmRounds = 15
const coldRounds = 7
const limitMs = 120_000
const lookMs = 5

/** The agent: it says when its first instruction was executed, and that it has nothing to change. */
const agentSource = `const at = performance.timeOrigin + performance.now()
console.log(JSON.stringify({ type: 'text', text: 'first instruction at ' + at }))
console.log(JSON.stringify({ type: 'final', ok: true, text: 'there is nothing to change' }))
`
const now = () => performance.timeOrigin + performance.now()
const momentIn = (text: string): number | null => Number(/first instruction at ([\d.]+)/.exec(text)?.[1] ?? NaN) || null

export const benchLatency: Bench = async (note) => {
  await using built = await bundle()
  await using ada = await person(built.program)
  const agent = join(ada.home, 'agent/agent.mjs')
  await ada.write('../agent/agent.mjs', agentSource)
  note(`a repository of ${files} files`)
  for (let n = 0; n < files; n++)
    await writeFileOf(ada, `src/part-${n % 100}/module-${n}.ts`, `export const part${n} = ${n}\n`.repeat(40))
  await ada.write('tri-agent.yaml', 'gates: []\n')
  await ada.git('add', '--all')
  await ada.git('commit', '--quiet', '--message', 'Fill the shelves')
  const port = await freePort()
  await configure(ada, { agent: [process.execPath, agent], url: 'http://127.0.0.1:9', port })
  return await ada.withDatabase(async (database) => {
    const ports = { database, world, actor: 'person:bench' }
    const repo = await registerRepository(ports, { path: ada.repository, name: 'shop', base: 'main' })
    if (isRefusal(repo)) throw new Error(repo.why)
    await using _daemon = await startUp(built.program, ada, port)
    const measure = () => measureAdd(ada, database, repo.id)
    await measure() // makes the mirror and the first clone ahead
    const bare: number[] = []
    const warm: number[] = []
    const cold: number[] = []
    note(`${warmRounds} × bare and warm`)
    for (let round = 0; round < warmRounds; round++) {
      bare.push(await measureBare(ada, agent))
      await untilWarm(ada)
      warm.push(await measure())
    }
    note(`${coldRounds} × cold`)
    for (let round = 0; round < coldRounds; round++) {
      await untilWarm(ada)
      await ada.write('README.md', `Round ${round}\n`)
      await ada.git('add', '--all')
      await ada.git('commit', '--quiet', '--message', `Round ${round}`)
      cold.push(await measure())
    }
    const baseline = median(bare)
    const unit = 'ms' as const
    return [
      {
        what: "add to the agent's first instruction, warm",
        unit,
        measured: median(warm),
        baseline,
        target: baseline + aboveMs,
      },
      { what: "add to the agent's first instruction, cold", unit, measured: median(cold), baseline, target: null },
    ]
  })
}

async function writeFileOf(ada: Person, path: string, text: string): Promise<void> {
  const folder = join(ada.repository, path, '..')
  if (existsSync(folder)) await writeFile(join(ada.repository, path), text)
  else await ada.write(path, text)
}

/** The same agent, started by hand. */
async function measureBare(ada: Person, agent: string): Promise<number> {
  const began = now()
  const { stdout } = await capture(world.spawn, {
    file: process.execPath,
    args: [agent],
    cwd: ada.home,
    env: { HOME: ada.home, PATH: ada.path },
  })
  return momentIn(stdout)! - began
}

/** Adds a task, wakes the daemon as `add` does, and waits until its first attempt is over; then nothing more of it is wanted. */
async function measureAdd(ada: Person, database: Database, repo: string): Promise<number> {
  const ports = { database, world, actor: 'person:bench' }
  const began = now()
  const task = await addTask(ports, { repo, title: 'Look whether anything is to be done' })
  if (isRefusal(task)) throw new Error(task.why)
  await nudge(ada.paths.socket)
  const attempt = await until('the attempt ends', async () => {
    const [first] = await database.read((reader) => attemptsOf(reader, task.id))
    return first?.state === 'ended' ? first : null
  })
  await cancelTask(ports, task.id, 'measured')
  const text = await readFile(join(ada.paths.transcripts, `${attempt.id}.jsonl`), 'utf8')
  const moment = momentIn(text)
  if (moment === null) throw new Error(`the agent never began: ${attempt.outcome} ${attempt.reason}\n${text}`)
  return moment - began
}

/** A clone made ahead is ready once it knows where its objects are: that is written last. */
async function untilWarm(ada: Person): Promise<void> {
  const folder = join(ada.paths.areas, 'warm')
  await until('a clone is made ahead', async () => {
    const names = existsSync(folder) ? await readdir(folder) : []
    return names.some((name) => existsSync(join(folder, name, '.git/objects/info/alternates'))) || null
  })
}

async function until<T>(what: string, look: () => Promise<T | null>): Promise<T> {
  const began = world.clock.mono()
  for (;;) {
    const found = await look()
    if (found !== null) return found
    if (world.clock.mono() - began > limitMs) throw new Error(`${what}: not within ${limitMs / 1000} s`)
    await world.timer.sleep(lookMs)
  }
}
