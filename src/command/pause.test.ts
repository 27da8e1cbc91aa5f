/** What a person may pause and resume, and that a "no" writes nothing. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { virtualWorld } from '../../sim/world.ts'
import type { TaskEvent } from '../core/event.ts'
import { added } from '../core/fixture.ts'
import { isRefusal, type Refusal } from '../core/refusal.ts'
import { append } from '../store/append.ts'
import { openDatabase } from '../store/database.ts'
import { lastSeq } from '../store/log.ts'
import { readPauses } from '../store/pause.ts'
import { verifyProjections } from '../store/rebuild.ts'
import { pauseWork, resumeWork, stopWork } from './pause.ts'
import { registerRepository } from './register.ts'

function shop() {
  const world = virtualWorld()
  const database = openDatabase(':memory:')
  const ports = { database, world, actor: 'person:ada' }
  const refusal = (value: unknown) => (isRefusal(value) ? (value as Refusal).refused : null)
  return { world, database, ports, refusal, pauses: () => database.read(readPauses), seq: () => database.read(lastSeq) }
}
const wish = (what: 'all' | 'lane' | 'repo' | 'family', name: string, more = {}) => ({
  what,
  name,
  why: 'the release',
  now: false,
  ...more,
})

test('what is paused is in force until it is resumed, remembers who, why and since when, and can be paused again', async () => {
  const { world, database, ports, pauses } = shop()
  const at = world.clock.now()
  const lane = { what: 'lane', name: 'background', why: 'the release', by: 'person:ada', at, now: false } as const
  assert.deepEqual(await pauseWork(ports, wish('lane', 'background')), { ...lane, until: null })
  assert.deepEqual(await pauseWork(ports, wish('all', 'all', { now: true })), {
    ...lane,
    what: 'all',
    name: 'all',
    now: true,
    until: null,
  })
  assert.deepEqual(
    (await pauses()).map(({ what, until }) => [what, until]),
    [
      ['all', null],
      ['lane', null],
    ],
  )
  await world.advance(5000)
  assert.deepEqual(await resumeWork(ports, { what: 'lane', name: 'background' }), { ...lane, until: at + 5000 })
  assert.deepEqual(
    (await pauses()).map(({ what, until }) => [what, until]),
    [
      ['all', null],
      ['lane', at + 5000],
    ],
  )
  await world.advance(5000)
  const again = await pauseWork({ ...ports, actor: 'person:eve' }, wish('lane', 'background', { why: 'again' }))
  assert.deepEqual(again, { ...lane, why: 'again', by: 'person:eve', at: at + 10_000, until: null })
  assert.deepEqual((await verifyProjections(database)).differences, [])
})

test('pausing twice, resuming what is not paused and pausing what nobody knows are refused, and write nothing', async () => {
  const { ports, refusal, seq } = shop()
  const repo = await registerRepository(ports, { path: '/shop', name: 'shop', base: 'main' })
  assert.ok(!isRefusal(repo))
  assert.equal(refusal(await pauseWork(ports, wish('repo', repo.id))), null)
  const before = await seq()
  assert.equal(refusal(await pauseWork(ports, wish('repo', repo.id))), 'already-paused')
  assert.equal(refusal(await pauseWork(ports, wish('repo', 'shop'))), 'no-such-repository')
  assert.equal(refusal(await resumeWork(ports, { what: 'all', name: 'all' })), 'not-paused')
  assert.equal(refusal(await resumeWork(ports, { what: 'lane', name: repo.id })), 'not-paused')
  assert.equal(await seq(), before)
})

test('a pause that lets work go on can be made one that ends it, not the other way round', async () => {
  const { world, ports, refusal } = shop()
  const at = world.clock.now()
  await pauseWork(ports, wish('family', 'openai'))
  await world.advance(5000)
  const harder = await pauseWork(ports, wish('family', 'openai', { now: true }))
  assert.ok(!isRefusal(harder))
  assert.deepEqual([harder.now, harder.at], [true, at], 'paused since it was first')
  assert.equal(refusal(await pauseWork(ports, wish('family', 'openai'))), 'already-paused')
  assert.equal(refusal(await pauseWork(ports, wish('family', 'openai', { now: true }))), 'already-paused')
})

test('what is let in just before all of a family is stopped is told as under way, stopped once or twice', async () => {
  const { database, ports, pauses } = shop()
  const attempt = { attempt: 'att_1', token: 1, step: 'implement', role: 'implementer', family: 'openai' } as const
  const more = { agent: 'codex', model: 'gpt-6-sol', finding: null, because: null }
  const events: TaskEvent[] = [added('task_1'), { type: 'attempt.admitted', ...attempt, ...more }]
  let isLetIn = false
  /** Another process had the database first. */
  const write: typeof database.write = async (body) => {
    if (!isLetIn) await database.write((tx) => append(tx, { at: 1, actor: 'daemon', stream: 'task/task_1', events }))
    isLetIn = true
    return database.write(body)
  }
  const late = { ...ports, database: { ...database, write } }
  const under = [{ id: 'att_1', task: 'task_1', step: 'implement', family: 'openai' }]
  for (const what of ['family', 'family', 'all'] as const)
    assert.deepEqual(await stopWork(late, { what, name: what === 'all' ? 'all' : 'openai', why: 'no' }), under)
  assert.deepEqual(await stopWork(late, { what: 'family', name: 'google', why: 'no' }), [])
  const inForce = (await pauses()).map(({ name, now }) => `${name} ${now ? 'now' : 'later'}`)
  assert.deepEqual(inForce.toSorted(), ['all now', 'google now', 'openai now'])
})
