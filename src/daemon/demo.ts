/**
 * The demo: the whole product on a scratch repository. Simulated models, and said so; real processes, sandbox, gateway, git, database.
 * It succeeds only when every task landed and the repository's own tests pass on the landed branch.
 */
import { mkdir, writeFile } from 'node:fs/promises'
import { delimiter, dirname, join } from 'node:path'
import { demoFiles } from '../../sim/demo-repository.ts'
import { demoScenario, demoTasks, overspendScenario, overspendTasks, type DemoTask } from '../../sim/demo-scenario.ts'
import { startProvider } from '../../sim/provider.ts'
import { addTask } from '../command/add.ts'
import { registerRepository } from '../command/register.ts'
import { isRefusal } from '../core/refusal.ts'
import { defaultSettings, type OperatorSettings } from '../core/setting.ts'
import type { Task } from '../core/task.ts'
import { Fault } from '../host/fault.ts'
import { findPaths, makeFolders, type Env, type Paths } from '../host/path.ts'
import { capture } from '../host/process.ts'
import { programVersion } from '../host/version.ts'
import { realWorld, type World } from '../host/world.ts'
import { removeTree } from '../sandbox/area.ts'
import { startDaemon, type RunningDaemon } from './daemon.ts'
import { reportDemo } from './demo-report.ts'
import { showProgress } from './demo-progress.ts'
import { scriptedProgram } from './scripted.ts'

export type DemoOptions = {
  env: Env
  json: boolean
  out: (text: string) => void
  isTerminal: boolean
  columns: number
  scenario?: 'overspend'
}

const plays = {
  usual: { tasks: demoTasks, scenario: demoScenario, about: '' },
  overspend: {
    tasks: overspendTasks,
    scenario: overspendScenario,
    about: [
      'A dollar a minute may be spent, three at once. This provider bills far more than the gateway',
      'could hold money for. Watch what happens then: the breaker trips and ends what spends, the task',
      'is parked with its work, nothing is asked for a minute, and both go on. About 90 seconds.\n\n',
    ].join('\n'),
  },
} as const

/** After this a demo has hung, whatever it says. */
const longestMs = 180_000

/** Its repository is of TypeScript, which only a Node like ours reads: an older one may be the first on PATH. */
const withOwnNode = (env: Env): Env => ({
  ...env,
  PATH: [dirname(process.execPath), env['PATH'] ?? '/usr/bin:/bin'].join(delimiter),
})

/** Plays the demo; answers the exit code. */
export async function demo(asked: DemoOptions): Promise<number> {
  const world = realWorld()
  const options = { ...asked, env: withOwnNode(asked.env) }
  const folder = demoFolder(options.env)
  const play = plays[options.scenario ?? 'usual']
  const began = world.clock.mono()
  const say = options.json ? () => {} : options.out
  say('Making a small TypeScript repository with a failing test and missing features…\n')
  await removeTree(folder) // the set-up layers in it are sealed
  const env = demoEnv(options.env, folder)
  const paths = findPaths(env)
  await makeFolders(paths)
  const repository = join(folder, 'repository')
  await makeRepository(world, repository, options.env)
  await using provider = await startProvider({ world, scenario: play.scenario })
  const settings = demoSettings(provider.url)
  await writeConfig(paths, settings)
  const started = await startDaemon({
    world,
    paths,
    settings,
    env: options.env,
    version: programVersion(),
    pid: process.pid,
    trusted: true,
  })
  if (isRefusal(started)) throw new Fault(started.refused, started.why, started.hint ? { hint: started.hint } : {})
  let tasks: Task[]
  {
    await using running = started
    say(
      `Sandbox rung: ${running.rung}. Models: simulated, by a provider on loopback.\nAgents, sandbox, gateway and git are real processes.\n\n`,
    )
    say(play.about)
    const ids = await queueTasks(running, world, repository, play.tasks)
    tasks = await showProgress({
      running,
      world,
      ids,
      say,
      deadlineMs: longestMs,
      isTerminal: options.isTerminal && !options.json,
      columns: options.columns,
    })
  }
  const seconds = (world.clock.mono() - began) / 1000
  return reportDemo({
    world,
    tasks,
    paths,
    repository,
    folder,
    seconds,
    rung: started.rung,
    env: options.env,
    json: options.json,
    out: options.out,
  })
}

const demoFolder = (env: Env): string => {
  const home = env['HOME'] ?? '/tmp'
  return join(env['XDG_CACHE_HOME'] || join(home, '.cache'), 'tri-agent', 'demo')
}

/** Where the demo keeps its own state, so that nothing of the user's is touched. */
const demoEnv = (env: Env, folder: string): Env => ({
  ...env,
  XDG_STATE_HOME: join(folder, 'state'),
  XDG_CONFIG_HOME: join(folder, 'config'),
})

async function makeRepository(world: World, folder: string, env: Env): Promise<void> {
  for (const [path, text] of Object.entries(demoFiles)) {
    await mkdir(dirname(join(folder, path)), { recursive: true })
    await writeFile(join(folder, path), text)
  }
  const git = async (...args: string[]) => {
    const identity = {
      GIT_AUTHOR_NAME: 'Demo',
      GIT_AUTHOR_EMAIL: 'demo@localhost',
      GIT_COMMITTER_NAME: 'Demo',
      GIT_COMMITTER_EMAIL: 'demo@localhost',
    }
    const own = {
      PATH: env['PATH'] ?? '/usr/bin:/bin',
      HOME: folder,
      GIT_CONFIG_NOSYSTEM: '1',
      GIT_CONFIG_GLOBAL: '/dev/null',
      ...identity,
    }
    const done = await capture(world.spawn, { file: 'git', args, cwd: folder, env: own })
    if (done.code !== 0) throw new Fault('demo-repository', `git ${args[0]}: ${done.stderr.trim()}`)
  }
  await git('init', '--quiet', '--initial-branch', 'main')
  await git('add', '--all')
  await git('commit', '--quiet', '--message', 'Read durations')
}

function demoSettings(url: string): OperatorSettings {
  const family = (model: string) => ({
    agent: 'scripted' as const,
    program: scriptedProgram(),
    baseUrl: url,
    keyFrom: { value: 'demo-key-of-no-provider' },
    models: { architect: model, implementer: model, reviewer: model },
  })
  const defaults = defaultSettings(2)
  return {
    ...defaults,
    families: { anthropic: family('claude-opus-5-5'), openai: family('gpt-6-sol'), google: family('gemini-3.8-flash') },
    rung: 'group',
    unattended: true,
    http: { host: '127.0.0.1', port: 0 },
    slots: { ...defaults.slots, implementer: 2, reviewer: 2 },
  }
}

/** So that the other verbs work on the demo's state afterwards. */
async function writeConfig(paths: Paths, settings: OperatorSettings): Promise<void> {
  const families = Object.entries(settings.families).map(
    ([name, { models }]) =>
      `  ${name}:\n    agent: scripted\n    baseUrl: ${settings.families[name]!.baseUrl}\n    keyFrom: { value: demo-key-of-no-provider }\n    models: ${models.implementer}\n`,
  )
  await mkdir(dirname(paths.configFile), { recursive: true, mode: 0o700 })
  await writeFile(
    paths.configFile,
    `# The demo's settings. Its provider is gone; the log and the repository stay.\nrung: group\nunattended: true\nfamilies:\n${families.join('')}`,
    { mode: 0o600 },
  )
}

async function queueTasks(
  { daemon, nudge }: RunningDaemon,
  world: World,
  repository: string,
  tasks: readonly DemoTask[],
): Promise<string[]> {
  const ports = { database: daemon.database, world, actor: 'person:demo' }
  const repo = await registerRepository(ports, { path: repository, name: 'durations', base: 'main' })
  if (isRefusal(repo)) throw new Fault(repo.refused, repo.why)
  const ids: string[] = []
  for (const { after, ...wish } of tasks) {
    const added = await addTask(ports, { ...wish, repo: repo.id, after: after === undefined ? [] : [ids[after]!] })
    if (isRefusal(added)) throw new Fault(added.refused, added.why)
    ids.push(added.id)
  }
  nudge()
  return ids
}
