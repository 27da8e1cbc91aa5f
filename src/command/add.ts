/** add: a wish becomes a task. Answers only after the commit. */
import type { TaskAdded } from '../core/event.ts'
import { isRefusal, refuse, type Refusal } from '../core/refusal.ts'
import type { Task } from '../core/task.ts'
import { checkWish, type Wish } from '../core/wish.ts'
import type { Tx } from '../store/database.ts'
import { append } from '../store/append.ts'
import { findTask, loadTask, repoById } from '../store/task.ts'
import type { CommandPorts } from './ports.ts'

/** numbers.md: the longest text of a task, in bytes. */
const textBytes = 100 * 1024

/** Adds a task. `after` takes ids or beginnings of ids. Refuses what `checkWish` does, `no-such-repository`, `no-such-task`, `ambiguous`. */
export async function addTask({ database, world, actor }: CommandPorts, wish: Wish): Promise<Task | Refusal> {
  const checked = checkWish(wish, textBytes)
  if (isRefusal(checked)) return checked
  return database.write(async (tx) => {
    if (!(await repoById(tx, checked.repo)))
      return refuse('no-such-repository', `repository ${checked.repo} is not registered`, 'tri-agent init')
    const after = await findAll(tx, wish.after ?? [])
    if (isRefusal(after)) return after
    const task = world.id('task')
    const event: TaskAdded = { type: 'task.added', task, ...checked, after, parent: null, depth: 0, root: task }
    await append(tx, { at: world.clock.now(), actor, stream: `task/${task}`, events: [event] })
    return (await loadTask(tx, task))!
  })
}

async function findAll(tx: Tx, said: readonly string[]): Promise<string[] | Refusal> {
  const ids: string[] = []
  for (const each of said) {
    const found = await findTask(tx, each)
    if (isRefusal(found)) return found
    if (found.phase === 'cancelled')
      return refuse('cancelled', `${found.id} was cancelled and will never be done`, 'leave out that --after')
    if (!ids.includes(found.id)) ids.push(found.id)
  }
  return ids
}
