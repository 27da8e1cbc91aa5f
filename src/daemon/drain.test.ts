/** The clean stop, on a virtual clock: each attempt has the grace of its lane, and nobody waits for what has ended or once it is hurried. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { virtualWorld } from '../../sim/world.ts'
import { added } from '../core/fixture.ts'
import type { Lane } from '../core/lane.ts'
import { openDatabase } from '../store/database.ts'
import { append } from '../store/append.ts'
import { drain } from './drain.ts'

/** A daemon that carries one attempt of each of these lanes, each ending only when it is revoked. */
async function carrying(lanes: readonly Lane[]) {
  const world = virtualWorld()
  const database = openDatabase(':memory:')
  const under = new Set<string>(lanes)
  const ended: [string, string, number][] = []
  await database.write(async (tx) => {
    const repo = { type: 'repo.registered' as const, repo: 'repo_1', path: '/s', name: 's', base: 'main' }
    await append(tx, { at: 0, actor: 'a', stream: 'repo/repo_1', events: [repo] })
    for (const lane of lanes) {
      const admitted = {
        type: 'attempt.admitted' as const,
        attempt: lane,
        token: 1,
        step: 'implement' as const,
        role: 'implementer' as const,
        family: 'openai',
        agent: 'codex',
        model: 'm',
        finding: null,
        because: null,
      }
      const events = [added(`task_${lane}`, { lane }), admitted]
      await append(tx, { at: 0, actor: 'a', stream: `task/task_${lane}`, events })
    }
  })
  const engine = {
    carrying: () => [...under],
    revoke(attempt: string, why: string) {
      if (under.delete(attempt)) ended.push([attempt, why, world.clock.mono() - began])
    },
  }
  const began = world.clock.mono()
  const hurry = new AbortController()
  const grace = { criticalMs: 60_000, normalMs: 20_000, backgroundMs: 0 }
  const parking = { drained: new Set<string>(), hurry: new AbortController() }
  const ports = { world, database, engine, parking, absence: { lostMs: () => 0 }, grace } as unknown as Parameters<
    typeof drain
  >[0]
  const done = { is: false }
  const draining = drain(ports, hurry.signal).then(() => (done.is = true))
  await world.settle()
  return { world, under, ended, hurry, draining, done, close: () => database.close() }
}

test('what does not end by itself is ended when the grace of its lane is over, and then all is', async () => {
  const { world, ended, draining, close } = await carrying(['critical', 'normal', 'background'])
  await world.advance(19_900)
  assert.deepEqual(ended, [['background', 'killed', 0]])
  await world.advance(100)
  assert.deepEqual(ended.slice(1), [['normal', 'killed', 20_000]])
  await world.advance(40_000)
  assert.deepEqual(ended.slice(2), [['critical', 'killed', 60_000]])
  await world.advance(100)
  await draining
  close()
})

test('what ends by itself is not ended, and then nobody waits any longer', async () => {
  const { world, under, ended, draining, done, close } = await carrying(['normal'])
  await world.advance(5000)
  assert.equal(done.is, false)
  under.delete('normal')
  await world.advance(100)
  await draining
  assert.deepEqual(ended, [])
  close()
})

test('who is hurried waits for nothing', async () => {
  const { world, ended, hurry, draining, done, close } = await carrying(['critical'])
  await world.advance(1000)
  assert.equal(done.is, false)
  hurry.abort()
  await draining
  assert.deepEqual(ended, [], 'whoever hurries ends them')
  close()
})
