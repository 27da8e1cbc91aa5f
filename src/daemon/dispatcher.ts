/**
 * The dispatcher: looks at the head of the queue, lets in what may start, and offers it to the engine, all in one transaction. It remembers
 * nothing of the queue, so that an override, a pause or a cancel acts at the next pass.
 *
 * Where nobody wakes it, it looks first whether a pass could find anything else than the last one did: anything written, by whomever, a change of what
 * is in no row (`Daemon.around`), or a moment that has come. A daemon that may do nothing costs next to nothing so, however long its queue.
 */
import type { Event } from '../core/event.ts'
import { admit, type Admission, type Snapshot } from '../core/admission.ts'
import { calmMs } from '../core/calm.ts'
import { type Circumstances } from '../core/waiting.ts'
import { mayBeMissedAt, missedFamily, type Patience } from '../core/missed-family.ts'
import { showDuration } from '../core/quantity.ts'
import { roles, type Role, type Task } from '../core/task.ts'
import { Fault } from '../host/fault.ts'
import type { Tx } from '../store/database.ts'
import { daemonRow, keepCircumstances } from '../store/lease.ts'
import { append } from '../store/append.ts'
import { attemptsToEnd, readPauses } from '../store/pause.ts'
import { headOfQueue, nextDue } from '../store/queue.ts'
import { childrenOf, finishedSplits, nextGoingOn, tasksAround } from '../store/task.ts'
import type { Daemon } from './daemon.ts'
import { dayLimit, keepBooks } from './treasurer.ts'

/** However little there is to see: after so many looks there is a pass. */
const looksPerPass = 10

export type Dispatcher = {
  /** Joins finished splits, ends what was cancelled or stopped at once, admits what may start. */
  pass(): Promise<void>
  /** Could a pass find anything else than the last one did? */
  hasNews(): boolean
}

export function dispatcher(daemon: Daemon, idleSince: Map<Role, number>): Dispatcher {
  const { world, database, engine } = daemon
  let told = ''
  let last = { seen: null as string | null, at: 0, mono: 0, calmMs: 0, looks: 0 }
  const since = world.clock.now()
  const nowSeen = () => {
    const stamp = database.stamp()
    return stamp === null ? null : `${stamp} ${daemon.around()}`
  }
  const isOther = () => last.seen === null || nowSeen() !== last.seen
  const hasNews = () => {
    const [at, mono] = [world.clock.now(), world.clock.mono()]
    const isCalm = at >= last.at && at - last.at < last.calmMs && mono - last.mono < last.calmMs
    return !isCalm || (last.looks += 1) >= looksPerPass || engine.carrying().length > 0 || isOther()
  }
  const pass = async () => {
    const [seen, mono] = [nowSeen(), world.clock.mono()] // before anything is read: what is written meanwhile is news
    await database.write(async (tx) => {
      const at = world.clock.now() // of all that is looked at here: or what falls due in between would be in neither
      await refuseSuperseded(daemon, tx)
      const joined = await joinSplits(daemon, tx)
      await keepBooks(tx, daemon.settings, at)
      const pauses = await readPauses(tx)
      const tasks = await tasksAround(tx, await headOfQueue(tx, { ...look(daemon), at, pauses }))
      const idle = idleMs(world.clock.mono(), tasks, idleSince)
      const snapshot = await daemon.snapshot(tx, { at, tasks, pauses, idleMs: idle })
      const circumstances = circumstancesOf(await dayLimit(tx, daemon.settings, at), snapshot)
      const said = JSON.stringify(circumstances)
      if (said !== told) {
        await keepCircumstances(tx, circumstances)
        tx.afterCommit(() => (told = said))
      }
      const patience = { mostMs: daemon.settings.review.familyMs, since }
      await giveUpWaiting(tx, snapshot, patience)
      for (const admission of admit(snapshot)) await admitOne(daemon, tx, admission, snapshot)
      if (joined > 0) tx.afterCommit(() => daemon.wake())
      const moments = [await nextDue(tx, at), await nextGoingOn(tx, at), ...mayBeMissedAt(snapshot, patience)]
      const calm = calmMs(snapshot, moments)
      tx.afterCommit(() => (last = { seen, at, mono, calmMs: calm, looks: 0 }))
    })
    await endUnwanted(daemon)
  }
  return { pass, hasNews }
}

/** Whoever took the database over may not see this process, in another container say: of two daemons the older one lets nothing in any more. */
async function refuseSuperseded({ database, epoch }: Daemon, tx: Tx): Promise<void> {
  const now = (await daemonRow(tx))?.epoch
  if (now === epoch) return
  const why = `${database.path} has been taken over: it is of epoch ${now}, this daemon is of epoch ${epoch}`
  throw new Fault('daemon-superseded', why, { hint: 'tri-agent status' })
}

const circumstancesOf = (dayNanoUsd: number, { closed, families, breaker, caps, parts }: Snapshot): Circumstances => ({
  closed,
  families: families.map(({ family }) => family),
  dayNanoUsd,
  breaker,
  closures: families.flatMap(({ family, closedUntil, closedWhy }) =>
    closedUntil === null || closedWhy === null
      ? []
      : [{ family, until: closedUntil === Infinity ? null : closedUntil, why: closedWhy }],
  ),
  caps,
  ...([parts.repos, parts.families].some((steps) => Object.keys(steps).length > 0) ? { parts } : {}),
})

/** A family that stays away is a person's question: they may wait, mend its key, or let others review. */
async function giveUpWaiting(tx: Tx, snapshot: Snapshot, patience: Patience): Promise<void> {
  for (const task of snapshot.tasks) {
    const missed = missedFamily(task, snapshot, patience)
    if (missed === null) continue
    const state = snapshot.families.find(({ family }) => family === missed)
    const event: Event = {
      type: 'task.escalated',
      why: `waited ${showDuration(patience.mostMs)} for ${missed}`,
      evidence: state?.closedWhy ?? `${missed} is not usable: tri-agent doctor`,
    }
    await append(tx, { at: snapshot.at, actor: 'daemon', stream: `task/${task.id}`, events: [event] })
  }
}

/** No more of one demand can start than there are slots. */
const look = ({ settings }: Daemon) => ({
  laneStepMs: settings.lane.stepMs,
  most: Object.values(settings.slots).reduce((sum, slots) => sum + slots, 0),
})

async function admitOne(daemon: Daemon, tx: Tx, admission: Admission, { tasks }: Snapshot): Promise<void> {
  const { world, engine, keys } = daemon
  const attempt = world.id('att')
  const { task: id, token, step, role, family, agent, model, finding, because } = admission
  const at = world.clock.now()
  const event: Event = { type: 'attempt.admitted', attempt, token, step, role, family, agent, model, finding, because }
  await append(tx, { at, actor: 'daemon', stream: `task/${id}`, events: [event] })
  const task = tasks.find((each) => each.id === id)!
  if (family !== null && model !== null) {
    const key = await daemon.mint(tx, { attempt, task, step, family, model })
    tx.afterCommit(() => keys.set(attempt, key)) // before anybody who claims it in this commit goes on: they find the key there
  }
  await engine.offer(tx, { attempt, task: id, token })
}

/** Milliseconds each role has had nothing under way. */
function idleMs(mono: number, tasks: readonly Task[], since: Map<Role, number>): Snapshot['idleMs'] {
  const idle = {} as Record<Role, number>
  for (const role of roles) {
    if (tasks.some((task) => task.running.some((each) => each.role === role))) since.set(role, mono)
    idle[role] = mono - (since.get(role) ?? mono)
    if (!since.has(role)) since.set(role, mono)
  }
  return idle
}

/** A split task is done when its parts are; a part that was cancelled is a question for a person. */
async function joinSplits({ world }: Daemon, tx: Tx): Promise<number> {
  const finished = await finishedSplits(tx)
  for (const parent of finished) {
    const children = await childrenOf(tx, parent.id)
    const cancelled = children.filter(({ phase }) => phase === 'cancelled').map(({ id }) => id)
    const event: Event =
      cancelled.length === 0
        ? { type: 'task.joined', children: parent.children }
        : { type: 'task.escalated', why: 'parts were cancelled', evidence: cancelled.join(', ') }
    await append(tx, { at: world.clock.now(), actor: 'daemon', stream: `task/${parent.id}`, events: [event] })
  }
  return finished.length
}

/** Attempts carried here that nobody wants any more: a person cancelled their task, or paused with `--now`. */
async function endUnwanted({ database, engine }: Daemon): Promise<void> {
  const carrying = engine.carrying()
  if (carrying.length === 0) return
  const unwanted = await database.read((reader) => attemptsToEnd(reader, carrying))
  for (const attempt of unwanted) engine.revoke(attempt, 'killed')
}
