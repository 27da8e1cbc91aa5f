/**
 * Plays it: a repository, the loopback provider, a daemon as `up` starts one, a task for each client; then gathers what there is to prove anything by.
 * Everything is real but the models. What is gathered is read from five places that do not know each other: the provider, the log, the ledger, git, /proc.
 */
import { mkdir, mkdtemp, readdir, realpath, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { startProvider } from '../../sim/provider.ts'
import type { RequestRecord } from '../../sim/record.ts'
import { addTask } from '../../src/command/add.ts'
import { raiseTaskBudget } from '../../src/command/budget.ts'
import { registerRepository } from '../../src/command/register.ts'
import type { LoggedEvent } from '../../src/core/event.ts'
import { isRefusal, type Refusal } from '../../src/core/refusal.ts'
import type { Rung } from '../../src/core/rung.ts'
import type { Task } from '../../src/core/task.ts'
import { startDaemon, type RunningDaemon } from '../../src/daemon/daemon.ts'
import { showProgress } from '../../src/daemon/demo-progress.ts'
import { machinePorts, type DaemonPorts } from '../../src/daemon/ports.ts'
import { verifyHistory } from '../../src/daemon/verify.ts'
import { createGateway } from '../../src/gateway/gateway.ts'
import { loadConfig } from '../../src/host/config.ts'
import { findPaths, makeFolders, type Paths } from '../../src/host/path.ts'
import { capture } from '../../src/host/process.ts'
import { readTranscript, type TranscriptLine } from '../../src/host/transcript.ts'
import { programVersion } from '../../src/host/version.ts'
import type { World } from '../../src/host/world.ts'
import { removeTree } from '../../src/sandbox/area.ts'
import { totalsBy, type Total } from '../../src/store/account.ts'
import { readLog } from '../../src/store/log.ts'
import { parkedAnywhere } from '../../src/store/task.ts'
import type { Client } from './cast.ts'
import { mayStillSee, namesOfInterfaces } from './machine.ts'
import {
  keyOf,
  keyVariable,
  raisedNanoUsd,
  repositoryFiles,
  settingsText,
  storyOf,
  wishesOf,
  type Place,
  type Wish,
} from './story.ts'

export type Landed = { message: string; paths: string[]; texts: Record<string, string> }

export type Played = {
  cast: readonly Client[]
  wishes: readonly Wish[]
  /** What each rule of the scenario is for. */
  places: readonly Place[]
  rung: Rung
  interfaces: string[]
  tasks: Task[]
  events: LoggedEvent[]
  requests: readonly RequestRecord[]
  /** What the ledger charged, by model. */
  charges: Total[]
  /** By attempt. */
  transcripts: ReadonlyMap<string, TranscriptLine[]>
  /** By task. */
  landed: ReadonlyMap<string, Landed>
  verified: { code: number; text: string }
  /** Requests that reached where the repository's own settings lead. */
  elsewhere: number
  /** Attempts whose budget was reached, in the order in which it was seen: at a denied request, or where a stream was cut. */
  reached: { attempt: string; cut: boolean }[]
  /** Folders of attempts, and processes that see one, after the daemon has ended. */
  left: { folders: string[]; pids: number[] }
  seconds: number
}

/** After this it has hung, whatever it says: a machine under eight times its load was seen to need 150 s. */
const longestMs = 240_000

type Stage = {
  world: World
  env: Record<string, string>
  home: string
  repository: string
  paths: Paths
  say: (text: string) => void
  signal: AbortSignal
}

/** Plays it with the clients in `folder`. Its own folder is gone when it returns, also when it is aborted. */
export async function play(
  world: World,
  cast: readonly Client[],
  folder: string,
  path: string,
  say: (text: string) => void,
  signal: AbortSignal,
): Promise<Played> {
  const home = await realpath(await mkdtemp(join(tmpdir(), 'tri-agent-clients-')))
  try {
    const keys = cast.map(({ family }) => [keyVariable(family), keyOf(family)] as const)
    const env = {
      HOME: home,
      PATH: `${path}:${folder}/node_modules/.bin`,
      LANG: 'C.UTF-8',
      ...Object.fromEntries(keys),
    }
    return await playIn(
      { world, env, home, repository: join(home, 'durations'), paths: findPaths(env), say, signal },
      cast,
    )
  } finally {
    await removeTree(home) // set-up layers are sealed against their own user
  }
}

async function playIn(stage: Stage, cast: readonly Client[]): Promise<Played> {
  const { world, env, repository, paths, say } = stage
  const wishes = wishesOf(cast)
  const { scenario, places } = storyOf(wishes)
  await using elsewhere = await startProvider({ world, scenario: { rules: [] } })
  await using provider = await startProvider({
    world,
    scenario,
    keys: cast.map(({ family }) => keyOf(family)),
  })
  await makeFolders(paths)
  await write(dirname(paths.configFile), { 'config.yaml': settingsText(cast, provider.url) })
  await write(repository, repositoryFiles(cast, elsewhere.url))
  for (const args of [
    ['init', '-q', '-b', 'main'],
    ['add', '-A'],
    ['commit', '-q', '-m', 'Read durations'],
  ])
    await git(stage, ...args)
  const { settings } = granted(await loadConfig({ file: paths.configFile, env }))
  const began = world.clock.mono()
  const reached: Played['reached'] = []
  const ports: DaemonPorts = {
    ...machinePorts,
    createGateway: (asked) =>
      createGateway({
        ...asked,
        onEvent: (event) => {
          if (event.type === 'budget.reached') reached.push({ attempt: event.attempt, cut: event.cut })
          asked.onEvent?.(event)
        },
      }),
  }
  const about = { version: programVersion(), pid: process.pid, trusted: true as const }
  const options = { world, paths, settings, env, ports, ...about }
  const running = granted(await startDaemon(options))
  const gathered = await (async () => {
    await using _ = running
    say(`Sandbox rung: ${running.rung}. Models: simulated, by a provider on loopback. Everything else is real.\n\n`)
    const ids = await queue(running, stage, wishes)
    const view = { running, world, ids, say, deadlineMs: longestMs, isTerminal: false, columns: 0 }
    const tasks = await unlessAborted(untilAllAreOver(view), stage.signal)
    const seconds = (world.clock.mono() - began) / 1000
    return { rung: running.rung, tasks, seconds, ...(await gather(running, paths)) }
  })()
  const texts: string[] = []
  const code = await verifyHistory({ env, repo: null, json: true, out: (text) => void texts.push(text) })
  return {
    ...gathered,
    cast,
    wishes,
    places,
    interfaces: namesOfInterfaces(),
    requests: provider.requests,
    elsewhere: elsewhere.requests.length,
    reached,
    landed: await readLandings(stage, gathered.tasks, wishes),
    verified: { code, text: texts.join('') },
    left: { folders: await readdir(paths.areas), pids: mayStillSee(stage.home) },
  }
}

/** Shows the tasks until all are over; a person raises the budget of each as soon as it is parked. */
async function untilAllAreOver(view: Parameters<typeof showProgress>[0]): Promise<Task[]> {
  const { running, world } = view
  const { database } = running.daemon
  let raising = true
  const person = (async () => {
    while (raising) {
      for (const { id } of await database.read(parkedAnywhere)) {
        granted(await raiseTaskBudget({ database, world, actor: 'person:ada' }, id, raisedNanoUsd, 0))
        running.nudge()
      }
      await world.timer.sleep(100)
    }
  })()
  try {
    return await showProgress(view)
  } finally {
    raising = false
    await person
  }
}

/** What is left behind goes on into a closed database, which is nobody's concern any more. */
function unlessAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  const aborted = new Promise<never>((_, reject) => {
    const end = () => reject(new Error('interrupted'))
    if (signal.aborted) end()
    signal.addEventListener('abort', end)
  })
  work.catch(() => {})
  return Promise.race([work, aborted])
}

function granted<T extends object>(answer: T | Refusal): T {
  if (isRefusal(answer)) throw new Error(`${answer.refused}: ${answer.why}${answer.hint ? ` (${answer.hint})` : ''}`)
  return answer
}

async function write(folder: string, files: Readonly<Record<string, string>>): Promise<void> {
  for (const [name, text] of Object.entries(files)) {
    await mkdir(dirname(join(folder, name)), { recursive: true, mode: 0o700 })
    await writeFile(join(folder, name), text, { mode: 0o600 })
  }
}

async function git({ world, env, home, repository }: Stage, ...args: string[]): Promise<string> {
  const who = ['-c', 'user.name=Ada', '-c', 'user.email=ada@localhost']
  const own = { PATH: env['PATH']!, HOME: home, GIT_CONFIG_NOSYSTEM: '1' }
  const done = await capture(world.spawn, { file: 'git', args: [...who, ...args], cwd: repository, env: own })
  if (done.code !== 0) throw new Error(`git ${args.join(' ')}: ${done.stderr}`)
  return done.stdout
}

async function queue({ daemon, nudge }: RunningDaemon, { world, repository }: Stage, wishes: readonly Wish[]) {
  const ports = { database: daemon.database, world, actor: 'person:ada' }
  const repo = granted(await registerRepository(ports, { path: repository, name: 'durations', base: 'main' }))
  const ids: string[] = []
  for (const { title, text, size, client } of wishes) {
    const tags = [`family:${client.family}`]
    ids.push(
      granted(
        await addTask(ports, {
          repo: repo.id,
          title,
          text,
          kind: 'feature',
          size,
          tags,
          budgetNanoUsd: client.budgetNanoUsd,
        }),
      ).id,
    )
  }
  nudge()
  return ids
}

async function gather({ daemon }: RunningDaemon, { transcripts }: Paths) {
  const { database } = daemon
  const events = await database.read((reader) => readLog(reader, { limit: 100_000 }))
  const charges = await database.read((reader) => totalsBy(reader, 'model'))
  const printed = new Map<string, TranscriptLine[]>()
  for (const name of await readdir(transcripts)) {
    const lines: TranscriptLine[] = []
    for await (const line of readTranscript(join(transcripts, name))) lines.push(line)
    printed.set(name.replace('.jsonl', ''), lines)
  }
  return { events, charges, transcripts: printed }
}

async function readLandings(
  stage: Stage,
  tasks: readonly Task[],
  wishes: readonly Wish[],
): Promise<Map<string, Landed>> {
  const landings = new Map<string, Landed>()
  for (const [index, { id, landed }] of tasks.entries()) {
    if (landed === null) continue
    const { commit } = landed
    const changed = await git(stage, 'diff-tree', '-r', '--no-renames', '--name-only', '--no-commit-id', commit)
    const texts: Record<string, string> = {}
    for (const path of Object.keys(wishes[index]!.files))
      texts[path] = await git(stage, 'show', `${commit}:${path}`).catch((error: Error) => error.message)
    const message = await git(stage, 'show', '--no-patch', '--format=%B', commit)
    landings.set(id, { message, paths: changed.trim().split('\n'), texts })
  }
  return landings
}
