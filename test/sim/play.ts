/**
 * Plays a story on a simulated machine, in two acts:
 *
 *     faults and people ──▶ everything calm: whoever is asked answers ──▶ all tasks are over, the daemon stops, nothing is left
 *
 * In the first act nothing may happen that must not (safety), in the second everything must end (liveness). The auditor looks after every timer.
 */
import { createHash } from 'node:crypto'
import fs from 'node:fs'
import { join } from 'node:path'
import { checkDatabase } from '../../src/store/check.ts'
import { readTrouble } from '../../src/store/told.ts'
import { verifyProjections } from '../../src/store/rebuild.ts'
import { Broken } from './table.ts'
import type { Bug } from './bug.ts'
import { layDisk, ownDatabases } from './disk.ts'
import { guard } from './guard.ts'
import { never } from './machine.ts'
import { overSocket, straight, type Act } from './door.ts'
import { actor, answerAll, doDeed } from './person.ts'
import { files } from './program.ts'
import { die, goOn, hearUnheard, isExpected, now, rise, sayError, setScene, settle, stop, type Scene } from './scene.ts'
import { sayStep, type Step, type Story, type Through } from './story.ts'

export type Ending = {
  /** What went wrong, or null. */
  broken: string | null
  /** Where the story stood then, in words and in virtual milliseconds. */
  at: string
  atMs: number
  /** Of every event of the log. */
  hash: string
  events: number
  tasks: number
  landed: number
  deaths: number
  /** Virtual days that passed. */
  days: number
}

const second = 1000
const minute = 60 * second
const day = 24 * 60 * minute
/** How long everything may take to end once nothing goes wrong any more. */
const calmMs = 30 * day
/** So long are days that are used up waited for. */
const modestMs = 1.5 * day

/** Plays one story in a folder of its own, which it makes and, unless it is to be kept, removes. After `untilMs` it need not come to its end. */
export async function play(
  story: Story,
  root: string,
  { keep = false, bug = null, untilMs = Infinity }: { keep?: boolean; bug?: Bug | null; untilMs?: number } = {},
): Promise<Ending> {
  fs.rmSync(root, { recursive: true, force: true })
  fs.mkdirSync(root, { recursive: true, mode: 0o700 })
  const before = process.cwd()
  process.chdir(root) // paths are told in errors and transcripts: they must be the same wherever the story is told
  using _databases = ownDatabases()
  const scene = await setScene(story, bug)
  const { machine } = scene
  using _disk = layDisk({
    pass: (what) => (scene.life ? scene.life.pass(what) : never()),
    isFull: () => machine.world.clock.mono() < machine.diskFullUntil,
  })
  using _guard = guard((error) => void (scene.fault ??= error))
  using _unheard = hearUnheard(scene)
  let broken: string | null = null
  try {
    rise(scene)
    for (const step of story.steps) {
      await goOn(scene, step.at)
      await take(scene, step)
    }
    if (machine.dark.until <= untilMs) await goOn(scene, machine.dark.until)
    if (await calm(scene, untilMs)) await close(scene)
  } catch (error) {
    broken = error instanceof Broken ? error.message : sayError(error)
  }
  const ending = tell(scene, broken)
  scene.life?.die('the story is over')
  await machine.world.settle()
  for (const shut of scene.closers) shut()
  scene.person.database.close()
  scene.outside.close()
  scene.audit.close()
  process.chdir(before)
  if (!keep) fs.rmSync(root, { recursive: true, force: true })
  return ending
}

/** How a command goes that is said now; `isOwn`: without anybody else. */
function wayOf({ machine, person, running }: Scene, through: Through): { act: Act; isOwn: boolean } {
  const ports = { database: person.database, world: person.world, actor }
  if (through === 'socket' && machine.door) return { act: overSocket(machine, ports), isOwn: false }
  const database = through === 'daemon' ? running?.daemon.database : undefined
  return { act: straight({ ...ports, database: database ?? person.database }), isOwn: !database }
}

async function take(scene: Scene, step: Step): Promise<void> {
  const { machine, person } = scene
  const { world, git } = machine
  switch (step.what) {
    case 'add':
    case 'person':
    case 'pause':
    case 'raise':
    case 'resume': {
      const { act, isOwn } = wayOf(scene, step.through)
      if (!isOwn) scene.running?.nudge() // so that the daemon writes beside it
      const doing = doDeed(person, step, act).then(() => scene.running?.nudge())
      if (isOwn) await doing // at the daemon it may stay unanswered for ever
      else doing.catch((error: unknown) => (isExpected(scene, error) ? null : (scene.fault ??= error)))
      break
    }
    case 'branch': {
      const { path } = person.repos[step.repo % person.repos.length]!
      const at = world.clock.now()
      if (step.deed === 'commit')
        git.commit(path, 'main', { [files[step.file]!]: `by hand ${step.at}\n` }, 'By hand', at)
      if (step.deed === 'merge') git.merge(path, scene.settings.landing.branch, 'main', at)
      if (step.deed === 'check-out') git.checkOut(path, scene.settings.landing.branch)
      if (step.deed === 'leave') git.checkOut(path, 'main')
      break
    }
    case 'crash':
      if (!scene.life || scene.life.isDead()) break
      scene.awayMs = step.awayMs
      if (step.landing) machine.ambush = step.points
      else scene.life.dieAfter(step.points)
      break
    case 'stop':
      stop(scene, step.patienceMs, step.awayMs)
      break
    case 'reboot':
      machine.boot += 1
      for (const process of machine.processes.values()) process.die({ code: null, signal: 'SIGKILL' })
      if (scene.life) die(scene, scene.life, 'reboot', step.awayMs)
      break
    case 'sleep':
      machine.sleeps.push({ at: now(scene), ms: step.ms })
      expectNotice(scene)
      world.oversleep(step.ms)
      break
    case 'clock':
      if (step.ms > 0) machine.leaps += 1
      world.jumpWall(step.ms)
      break
    case 'disk-full':
      machine.diskFullUntil = now(scene) + step.ms
      expectTold(scene)
      break
    case 'memory-short':
      machine.memoryShort = { since: now(scene), until: now(scene) + step.ms }
      break
    case 'provider':
      machine.troubles = machine.troubles.filter(({ until }) => until > now(scene))
      machine.troubles.push({ family: step.family, kind: step.kind, until: now(scene) + step.ms })
      break
    case 'blackout':
      machine.dark = { since: now(scene), until: now(scene) + step.ms }
      expectNoCharge(scene)
      break
    case 'beats-lost':
      machine.beatsLostUntil = now(scene) + step.ms
      break
    case 'delivered-twice':
      scene.twiceUntil = now(scene) + step.ms
      break
    case 'frozen': {
      const all = [...machine.processes.values()]
      const until = now(scene) + step.ms
      for (const process of step.pick === null ? all : all.slice(Math.floor(step.pick * all.length)).slice(0, 1)) {
        machine.frozen.set(process.attempt, until)
        if (step.isStuck) process.stuckUntil = until
      }
    }
  }
  await settle(scene)
}

/** A daemon that stands must notice that its machine slept. */
function expectNotice(scene: Scene): void {
  const { life, running, audit, machine } = scene
  if (!life || !running || life.isDead()) return
  const before = audit.resumed()
  machine.world.timer.after(minute, () => {
    const isThere = scene.life === life && scene.running === running && !life.isDead()
    if (isThere && machine.diskFullUntil < now(scene) - minute && audit.resumed() === before)
      scene.fault ??= new Broken('the machine slept, and its daemon did not notice')
  })
}

/** A daemon in trouble tries every second (daemon/patient.ts): in this time twice. */
const probesMs = 2 * second

/** A daemon whose database took nothing says so while it is so, and in the log once it can be written again. */
function expectTold(scene: Scene): void {
  const { life, running, audit, machine } = scene
  if (!life || !running || life.isDead()) return
  const [began, until, before] = [now(scene), machine.diskFullUntil, audit.recovered()]
  const isThere = () => scene.life === life && scene.running === running && !life.isDead()
  machine.world.timer.after(until - began - 1, () => {
    const isKnown = machine.refused.againAt > now(scene) - probesMs && machine.diskFullUntil > now(scene)
    if (isThere() && isKnown && readTrouble(join('state', 'tasks.db')) === null)
      scene.fault ??= new Broken('the disk is full, and nobody is told')
  })
  machine.world.timer.after(until - began + minute, () => {
    const isOver = machine.refused.againAt > began && machine.diskFullUntil < now(scene) - probesMs
    if (isThere() && isOver && audit.recovered() === before)
      scene.fault ??= new Broken('the disk was full, and the log does not know')
  })
}

/** So long may what had left before the network went be settled. */
const settlingMs = 30 * minute

/** While there is no network nothing is charged, unless a daemon died with requests of which it did not know whether they had left. */
function expectNoCharge(scene: Scene): void {
  const { machine, outside } = scene
  const { since, until } = machine.dark
  const look = () => {
    const awakeSince = Math.max(since, ...machine.sleeps.map(({ at, ms }) => at + ms))
    const waitMs = awakeSince + settlingMs - now(scene)
    if (waitMs > 0) return void machine.world.timer.after(waitMs, look)
    const before = { spent: outside.spent(), lives: scene.lives }
    const leftMs = until - 1 - now(scene) // at its end there is one again
    if (leftMs <= 0) return
    machine.world.timer.after(leftMs, () => {
      if (now(scene) < until && scene.lives === before.lives && outside.spent() !== before.spent)
        scene.fault ??= new Broken('something was charged while there was no network')
    })
  }
  look()
}

/** Nothing goes wrong any more: everything must end. False where the story is told no further. */
async function calm(scene: Scene, untilMs: number): Promise<boolean> {
  const { machine, audit, person } = scene
  machine.isCalm = true
  machine.memoryShort.until = machine.beatsLostUntil = scene.twiceUntil = 0
  machine.diskFullUntil = Math.min(machine.diskFullUntil, now(scene))
  machine.troubles = []
  machine.ambush = null
  scene.life?.dieAfter(Infinity) // nor of what was to come at a later point
  for (const attempt of machine.frozen.keys()) machine.frozen.set(attempt, 0)
  for (const process of machine.processes.values()) process.stuckUntil = 0
  for (const { path } of person.repos) machine.git.checkOut(path, 'main')
  const began = now(scene)
  for (;;) {
    await goOn(scene, now(scene) + 10 * minute)
    const open = audit.tasks().filter(({ phase }) => phase !== 'done' && phase !== 'cancelled')
    if (open.length === 0) return true
    if (now(scene) > untilMs) return false
    if (now(scene) - began > calmMs)
      throw new Broken(
        `does not end: ${open.map(({ id, phase, held }) => `${id} ${phase}${held ? ' held' : ''}`).join(', ')}`,
      )
    await answerAll(person, now(scene) - began > modestMs)
    scene.running?.nudge()
  }
}

/** The daemon stops, and what is left is looked at. */
async function close(scene: Scene): Promise<void> {
  const { machine } = scene
  while (!scene.running) await goOn(scene, now(scene) + minute)
  const life = scene.life!
  stop(scene, 0, 365 * day)
  for (let waited = 0; !life.isDead(); waited += minute) {
    if (waited > day) throw new Broken('the daemon does not stop')
    await goOn(scene, now(scene) + minute)
  }
  if (machine.processes.size > 0) throw new Broken('processes are left')
  const { leases, holds, processes } = scene.outside.leftovers()
  if (leases + holds + processes > 0) throw new Broken(`left: ${leases} leases, ${holds} holds, ${processes} processes`)
  const areas = fs.readdirSync(join('state', 'areas'))
  if (areas.length > 0) throw new Broken(`areas are left: ${areas.join(', ')}`)
  await checkBooks(scene)
  checkLandings(scene)
}

async function checkBooks({ person: { database }, audit }: Scene): Promise<void> {
  const { differences } = await verifyProjections(database)
  if (differences.length > 0) throw new Broken(`the log does not explain ${JSON.stringify(differences[0])}`)
  for (const { what, problems } of await checkDatabase(database))
    if (problems.length > 0) throw new Broken(`${what}: ${problems[0]}`)
  audit.look()
  audit.end()
}

/** What git has and what the log says of it: the same. */
function checkLandings({ machine, audit }: Scene): void {
  const said = audit.tasks().filter(({ landed }) => landed !== null)
  for (const { commit, message } of machine.landings) {
    const task = /^Task: (\S+)$/m.exec(message)?.[1]
    const known = said.find(({ landed }) => landed === commit)
    if (!known || known.id !== task) throw new Broken(`${commit} landed for ${task}, and the log does not know`)
  }
  if (said.length !== machine.landings.length)
    throw new Broken(`${said.length} landings in the log, ${machine.landings.length} in git`)
}

function tell(scene: Scene, broken: string | null): Ending {
  const { audit, story } = scene
  const tasks = audit.tasks()
  const next = story.steps.find(({ at }) => at >= now(scene))
  return {
    broken,
    at: `after ${(now(scene) / day).toFixed(3)} days, before ${next ? sayStep(next) : 'the end'}`,
    atMs: now(scene),
    hash: hashOf(scene.outside.log()),
    events: audit.events(),
    tasks: tasks.length,
    landed: tasks.filter(({ landed }) => landed !== null).length,
    deaths: scene.lives - 1,
    days: now(scene) / day,
  }
}

function hashOf(rows: Iterable<object>): string {
  const hash = createHash('sha256')
  for (const row of rows) hash.update(JSON.stringify(row))
  return hash.digest('hex')
}
