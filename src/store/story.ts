/** What the events of tasks make of their rows: the same fold as that of the projection, in memory. Whole rows are written by a rebuild alone. */
import type { TaskEvent } from '../core/event.ts'
import { advance } from '../core/evolve.ts'
import { stateOf, type Task } from '../core/task.ts'
import type { Reader, Tx } from './database.ts'
import { storyOf } from './log.ts'
import { insertTask } from './document.ts'
import { taskRow } from './row.ts'
import type { Told } from './log-page.ts'
import { insertLanding, insertVote, partOf, type Part, type Row } from './projection.ts'
import { insertDependency, insertPlace, queueRow } from './place.ts'

/** A task, and its rows in tables beside its own. */
export type Folded = { task: Task; parts: { table: Part['table']; key: string; row: Row }[] }

/** From all events of one task, in order. Throws where one cannot follow: then the log is damaged. */
export function foldTask(events: readonly Told[]): Folded {
  let task: Task | null = null
  const parts: Folded['parts'] = []
  for (const { at, event } of events) {
    task = advance(task, event as TaskEvent, at)
    const part = partOf(task, event as TaskEvent, at)
    if (!part) continue
    const { table, key, values, isNew } = part
    if (isNew) parts.push({ table, key, row: values })
    else Object.assign(parts.find((each) => each.table === table && each.key === key)?.row ?? {}, values)
  }
  return { task: task!, parts }
}

type Rows = Record<'task' | Part['table'] | 'dependency' | 'queue', Row[]>

/** All rows of these tasks. What a task needs beside them is looked up in the log. */
export async function rowsOfTasks(reader: Reader, folded: readonly Folded[]): Promise<Rows> {
  const rows: Rows = { task: [], attempt: [], vote: [], landing: [], dependency: [], queue: [] }
  const isDone = doneness(reader, folded)
  for (const { task, parts } of folded) {
    rows.task.push(taskRow(task))
    for (const { table, row } of parts) rows[table].push(row)
    for (const needs of [...new Set(task.after)].toSorted()) rows.dependency.push({ needs, task: task.id })
    const place = queueRow(task)
    if (place && (task.after.length === 0 || (await isDone(task.after)))) rows.queue.push(place)
  }
  return rows
}

/** An attempt as it stands at the end of what is known of it; what no event wrote yet is null. */
const insertAttempt = `insert into attempt (id, task, token, step, role, family, agent, model, state, rung,
    admitted_at, started_at, ended_at, outcome, reason, cost_nano_usd, tokens, transcript)
  values (:id, :task, :token, :step, :role, :family, :agent, :model, :state, :rung,
    :admitted_at, :started_at, :ended_at, :outcome, :reason, :cost_nano_usd, :tokens, :transcript)`
const unwritten: Row = {
  rung: null,
  started_at: null,
  ended_at: null,
  outcome: null,
  reason: null,
  tokens: null,
  transcript: null,
}

/** Writes these rows, of which none may be there. */
export async function insertTasks(tx: Tx, rows: Rows): Promise<void> {
  for (const row of rows.task) await tx.run(insertTask, row)
  for (const row of rows.attempt) await tx.run(insertAttempt, { ...unwritten, ...row })
  for (const row of rows.vote) await tx.run(insertVote, row)
  for (const row of rows.landing) await tx.run(insertLanding, row)
  for (const row of rows.dependency) await tx.run(insertDependency, row)
  for (const row of rows.queue) await tx.run(insertPlace, row)
}

function doneness(reader: Reader, folded: readonly Folded[]) {
  const known = new Map<string, boolean>()
  if (folded.some(({ task }) => task.after.length > 0))
    for (const { task } of folded) known.set(task.id, stateOf(task) === 'done')
  return async (ids: readonly string[]): Promise<boolean> => {
    for (const id of ids) {
      if (!known.has(id)) {
        const events = await storyOf(reader, id)
        known.set(id, events.length > 0 && stateOf(foldTask(events).task) === 'done')
      }
      if (!known.get(id)) return false
    }
    return true
  }
}
