/**
 * The rescuer: rows, not processes. A lease of an earlier epoch, or one that ran out, goes back to ready, but only after its process tree is
 * proven dead; an intended landing is compared with the ref before anything is done again.
 */
import type { AttemptEnded, TaskEvent } from '../core/event.ts'
import { conclude } from '../core/flow.ts'
import { isRefusal } from '../core/refusal.ts'
import { evolve, type Task } from '../core/task.ts'
import { removeTree } from '../sandbox/area.ts'
import { append } from '../store/append.ts'
import { deadLeases, forgetProcess, recordedProcesses, releaseLease, type Lease } from '../store/lease.ts'
import { totalsBy, type Total } from '../store/account.ts'
import { loadTask } from '../store/task.ts'
import type { Daemon } from './daemon.ts'
import type { RepoContext } from './repository.ts'

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
      if (await buried(daemon, lease)) await giveBack(daemon, lease)
    }
    if (dead.length > 0) daemon.wake()
  }
}

/** True when nothing of the attempt's process tree is alive any more. */
async function buried(daemon: Daemon, { attempt }: Lease): Promise<boolean> {
  const { database } = daemon
  const row = (await database.read(recordedProcesses)).find((each) => each.attempt === attempt)
  if (row) {
    if (!(await daemon.bury(row))) return false
    await removeTree(row.area)
    await database.write((tx) => forgetProcess(tx, attempt))
  }
  return true
}

async function giveBack(daemon: Daemon, lease: Lease): Promise<void> {
  const { database, world } = daemon
  const task = await database.read((reader) => loadTask(reader, lease.task))
  const starts = daemon.epoch - lease.epoch
  const isSuspect = starts >= mostStarts && task !== null && task.intent === null
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
        : lost(daemon, now, ended, known, at)
    await append(tx, { at, actor: 'daemon', stream: `task/${lease.task}`, events })
  })
}

const setAside = (starts: number): TaskEvent => ({
  type: 'task.escalated',
  why: `the daemon died ${starts} times before it could give this back`,
  evidence: 'look into daemon.log for what it died of; then retry or cancel',
})

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
