/** Putting tasks into the queue and taking them out, as events want it. Apart from queue.ts, which verbs read that write nothing. */
import type { Task } from '../core/task.ts'
import { demandOf } from '../core/waiting.ts'
import type { Reader, Tx } from './database.ts'
import { decodeTask, whole, type TaskRow } from './document.ts'
import { later } from './queue.ts'

/** A task's place in the queue once all it needs is done; null where it has none. */
export function queueRow(task: Task) {
  const demand = demandOf(task)
  if (demand === null) return null
  const { id, lane, override, readyAt, notBefore } = task
  return {
    task: id,
    line: `${demand} | ${lane}${override ? ' first' : ''}${notBefore === null ? '' : later}`,
    ready_at: readyAt,
    // a clock that was set back must not make a task look younger than its wait: the head would be looked for before it
    added_at: Math.min(task.addedAt, readyAt),
    not_before: notBefore,
  }
}

/** Puts a task where it belongs after events: into the queue, to another place in it, or out. `before`: what it was before them. */
export async function placeInQueue(tx: Tx, task: Task, before: Task | null): Promise<void> {
  const row = queueRow(task)
  if (row === null && (before === null || demandOf(before) === null)) return // it was not in it and does not come in
  if (row === null || !(await hasAllItNeeds(tx, task)))
    return void (await tx.run('delete from queue where task = :id', { id: task.id }))
  await tx.run(before === null ? insertPlace : changePlace, row)
}

export const insertPlace =
  'insert into queue (task, line, ready_at, added_at, not_before) values (:task, :line, :ready_at, :added_at, :not_before)'
const changePlace = `${insertPlace}
  on conflict (task) do update set line = :line, ready_at = :ready_at, added_at = :added_at, not_before = :not_before`

export const insertDependency = 'insert into dependency (needs, task) values (:needs, :task)'

/** Writes down what a new task needs. */
export async function keepDependencies(tx: Tx, { id, after }: Task): Promise<void> {
  for (const needs of new Set(after)) await tx.run(insertDependency, { needs, task: id })
}

async function hasAllItNeeds(tx: Tx, { after }: Task): Promise<boolean> {
  for (const id of after) {
    const needed = await tx.get<{ state: string }>('select state from task where id = :id', { id })
    if (needed?.state !== 'done') return false
  }
  return true
}

/** Tasks that are not over and start only after this one, oldest first. */
export const waitingFor = async (reader: Reader, id: string): Promise<Task[]> =>
  (
    await reader.all<TaskRow & { text: string }>(
      `select ${whole} from task
       where id in (select task from dependency where needs = :id) and state not in ('done', 'cancelled')
       order by added_at, id`,
      { id },
    )
  ).map(decodeTask)

/** Whoever waited for a task that is done now may find its place. */
export async function placeWaiting(tx: Tx, { id }: Task): Promise<void> {
  if (!(await tx.get('select 1 from dependency where needs = :id limit 1', { id }))) return // as with most, and cheaper to ask
  for (const waiting of await waitingFor(tx, id)) await placeInQueue(tx, waiting, waiting)
}
