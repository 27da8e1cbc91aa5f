/**
 * The lander: writes what it is about to do, moves one ref of the user's repository by compare-and-set, and lets the result be recorded.
 * A crash between the two leaves an intent; `recoverIntent` compares it with the ref and says what happened.
 */
import { mayLand } from '../core/flow.ts'
import { isRefusal } from '../core/refusal.ts'
import type { Task } from '../core/task.ts'
import type { Carried } from '../engine/engine.ts'
import { without, withProduct, type StageResult } from '../stage/stage.ts'
import { append } from '../store/append.ts'
import { attemptsToEnd } from '../store/pause.ts'
import { loadTask } from '../store/task.ts'
import type { Daemon } from './daemon.ts'
import type { RepoContext } from './repository.ts'

type Landing = NonNullable<StageResult['landing']>

/** Lands a tested commit. Null when the lease was lost or the task given up, and nothing may be done. */
export async function landIntended(
  daemon: Daemon,
  carried: Carried,
  context: RepoContext,
  landing: Landing,
): Promise<StageResult | null> {
  const { database, engine, world, git } = daemon
  const { target, stores } = context.repo
  const { commit, tree, parent } = landing
  const stream = `task/${carried.task}`
  const intended = await database.write(async (tx) => {
    if (!(await engine.holds(tx, carried))) return false
    const task = await loadTask(tx, carried.task)
    if (!task || !mayLand(task, carried.attempt)) return false // cancelled meanwhile
    if ((await attemptsToEnd(tx, [carried.attempt])).length > 0) return 'killed'
    const event = { type: 'landing.intended' as const, attempt: carried.attempt, commit, tree, parent, target }
    await append(tx, { at: world.clock.now(), actor: 'daemon', stream, events: [event] })
    return true
  })
  if (!intended) return null
  if (intended === 'killed') return without('killed', 'a person stopped it before it could land')
  const landed = await git.land(stores, target, parent, commit)
  if (!isRefusal(landed)) return withProduct({ step: 'land', landed: { commit, tree, target } }, `landed on ${target}`)
  const refused = { type: 'landing.refused' as const, attempt: carried.attempt, why: landed.why }
  await database.write((tx) => append(tx, { at: world.clock.now(), actor: 'daemon', stream, events: [refused] }))
  // A target that moved meanwhile is no failure of the work: the same approval is tested again on the new tip.
  return without(landed.refused === 'moved' ? 'lost' : 'refused', landed.why)
}

/** After a crash: did the intended landing happen? True when the target's history has that very commit. */
export async function intentHappened(daemon: Daemon, task: Task, context: RepoContext): Promise<boolean> {
  const { intent } = task
  if (!intent || context.repo.targetTip === null) return false
  return daemon.git.isAncestor(context.repo.stores, intent.commit, context.repo.targetTip).catch(() => false)
}
