import assert from 'node:assert/strict'
import test from 'node:test'
import { virtualWorld } from '../../sim/world.ts'
import type { Lane } from '../core/lane.ts'
import { createTurnstile, pause, type NotNow } from './turnstile.ts'

const later: NotNow = { waits: 'pace', ms: 60_000 }

function scene() {
  const world = virtualWorld()
  const turnstile = createTurnstile(world)
  const passed: string[] = []
  const waited: string[] = []
  const open = new Set<string>()
  const come = (
    name: string,
    { lane = 'normal' as Lane, patienceMs = 600_000, gone = (): boolean => false, not = later } = {},
  ) =>
    turnstile
      .pass({ lane, patienceMs: () => patienceMs, gone, waiting: () => void waited.push(name) }, async () =>
        open.has(name) || open.has('all') ? { name } : not,
      )
      .then((answer) => void passed.push('name' in answer ? answer.name : `${name} ${answer.waits}`))
  return { world, turnstile, passed, waited, open, come }
}

test('who waits goes through once it fits, urgent work first, then in the order of coming', async () => {
  const { world, turnstile, passed, open, come } = scene()
  void come('a', { lane: 'background' })
  void come('b')
  void come('c')
  void come('d', { lane: 'critical' })
  await world.settle()
  assert.deepEqual(passed, [])
  open.add('all')
  turnstile.look()
  await world.settle()
  assert.deepEqual(passed, ['d', 'b', 'c', 'a'])
})

test('nobody gets past one who waits for the pacer, and whoever waits for holds is passed', async () => {
  const { world, turnstile, passed, open, come } = scene()
  void come('large')
  void come('small')
  open.add('small')
  turnstile.look()
  await world.settle()
  assert.deepEqual(passed, [], 'or a large request would never go through')
  const other = scene()
  void other.come('full', { not: { waits: 'holds', ms: 1000 } })
  void other.come('small')
  other.open.add('small')
  other.turnstile.look()
  await other.world.settle()
  assert.deepEqual(other.passed, ['small'])
})

test('who waits is looked at and said to wait every second, and the pacer is known to be empty', async () => {
  const { world, turnstile, passed, waited, open, come } = scene()
  void come('a')
  void come('b')
  await world.advance(5000)
  assert.ok(waited.filter((name) => name === 'b').length >= 5, waited.join())
  assert.equal(turnstile.emptyMs(), 5000)
  open.add('all')
  await world.advance(1000)
  assert.deepEqual([passed, turnstile.emptyMs(), world.pending()], [['a', 'b'], 0, 0])
})

test('patience ends with what it has come to, and whoever went away holds up nobody', async () => {
  const { world, passed, open, come } = scene()
  let left = false
  void come('gone', { gone: () => left })
  void come('short', { patienceMs: 3000 })
  void come('long')
  await world.advance(2000)
  left = true
  open.add('long')
  await world.advance(2000)
  assert.deepEqual(passed, ['gone gone', 'short pace', 'long'])
})

test('who stands behind others is answered too when its patience is over, or when it went away', async () => {
  const { world, passed, come } = scene()
  let left = false
  void come('first')
  void come('short', { patienceMs: 3500 })
  void come('gone', { gone: () => left })
  await world.advance(2000)
  left = true
  await world.advance(2000)
  assert.deepEqual(passed, ['gone gone', 'short pace'])
})

test('a fault reaches the one it belongs to, and the others go on', async () => {
  const { world, turnstile, passed, open, come } = scene()
  void come('a')
  let tries = 0
  const broken = turnstile.pass(
    { lane: 'normal', patienceMs: () => 9000, gone: () => false, waiting: () => {} },
    async () => {
      if (++tries > 0) throw new Error('the disk is full')
      return later
    },
  )
  void come('b')
  open.add('all')
  turnstile.look()
  await assert.rejects(broken, /disk is full/)
  await world.settle()
  assert.deepEqual(passed, ['a', 'b'])
})

test('a pause between two askings is a wait like any other: it is said every second, and ends when nobody waits any more', async () => {
  const { world } = scene()
  const said: number[] = []
  const began = world.clock.mono()
  const waiter = { waiting: () => void said.push(world.clock.mono() - began) }
  const over = new AbortController()
  let ended = 0
  void pause(world, waiter, 20_000, over.signal).then(() => (ended = world.clock.mono() - began))
  for (let second = 0; second < 20; second += 1) await world.advance(1000)
  assert.deepEqual([said, ended], [Array.from({ length: 20 }, (_, second) => 1000 * (second + 1)), 20_000])
  over.abort()
  await pause(world, waiter, 20_000, over.signal)
  assert.equal(said.length, 20)
})
