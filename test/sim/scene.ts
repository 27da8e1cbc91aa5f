/**
 * The scene of a story: the machine, the person, the auditor, and whichever daemon stands now. How a daemon comes, dies and comes again, and how time
 * passes in between.
 */
import fs from 'node:fs'
import { isRefusal } from '../../src/core/refusal.ts'
import { defaultSettings, type OperatorSettings } from '../../src/core/setting.ts'
import { registerRepository } from '../../src/command/register.ts'
import type { RunningDaemon } from '../../src/daemon/daemon.ts'
import { openDatabase, type Database } from '../../src/store/database.ts'
import { virtualWorld } from '../../sim/world.ts'
import { auditor, type Auditor } from './auditor.ts'
import { Broken } from './table.ts'
import type { Bug } from './bug.ts'
import { diceFor } from './chance.ts'
import { loadDoors } from './door.ts'
import { modelGit } from './git.ts'
import { pathsIn, settingsFor, startHouse } from './house.ts'
import { beginLife, type Life } from './life.ts'
import { isFrozen, newMachine, type Machine, type Process } from './machine.ts'
import { actor, lookInto, type Person } from './person.ts'
import { files, programsOf } from './program.ts'
import type { Story } from './story.ts'

const gates = ['check-tests', 'check-lint']

const repositoryFile = `setup: make deps
setupKey: deps.lock
gates:
  - { name: test, command: check-tests }
  - { name: lint, command: check-lint }
`

export type Scene = {
  story: Story
  machine: Machine
  settings: OperatorSettings
  audit: Auditor
  person: Person
  outside: ReturnType<typeof lookInto>
  life: Life | null
  running: RunningDaemon | null
  lives: number
  /** How long it will be away once it has died. */
  awayMs: number
  /** The next daemon is on its way. */
  isComing: boolean
  daemons: Set<number>
  closers: (() => void)[]
  /** Monotonic ms until which attempts are handed out twice. */
  twiceUntil: number
  fault: unknown
}

export async function setScene(story: Story, bug: Bug | null): Promise<Scene> {
  await loadDoors()
  const world = virtualWorld({ seed: story.seed, ids: 'drawn' })
  const landed = (commit: string, target: string, message: string) => machine.landings.push({ commit, target, message })
  const machine: Machine = { ...newMachine(world, story.seed, modelGit(landed)), bug }
  machine.programs = programsOf(machine)
  const paths = pathsIn('.')
  fs.writeFileSync(`${paths.database}.key`, `${'5'.repeat(64)}\n`, { mode: 0o600 }) // drawn by chance everywhere else
  const database = openDatabase(paths.database, { wait: (ms) => world.timer.sleep(ms) })
  const settings = settingsFor(story.families, {
    unattended: story.unattended,
    lease: { beatMs: story.beatMs, leaseMs: 3 * story.beatMs },
    money: {
      ...defaultSettings(2).money,
      dayNanoUsd: story.dayNanoUsd,
      ...story.pace,
      repositoriesNanoUsd: story.parts.repositories,
      familiesNanoUsd: story.parts.families,
    },
    caps: { roles: {}, ...story.caps },
    backup: { everyMs: Number.MAX_SAFE_INTEGER }, // it starts programs of the machine
  })
  const person: Person = {
    money: settings.money,
    raisedOn: null,
    database,
    world,
    repos: [],
    added: [],
    asked: () => 0,
    acknowledged: () => {},
    retries: new Map(),
  }
  for (let n = 0; n < story.repositories; n++) person.repos.push(await makeRepository(machine, database, n))
  const byId = (each: Readonly<Record<string, number>>) =>
    Object.fromEntries(
      person.repos.flatMap(({ id }, n) => (Object.hasOwn(each, `r${n}`) ? [[id, each[`r${n}`]!]] : [])),
    )
  const { dayNanoUsd, taskNanoUsd, familiesNanoUsd } = settings.money
  const audit = auditor(paths.database, machine, {
    unattended: story.unattended,
    slots: settings.slots,
    gates,
    floorMs: story.floorMs,
    money: { dayNanoUsd, taskNanoUsd, repositories: byId(story.parts.repositories), families: familiesNanoUsd },
    caps: { repositories: byId(story.caps.repositories), families: story.caps.families },
  })
  person.acknowledged = audit.acknowledged
  person.asked = audit.events
  return {
    story,
    machine,
    settings,
    audit,
    person,
    outside: lookInto(paths.database),
    life: null,
    running: null,
    lives: 0,
    awayMs: 1000,
    isComing: false,
    daemons: new Set(),
    closers: [],
    twiceUntil: 0,
    fault: null,
  }
}

async function makeRepository({ git, world }: Machine, database: Database, n: number) {
  const path = `/repositories/r${n}`
  const contents = Object.fromEntries(files.map((file) => [file, 'nothing yet\n']))
  git.init(path, { 'tri-agent.yaml': repositoryFile, 'deps.lock': '1\n', ...contents }, world.clock.now())
  const row = await registerRepository({ database, world, actor }, { path, name: `r${n}`, base: 'main' })
  if (isRefusal(row)) throw new Error(row.why)
  return { id: row.id, path }
}

/** Starts a daemon; one that dies or fails is started again, as a service manager would. */
export function rise(scene: Scene): void {
  const { machine } = scene
  const n = (scene.lives += 1)
  const pid = 100_000 + n
  scene.isComing = false
  for (const close of scene.closers.splice(0)) close()
  const died = () => {
    endWith(scene, pid)
    if (scene.life === life) riseIn(scene, scene.awayMs)
  }
  const life: Life = beginLife(machine, n, { died, broke: (error) => (scene.fault ??= error) })
  scene.life = life
  scene.daemons.clear()
  scene.daemons.add(pid)
  const again = (awayMs: number) => {
    if (scene.life !== life) return
    die(scene, life, 'it could not start', awayMs)
  }
  const isIn = (until: number) => machine.world.clock.mono() < until
  startHouse({
    machine,
    life,
    paths: pathsIn('.'),
    settings: scene.settings,
    pid,
    daemons: scene.daemons,
    faults: {
      isDoubled: () => isIn(scene.twiceUntil),
      losesBeat: (attempt) => isIn(machine.beatsLostUntil) || isFrozen(machine, attempt),
    },
    floorMs: scene.story.floorMs,
    opened: (close) => scene.closers.push(close),
  }).then(
    (started) => (isRefusal(started) ? again(30_000) : void (scene.running = started)),
    (error: unknown) => {
      if (!isExpected(scene, error)) scene.fault ??= error
      again(30_000)
    },
  )
}

/** A rejection that nobody heard ends a daemon: Node would have ended its process. */
export function hearUnheard(scene: Scene): Disposable {
  const heard = (error: unknown) => {
    if (!isExpected(scene, error)) scene.fault ??= error
    if (!scene.life || scene.life.isDead()) return
    die(scene, scene.life, 'a rejection that nobody heard', 1000)
  }
  process.on('unhandledRejection', heard)
  return { [Symbol.dispose]: () => void process.off('unhandledRejection', heard) }
}

/** A daemon may fail to start on a full disk, and for no other reason. */
export const isExpected = ({ machine }: Scene, error: unknown): boolean =>
  (machine.world.clock.mono() < machine.diskFullUntil && /ENOSPC|full/.test(sayError(error))) ||
  /the daemon ends while its database cannot be written/.test(sayError(error)) // said where it was not looked yet whether there is room again

/** Ends a daemon; the next one comes after a while. */
export function die(scene: Scene, life: Life, where: string, awayMs: number): void {
  if (!life.isDead()) scene.awayMs = awayMs
  life.die(where)
}

function riseIn(scene: Scene, awayMs: number): void {
  if (scene.isComing) return
  scene.isComing = true
  scene.machine.world.timer.after(awayMs, () => rise(scene))
}

/** What goes with a daemon: its connections, and of its processes those that do not outlive it. */
function endWith(scene: Scene, pid: number): void {
  const { machine } = scene
  machine.gateway?.drop()
  machine.gateway = null
  machine.door = null
  machine.isDraining = false
  scene.running = null
  scene.daemons.delete(pid)
  const dice = diceFor(machine.seed, `death of ${pid}`)
  for (const process of machine.processes.values())
    if (!process.isWritten || dice.hits(0.4)) process.die({ code: null, signal: 'SIGKILL' })
    else if (dice.hits(0.3)) process.stuckUntil = now(scene) + dice.between(10_000, 600_000)
}

/** Lets everything happen that can without time passing, and looks. Nobody's transaction is open after it. */
export async function settle(scene: Scene): Promise<void> {
  await scene.machine.world.settle()
  if (scene.fault) throw scene.fault
  scene.audit.look(true)
}

/** Lets time pass until so many milliseconds of the story are over, looking after each thing that happens. */
export async function goOn(scene: Scene, until: number): Promise<void> {
  await settle(scene)
  while (await scene.machine.world.step(until)) {
    if (scene.fault) throw scene.fault
    scene.audit.look()
  }
}

export const now = ({ machine }: Scene): number => machine.world.clock.mono()

/** Stops it, waiting so long for what is under way. */
export function stop(scene: Scene, patienceMs: number, awayMs: number): void {
  const { running, life, machine } = scene
  if (!running || !life || life.isDead()) return
  scene.running = null
  machine.isDraining = true
  const hurry = new AbortController()
  machine.world.timer.after(patienceMs, () => hurry.abort())
  running
    .drain(hurry.signal)
    .then(() => running[Symbol.asyncDispose]())
    .then(
      () => {
        if (scene.life !== life || life.isDead()) return
        const hangs = ({ stuckUntil }: Process) => stuckUntil > now(scene)
        if (![...machine.processes.values()].every(hangs))
          scene.fault ??= new Broken('a daemon that stopped left processes')
        die(scene, life, 'stopped', awayMs)
      },
      (error: unknown) => {
        if (!isExpected(scene, error)) scene.fault ??= error
        die(scene, life, 'stopped badly', awayMs)
      },
    )
}

export const sayError = (error: unknown): string =>
  error instanceof Error ? (error.stack ?? error.message) : String(error)
