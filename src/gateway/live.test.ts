import assert from 'node:assert/strict'
import test from 'node:test'
import { densityOf, enter, noteDensity, remember } from './live.ts'

const grant = {
  attempt: 'att_1',
  task: 'task_1',
  repo: 'repo_1',
  repoName: 'shop',
  stage: 'implement',
  lane: 'normal' as const,
  family: 'anthropic',
  models: ['m'],
  grantedAt: 1,
  scope: 'task/task_1',
  limitNanoUsd: 1,
}

test('how dense answers are is learned from those the provider has counted, the densest of the latest eight', () => {
  const live = enter(grant, 'hash')
  assert.equal(densityOf(live, 'm'), null)
  noteDensity(live, 'm', 4000, 1000)
  noteDensity(live, 'm', 2500, 1000)
  noteDensity(live, 'other', 1000, 1000)
  assert.deepEqual([densityOf(live, 'm'), densityOf(live, 'other')], [2.5, 1])
  for (let n = 0; n < 7; n++) noteDensity(live, 'm', 4000, 1000)
  assert.equal(densityOf(live, 'm'), 2.5)
  noteDensity(live, 'm', 4000, 1000)
  assert.equal(densityOf(live, 'm'), 4)
})

test('an answer that is short, or showed nothing, teaches nothing', () => {
  const live = enter(grant, 'hash')
  noteDensity(live, 'm', 100, 199)
  noteDensity(live, 'm', 0, 5000)
  assert.equal(densityOf(live, 'm'), null)
})

test('of a conversation that grows the latest request is kept, and beside it those of others', () => {
  const live = enter(grant, 'hash')
  const say = (words: string[], model = 'm') =>
    remember(live, { model, terms: '', body: Buffer.from(JSON.stringify({ messages: words })), tokens: words.length })
  say(['a'])
  say(['another'])
  say(['a', 'b'], 'other')
  say(['a', 'b'])
  say(['a', 'b', 'c'])
  assert.deepEqual(
    live.anchors.map(({ model, body }) => `${model} ${body.toString()}`),
    ['m {"messages":["a","b","c"]}', 'other {"messages":["a","b"]}', 'm {"messages":["another"]}'],
  )
})
