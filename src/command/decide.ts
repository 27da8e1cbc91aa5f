/** The shape every verb on one task has: load → decide → append, in one transaction. */
import type { TaskEvent } from '../core/event.ts'
import { isRefusal, type Refusal } from '../core/refusal.ts'
import type { Task } from '../core/task.ts'
import type { Tx } from '../store/database.ts'
import { append } from '../store/append.ts'
import { findTask, loadTask } from '../store/task.ts'
import type { CommandPorts } from './ports.ts'

/** Finds the task a person means, asks `decide` for its events, appends them, answers the task after them. */
export function decideOn(
  { database, world, actor }: CommandPorts,
  said: string,
  decide: (task: Task, tx: Tx) => TaskEvent[] | Refusal | Promise<TaskEvent[] | Refusal>,
): Promise<Task | Refusal> {
  return database.write(async (tx) => {
    const task = await findTask(tx, said)
    if (isRefusal(task)) return task
    const events = await decide(task, tx)
    if (isRefusal(events)) return events
    await append(tx, { at: world.clock.now(), actor, stream: `task/${task.id}`, events })
    return (await loadTask(tx, task.id))!
  })
}
