/**
 * The whole product on a scratch machine of its own: a home, a committed repository, N families whose models are a loopback provider's, and the
 * real daemon (in this process, or as the real program). Waits by the log: after each commit of the daemon it is looked again, never after a time.
 */
import { mkdir, mkdtemp, readFile, realpath, rm, writeFile } from 'node:fs/promises'
import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { startProvider, type Provider } from '../../sim/provider.ts'
import type { Rule } from '../../sim/scenario.ts'
import { addTask } from '../../src/command/add.ts'
import type { CommandPorts } from '../../src/command/ports.ts'
import { registerRepository } from '../../src/command/register.ts'
import type { Event, EventType } from '../../src/core/event.ts'
import { isRefusal } from '../../src/core/refusal.ts'
import { stateOf, type Task } from '../../src/core/task.ts'
import type { Wish } from '../../src/core/wish.ts'
import { startDaemon, type RunningDaemon } from '../../src/daemon/daemon.ts'
import { scriptedProgram } from '../../src/daemon/scripted.ts'
import { loadConfig } from '../../src/host/config.ts'
import { environment } from '../../src/host/environment.ts'
import { findPaths, makeFolders, type Paths } from '../../src/host/path.ts'
import { capture, type Captured } from '../../src/host/process.ts'
import { realWorld } from '../../src/host/world.ts'
import { createSandbox } from '../../src/sandbox/create.ts'
import { openDatabase, type Database, type Reader } from '../../src/store/database.ts'
import { readLog } from '../../src/store/log.ts'
import { loadTask } from '../../src/store/task.ts'
import { bundleVariable } from '../cli-rig.ts'

export const world = realWorld()
const path = environment()['PATH'] ?? '/usr/bin:/bin'
/** The bundle where test/setup.ts has built one, because its programs start in a third of the time; the source where a file is started alone. */
const built = environment()[bundleVariable]
export const program = built ?? join(import.meta.dirname, '../../src/cli/main.ts')
const agent = built === undefined ? scriptedProgram() : [process.execPath, join(dirname(built), 'scripted-agent.js')]

export const models = { anthropic: 'claude-opus-5-5', openai: 'gpt-6-sol', google: 'gemini-3.8-flash' } as const
type FamilyName = keyof typeof models

/** Nothing waits longer than this for what it expects; then it fails with the log. */
const patienceMs = 60_000

/** Green unless broken.txt is there. Fast: a shell and nothing else. */
const testScript = `if test -e broken.txt; then echo "broken.txt says: $(cat broken.txt)"; exit 1; fi\necho "1 test passed"\n`
export const testGate = { name: 'test', command: 'sh test.sh' }

export type Made = {
  rules: readonly Rule[]
  families?: readonly FamilyName[]
  /** Laid over the operator's config, section by section. */
  config?: Record<string, object | string | boolean>
  /** The repository's tri-agent.yaml; one gate without it. */
  yaml?: object
  files?: Record<string, string>
  /** A folder that is there already; one is made without it. */
  home?: string
  /** Longer than usual, for what is large. */
  patienceMs?: number
  /** Told when the provider has answered a request. */
  onRequest?: () => void
  /** Hears what the daemon says of itself on stderr. */
  onNote?: (text: string) => void
  /** Models other than the usual ones. */
  models?: Partial<Record<FamilyName, string>>
}

export type Rig = AsyncDisposable & {
  home: string
  repository: string
  paths: Paths
  provider: Provider
  env: Record<string, string>
  ports: CommandPorts
  database: Database
  /** Opens the database again: another file lies in its place. */
  reopen(): void
  /** Starts the daemon in this process. */
  up(): Promise<RunningDaemon>
  down(): Promise<void>
  add(title: string, wish?: Partial<Wish>): Promise<string>
  task(id: string): Promise<Task>
  /** All events of a task, or of everything. */
  events(id?: string): Promise<Event[]>
  /** Resolves once `holds` is true, looking after each commit of the daemon. */
  until<T>(what: string, look: (reader: Reader) => Promise<T | null | false | undefined>): Promise<T>
  state(id: string, ...states: string[]): Promise<Task>
  happened<T extends EventType>(id: string, type: T, nth?: number): Promise<Extract<Event, { type: T }>>
  git(...args: string[]): Promise<string>
  write(path: string, text: string): Promise<void>
  /** The real program, as a person types it. */
  type(...args: string[]): Promise<Captured>
  show(id: string): Promise<string>
  repo: string
  /** Told by a daemon elsewhere (or a person) that something was committed. */
  look(): void
}

/** Why this machine cannot contain, or null. */
const noNamespace: string | null = await (async () => {
  const folder = await mkdtemp(join(tmpdir(), 'tri-agent-rung-'))
  const sandbox = await createSandbox(world, { lowest: 'namespace', path, folder })
  await rm(folder, { recursive: true, force: true })
  return isRefusal(sandbox) ? sandbox.why : null
})()

/** For tests of what only containment keeps: `{ skip: why }` on a machine without. */
export function contained(name: string): { skip: string | false } {
  if (noNamespace !== null) process.stdout.write(`SKIPPED ${name}: ${noNamespace}\n`)
  return { skip: noNamespace ?? false }
}

export async function rig(made: Made): Promise<Rig> {
  const home = made.home ?? (await realpath(await mkdtemp(join(tmpdir(), 'tri-e2e-'))))
  const env = { HOME: home, PATH: path, TZ: 'UTC', LANG: 'C.UTF-8' }
  const paths = findPaths(env)
  const repository = join(home, 'shop')
  const provider = await startProvider({ world, scenario: { rules: made.rules }, log: () => made.onRequest?.() })
  await makeFolders(paths)
  await mkdir(dirname(paths.configFile), { recursive: true, mode: 0o700 })
  await writeFile(paths.configFile, JSON.stringify(configOf(made, provider.url)), { mode: 0o600 })
  await makeRepository(repository, env, made)
  let database = openDatabase(paths.database)
  let running: RunningDaemon | null = null
  /** The daemon's own connection while there is one: two that write in one process would wait for each other for ever. */
  const ports = {
    get database() {
      return running?.daemon.database ?? database
    },
    world,
    actor: 'person:ada',
  }
  const registered = await registerRepository(ports, { path: repository, name: 'shop', base: 'main' })
  if (isRefusal(registered)) throw new Error(registered.why)
  const waiting = new Set<() => void>()
  const look = () => {
    for (const each of waiting) each()
  }

  const wake = () => {
    running?.nudge()
    look()
  }
  const rigged: Rig = {
    home,
    repository,
    paths,
    provider,
    env,
    ports,
    get database() {
      return database
    },
    reopen() {
      database.close()
      database = openDatabase(paths.database)
    },
    repo: registered.id,
    look,
    async up() {
      const loaded = await loadConfig({ file: paths.configFile, env })
      if (isRefusal(loaded)) throw new Error(loaded.why)
      const started = await startDaemon({
        world,
        paths,
        settings: loaded.settings,
        env,
        version: '0',
        pid: process.pid,
        trusted: true,
        note: (text) => made.onNote?.(text),
      })
      if (isRefusal(started)) throw new Error(started.why)
      tellCommits(started.daemon.database, look)
      running = started
      return started
    },
    async down() {
      const ending = running
      running = null
      await ending?.[Symbol.asyncDispose]()
    },
    async add(title, wish = {}) {
      const added = await addTask(ports, { repo: registered.id, title, ...wish })
      if (isRefusal(added)) throw new Error(added.why)
      wake()
      return added.id
    },
    async task(id) {
      const task = await database.read((reader) => loadTask(reader, id))
      if (!task) throw new Error(`no task ${id}`)
      return task
    },
    async events(id) {
      const filter = { limit: 100_000, ...(id === undefined ? {} : { stream: `task/${id}` }) }
      return (await database.read((reader) => readLog(reader, filter))).map(({ event }) => event)
    },
    until: (what, ask) => waitFor(database, waiting, made.patienceMs ?? patienceMs, what, ask),
    state: (id, ...states) =>
      waitFor(database, waiting, made.patienceMs ?? patienceMs, `${id} ${states.join(' or ')}`, async (reader) => {
        const task = await loadTask(reader, id)
        return task && states.includes(stateOf(task)) ? task : null
      }),
    happened: <T extends EventType>(id: string, type: T, nth = 1) =>
      waitFor(database, waiting, made.patienceMs ?? patienceMs, `${type} of ${id}`, async (reader) => {
        const found = await readLog(reader, { stream: `task/${id}`, types: [type], limit: nth })
        return (found[nth - 1]?.event as Extract<Event, { type: T }> | undefined) ?? null
      }),
    git: (...args) => git(repository, env, args),
    write: async (name, text) => {
      await mkdir(dirname(join(repository, name)), { recursive: true })
      await writeFile(join(repository, name), text)
    },
    async type(...args) {
      const typed = await capture(world.spawn, {
        file: process.execPath,
        args: [program, ...args],
        cwd: repository,
        env,
      })
      wake()
      return typed
    },
    show: async (id) => (await rigged.type('show', id)).stdout,
    async [Symbol.asyncDispose]() {
      await rigged.down()
      await provider[Symbol.asyncDispose]()
      database.close()
      await rm(home, { recursive: true, force: true, maxRetries: 3 })
    },
  }
  return rigged
}

function configOf(
  { families = ['anthropic', 'openai', 'google'], config = {}, ...made }: Made,
  baseUrl: string,
): object {
  const family = (name: FamilyName) => ({
    agent: 'scripted',
    program: agent,
    baseUrl,
    keyFrom: { value: `key-of-${name}-nobody-accepts` },
    models: made.models?.[name] ?? models[name],
  })
  const defaults = {
    rung: 'group', // the lowest accepted: the highest that this machine has is taken
    unattended: true,
    http: { port: 0 },
    slots: { implementer: 2, reviewer: 2, architect: 1, gate: 2 },
    retry: { first: '20ms', cap: '40ms' },
    families: Object.fromEntries(families.map((name) => [name, family(name)])),
  }
  return { ...defaults, ...config }
}

async function makeRepository(folder: string, env: Record<string, string>, { yaml, files }: Made): Promise<void> {
  const all = {
    'README.md': '# Shop\n\nSells tea.\n',
    'test.sh': testScript,
    'tri-agent.yaml': `${JSON.stringify(yaml ?? { gates: [testGate] })}\n`,
    ...files,
  }
  for (const [name, text] of Object.entries(all)) {
    await mkdir(dirname(join(folder, name)), { recursive: true })
    await writeFile(join(folder, name), text)
  }
  await git(folder, env, ['init', '--quiet', '--initial-branch', 'main'])
  await git(folder, env, ['add', '--all'])
  await git(folder, env, ['commit', '--quiet', '--message', 'Open the shop'])
}

async function git(cwd: string, env: Record<string, string>, args: readonly string[]): Promise<string> {
  const who = { NAME: 'Ada', EMAIL: 'ada@localhost' }
  const own = {
    ...env,
    GIT_CONFIG_NOSYSTEM: '1',
    ...Object.fromEntries(
      ['AUTHOR', 'COMMITTER'].flatMap((role) =>
        Object.entries(who).map(([key, value]) => [`GIT_${role}_${key}`, value]),
      ),
    ),
  }
  const done = await capture(world.spawn, { file: 'git', args, cwd, env: own })
  if (done.code !== 0) throw new Error(`git ${args.join(' ')}: ${done.stderr}`)
  return done.stdout.trim()
}

/** Calls `heard` after each commit of this database. */
function tellCommits(database: Database, heard: () => void): void {
  const write = database.write.bind(database)
  database.write = async (body) => {
    const answer = await write(body)
    heard()
    return answer
  }
}

/** Looks now and whenever it is told to; rejects with the log where nothing comes. */
async function waitFor<T>(
  database: Database,
  waiting: Set<() => void>,
  mostMs: number,
  what: string,
  ask: (reader: Reader) => Promise<T | null | false | undefined>,
): Promise<T> {
  let told = Promise.withResolvers<void>()
  let late = false
  const tell = () => told.resolve()
  const cancel = world.timer.after(mostMs, () => {
    late = true
    tell()
  })
  waiting.add(tell)
  try {
    for (;;) {
      told = Promise.withResolvers<void>()
      const found = await database.read(ask)
      if (found !== null && found !== false && found !== undefined) return found
      if (late) throw new Error(`waited in vain for: ${what}\n${await lastWords(database)}`)
      await told.promise
    }
  } finally {
    cancel()
    waiting.delete(tell)
  }
}

async function lastWords(database: Database): Promise<string> {
  const all = await database.read((reader) => readLog(reader, { limit: 100_000 }))
  return all
    .slice(-60)
    .map(({ stream, event }) => `${stream} ${JSON.stringify(event).slice(0, 300)}`)
    .join('\n')
}

/** Processes of this machine that stand in the rig's folders, by their working folder, words, environment or mounts. */
export function survivorsIn({ home }: Pick<Rig, 'home'>): number[] {
  const has = (file: string): boolean => {
    try {
      return readFileSync(file, 'latin1').includes(home)
    } catch {
      return false // gone meanwhile
    }
  }
  const stands = (pid: string): boolean => {
    try {
      return readlinkSync(`/proc/${pid}/cwd`).startsWith(home)
    } catch {
      return false // gone meanwhile
    }
  }
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .filter((pid) => stands(pid) || ['cmdline', 'environ', 'mountinfo'].some((name) => has(`/proc/${pid}/${name}`)))
    .map(Number)
}

/** Those of attempts alone: while a daemon is up, gits of its own come and go beside them. */
export const survivorsOfAttempts = ({ paths }: Pick<Rig, 'paths'>): number[] =>
  survivorsIn({ home: join(paths.areas, 'att_') })

export const readText = (file: string): Promise<string> => readFile(file, 'utf8')

export const fine = { summary: 'Read the change against the task: it does what is asked.', findings: [] }

/** What reviewers say where nothing is wrong. Last in a list of rules. */
export const approving: Rule = { when: ['# Review'], steps: [{ json: fine }] }

/** An implementer that does `steps` on the task of this title. */
export const implementing = (title: string, ...steps: Rule['steps']): Rule => ({ when: ['# Implement', title], steps })

/** An implementer that does all right: writes one file of its own. */
export const writing = (title: string, file = `${title.toLowerCase().replaceAll(' ', '-')}.txt`): Rule =>
  implementing(title, { write: { path: file, content: `${title}\n` } }, { say: `Wrote ${file}.` })
