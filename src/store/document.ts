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
const inOrder = Object.entries(usual).map(([key, value]) => [key as keyof Task, value, JSON.stringify(value)] as const)

export function encodeTask(task: Task): string {
  const kept: Record<string, unknown> = {}
  for (const [key, value, json] of inOrder) {
    const is = task[key]
    const isEmpty = is === value || (value !== null && typeof value === 'object' && JSON.stringify(is) === json)
    if (!isEmpty) kept[key] = is
  }
  for (const key in task) if (!(key in usual)) kept[key] = task[key as keyof Task]
  return JSON.stringify(kept)
}

export const decodeTask = (doc: string): Task => ({ ...usual, ...(JSON.parse(doc) as Task) })
