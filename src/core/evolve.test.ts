/** What is counted on a task's way: losses, failures, returns, money; and what an event may not follow. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { admit } from './admission.ts'
import type { TaskEvent } from './event.ts'
import { added, ended, flowPolicy, foldTask, snapshot } from './fixture.ts'
import { conclude } from './flow.ts'
import type { Outcome } from './outcome.ts'
import { evolve } from './evolve.ts'
import { goesOnFrom, type Task } from './task.ts'

const policy = { families: ['anthropic', 'google'], person: false, advisory: null, checkers: [], why: '' }
const underReview = foldTask([
  added('task_1'),
  { type: 'round.opened', round: 1, commit: 'c', base: 'b', author: 'openai', policy },
])

const after = (task: Task, events: readonly TaskEvent[]): Task =>
  events.reduce<Task>((now, event) => evolve(now, event, 0), task)

/** All that may start does, and ends like this, one after the other. */
function pass(task: Task, outcome: Outcome, signature: string | null = null): Task {
  const started = admit(snapshot([task], { at: 1e12 })).map(({ task: _, ...admission }): TaskEvent => ({
    type: 'attempt.admitted',
    attempt: `att_${admission.token}`,
    ...admission,
  }))
  const running = after(task, started)
  return running.running.reduce((now, { attempt }) => {
    const ending = { ended: ended(attempt, outcome, { signature }), product: null, feedback: null }
    return after(now, conclude(now, ending, flowPolicy(), { at: 0, chance: 0.5 }))
  }, running)
}

const passes = (task: Task, ...outcomes: Outcome[]): Task => outcomes.reduce((now, outcome) => pass(now, outcome), task)
test('a new task is what was wished, whole; and an event leaves the task before it as it was', () => {
  const wish = added('task_1', {
    path: 'shop',
    tags: ['a'],
    after: ['task_0'],
    parent: 'task_0',
    root: 'task_0',
    depth: 1,
  })
  const { type: _, task: id, ...fields } = wish
  const task = evolve(null, wish, 7)
  assert.deepEqual({ ...task, ...fields, id }, task)
  assert.deepEqual([task.addedAt, task.readyAt, task.version], [7, 7, 1])
  assert.ok(!('path' in evolve(null, added('task_2'), 7)))
  const before = structuredClone(task)
  assert.equal(evolve(task, { type: 'task.held', why: 'no' }, 8).held, 'no')
  assert.deepEqual(task, before)
})

const times = <T>(count: number, each: T): T[] => Array.from({ length: count }, () => each)

test('a daemon that dies is one loss for a task, however much of it was under way; the fifth in a row asks a person', () => {
  const four = passes(underReview, ...times(4, 'lost' as const))
  assert.deepEqual([four.phase, four.token, four.running], ['open', 8, []])
  const five = pass(four, 'lost')
  assert.deepEqual([five.phase, five.why], ['escalated', 'lost 5 times in a row'])
})

test('losses in a row are in a row: one that ended by itself begins to count anew, one that we ended does not', () => {
  const four = passes(foldTask([added('task_1')]), ...times(4, 'lost' as const))
  assert.equal(passes(four, 'crashed', ...times(4, 'lost' as const)).phase, 'open')
  assert.equal(passes(four, 'killed', 'lost').phase, 'escalated')
})

test('the third failure of a step asks a person, also across families; a loss or a kill is none', () => {
  const fresh = foldTask([added('task_1')])
  assert.equal(passes(fresh, 'crashed', 'lost', 'timed-out', 'killed').phase, 'open')
  assert.deepEqual(passes(fresh, 'crashed', 'lost', 'timed-out', 'stalled').why, 'implement stalled, 3 attempts')
  assert.equal(passes(underReview, 'unreachable').phase, 'open')
  assert.equal(passes(underReview, 'unreachable', 'unreachable').phase, 'escalated')
})

test('what no other attempt can mend asks a person at once', () => {
  for (const outcome of ['no-change', 'over-budget', 'refused'] as const)
    assert.equal(pass(foldTask([added('task_1')]), outcome).phase, 'escalated', outcome)
})

test('the same failure as often as the policy says is a fact, before the attempts are used up', () => {
  const patient = { ...flowPolicy().retry, attempts: 9 }
  let task = foldTask([added('task_1')])
  const seen: string[] = []
  for (const signature of ['a', 'b', 'a', 'a']) {
    const [running] = admit(snapshot([task], { at: 1e12 }))
    const { task: _, ...admission } = running!
    task = after(task, [{ type: 'attempt.admitted', attempt: 'att', ...admission }])
    const ending = { ended: ended('att', 'crashed', { signature }), product: null, feedback: null }
    task = after(task, conclude(task, ending, flowPolicy({ retry: patient }), { at: 0, chance: 0.5 }))
    seen.push(task.phase)
  }
  assert.deepEqual(seen, ['open', 'open', 'open', 'escalated'])
})

test('tokens and money of every attempt are summed, whatever came of it', () => {
  const spent = { input: 1, cachedInput: 2, cacheWrite: 3, output: 4 }
  const both = after(pass(foldTask([added('task_1')]), 'killed'), [
    ended('att_8', 'passed', { tokens: spent, costNanoUsd: 5 }),
    { type: 'task.cancelled', why: 'no' },
    ended('att_9', 'killed', { tokens: spent, costNanoUsd: 6 }),
  ])
  assert.deepEqual(
    [both.tokens, both.costNanoUsd, both.phase],
    [{ input: 2, cachedInput: 4, cacheWrite: 6, output: 8 }, 11, 'cancelled'],
  )
})

test('the end of an attempt that is not under way is a defect, and never taken for another one', () => {
  const ending = { ended: ended('att_7'), product: null, feedback: null }
  assert.throws(
    () => conclude(foldTask([added('task_1')]), ending, flowPolicy(), { at: 0, chance: 0 }),
    /is not running/,
  )
})

test('a commit has authors of one family: what another family wrote is not gone on with, nor what must start over', () => {
  const candidate: TaskEvent = {
    type: 'candidate.taken',
    attempt: 'att_1',
    commit: 'c',
    tree: 't',
    base: 'b',
    family: 'openai',
    model: 'openai-1',
    files: [],
    added: 1,
    removed: 0,
    message: '',
  }
  const returned = (rebase: boolean): TaskEvent => ({ type: 'task.returned', from: 'verify', feedback: 'red', rebase })
  const first = foldTask([added('task_1')])
  const from = (rebase: boolean, family: string) =>
    goesOnFrom(after(first, [candidate, returned(rebase)]), family)?.commit ?? null
  assert.deepEqual(
    [from(false, 'openai'), from(false, 'anthropic'), from(true, 'openai'), goesOnFrom(first, 'openai')],
    ['c', null, null, null],
  )
})
