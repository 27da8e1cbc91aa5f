/**
 * A task as its row holds it: what is looked for, and what seldom changes, in columns of its own; the rest in a document without what is as it is for
 * every new task. The row is written anew at every event, so its text is not in it: that is in the task's first event, and nowhere else.
 */
import { atFirst, type Task, type TaskState } from '../core/task.ts'

export type TaskRow = Pick<
  Task,
  'id' | 'repo' | 'title' | 'kind' | 'lane' | 'size' | 'step' | 'parent' | 'version' | 'held'
> & {
  state: TaskState
  added_at: number
  doc: string
}

/** What is selected from `task` for `decodeTask`, but for the text: for whoever only goes on from it. */
export const columns = `task.id, task.repo, task.title, task.kind, task.lane, task.size, task.state, task.step, task.parent,
  task.added_at, task.version, task.held, task.doc`
/** A whole task. */
export const whole = `${columns},
  (select body ->> '$.text' from event where stream = 'task/' || task.id and version = 1) as text`

const { held: _, ...others } = atFirst
/** What is the same of every new task: its row leaves it out for as long as it stays so. */
export const usual = { tags: [], after: [], acceptance: [], budgetNanoUsd: null, ref: null, depth: 0, ...others }

/** Without the text where none was selected. */
export function decodeTask(row: TaskRow & { text?: string }): Task {
  const { id, state, doc, added_at: addedAt } = row
  const task = {
    ...usual,
    id,
    repo: row.repo,
    title: row.title,
    text: row.text ?? '',
    kind: row.kind,
    lane: row.lane,
    size: row.size,
    parent: row.parent,
    root: id,
    addedAt,
    version: row.version,
    phase: state === 'ready' || state === 'delayed' || state === 'running' ? ('open' as const) : state,
    step: row.step,
    readyAt: addedAt,
    held: row.held,
  } satisfies Task
  return doc === '{}' ? task : Object.assign<Task, Partial<Task>>(task, JSON.parse(doc) as Partial<Task>)
}

export const insertTask = `insert into task (id, repo, title, kind, lane, size, state, step, parent, added_at, version, held, doc)
  values (:id, :repo, :title, :kind, :lane, :size, :state, :step, :parent, :added_at, :version, :held, :doc)`
export const updateTask = `update task set lane = :lane, state = :state, step = :step, version = :version, held = :held, doc = :doc
  where id = :id`
