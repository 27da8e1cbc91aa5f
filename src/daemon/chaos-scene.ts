/**
 * Where chaos takes place: a scratch machine below one folder. A repository it makes itself, a provider and a proxy that goes wrong on command, settings, and
 * the real program as the daemon, in a process of its own. Nothing of the user's is read or written.
 */
import { mkdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { startFaultProxy, type FaultProxy } from '../../sim/fault-proxy.ts'
import { startProvider } from '../../sim/provider.ts'
import type { Rule } from '../../sim/scenario.ts'
import { addTask } from '../command/add.ts'
import { retryTask } from '../command/decision.ts'
import type { CommandPorts } from '../command/ports.ts'
import { registerRepository } from '../command/register.ts'
import { isRefusal } from '../core/refusal.ts'
import type { Task } from '../core/task.ts'
import { Fault, isFault } from '../host/fault.ts'
import { nudge } from '../host/nudge.ts'
import { findPaths, makeFolders, type Paths } from '../host/path.ts'
import { capture, type Exit } from '../host/process.ts'
import type { World } from '../host/world.ts'
import { openDatabase, type Database } from '../store/database.ts'
import { loadTask } from '../store/task.ts'
import { scriptedProgram } from './scripted.ts'

export type SceneOptions = {
  world: World
  folder: string
  /** Where programs are looked for. */
  path: string
  /** The words after Node that start tri-agent: options of Node, then the program. */
  program: readonly string[]
}

export type Mortal = {
  pid: number
  /** Milliseconds from its start until it said that it serves; null where it ended before. */
  serving: Promise<number | null>
  ended: Promise<Exit>
  isOver(): boolean
  said(): string
}

export type Scene = AsyncDisposable & {
  world: World
  folder: string
  paths: Paths
  env: Record<string, string>
  repository: string
  database: Database
  ports: CommandPorts
  proxy: FaultProxy
  /** Tasks whose `add` was answered, and their titles. */
  acknowledged: Map<string, string>
  /** Has tasks added until so many are not done; on a disk that takes nothing it leaves it at that. */
  keepBusy(tasks: number): Promise<void>
  /** Acknowledged tasks that were not seen done yet. */
  unfinished(): Promise<Task[]>
  /** Has those that were given up tried again, as a person would; answers how many. */
  tryAgain(tasks: readonly Task[]): Promise<number>
  start(): Promise<Mortal>
  git(...args: string[]): Promise<string>
}

export const landingBranch = 'tri-agent/landing'

/** More than any chaos uses up. */
const mostTasks = 3000
const titleOf = (n: number): string => `Sell tea number ${String(n).padStart(4, '0')}`

/** Makes the machine. `folder` is there and empty. */
export async function setScene({ world, folder, path, program }: SceneOptions): Promise<Scene> {
  const env = { HOME: folder, PATH: path, TMPDIR: join(folder, 't'), TZ: 'UTC', LANG: 'C.UTF-8' }
  const paths = findPaths(env)
  const repository = join(folder, 'shop')
  await mkdir(env.TMPDIR, { mode: 0o700 })
  await makeFolders(paths)
  await using stack = new AsyncDisposableStack()
  const provider = stack.use(await startProvider({ world, scenario: { rules: rules() } }))
  const proxy = stack.use(await startFaultProxy(world, provider.url))
  await mkdir(dirname(paths.configFile), { recursive: true, mode: 0o700 })
  await writeFile(paths.configFile, JSON.stringify(configFor(proxy.url)), { mode: 0o600 })
  const git = gitIn(world, repository, env)
  await makeRepository(repository, git)
  const database = openDatabase(paths.database)
  stack.defer(() => database.close())
  const ports = { database, world, actor: 'person:chaos' }
  const repo = await registerRepository(ports, { path: repository, name: 'shop', base: 'main' })
  if (isRefusal(repo)) throw new Fault(repo.refused, repo.why)
  const acknowledged = new Map<string, string>()
  let asked = 0
  const done = new Set<string>()
  const unfinished = async () => {
    const open = await tasksOf(
      database,
      [...acknowledged.keys()].filter((id) => !done.has(id)),
    )
    for (const { id } of open.filter(({ phase }) => phase === 'done')) done.add(id)
    return open.filter(({ id }) => !done.has(id))
  }
  const tryAgain = async (tasks: readonly Task[]) => {
    let retried = 0
    for (const { id } of tasks.filter(({ phase }) => phase === 'escalated'))
      if (!isRefusal(await retryTask(ports, id))) retried += 1
    return retried
  }
  const held = stack.move()
  return {
    world,
    folder,
    paths,
    env,
    repository,
    database,
    ports,
    proxy,
    acknowledged,
    unfinished,
    tryAgain,
    git,
    async keepBusy(wanted) {
      for (let busy = (await unfinished()).length; busy < wanted && asked < mostTasks; busy++) {
        const title = titleOf(asked++)
        const added = await addTask(ports, { repo: repo.id, title, lane: lanes[asked % 3]! }).catch(
          (error: unknown) => {
            if (!isFault(error)) throw error
            return null // not acknowledged, thus promised to nobody
          },
        )
        if (added === null) return
        if (isRefusal(added)) throw new Fault(added.refused, added.why)
        acknowledged.set(added.id, title)
      }
      await nudge(paths.socket)
    },
    start: () => startMortal(world, [...program, 'up', '--trust', '--json'], repository, env),
    [Symbol.asyncDispose]: () => held.disposeAsync(),
  }
}

export const tasksOf = (database: Database, ids: readonly string[]): Promise<Task[]> =>
  database.read(async (reader) => {
    const found: Task[] = []
    for (const id of ids) {
      const task = await loadTask(reader, id)
      if (task) found.push(task)
    }
    return found
  })

const lanes = ['critical', 'normal', 'background'] as const

async function startMortal(
  world: World,
  args: readonly string[],
  cwd: string,
  env: Record<string, string>,
): Promise<Mortal> {
  const began = world.clock.mono()
  const child = await world.spawn({ file: process.execPath, args, cwd, env })
  const serving = Promise.withResolvers<number | null>()
  let said = ''
  let isOver = false
  const hear = (chunk: Buffer) => {
    said = (said + chunk.toString('utf8')).slice(-8192)
    if (said.includes('"up":true')) serving.resolve(world.clock.mono() - began)
  }
  child.stdout.on('data', hear)
  child.stderr.on('data', hear)
  const ended = child.exit.then((exit) => {
    isOver = true
    serving.resolve(null)
    return exit
  })
  return { pid: child.pid, serving: serving.promise, ended, isOver: () => isOver, said: () => said }
}

/** Implementers write one file each and take a moment; every fifth leaves a daemon of its own behind. Reviewers have read it and found nothing. */
function rules(): Rule[] {
  const nothingWrong = { summary: 'Read the change against the task: it does what is asked.', findings: [] }
  const implementers = Array.from({ length: mostTasks }, (_, n): Rule => ({
    when: ['# Implement', titleOf(n)],
    steps: [
      { write: { path: `tea/${n}.txt`, content: `${titleOf(n)}\n` } },
      n % 5 === 4 ? { misbehave: 'double-fork' } : { shell: 'sleep 0.3' },
      { say: `Wrote tea/${n}.txt.` },
    ],
  }))
  return [...implementers, { when: ['# Review'], steps: [{ json: nothingWrong }] }]
}

function configFor(baseUrl: string): object {
  const family = (models: string) => ({
    agent: 'scripted',
    program: scriptedProgram(),
    baseUrl,
    keyFrom: { value: 'key-of-no-provider' },
    models,
  })
  return {
    rung: 'group', // the lowest accepted: the highest that this machine has is taken
    unattended: true,
    http: { port: 0 },
    slots: { implementer: 2, reviewer: 2, architect: 1, gate: 2 },
    lease: { beat: '1s', lease: '4s' },
    patience: { small: '10s' },
    drain: { critical: '1s', normal: '300ms', background: '0s' },
    retry: { first: '50ms', cap: '200ms' },
    families: { anthropic: family('claude-opus-5-5'), openai: family('gpt-6-sol'), google: family('gemini-3.8-flash') },
  }
}

const repositoryFiles: Readonly<Record<string, string>> = {
  'README.md': '# Shop\n\nSells tea.\n',
  'deps.lock': '1\n',
  'test.sh': 'test -e deps/made.txt && echo "1 test passed"\n',
  'tri-agent.yaml': `${JSON.stringify({
    setup: ['mkdir -p deps && echo made > deps/made.txt'],
    setupKey: ['deps.lock'],
    gates: [{ name: 'test', command: 'sh test.sh' }],
  })}\n`,
}

async function makeRepository(folder: string, git: Scene['git']): Promise<void> {
  await mkdir(folder)
  for (const [name, text] of Object.entries(repositoryFiles)) await writeFile(join(folder, name), text)
  await git('init', '--quiet', '--initial-branch', 'main')
  await git('add', '--all')
  await git('commit', '--quiet', '--message', 'Open the shop')
}

function gitIn(world: World, cwd: string, env: Record<string, string>): Scene['git'] {
  const who = { NAME: 'Chaos', EMAIL: 'chaos@localhost' }
  const identity = ['AUTHOR', 'COMMITTER'].flatMap((role) =>
    Object.entries(who).map(([key, value]) => [`GIT_${role}_${key}`, value]),
  )
  const own = { ...env, GIT_CONFIG_NOSYSTEM: '1', ...(Object.fromEntries(identity) as Record<string, string>) }
  return async (...args) => {
    const done = await capture(world.spawn, { file: 'git', args, cwd, env: own })
    if (done.code !== 0) throw new Fault('chaos-repository', `git ${args[0]}: ${done.stderr.trim()}`)
    return done.stdout.trim()
  }
}
