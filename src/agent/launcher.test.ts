/** Laws of the launcher, each with a real process: what it prints is heard, and whatever it does, it is gone when `launch` returns. */
import assert from 'node:assert/strict'
import { mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { startTimeOf } from '../host/proc.ts'
import { realWorld } from '../host/world.ts'
import type { AgentEvent, LaunchPlan } from './agent.ts'
import { launch, type LaunchOptions, type StartedProcess } from './launcher.ts'
import { scripted } from './scripted.ts'

const world = realWorld()
let home: string
before(async () => void (home = await mkdtemp(join(tmpdir(), 'tri-agent-launcher-'))))
after(() => rm(home, { recursive: true, force: true }))

const spec = {
  attempt: 'attempt_1',
  role: 'implementer',
  prompt: 'say hello',
  family: 'anthropic',
  model: 'claude-x',
  work: '/work',
  home: '/home/agent',
  tmp: '/tmp',
  gatewayUrl: 'http://127.0.0.1:1',
  key: 'k',
  session: 's',
  access: 'edit',
  contained: true,
} as const

const done = '{"type":"final","ok":true,"text":"done"}'

type Rig = {
  events: AgentEvent[]
  lines: string[]
  pids: number[]
  stops: string[]
  options: LaunchOptions
}

/** Launch options for a program of a few words of JavaScript. */
function rig(program: string, more: Partial<LaunchOptions> = {}): Rig {
  const events: AgentEvent[] = []
  const lines: string[] = []
  const pids: number[] = []
  const stops: string[] = []
  const plan: LaunchPlan = { argv: [process.execPath, '-e', program], env: {}, files: [], stdin: null }
  const options: LaunchOptions = {
    world,
    parser: scripted.parser(spec),
    plan,
    home,
    limits: { lineBytes: 1000, totalBytes: 100_000, graceMs: 10_000 },
    signal: new AbortController().signal,
    onEvent: (event) => events.push(event),
    onOutput: (stream, line, isCut) => lines.push(`${stream} ${line}${isCut ? ' (cut)' : ''}`),
    async start({ argv, env, stdin }): Promise<StartedProcess> {
      const [file = '', ...args] = argv
      const child = await world.spawn({ file, args, cwd: home, env, stdin })
      pids.push(child.pid)
      return {
        ...child,
        stop(signal) {
          stops.push(signal)
          child.signal(signal)
        },
        async kill() {
          child.signal('SIGKILL')
          await child.exit
          return { method: 'test', survivors: startTimeOf(child.pid) === null ? 0 : 1, ms: 0 }
        },
      }
    },
    ...more,
  }
  return { events, lines, pids, stops, options }
}

const gone = { method: 'test', survivors: 0, ms: 0 }
const printing = (text: string) => `process.stdout.write(${JSON.stringify(text)})`
const waiting = 'setInterval(() => {}, 1000)'

test('every line reaches the transcript and the parser, of both streams, and the end is the whole story', async () => {
  const { options, lines, events } = rig(
    `${printing(`{"type":"text","text":"grüß dich"}\n${done}\n`)}; process.stderr.write('hm\\n')`,
  )
  assert.deepEqual(await launch(options), {
    outcome: 'passed',
    reason: 'said it is done',
    text: 'done',
    session: null,
    tokens: { input: 0, cachedInput: 0, cacheWrite: 0, output: 0 },
    exit: { code: 0, signal: null },
    killed: gone,
    lines: 3,
    bytes: 37 + 41 + 3,
  })
  assert.deepEqual(
    lines.filter((each) => each.startsWith('stdout')),
    [`stdout {"type":"text","text":"grüß dich"}`, `stdout ${done}`],
  )
  assert.deepEqual(
    lines.filter((each) => !each.startsWith('stdout')),
    ['stderr hm'],
  )
  assert.deepEqual(events.map(({ type }) => type).toSorted(), ['final', 'text', 'warning'])
})

test('garbage is heard as unknown events and ends unreadable', async () => {
  const { options, events } = rig(printing('\u0000{"half\n[]\n'))
  const { outcome, exit } = await launch(options)
  assert.deepEqual(
    { outcome, exit, events: events.map(({ type }) => type) },
    {
      outcome: 'unreadable',
      exit: { code: 0, signal: null },
      events: ['unknown', 'unknown'],
    },
  )
})

test('a line beyond its cap is cut and reported, and the end is still read', async () => {
  const { options, events, lines } = rig(printing(`${'x'.repeat(1001)}\n${done}\n`))
  const { outcome } = await launch(options)
  assert.equal(outcome, 'passed')
  assert.equal(lines[0], `stdout ${'x'.repeat(1000)} (cut)`)
  assert.deepEqual(events[0], { type: 'warning', text: 'a line longer than 1000 bytes was cut' })
})

for (const [name, endless] of [
  ['of lines', 'for (;;) require("fs").writeSync(1, "flood\\n".repeat(1000))'],
  ['without a newline', 'for (;;) require("fs").writeSync(1, "flood".repeat(1000))'],
] as const)
  test(`a flood ${name} is ended at once, and its rest is not passed on`, async () => {
    const { options, lines, pids } = rig(endless)
    const { outcome, reason, exit, killed } = await launch(options)
    assert.deepEqual(
      { outcome, reason, exit, killed },
      {
        outcome: 'failed',
        reason: 'a flood: it printed more than 100000 bytes',
        exit: { code: null, signal: 'SIGKILL' },
        killed: gone,
      },
    )
    const passedOn = lines.reduce((sum, line) => sum + line.length - 'stdout '.length + 1, 0)
    assert.ok(passedOn <= 100_000, `${passedOn} bytes were passed on`)
    assert.equal(startTimeOf(pids[0]!), null)
  })

test('one that hangs is asked politely, and the reason of the stop is the outcome', async () => {
  const stop = new AbortController()
  const { options, stops } = rig(`${printing('{"type":"text","text":"x"}\n')}; ${waiting}`, {
    signal: stop.signal,
    onEvent: () => stop.abort('stalled'),
  })
  const { outcome, exit, killed } = await launch(options)
  assert.deepEqual(
    { outcome, exit, killed, stops },
    {
      outcome: 'stalled',
      exit: { code: null, signal: 'SIGTERM' },
      killed: gone,
      stops: ['SIGTERM'],
    },
  )
})

test('one that ignores TERM is killed after the grace', async () => {
  const stop = new AbortController()
  const { options } = rig(`process.on('SIGTERM', () => {}); ${printing('{"type":"text","text":"x"}\n')}; ${waiting}`, {
    signal: stop.signal,
    limits: { lineBytes: 1000, totalBytes: 100_000, graceMs: 30 },
    onEvent: () => stop.abort('timed-out'),
  })
  const { outcome, exit, killed } = await launch(options)
  assert.deepEqual(
    { outcome, exit, killed },
    {
      outcome: 'timed-out',
      exit: { code: null, signal: 'SIGKILL' },
      killed: gone,
    },
  )
})

test('stopped wins over a last word and exit 0; a reason that is no outcome means killed', async () => {
  const stop = new AbortController()
  const program = `process.on('SIGTERM', () => { ${printing(`${done}\n`)}; process.exitCode = 0; clearInterval(t) }); const t = ${waiting}; ${printing('{"type":"text","text":"x"}\n')}`
  const { options } = rig(program, { signal: stop.signal, onEvent: () => stop.abort(new Error('no word')) })
  const { outcome, exit, text } = await launch(options)
  assert.deepEqual({ outcome, exit, text }, { outcome: 'killed', exit: { code: 0, signal: null }, text: 'done' })
})

test('what ended by itself was not stopped, however soon after it is told to', async () => {
  const stop = new AbortController()
  const { options } = rig(`console.log('${done}')`, { signal: stop.signal })
  const { outcome, text } = await launch({
    ...options,
    async start(plan) {
      const started = await options.start(plan)
      const kill = () => {
        stop.abort('killed')
        return started.kill()
      }
      return { ...started, kill }
    },
  })
  assert.deepEqual([outcome, text], ['passed', 'done'])
})

test('what was stopped before it began is never started', async () => {
  const { options, pids } = rig(waiting, { signal: AbortSignal.abort('over-budget') })
  const { outcome, killed, exit } = await launch(options)
  assert.deepEqual(
    { outcome, killed, exit, pids },
    {
      outcome: 'over-budget',
      killed: { method: 'never started', survivors: 0, ms: 0 },
      exit: { code: null, signal: null },
      pids: [],
    },
  )
})

test('when a listener throws, its error comes out and the agent is gone', async () => {
  const { options, pids } = rig(`${printing('{"type":"text","text":"x"}\n')}; ${waiting}`, {
    onOutput() {
      throw new Error('the disk is full')
    },
  })
  await assert.rejects(launch(options), /the disk is full/)
  assert.equal(startTimeOf(pids[0]!), null)
})

test('what a plan wants in HOME is there before the start, for its owner only; what lies there already is not overwritten', async () => {
  const { options } = rig(`process.exit(require('fs').readFileSync('.a/b.json', 'utf8') === '{}' ? 7 : 8)`)
  options.plan.files.push({ path: '.a/b.json', text: '{}' })
  assert.equal((await launch(options)).exit.code, 7)
  assert.equal((await stat(join(home, '.a/b.json'))).mode & 0o777, 0o600)
  await writeFile(join(home, '.a/b.json'), 'planted')
  await assert.rejects(launch(options), { code: 'EEXIST' })
  assert.equal(await readFile(join(home, '.a/b.json'), 'utf8'), 'planted')
})

test('a folder of HOME that is a link to elsewhere is not written through', async () => {
  await mkdir(join(home, 'elsewhere'))
  await symlink(join(home, 'elsewhere'), join(home, '.linked'))
  const { options, pids } = rig(waiting)
  options.plan.files.push({ path: '.linked/deeper/b.json', text: '{}' })
  await assert.rejects(launch(options), { code: 'home-unsafe' })
  assert.deepEqual({ written: await readdir(join(home, 'elsewhere')), pids }, { written: [], pids: [] })
})
