/** bench start: how soon a daemon takes work, and what it costs while there is nothing it may do, with an empty queue and with a long one. */
import { registerRepository } from '../src/command/register.ts'
import { isRefusal } from '../src/core/refusal.ts'
import type { TaskAdded } from '../src/core/event.ts'
import { append } from '../src/store/append.ts'
import { bundle, person, world, type Person } from '../test/cli-rig.ts'
import { childrenCpuMs, cpuMsOf, median, rssMbOf, timeOf, type Bench, type Row } from './measure.ts'
import { configure, freePort, startUp } from './rig.ts'

/** numbers.md: seconds to ready, megabytes and per cent of a core while idle. */
const readyMs = 250
const idleMb = 90
const idlePercent = 0.2
const starts = 11
const queued = 100_000
const batchSize = 2000
/** After its start a daemon is left alone for so long, and then watched for so long. */
const calmMs = 3000
const windowMs = 30_000
const lookMs = 1000

export const benchStart: Bench = async (note) => {
  await using built = await bundle()
  await using ada = await person(built.program)
  const port = await freePort()
  const agent = [process.execPath, built.program.replace(/main\.js$/, 'scripted-agent.js')]
  // a day without money: every task is ready and none may start, which is the dearest way to wait
  await configure(ada, { agent, url: 'http://127.0.0.1:9', port, more: 'money: { day: $0 }' })
  const up = () => startUp(built.program, ada, port)
  const rows = [...(await measureStarts(up, ada, note))]
  note(`idle with an empty queue: ${calmMs / 1000} s calm, ${windowMs / 1000} s watched`)
  rows.push(...(await measureIdle(up, 'idle, empty queue')))
  note(`filling the queue with ${queued} tasks`)
  await fill(ada)
  note(`idle with ${queued} queued: ${calmMs / 1000} s calm, ${windowMs / 1000} s watched`)
  const long = `${queued.toLocaleString('en')} queued`
  rows.push(...(await measureIdle(up, `idle, ${long}`)))
  rows.push(...(await measureFull(up, built.program, ada, long)))
  return rows
}

type StartUp = () => ReturnType<typeof startUp>

async function measureStarts(up: StartUp, ada: Person, note: (text: string) => void): Promise<Row[]> {
  let first: number
  {
    await using daemon = await up()
    first = daemon.readyMs
  }
  note(`${starts} starts`)
  const bare: number[] = []
  const ready: number[] = []
  for (let n = 0; n < starts; n++) {
    bare.push(await timeOf(['-e', '0'], { HOME: ada.home, PATH: ada.path }, ada.home))
    await using daemon = await up()
    ready.push(daemon.readyMs)
  }
  const baseline = median(bare)
  return [
    { what: 'up to /readyz, first start ever', unit: 'ms', measured: first, baseline, target: null },
    { what: 'up to /readyz', unit: 'ms', measured: median(ready), baseline, target: readyMs },
  ]
}

async function measureIdle(up: StartUp, what: string): Promise<Row[]> {
  await using daemon = await up()
  await world.timer.sleep(calmMs)
  const began = world.clock.mono()
  const before = cpuMsOf(daemon.pid)
  const rss: number[] = []
  while (world.clock.mono() - began < windowMs) {
    await world.timer.sleep(lookMs)
    rss.push(rssMbOf(daemon.pid))
  }
  const percent = ((cpuMsOf(daemon.pid) - before) / (world.clock.mono() - began)) * 100
  return [
    { what: `${what}: RSS`, unit: 'MB', measured: Math.max(...rss), baseline: null, target: idleMb },
    { what: `${what}: CPU`, unit: '%', measured: percent, baseline: null, target: idlePercent },
  ]
}

/** With a long queue: the start, and the screen a person asks for. */
async function measureFull(up: StartUp, program: string, ada: Person, long: string): Promise<Row[]> {
  const env = { HOME: ada.home, PATH: ada.path }
  const ready: number[] = []
  const cpu: number[] = []
  for (let n = 0; n < 5; n++) {
    await using daemon = await up()
    ready.push(daemon.readyMs)
    const before = childrenCpuMs()
    await timeOf([program, 'status'], env, ada.repository)
    cpu.push(childrenCpuMs() - before)
  }
  return [
    { what: `up to /readyz, ${long}`, unit: 'ms', measured: median(ready), baseline: null, target: readyMs },
    { what: `status, CPU, ${long}`, unit: 'ms', measured: median(cpu), baseline: null, target: null },
  ]
}

/** Queues tasks as `add` does, many to a transaction. */
async function fill(ada: Person): Promise<void> {
  await ada.withDatabase(async (database) => {
    const repo = await registerRepository(
      { database, world, actor: 'person:bench' },
      { path: ada.repository, name: 'shop', base: 'main' },
    )
    if (isRefusal(repo)) throw new Error(repo.why)
    for (let done = 0; done < queued; done += batchSize)
      await database.write(async (tx) => {
        for (let n = done; n < done + batchSize; n++) {
          const task = world.id('task')
          const event: TaskAdded = {
            type: 'task.added',
            task,
            repo: repo.id,
            title: `Sell article ${n}`,
            text: 'The shop must sell it. '.repeat(20),
            kind: 'feature',
            lane: n % 100 === 0 ? 'critical' : n % 3 === 0 ? 'background' : 'normal',
            size: n % 5 === 0 ? 'medium' : 'small',
            tags: [],
            after: [],
            acceptance: ['it is sold'],
            budgetNanoUsd: null,
            parent: null,
            depth: 0,
            root: task,
            ref: null,
          }
          await append(tx, { at: world.clock.now(), actor: 'person:bench', stream: `task/${task}`, events: [event] })
        }
      })
  })
}
