/** Starting a whole daemon on a simulated machine: the shipped assembly, with models where it would meet the world. */
import fs from 'node:fs'
import { join } from 'node:path'
import { isRefusal, type Refusal } from '../../src/core/refusal.ts'
import { defaultSettings, type FamilySettings, type OperatorSettings } from '../../src/core/setting.ts'
import { scripted } from '../../src/agent/scripted.ts'
import type { FoundAgents } from '../../src/daemon/agents.ts'
import type { World } from '../../src/host/world.ts'
import { liveKeys } from '../../src/daemon/live-keys.ts'
import { startDaemon, type RunningDaemon } from '../../src/daemon/daemon.ts'
import type { DaemonPorts } from '../../src/daemon/ports.ts'
import { embeddedEngine } from '../../src/engine/embedded.ts'
import type { Carried, Engine } from '../../src/engine/engine.ts'
import type { Git } from '../../src/git/git.ts'
import type { Paths } from '../../src/host/path.ts'
import type { Registries } from '../../src/stage/stage.ts'
import { openDatabase } from '../../src/store/database.ts'
import { careless, forgetful, unfenced } from './bug.ts'
import { program } from './door.ts'
import { modelGateway } from './gateway.ts'
import { livingDatabase, livingPort, type Life } from './life.ts'
import { bootName, endProcess, isAliveOn, isFrozen, modelSandbox, thawed, type Machine } from './machine.ts'

const models: Readonly<Record<string, string>> = {
  anthropic: 'claude-opus-5-5',
  openai: 'gpt-6-sol',
  google: 'gemini-3.8-flash',
}

/** The folders of a daemon whose state lies in `root`. */
export function pathsIn(root: string): Paths {
  const state = join(root, 'state')
  const paths = {
    configFile: join(root, 'config.yaml'),
    stateFolder: state,
    keys: join(root, 'keys'),
    database: join(state, 'tasks.db'),
    socket: join(state, 'daemon.sock'),
    areas: join(state, 'areas'),
    repos: join(state, 'repos'),
    layers: join(state, 'layers'),
    transcripts: join(state, 'transcripts'),
    archives: join(state, 'archives'),
    reports: join(state, 'reports'),
    sockets: join(state, 'sockets'),
    log: join(state, 'daemon.log'),
  }
  for (const folder of [state, paths.areas, paths.repos, paths.layers, paths.transcripts, paths.reports, paths.sockets])
    fs.mkdirSync(folder, { recursive: true, mode: 0o700 })
  return paths
}

export function settingsFor(families: readonly string[], more: Partial<OperatorSettings>): OperatorSettings {
  const family = (name: string): FamilySettings => ({
    agent: 'scripted',
    program: null,
    baseUrl: 'http://127.0.0.1:1',
    keyFrom: { value: 'a-key-of-no-provider' },
    models: { architect: models[name]!, implementer: models[name]!, reviewer: models[name]! },
  })
  return {
    ...defaultSettings(2),
    families: Object.fromEntries(families.map((name) => [name, family(name)])),
    slots: { implementer: 2, reviewer: 2, architect: 1, gate: 2 },
    ...more,
  }
}

const slow = ({ after, sleep }: World['timer']): World['timer'] => ({
  after: (ms, fn) => after(ms * 1000, fn),
  sleep: (ms, signal) => sleep(ms * 1000, signal),
})

function agentsOf(world: World, settings: OperatorSettings): FoundAgents {
  const found = { adapter: scripted, folder: '/opt/sim', argv: ['/opt/sim/agent'], version: '1.0.0' }
  const usable = Object.keys(settings.families)
  return {
    get: (name) => (usable.includes(name) ? found : undefined),
    size: usable.length,
    usable,
    upstreams: [],
    keys: liveKeys({ world: { ...world, timer: slow(world.timer) }, env: {}, folder: '' }), // no key of a story ever changes
  }
}

/** What an engine may do to its holders: hand an attempt out twice, lose beats. */
export type EngineFaults = {
  isDoubled(attempt: string): boolean
  losesBeat(attempt: string): boolean
}

/** A frozen worker is as good as on another machine: nobody here knows of it, and it hears of nothing. */
function faultyEngine(engine: Engine, machine: Machine, life: Life, faults: EngineFaults): Engine {
  const living = (carried: Carried): Carried => ({
    ...carried,
    beat: async (active) => {
      await life.pass('beat')
      return faults.losesBeat(carried.attempt) ? true : carried.beat(active)
    },
  })
  return {
    ...engine,
    carrying: () => engine.carrying().filter((attempt) => !isFrozen(machine, attempt)),
    revoke: (attempt, why) =>
      isFrozen(machine, attempt)
        ? void thawed(machine, life, attempt).then(() => engine.revoke(attempt, why))
        : engine.revoke(attempt, why),
    work: (carry) =>
      engine.work(async (carried) => {
        await life.pass('claimed')
        const again = faults.isDoubled(carried.attempt)
          ? life.delay(0, 600_000).then(() => carry(living(carried)))
          : null
        const ends = await Promise.allSettled([carry(living(carried)), again])
        for (const end of ends) if (end.status === 'rejected') throw end.reason
        await life.pass('carried')
      }),
  }
}

const noRegistries: Registries = {
  open: async () => ({
    gateway: { socket: '/sockets/setup', url: 'http://127.0.0.1:8702' },
    env: {},
    files: [],
    secrets: [],
    withheld: [],
    reached: () => [],
    [Symbol.asyncDispose]: async () => {},
  }),
}

export type Start = {
  machine: Machine
  life: Life
  paths: Paths
  settings: OperatorSettings
  pid: number
  /** Pids of daemons that live. */
  daemons: ReadonlySet<number>
  faults: EngineFaults
  /** How often is looked at what was not said. */
  floorMs: number
  /** Hears of each database opened, so that it is closed when its daemon is dead. */
  opened(close: () => void): void
}

/** Starts one. The promise stays open for ever if it dies before it stands. */
export function startHouse(start: Start): Promise<RunningDaemon | Refusal> {
  const { life, paths, settings, pid } = start
  return startDaemon({
    world: life.world,
    paths,
    settings,
    env: { PATH: '', HOME: '/', TMPDIR: join(process.cwd(), 'tmp') }, // the folder of the story, see play.ts
    version: program,
    pid,
    trusted: true,
    ports: portsOf(start),
  })
}

function gitOf({ bug, git: { git } }: Machine): Git {
  if (bug === 'other-tree-tested') return careless(git)
  return bug === 'landing-forgotten' ? forgetful(git) : git
}

/** A git at whose landings somebody lies in wait. */
const ambushed = (machine: Machine, life: Life, git: Git): Git => ({
  ...git,
  async land(...asked) {
    const answer = await git.land(...asked)
    if (machine.ambush !== null && !isRefusal(answer)) {
      life.dieAfter(machine.ambush)
      machine.ambush = null
    }
    return answer
  },
})

function portsOf(start: Start): DaemonPorts {
  const { machine, life, settings, daemons, faults, opened } = start
  const closedFor = () =>
    machine.world.clock.mono() < machine.memoryShort.until ? 'less than 1 GB of memory left' : null
  return {
    openDatabase(path, options) {
      const real = openDatabase(path, options)
      let isOpen = true
      const close = () => {
        if (isOpen) real.close()
        isOpen = false
      }
      opened(close)
      return livingDatabase({ ...real, close }, life, machine)
    },
    createGit: () => livingPort(life, 'git', ambushed(machine, life, gitOf(machine)), [5, 1500]),
    createSandbox: async () => modelSandbox(machine, life),
    findAgents: async () => ({ agents: agentsOf(life.world, settings), missing: [] }),
    createGateway: (options) => modelGateway(machine, life, options),
    createEngine: (ports) => {
      const engine = embeddedEngine(ports)
      const sick = machine.bug === 'no-fence' ? unfenced(engine, ports.database) : engine
      return faultyEngine(sick, machine, life, faults)
    },
    registriesFor: () => noRegistries,
    serveHealth: async (_host, port) => ({ port, [Symbol.asyncDispose]: async () => {} }),
    isListened: async () => false,
    async listenForNudges(_path, _wake, hear) {
      const door = { hear }
      machine.door = door
      return { [Symbol.asyncDispose]: async () => void (machine.door === door && (machine.door = null)) }
    },
    machineClosed: async () => {
      await life.pass('machine looked at')
      return machine.world.clock.mono() < machine.diskFullUntil ? 'less than 2 GB of disk left' : closedFor()
    },
    floorMs: start.floorMs,
    processes: {
      bootId: () => bootName(machine.boot),
      startTimeOf: (pid) => machine.processes.get(pid)?.startTime ?? pid,
      isAlive: (identity) => isAliveOn(machine, daemons, identity),
      lostCgroups: () => [],
      isTreeAlive: (identity) => machine.bug !== 'released-before-death' && isAliveOn(machine, daemons, identity),
      end: ({ pid }) => void endProcess(machine, pid),
    },
  }
}
