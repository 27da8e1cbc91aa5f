/**
 * The daemon: everything long-lived, wired in one place (the composition root). Nothing else constructs a gateway, an engine or a loop.
 *
 *     open database ─▶ refuse a second daemon ─▶ void the old epoch ─▶ gateway ─▶ engine + worker ─▶ loops ─▶ health
 *
 * Stopping undoes it in reverse; what is under way is revoked first and recorded as killed, so that it is ready again at the next start.
 */
import { join } from 'node:path'
import { answerRequest, versionOf } from '../command/request.ts'
import type { Snapshot } from '../core/admission.ts'
import type { Event } from '../core/event.ts'
import type { FlowPolicy } from '../core/flow.ts'
import { isRefusal, refuse, type Refusal } from '../core/refusal.ts'
import type { Rung } from '../core/rung.ts'
import type { OperatorSettings } from '../core/setting.ts'
import type { Task } from '../core/task.ts'
import type { Engine } from '../engine/engine.ts'
import type { Gateway, Grant } from '../gateway/gateway.ts'
import type { Git } from '../git/git.ts'
import type { Fault } from '../host/fault.ts'
import type { ReadCredential } from '../host/credential.ts'
import type { Paths } from '../host/path.ts'
import type { World } from '../host/world.ts'
import { askedOf, type Climbed } from '../sandbox/create.ts'
import type { Sandbox } from '../sandbox/sandbox.ts'
import { objectsInside } from '../stage/ask.ts'
import { layAhead, layersIn } from '../stage/setup.ts'
import type { StagePorts } from '../stage/stage.ts'
import type { Database, Reader, Tx } from '../store/database.ts'
import type { ProcessRow } from '../store/lease.ts'
import { grantKey } from '../store/ledger.ts'
import type { Trouble } from '../store/told.ts'
import { loadTask, repoById } from '../store/task.ts'
import { watchAbsence, type Absence } from './absence.ts'
import { pathOf } from './ahead.ts'
import { buryTree } from './bury.ts'
import type { FoundAgents } from './agents.ts'
import { backupLook, lookMs } from './backup.ts'
import { drain, type Parking } from './drain.ts'
import { dispatcher } from './dispatcher.ts'
import { openTheGateway } from './gateway-event.ts'
import { describeHealth, flowPolicy, takeSnapshot } from './health.ts'
import { intentHappened } from './lander.ts'
import { watchSettings } from './live-settings.ts'
import { startLoop } from './loop.ts'
import { watchMachine, witnessOf } from './machine.ts'
import { pricesFor } from './prices.ts'
import { endOverBudget } from './over-budget.ts'
import { clonePool, makeClonesAhead, type Pool } from './pool.ts'
import { machinePorts, type DaemonPorts } from './ports.ts'
import { readCredentials } from './registries.ts'
import { repositoryReader, type RepoContext } from './repository.ts'
import { reapEveryMs, reaper } from './reaper.ts'
import { patientDatabase } from './patient.ts'
import { buryRest, rescuer } from './rescuer.ts'
import { openSalvaging, type Salvaging } from './salvage.ts'
import { takeOver, tellOf } from './takeover.ts'
import { carryAttempt } from './worker.ts'

export type Daemon = {
  world: World
  paths: Paths
  settings: OperatorSettings
  database: Database
  epoch: number
  /** Names this boot of the machine: with pid and start time it names a process for ever. */
  epochBoot: string
  git: Git
  gateway: Gateway
  engine: Engine
  pool: Pool
  absence: Absence
  stagePorts: StagePorts
  /** Whoever started it answers for the repositories' commands: the demo, tests. */
  trusted: boolean
  /** Attempts a worker of this daemon has in hand. */
  carrying: Set<string>
  salvaging: Salvaging
  parking: Parking
  /** Virtual keys of attempts until their end is written, in memory only. */
  keys: Map<string, string>
  snapshot(reader: Reader, seen: Pick<Snapshot, 'at' | 'tasks' | 'pauses' | 'idleMs'>): Promise<Snapshot>
  mint(tx: Tx, grant: { attempt: string; task: Task; step: string; family: string; model: string }): Promise<string>
  openGateway(attempt: string, key: string, context: RepoContext): Promise<{ socket: string }>
  repository(id: string): Promise<RepoContext | Refusal>
  flowPolicy(context: RepoContext | null): FlowPolicy
  intentHappened(task: Task, context: RepoContext): Promise<boolean>
  /** Cgroups of ours whose makers are gone. */
  lostCgroups(): string[]
  /** Ends a recorded process tree and proves it; false while something of it lives. */
  bury(row: ProcessRow): Promise<boolean>
  transcriptFile(attempt: string): string
  /** Values that may appear nowhere we write. */
  secrets(): readonly string[]
  /** Has a clean clone made ahead for a repository. */
  wantClone(id: string, context: RepoContext): void
  /** What the reaper last saw of the space that work takes; null before it looked. */
  measured: { areaBytes: number | null; archives: number }
  failed(loop: string, error: unknown): Promise<void>
  /** What keeps the database from being written, or null. */
  trouble(): Trouble | null
  /** All that `snapshot` goes by and that is in no row; another text once any of it is another. */
  around(): string
  wake(): void
}

export type DaemonOptions = {
  world: World
  paths: Paths
  settings: OperatorSettings
  /** Where they were read: what it says of money and prices is taken while it is up, too. */
  file?: string | null
  env: Readonly<Record<string, string | undefined>>
  version: string
  pid: number
  /** Execute the commands of every registered repository without a person's word: for repositories one has made oneself. */
  trusted?: true
  /** What `climbAhead` found. */
  climbed?: Promise<Climbed>
  /** To whoever watches the daemon itself: what cannot be written down. */
  note?: (text: string) => void
  /** What it stands on instead of this machine. */
  ports?: DaemonPorts
}

export type RunningDaemon = AsyncDisposable & {
  daemon: Daemon
  port: number
  rung: Rung
  /** Resolves, with why, once its database is gone, or another daemon's: then it is to be disposed of. */
  lost: Promise<Fault>
  nudge(): void
  /** Starts nothing new and waits for what is under way, each as long as its lane is given, or until `hurry` fires. Then it may be disposed of. */
  drain(hurry: AbortSignal): Promise<void>
}

/** Starts everything. Refuses `already-up`, `rung-too-low`, `no-agent`, `credential-missing`; faults where the machine is broken. */
export async function startDaemon(options: DaemonOptions): Promise<RunningDaemon | Refusal> {
  const { world, paths, settings, ports = machinePorts } = options
  const standing = ports.createSandbox(world, askedOf(settings, paths, pathOf(options.env)), options.climbed)
  const trial = trialWith(options, standing)
  const [sandbox, { agents, missing }] = await Promise.all([
    standing,
    ports.findAgents(world, settings, options.env, paths.keys, trial, join(paths.stateFolder, 'versions.json')),
  ])
  if (isRefusal(sandbox)) return sandbox
  if (agents.size === 0)
    return refuse(
      'no-agent',
      `no configured agent can start: ${missing.join('; ') || 'no family is configured'}`,
      'tri-agent init',
    )
  const credentials = readCredentials(settings, options.env, paths.configFile)
  if (isRefusal(credentials)) return credentials
  const stack = new AsyncDisposableStack()
  const database = ports.openDatabase(paths.database, { mono: world.clock.mono, wait: world.timer.sleep })
  stack.defer(() => database.close())
  const epoch = await takeOver(database, { ...options, ports }, sandbox.rung)
  if (isRefusal(epoch)) {
    await stack.disposeAsync()
    return epoch
  }
  try {
    await sandbox.claim?.(epoch)
    return await wire({ ...options, ports, sandbox, agents, credentials, database, epoch, stack })
  } catch (error) {
    await stack.disposeAsync()
    throw error
  }
}

/** Tries an agent that nobody tested; loaded only where there is one. */
const trialWith =
  (
    { world, paths, settings, ports = machinePorts }: DaemonOptions,
    standing: Promise<Sandbox | Refusal>,
  ): Parameters<DaemonPorts['findAgents']>[4] =>
  async (family, named, located) => {
    const sandbox = await standing
    if (isRefusal(sandbox)) return { failed: sandbox.why }
    const { trialTurn } = await import('./trial-turn.ts')
    const database = ports.openDatabase(paths.database)
    try {
      return await trialTurn({ world, sandbox, settings, database }, family, named, located)
    } finally {
      database.close()
    }
  }

type Parts = DaemonOptions & {
  ports: DaemonPorts
  sandbox: Sandbox
  agents: FoundAgents
  credentials: readonly ReadCredential[]
  database: Database
  epoch: number
  stack: AsyncDisposableStack
}

async function wire(parts: Parts): Promise<RunningDaemon> {
  const { world, paths, settings, sandbox, agents, credentials, epoch, stack, env, pid, ports, note = () => {} } = parts
  const keys = new Map<string, string>()
  const secrets = () => [...agents.keys.secrets(), ...credentials.flatMap((each) => each.secrets), ...keys.values()]
  const { leaseMs } = settings.lease
  const patient = patientDatabase({ world, database: parts.database, epoch, leaseMs, secrets, note })
  const { database, failed, trouble, lost } = patient
  const git = ports.createGit(world, {
    path: pathOf(env),
    limits: { bundleBytes: settings.sizes.bundleBytes },
  })
  const overBudget = stack.use(
    endOverBudget({
      world,
      engine: () => engine,
      gateway: () => gateway,
      failed: (error) => void failed('over-budget', error),
    }),
  )
  const prices = pricesFor(settings)
  const gateway: Gateway = stack.use(await openTheGateway({ ...parts, database, failed }, prices, overBudget.hear))
  const engine = ports.createEngine({
    world,
    database,
    epoch,
    leaseMs: settings.lease.leaseMs,
    floorMs: ports.floorMs,
    onFault: (error) => void failed('engine', error),
  })
  const pool = stack.use(
    clonePool({
      world,
      git,
      folder: join(paths.areas, 'warm'),
      slots: Math.max(1, settings.slots.implementer),
      objectsInside: sandbox.contained ? objectsInside : null,
      failed: (error) => void failed('pool', error),
    }),
  )
  const absence = stack.use(
    watchAbsence({ world, database, epoch, ...settings.lease }, (error) => void failed('absence', error)),
  )
  const grants = new Map<string, { grant: Grant; isUsual: boolean }>()
  const read = repositoryReader({ world, git, settings, repos: paths.repos, env })
  const stagePorts: StagePorts = {
    world,
    git,
    sandbox,
    settings,
    pool,
    agent: (name) => agents.get(name) ?? null,
    layers: layersIn(paths.layers),
    registries: ports.registriesFor({ world, folder: paths.sockets, env, settings, credentials }),
  }
  const usedUp = new Map<string, number>()
  let wake = () => {}
  const machine = await watchMachine({
    world,
    look: () => ports.machineClosed(paths.stateFolder),
    prove: (await parts.climbed)?.prove,
    witness: witnessOf(world, database, epoch),
    opened: () => wake(),
    failed,
  })
  const closed = () => trouble()?.why ?? machine.why()
  const daemon: Daemon = {
    world,
    paths,
    settings,
    database,
    epoch,
    epochBoot: ports.processes.bootId(),
    git,
    gateway,
    engine,
    pool,
    absence,
    stagePorts,
    trusted: parts.trusted === true,
    carrying: new Set(),
    salvaging: stack.use(openSalvaging()),
    parking: { drained: new Set(), hurry: new AbortController() },
    keys,
    snapshot: (reader, seen) =>
      takeSnapshot(reader, {
        ...seen,
        settings,
        agents,
        closed: closed(),
        gateway,
        prices,
        usedUp,
      }),
    async mint(tx, { attempt, task, step, family, model }) {
      const key = `vk-${attempt}-${world.secret(24)}`
      const root = task.root === task.id ? task : ((await loadTask(tx, task.root)) ?? task)
      const limitNanoUsd = root.budgetNanoUsd ?? settings.money.taskNanoUsd // parts draw on what their root may spend
      const grant: Grant = {
        attempt,
        task: task.id,
        repo: task.repo,
        repoName: (await repoById(tx, task.repo))?.name ?? '',
        stage: step,
        lane: task.lane,
        family,
        models: [model],
        grantedAt: world.clock.now(),
        scope: `task/${task.root}`,
        limitNanoUsd,
      }
      await grantKey(tx, key, grant)
      tx.afterCommit(() => grants.set(attempt, { grant, isUsual: root.budgetNanoUsd === null }))
      return key
    },
    async openGateway(attempt, key, { settings: { money } }) {
      const granted = grants.get(attempt)
      if (!granted) throw new Error(`attempt ${attempt} has no grant`)
      grants.delete(attempt)
      const { grant, isUsual } = granted
      const most = isUsual ? Math.min(grant.limitNanoUsd, money?.taskNanoUsd ?? Infinity) : grant.limitNanoUsd
      return gateway.open(key, { ...grant, limitNanoUsd: most })
    },
    async repository(id) {
      const row = await database.read((reader) => repoById(reader, id))
      return row ? read(row) : refuse('no-such-repository', `repository ${id} is not registered`)
    },
    flowPolicy: (context) => flowPolicy(settings, agents, context),
    intentHappened: (task, context) => intentHappened(daemon, task, context),
    lostCgroups: () => ports.processes.lostCgroups(paths.stateFolder),
    bury: (row) => buryTree(world, ports.processes, row),
    transcriptFile: (attempt) => join(paths.transcripts, `${attempt}.jsonl`),
    secrets,
    wantClone: (id, context) => {
      const { repo, settings: repository, toolchain } = context
      const lay = (into: string) => layAhead(stagePorts, { repo, repository, toolchain }, repo.tip, into)
      pool.want(id, repo.stores, repo.tip, lay)
    },
    measured: { areaBytes: null, archives: 0 },
    failed,
    trouble,
    around: () =>
      JSON.stringify([
        closed(),
        gateway.closed(),
        agents.keys.without(),
        settings.money,
        settings.prices,
        settings.priceChecks,
      ]),
    wake: () => wake(),
  }
  await rescuer(daemon)()
  // each is left to the stack as it starts, so that what cannot start (a port in use) ends all that has
  stack.defer(async () => {
    await buryRest(daemon).catch((error: unknown) => failed('rescuer', error))
    const event: Event = { type: 'daemon.stopped', epoch, why: `stopped, pid ${pid}` }
    await database.write((tx) => tellOf(tx, world.clock.now(), event))
    await database.anchor()
  })
  const working = engine.work((carried) => carryAttempt(daemon, carried))
  stack.defer(async () => {
    for (const attempt of engine.carrying()) engine.revoke(attempt, 'killed')
    await working[Symbol.asyncDispose]()
  })
  const every = (ms: number) => Math.max(ms, ports.floorMs)
  stack.use(startLoop(world, 'backup', every(lookMs), backupLook({ world, database, settings, note }), failed))
  stack.use(startLoop(world, 'reaper', every(reapEveryMs), reaper(daemon, env), failed))
  stack.use(startLoop(world, 'rescuer', every(30_000), rescuer(daemon), failed))
  const { pass, hasNews } = dispatcher(daemon, new Map())
  const dispatching = stack.use(startLoop(world, 'dispatcher', ports.floorMs, pass, failed, hasNews))
  const live = stack.use(watchSettings({ ...parts, database, gateway }, failed))
  wake = () => {
    live.wake()
    dispatching.wake()
  }
  const health = stack.use(
    await ports.serveHealth(settings.http.host, settings.http.port, describeHealth(daemon, sandbox.rung)),
  )
  const version = versionOf(parts.version, parts.database)
  const asked = { database: parts.database, world, version, wake: dispatching.wake }
  stack.use(await ports.listenForNudges(paths.socket, wake, (line) => answerRequest(asked, line).finally(wake)))
  stack.use(machine.watch())
  stack.use(agents.keys.watch(failed))
  const warming = makeClonesAhead(daemon).catch((error: unknown) => failed('pool', error))
  stack.defer(() => warming)
  stack.use(patient) // first of all that ends: nothing may wait for a disk any more
  return {
    daemon,
    port: health.port,
    rung: sandbox.rung,
    lost,
    nudge: wake,
    async drain(hurry) {
      machine.drain()
      wake()
      await drain({ ...daemon, grace: settings.drain }, hurry)
    },
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  }
}
