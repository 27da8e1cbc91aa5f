/** What starts, and what is said of it, where a repository or a family has used up what it may cost today. */
import assert from 'node:assert/strict'
import test from 'node:test'
import { admit, type Snapshot } from './admission.ts'
import { familyDay, repoDay, sayScope } from './day.ts'
import { added, foldTask, snapshot } from './fixture.ts'
import type { Task } from './task.ts'
import { whyWaiting } from './waiting.ts'

const task = (id: string, more: Partial<Task> = {}): Task => ({ ...foldTask([added(id)]), ...more })

test('tasks of a repository whose day is used up ask no model, and a family whose day is stays out of the way of others', () => {
  const tasks = [
    task('task_1'),
    task('task_2', { repo: 'repo_2' }),
    task('task_3', { step: 'verify' }),
    task('task_4', { lane: 'critical' }),
  ]
  const slots = { architect: 4, implementer: 4, reviewer: 4, gate: 4 }
  const on = (repos: Snapshot['parts']['repos'], families: Snapshot['parts']['families'] = {}) =>
    admit(snapshot(tasks, { slots, parts: { until: 9, repos, families } })).map(({ task: id, family }) =>
      family === null ? id : `${id} ${family}`,
    )
  const [first] = on({})[0]!.split(' ').slice(1)
  assert.deepEqual(on({}).toSorted(), [`task_1 ${first}`, `task_2 ${first}`, 'task_3', `task_4 ${first}`])
  assert.deepEqual(on({ repo_1: 'closed' }), [`task_2 ${first}`, 'task_3'], 'gates cost nothing')
  assert.deepEqual(on({ repo_1: 'normal-stops' }).toSorted(), [`task_2 ${first}`, 'task_3', `task_4 ${first}`])
  const others = on({}, { [first!]: 'closed' })
  assert.equal(others.length, 4)
  assert.ok(!others.some((each) => each.endsWith(` ${first}`)), others.join())
  const narrow = on({}, { [first!]: 'normal-stops' })
  assert.deepEqual(
    narrow.filter((each) => each.endsWith(` ${first}`)),
    [`task_4 ${first}`],
    'critical work goes on there',
  )
})

test('why a task of theirs waits is said, and until when', () => {
  const now = { closed: null, families: ['openai'], dayNanoUsd: 5, spentNanoUsd: 0, pauses: [], clock: String }
  const why = (
    repos: Snapshot['parts']['repos'],
    families: Snapshot['parts']['families'] = {},
    more: Partial<Task> = {},
  ) => whyWaiting(task('task_1', more), { ...now, parts: { until: 9, repos, families } })
  assert.equal(why({ repo_1: 'closed' }), "today's budget for its repository is used up, until 9")
  assert.equal(why({ repo_2: 'closed' }), null)
  assert.equal(why({ repo_1: 'closed' }, {}, { step: 'verify' }), null, 'gates cost nothing')
  assert.equal(
    why({ repo_1: 'background-stops' }, {}, { lane: 'background' }),
    "today's budget for its repository is nearly used up, and background work stops before it is, until 9",
  )
  assert.equal(
    why({}, { openai: 'normal-stops' }),
    "implement waits for openai: today's budget for openai is nearly used up, and normal work stops before it is, until 9",
  )
  assert.equal(why({}, { openai: 'normal-stops' }, { lane: 'critical' }), null)
})

test('a scope that is a part of a day is said in words, any other as it is', () => {
  assert.equal(sayScope(repoDay('2026-11-29', 'repo_1')), 'repository repo_1 on 2026-11-29')
  assert.equal(sayScope(familyDay('2026-11-29', 'openai')), 'family openai on 2026-11-29')
  for (const scope of ['day/2026-11-29', 'task/task_1', 'minute', 'daemon']) assert.equal(sayScope(scope), scope)
})
