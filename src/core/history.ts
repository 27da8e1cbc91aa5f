/** A task's story, event by event: what it was after each, and what that changed. A fold that remembers its way. */
import type { LoggedEvent, TaskEvent } from './event.ts'
import { evolve } from './evolve.ts'
import { stateOf, type Task } from './task.ts'

export type Change = { field: string; before: unknown; after: unknown }
export type Chapter = { logged: LoggedEvent; task: Task; changes: Change[] }

/** Every event of one task's stream with the task after it and what changed. The version says nothing and is left out. */
export function tellStory(stream: readonly LoggedEvent[]): Chapter[] {
  let before: Task | null = null
  return stream.map((logged) => {
    const task = evolve(before, logged.event as TaskEvent, logged.at)
    const changes = before === null ? [] : changesBetween(before, task)
    before = task
    return { logged, task, changes }
  })
}

/** The task as it was at a time: events after it have not happened. Null before it was added. */
export function taskAt(stream: readonly LoggedEvent[], at: number): Task | null {
  const until = stream.findIndex((logged) => logged.at > at) // a clock set back must not make a later event an earlier one
  return (until < 0 ? stream : stream.slice(0, until)).reduce<Task | null>(
    (task, logged) => evolve(task, logged.event as TaskEvent, logged.at),
    null,
  )
}

function changesBetween(before: Task, after: Task): Change[] {
  const state: Change[] = [{ field: 'state', before: stateOf(before), after: stateOf(after) }]
  const fields = (Object.keys(after) as (keyof Task)[])
    .filter((field) => field !== 'version')
    .map((field) => ({ field, before: before[field], after: after[field] }))
  return [...state, ...fields].filter((each) => JSON.stringify(each.before) !== JSON.stringify(each.after))
}
