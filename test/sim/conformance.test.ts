/** Models and the real things under the same laws: git on scratch repositories, the sandbox this machine has, the scripted agent as a program. */
import assert from 'node:assert/strict'
import fs from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import type { AgentEnd, AgentSpec } from '../../src/agent/agent.ts'
import { scripted } from '../../src/agent/scripted.ts'
import { makeScratch } from '../../src/git/fixture.ts'
import { isAlive, bootId } from '../../src/host/proc.ts'
import { capture, spawnProcess } from '../../src/host/process.ts'
import { realWorld } from '../../src/host/world.ts'
import { makeArea } from '../../src/sandbox/area.ts'
import { shell, standOn } from '../../src/sandbox/fixture.ts'
import type { Area, Box } from '../../src/sandbox/sandbox.ts'
import { startProvider } from '../../sim/provider.ts'
import type { Step } from '../../sim/scenario.ts'
import { virtualWorld } from '../../sim/world.ts'
import {
  agentConforms,
  gitConforms,
  sandboxConforms,
  type Deed,
  type GitRig,
  type Law,
  type SandboxRig,
  type Trial,
} from './conformance.ts'
import { modelGit } from './git.ts'
import { beginLife } from './life.ts'
import { modelSandbox, newMachine, type Machine, type Program, type Self } from './machine.ts'
import { agent } from './program.ts'

const root = await mkdtemp(join(tmpdir(), 'tri-agent-models-'))
after(() => rm(root, { recursive: true, force: true }))

const laws =
  (name: string, skip: string | false = false): Law =>
  (says, hold) =>
    test(`${name}: ${says}`, { timeout: 60_000, skip }, hold)

let places = 0
const place = (name: string): string => join(root, `${name}-${(places += 1)}`)
const files = {
  write: (file: string, text: string) => fs.writeFileSync(file, text),
  read: (file: string) => fs.readFileSync(file, 'utf8'),
}

async function modelledGit(): Promise<GitRig> {
  const model = modelGit()
  const stores = { source: '/r', mirror: '/m', quarantine: '/q' }
  const start = model.init('/r', { 'a.txt': 'one\n', 'b.txt': 'one\n' }, 0)
  return {
    git: model.git,
    stores,
    start,
    place,
    ...files,
    commit: async (branch, changed) => model.commit('/r', branch, changed, 'By hand', 0),
    checkOut: async (name) => model.checkOut('/r', name),
    async attempt(commit, changed) {
      const [work, out] = [place('work'), place('out')]
      await model.git.clone(stores, commit, work, null)
      fs.mkdirSync(out)
      for (const [path, text] of Object.entries(changed)) fs.writeFileSync(join(work, path), text)
      model.handOff(work, out, commit)
      return join(out, 'task.bundle')
    },
    [Symbol.asyncDispose]: async () => {},
  }
}

async function realGit(): Promise<GitRig> {
  const scratch = await makeScratch()
  const { source } = scratch.stores
  await scratch.type(source, ['rm', '-q', '-r', '.'])
  await scratch.type(source, ['checkout', '-q', '--orphan', 'fresh'])
  const start = await scratch.commit(source, { 'a.txt': 'one\n', 'b.txt': 'one\n' })
  await scratch.type(source, ['branch', '-q', '-M', 'main'])
  return {
    git: scratch.git,
    stores: scratch.stores,
    start,
    place: scratch.place,
    ...files,
    commit: (_branch, changed) => scratch.commit(source, changed),
    checkOut: async (name) => void (await scratch.type(source, ['checkout', '-q', name])),
    attempt: (commit, changed) => scratch.attempt(commit, (dir) => scratch.commit(dir, changed)),
    [Symbol.asyncDispose]: () => scratch[Symbol.asyncDispose](),
  }
}

gitConforms(laws('git, modelled'), modelledGit)
gitConforms(laws('git'), realGit)

const machineWith = (programs: (box: Box) => Program, isCalm = true): Machine => ({
  ...newMachine(virtualWorld(), 1, modelGit()),
  isCalm,
  programs,
})

const areaOf = (folder: string): Area => ({
  root: folder,
  work: join(folder, 'work'),
  home: join(folder, 'home'),
  out: join(folder, 'out'),
  tmp: join(folder, 'tmp'),
})

async function modelledSandbox(): Promise<SandboxRig> {
  const area = areaOf(place('area'))
  fs.mkdirSync(area.work, { recursive: true })
  const mark = join(area.work, 'mark')
  const deeds: Record<Deed, Program> = {
    'says hello and ends with 3': async ({ say }) => {
      say('hello')
      return 3
    },
    sleeps: async ({ sleep }) => sleep(100_000).then(() => 0),
    'sleeps and ignores SIGTERM': async ({ sleep, ignoreTerm }) => {
      ignoreTerm()
      return sleep(100_000).then(() => 0)
    },
    'leaves a mark': async () => {
      fs.writeFileSync(mark, '')
      return 0
    },
  }
  const machine = machineWith(({ argv }) => deeds[argv[0] as Deed])
  const life = beginLife(machine, 1, { died: () => {}, broke: (error) => assert.fail(error as Error) })
  const sandbox = modelSandbox(machine, life)
  return {
    start: (deed, born) => sandbox.start({ area, argv: [deed], env: {}, stdin: null, mounts: [], gateway: null }, born),
    pass: (ms) => machine.world.advance(ms),
    isAlive: ({ pid }) => machine.processes.has(pid),
    hasMark: () => fs.existsSync(mark),
    [Symbol.asyncDispose]: async () => {},
  }
}

const scripts: Record<Deed, string> = {
  'says hello and ends with 3': 'echo hello; exit 3',
  sleeps: 'exec sleep 100',
  'sleeps and ignores SIGTERM': "trap '' TERM; echo deaf; sleep 100 & wait; while :; do sleep 100; done",
  'leaves a mark': 'touch mark',
}

/** The one the model stands for: the lower rungs tell the end of a program in other words, and hold no program back until it is written down. */
const rung = await standOn('namespace', root)

async function realSandbox(): Promise<SandboxRig> {
  if (typeof rung === 'string') throw new Error(rung)
  const area = await makeArea(place('area'))
  fs.mkdirSync(area.work)
  return {
    start: (deed, born) => rung.start(shell(area, scripts[deed]), born),
    pass: (ms) => pause(ms),
    isAlive: ({ pid, startTime }) => isAlive({ bootId: bootId(), pid, startTime }),
    hasMark: () => fs.existsSync(join(area.work, 'mark')),
    [Symbol.asyncDispose]: async () => {},
  }
}

sandboxConforms(laws('sandbox, modelled'), modelledSandbox)
sandboxConforms(laws('sandbox', typeof rung === 'string' && rung), realSandbox)

const spec: AgentSpec = {
  attempt: 'att_1',
  role: 'implementer',
  prompt: '# Implement\n\nTask: the task\n\nnone: this is the first\n',
  family: 'anthropic',
  model: 'claude-opus-5-5',
  work: '/work',
  home: '/home/agent',
  tmp: '/tmp',
  gatewayUrl: 'http://127.0.0.1:1',
  key: 'vk-1',
  session: 's-1',
  access: 'edit',
  contained: true,
}

function endOf(lines: readonly string[], exit: { code: number | null; signal: string | null }): AgentEnd {
  const parser = scripted.parser(spec)
  for (const line of lines) parser.push('stdout', line)
  return parser.end(exit)
}

const answers: Partial<Record<Trial, number>> = {
  'is told 429 for good': 429,
  'is told 500 for good': 500,
  'is told 401': 401,
}
const tempers = { 'answers and ends': 'honest', 'ends without a last word': 'mute', crashes: 'crashes' } as const

async function modelledAgent(trial: Trial): Promise<AgentEnd> {
  const plan = scripted.plan(spec, ['/opt/agent/agent'])
  const area = areaOf(place('area'))
  fs.mkdirSync(join(area.work, 'src'), { recursive: true })
  const lines: string[] = []
  const self: Self = {
    box: { area, argv: plan.argv, env: plan.env, stdin: plan.stdin, mounts: [], gateway: null },
    attempt: 'att_1',
    say: (line) => void lines.push(line),
    sleep: async () => {},
    ask: async ({ input, output }) => ({ status: answers[trial] ?? 200, input, output }),
    ignoreTerm: () => {},
  }
  const machine = machineWith(() => (each) => agent(machine, each))
  const temper = trial in tempers ? tempers[trial as keyof typeof tempers] : 'honest'
  const code = await agent(machine, self, temper)
  return endOf(lines, { code, signal: null })
}

const misbehave = (kind: 'garbage' | 'crash'): Step[] => [{ misbehave: kind }, { say: 'never said' }]
const steps: Record<Trial, Step[]> = {
  'answers and ends': [{ say: 'Done.' }],
  'ends without a last word': misbehave('garbage'),
  crashes: misbehave('crash'),
  'is told 429 for good': [{ fault: { status: 429, times: 99 } }, { say: 'never' }],
  'is told 500 for good': [{ fault: { status: 500, times: 99 } }, { say: 'never' }],
  'is told 401': [{ fault: { status: 401, times: 99 } }, { say: 'never' }],
}

async function realAgent(trial: Trial): Promise<AgentEnd> {
  const rules = [{ when: ['the task'], steps: steps[trial] }]
  await using provider = await startProvider({ world: realWorld(), scenario: { rules }, keys: ['vk-1'] })
  const program = fileURLToPath(new URL('../../sim/scripted-agent.ts', import.meta.url))
  const plan = scripted.plan({ ...spec, gatewayUrl: `${provider.url}/a/b` }, [process.execPath, program])
  const [file = '', ...args] = plan.argv
  const cwd = place('tree')
  fs.mkdirSync(cwd)
  const env = { PATH: '/usr/local/bin:/usr/bin:/bin', ...plan.env }
  const { stdout, code, signal } = await capture(spawnProcess, { file, args, cwd, env, stdin: plan.stdin })
  return endOf(stdout.split('\n').filter(Boolean), { code, signal })
}

agentConforms(laws('agent, modelled'), modelledAgent)
agentConforms(laws('agent'), realAgent)
