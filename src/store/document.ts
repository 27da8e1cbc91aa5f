/**
 * A task as its row holds it: the whole of it, without what is as it is for every new task. That is most of it for most tasks, and the row is
 * written anew at every event.
 */
import { atFirst, type Task } from '../core/task.ts'

/** In this order: the same task is always the same bytes. */
const usual: Partial<Task> = {
  tags: [],
  after: [],
  acceptance: [],
  budgetNanoUsd: null,
  parent: null,
  ref: null,
  ...atFirst,
}
const inOrder = Object.entries(usual).map(([key, value]) => ({
  key: key as keyof Task,
  value,
  json: JSON.stringify(value),
}))
const isUsual = new Set<string>(inOrder.map(({ key }) => key))

/** Piece by piece: what is left out need not be looked through, and what differs is written once. */
export function encodeTask(task: Task): string {
  let doc = ''
  const keep = (key: keyof Task, json: string | undefined) => {
    if (json !== undefined) doc += `${doc === '' ? '{' : ','}"${key}":${json}`
  }
  for (const { key, value, json } of inOrder) {
    const is = task[key]
    if (is === value) continue
    const text = JSON.stringify(is) as string | undefined
    if (text !== json) keep(key, text)
  }
  for (const key in task) if (!isUsual.has(key)) keep(key as keyof Task, JSON.stringify(task[key as keyof Task]))
  return `${doc}}`
}

export const decodeTask = (doc: string): Task => ({ ...usual, ...(JSON.parse(doc) as Task) })
