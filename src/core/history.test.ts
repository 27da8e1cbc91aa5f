import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { LoggedEvent, TaskEvent } from './event.ts'
import { added } from './fixture.ts'
import { taskAt, tellStory } from './history.ts'
import { evolve } from './evolve.ts'
import type { Task } from './task.ts'

const happened: [at: number, event: TaskEvent][] = [
  [10, added('task_1')],
  [20, { type: 'task.held', why: 'wait' }],
  [20, { type: 'task.prioritized', lane: 'critical', override: null }],
  [15, { type: 'task.released' }], // the clock was set back
  [30, { type: 'task.cancelled', why: 'no longer wanted' }],
]
const folds = (n: number) =>
  happened.slice(0, n).reduce<Task | null>((task, [at, event]) => evolve(task, event, at), null)
const stream: LoggedEvent[] = happened.map(([at, event], index) => ({
  seq: index + 1,
  at,
  stream: 'task/task_1',
  version: index + 1,
  actor: 'person:ada',
  event,
}))

test('a story says after each event what it changed and nothing else, and ends as the task is', () => {
  const story = tellStory(stream)
  assert.deepEqual(
    story.map(({ changes }) => changes),
    [
      [],
      [{ field: 'held', before: null, after: 'wait' }],
      [{ field: 'lane', before: 'normal', after: 'critical' }],
      [
        { field: 'readyAt', before: 10, after: 15 },
        { field: 'held', before: 'wait', after: null },
      ],
      [
        { field: 'state', before: 'ready', after: 'cancelled' },
        { field: 'phase', before: 'open', after: 'cancelled' },
        { field: 'why', before: null, after: 'no longer wanted' },
      ],
    ],
  )
  assert.deepEqual(story.at(-1)!.task, folds(5))
})

test('a task at a time is the fold of what had happened by then, in the order of the log whatever the clock said', () => {
  assert.deepEqual(
    [9, 10, 19, 20, 29, 30, 99].map((at) => taskAt(stream, at)),
    [0, 1, 1, 4, 4, 5, 5].map(folds),
  )
})
