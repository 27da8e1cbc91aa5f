/**
 * The rescuer: rows, not processes. A lease of an earlier epoch, or one that ran out, goes back to ready, but only after its process tree is
 * proven dead; an intended landing is compared with the ref before anything is done again.
 */
import { join } from 'node:path'
import type { AttemptEnded, TaskEvent } from '../core/event.ts'
import { conclude } from '../core/flow.ts'
import { isRefusal } from '../core/refusal.ts'
import { evolve } from '../core/evolve.ts'
import type { Task } from '../core/task.ts'
import { removeTree } from '../sandbox/area.ts'
import { append } from '../store/append.ts'
import {
  daemonRow,
  deadLeases,
  forgetProcess,
  recordedProcesses,
  recordProcess,
  releaseLease,
  type Lease,
} from '../store/lease.ts'
import { totalsBy, type Total } from '../store/account.ts'
import { loadTask } from '../store/task.ts'
import type { Daemon } from './daemon.ts'
import type { RepoContext } from './repository.ts'
import { readFinished, salvage, type Salvaged, type Written } from './salvage.ts'
import { workOf } from './worker.ts'

/** At most this many per pass, so that a pass stays short. */
const sweep = 64

/**
 * A task that is looked at by so many daemons in a row, none of which lives to give it back, may be what they die of: it is set aside unseen, for a
 * person. (One that lets them begin is set aside by core/flow.ts, after as many losses.)
 */
const mostStarts = 5

/** One pass over dead leases; each pass goes on where the last one stopped, and from the beginning after the last of them. */
export function rescuer(daemon: Daemon) {
  let after = ''
  return async (): Promise<void> => {
    const { database, world, engine, epoch } = daemon
    if (daemon.trouble() !== null) return // no beat can be written: no lease that ran out says anything
    await daemon.absence.look()
    const dead = await database.read((reader) => deadLeases(reader, epoch, world.clock.mono(), sweep, after))
    after = dead.length < sweep ? '' : dead.at(-1)!.attempt
    for (const lease of dead) {
      engine.revoke(lease.attempt, 'lost')
      if (engine.carrying().includes(lease.attempt)) continue // its own worker ends it and finds itself fenced or not
      await daemon.gateway.revoke(lease.attempt)
      if (daemon.salvaging.under.has(lease.attempt)) continue
      const written = await readFinished(daemon, lease.attempt)
      if (!(await buried(daemon, lease, written !== null))) continue
      if (written === null) await giveBack(daemon, lease, null)
      else daemon.salvaging.under.set(lease.attempt, salvageOf(daemon, lease, written))
    }
    if (dead.length > 0) daemon.wake()
  }
}

/** Takes in what its agent had finished, beside everything else, and gives it back. */
async function salvageOf(daemon: Daemon, lease: Lease, written: Written): Promise<void> {
  const { database, epochBoot, world } = daemon
  const { under, ending } = daemon.salvaging
  const { attempt } = lease
  try {
    const task = await database.read((reader) => loadTask(reader, lease.task))
    const running = task?.running.find((each) => each.attempt === attempt)
    const context = task && !isSuspectOf(daemon, lease, task) ? await daemon.repository(task.repo) : null
    let salvaged: Salvaged | 'stopped' | null = null
    if (task && running && context && !isRefusal(context)) {
      const carried = { ...lease, signal: ending, beat: () => Promise.resolve(true) }
      salvaged = await salvage(
        daemon,
        {
          ...workOf(daemon, carried, task, running, context, []),
          folder: join(daemon.paths.areas, attempt),
          gateway: null,
          kept: null,
          onAgentEvent: () => {},
          onOutput: () => {},
          active: () => {},
          finished: () => Promise.resolve(),
          started: ({ pid, startTime }, { root }) =>
            database.write((tx) =>
              recordProcess(tx, {
                attempt,
                pid,
                boot_id: epochBoot,
                start_time: startTime,
                area: root,
                started_at: world.clock.now(),
              }),
            ),
        },
        written,
      )
    } else await removeTree(join(daemon.paths.areas, attempt))
    if (salvaged === 'stopped') return
    await giveBack(daemon, lease, salvaged)
    daemon.wake()
  } catch (error) {
    await daemon.failed('salvage', error)
  } finally {
    under.delete(attempt)
  }
}

/** True when nothing of the attempt's process tree is alive any more. `isKept`: its area is looked at again. */
async function buried(daemon: Daemon, { attempt }: Lease, isKept: boolean): Promise<boolean> {
  const { database } = daemon
  const row = (await database.read(recordedProcesses)).find((each) => each.attempt === attempt)
  if (row) {
    if (!(await daemon.bury(row))) return false
    if (!isKept) await removeTree(row.area)
    await database.write((tx) => forgetProcess(tx, attempt))
  }
  return true
}

/**
 * At the end of a daemon: what is in the process table is ended, also what hung in the kernel at the last pass. Rows and leases are for the next daemon;
 * where that has the database already, the table is its own.
 */
export async function buryRest({ database, epoch, bury }: Daemon): Promise<void> {
  const rows = await database.read(async (reader) =>
    (await daemonRow(reader))?.epoch === epoch ? recordedProcesses(reader) : [],
  )
  await Promise.all(rows.map(bury))
}

/** So many daemons in a row did not live to give it back. */
const isSuspectOf = ({ epoch }: Daemon, lease: Lease, task: Task): boolean =>
  epoch - lease.epoch >= mostStarts && task.intent === null

async function giveBack(daemon: Daemon, lease: Lease, salvaged: Salvaged | null): Promise<void> {
  const { database, world } = daemon
  const task = await database.read((reader) => loadTask(reader, lease.task))
  const starts = daemon.epoch - lease.epoch
  const isSuspect = task !== null && isSuspectOf(daemon, lease, task)
  const context = task && !isSuspect ? await daemon.repository(task.repo) : null
  const known = context === null || isRefusal(context) ? null : context
  if (task?.intent && !known) return // whether it landed is not known while the repository cannot be read: the next pass looks again
  const happened = task?.intent && known ? await daemon.intentHappened(task, known) : false
  await database.write(async (tx) => {
    if (!(await releaseLease(tx, lease))) return
    const now = await loadTask(tx, lease.task)
    if (!now?.running.some(({ attempt }) => attempt === lease.attempt)) return
    const at = world.clock.now()
    const spent = (await totalsBy(tx, 'attempt', { task: now.id })).find(({ name }) => name === lease.attempt)
    const ended = endedAs(lease, spent)
    const events = happened
      ? landedAfterAll(lease, now.intent!)
      : isSuspect && now.phase === 'open'
        ? [ended, setAside(starts)]
        : salvaged
          ? late(daemon, now, ended, salvaged, known, at)
          : lost(daemon, now, ended, known, at)
    await append(tx, { at, actor: 'daemon', stream: `task/${lease.task}`, events })
  })
}

const setAside = (starts: number): TaskEvent => ({
  type: 'task.escalated',
  why: `the daemon died ${starts} times before it could give this back`,
  evidence: 'look into daemon.log for what it died of; then retry or cancel',
})

/** It was finished, and is taken in by another daemon than that which saw it. */
function late(
  daemon: Daemon,
  task: Task,
  ended: AttemptEnded,
  { product, reason, promptSha256 }: Salvaged,
  context: RepoContext | null,
  at: number,
): TaskEvent[] {
  const ending = { ended: { ...ended, outcome: 'passed' as const, reason, promptSha256 }, product, feedback: null }
  return conclude(task, ending, daemon.flowPolicy(context), { at, chance: daemon.world.random() })
}

function lost(daemon: Daemon, task: Task, ended: AttemptEnded, context: RepoContext | null, at: number): TaskEvent[] {
  const { attempt } = ended
  const refused: TaskEvent[] = task.intent
    ? [{ type: 'landing.refused', attempt, why: 'the daemon died before the branch moved' }]
    : []
  const now = refused.reduce((each, event) => evolve(each, event, at), task)
  const ending = { ended, product: null, feedback: null }
  return [...refused, ...conclude(now, ending, daemon.flowPolicy(context), { at, chance: daemon.world.random() })]
}

/** What a lost attempt spent is asked of the ledger: the gateway that saw it may have died with the daemon. */
function endedAs({ attempt }: Lease, spent: Total | undefined): AttemptEnded {
  const { input = 0, cachedInput = 0, cacheWrite = 0, output = 0, nanoUsd = 0 } = spent ?? {}
  return {
    type: 'attempt.ended',
    attempt,
    outcome: 'lost',
    reason: 'the daemon or its worker died',
    signature: null,
    tokens: { input, cachedInput, cacheWrite, output },
    costNanoUsd: nanoUsd,
    transcript: null,
    promptSha256: null,
    killed: null,
  }
}

/** The ref moved before the crash: the landing is a fact, and is recorded once. */
function landedAfterAll(lease: Lease, intent: { commit: string; tree: string; target: string }): TaskEvent[] {
  const { commit, tree, target } = intent
  return [
    { ...endedAs(lease, undefined), outcome: 'passed', reason: 'landed before the daemon died' },
    { type: 'task.landed', commit, tree, target },
  ]
}
