/** What somebody sees of the demo. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { added, foldTask } from '../core/fixture.ts'
import { board } from './demo-progress.ts'

test('the board says of each task what is done, what moves, what waits, and stays narrow', () => {
  const admitted = {
    type: 'attempt.admitted',
    attempt: 'att_1',
    token: 1,
    step: 'plan',
    role: 'architect',
    family: 'anthropic',
    agent: 'scripted',
    model: 'claude',
    finding: null,
    because: null,
  } as const
  const tasks = [
    foldTask([added('task_1', { title: 'Weigh tea', size: 'medium' }), admitted]),
    foldTask([added('task_2', { title: 'Sell tea', lane: 'critical' })]),
    foldTask([added('task_3', { title: 'Pour tea', after: ['task_2'] })]),
    foldTask([added('task_4', { title: 'Burn tea' }), { type: 'task.escalated', why: 'no fire', evidence: '' }]),
    foldTask([
      added('task_5', { title: 'Taste tea', kind: 'review', ref: 'topic' }),
      { type: 'task.reported', report: 'good' },
    ]),
  ]
  assert.deepEqual(board(tasks), [
    'plan  implement  verify  review  land  lane        task',
    ' ▶                                     normal      Weigh tea',
    ' –        ·                            critical    Sell tea',
    ' –        ·                            normal      Pour tea (waits for another)',
    ' –        ·                            normal      Burn tea (escalated)',
    ' –        ✓        ✓       ✓      ✓    normal      Taste tea',
  ])
})

test('the board counts down to the moment at which what was parked goes on by itself', () => {
  const parked = (until: number | null) =>
    foldTask([
      added('task_1', { title: 'Sell tea' }),
      { type: 'task.parked', attempt: 'att_1', scope: 'minute', why: 'dear', until, archive: null },
    ])
  const last = (until: number | null, at: number) => /\((.*)\)$/.exec(board([parked(until)], at)[1]!)?.[1]
  assert.deepEqual(
    [last(61_000, 1000), last(61_000, 60_500), last(61_000, 62_000), last(null, 1000)],
    ['parked, 60 s left', 'parked, 1 s left', 'parked, goes on', 'parked'],
  )
})
