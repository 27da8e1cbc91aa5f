/** A task made into its row, and remembered. Apart from document.ts, which verbs read that write nothing. */
import { isOver, stateOf, type Task } from '../core/task.ts'
import { usual, type TaskRow } from './document.ts'
import type { Known } from './known.ts'

/** In this order: the same task is always the same bytes. */
const inOrder = Object.entries(usual).map(([key, value]) => ({
  key: key as keyof typeof usual,
  value: value as unknown,
  json: JSON.stringify(value),
  isList: Array.isArray(value), // all of them are empty
}))

/** Piece by piece: what is left out need not be looked through, and what differs is written once. */
export function encodeTask(task: Task): string {
  let doc = ''
  const keep = (key: keyof Task, json: string) => void (doc += `${doc === '' ? '{' : ','}"${key}":${json}`)
  for (const { key, value, json, isList } of inOrder) {
    const is = task[key]
    if (is === value || (isList && (is as unknown[]).length === 0)) continue
    const text = JSON.stringify(is)
    if (text !== json) keep(key, text)
  }
  const { root, readyAt, path, heldNow } = task
  if (root !== task.id) keep('root', JSON.stringify(root))
  if (readyAt !== task.addedAt) keep('readyAt', String(readyAt))
  if (path !== undefined) keep('path', JSON.stringify(path))
  if (heldNow !== undefined) keep('heldNow', String(heldNow))
  return doc === '' ? '{}' : `${doc}}`
}

export const taskRow = (task: Task): TaskRow => ({
  id: task.id,
  repo: task.repo,
  title: task.title,
  kind: task.kind,
  lane: task.lane,
  size: task.size,
  state: stateOf(task),
  step: task.step,
  parent: task.parent,
  added_at: task.addedAt,
  version: task.version,
  held: task.held,
  doc: encodeTask(task),
})

/** Tasks beyond these are read again: what is under way at the same time is far less. */
const most = 1000

/** Of a task that is over nothing more is to come. */
export function learnTask({ tasks }: Known, task: Task): void {
  if (isOver(task)) return void tasks.delete(task.id)
  if (tasks.size >= most) tasks.clear()
  tasks.set(task.id, task)
}
