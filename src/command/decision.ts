/** What a person decides about one task: approve, reject, retry, prioritize, hold, release. One function each; the rules stand in its first lines. */
import type { TaskEvent } from '../core/event.ts'
import { retry } from '../core/flow.ts'
import { isRefusal, refuse, type Refusal } from '../core/refusal.ts'
import { lanes } from '../core/lane.ts'
import { isOver, stateOf, type Task } from '../core/task.ts'
import { oneOf } from '../core/nearest.ts'
import { loadTask } from '../store/task.ts'
import { decideOn } from './decide.ts'
import type { CommandPorts } from './ports.ts'

type Answer = Promise<Task | Refusal>

const notIn = (task: Task, verb: string, hint: string): Refusal =>
  refuse('wrong-state', `${task.id} is ${stateOf(task)}: there is nothing to ${verb}`, hint)

/** Lets a reviewed commit land. `commit` insists on which one. Refuses `wrong-state`, `other-commit`. */
export const approveTask = (ports: CommandPorts, said: string, commit: string | null): Answer =>
  decideOn(ports, said, (task) => {
    const { round } = task
    if (task.phase !== 'awaiting-approval' || !round) return notIn(task, 'approve', `tri-agent show ${task.id}`)
    if (commit !== null && (commit.length < 7 || !round.commit.startsWith(commit)))
      return refuse('other-commit', `what was reviewed is ${round.commit}, not ${commit}`, `tri-agent show ${task.id}`)
    return [{ type: 'task.approved', commit: round.commit, by: ports.actor }]
  })

/** Sends a reviewed commit back with a reason. Refuses `wrong-state`, `no-reason`. */
export const rejectTask = (ports: CommandPorts, said: string, why: string): Answer =>
  decideOn(ports, said, (task) => {
    const { round } = task
    if (task.phase !== 'awaiting-approval' || !round) return notIn(task, 'reject', `tri-agent show ${task.id}`)
    if (why.trim() === '') return refuse('no-reason', 'the implementer needs to know why', '--why "what is wrong"')
    return [{ type: 'task.rejected', commit: round.commit, by: ports.actor, why: why.trim() }]
  })

/** Opens an escalated task again at the step it stopped at. Refuses `wrong-state`, and `waits-for-cancelled`: it would wait for ever. */
export const retryTask = (ports: CommandPorts, said: string): Answer =>
  decideOn(ports, said, async (task, tx): Promise<TaskEvent[] | Refusal> => {
    if (task.phase !== 'escalated')
      return notIn(task, 'retry', 'only an escalated task is retried; what failed by itself is tried again by itself')
    for (const id of task.after)
      if ((await loadTask(tx, id))?.phase === 'cancelled')
        return refuse(
          'waits-for-cancelled',
          `${task.id} waits for ${id}, which was cancelled`,
          `tri-agent cancel ${task.id}, then add it again without --after ${id}`,
        )
    return retry(task)
  })

/** Changes a task's lane, or lets it overtake everything. Refuses `already-over`, `unknown-lane`, `nothing-to-change`. */
export const prioritizeTask = (
  ports: CommandPorts,
  said: string,
  change: { lane?: string; override?: boolean },
): Answer =>
  decideOn(ports, said, (task) => {
    if (isOver(task)) return refuse('already-over', `${task.id} is ${task.phase}`)
    const lane = change.lane === undefined ? null : oneOf('lane', change.lane, lanes)
    if (isRefusal(lane)) return lane
    if (lane === null && change.override === undefined)
      return refuse('nothing-to-change', 'say what to change', '--lane critical, or --first')
    return [{ type: 'task.prioritized', lane, override: change.override ?? null }]
  })

/** Keeps a task from starting anything new. What runs for it goes on, or with `now` is ended. Refuses `already-over`, `already-held`. */
export const holdTask = (ports: CommandPorts, said: string, why: string, now = false): Answer =>
  decideOn(ports, said, (task) => {
    if (isOver(task)) return refuse('already-over', `${task.id} is ${task.phase}`)
    if (task.held !== null && (task.heldNow || !now))
      return refuse('already-held', `${task.id} is held already: ${task.held}`, `tri-agent release ${task.id}`)
    return [{ type: 'task.held', why, ...(now ? { now } : {}) }]
  })

/** Lets a held task start again. Refuses `already-over`, `not-held`. */
export const releaseTask = (ports: CommandPorts, said: string): Answer =>
  decideOn(ports, said, (task) =>
    isOver(task)
      ? refuse('already-over', `${task.id} is ${task.phase}`)
      : task.held === null
        ? refuse('not-held', `${task.id} is not held`)
        : [{ type: 'task.released' }],
  )
