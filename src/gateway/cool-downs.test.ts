/** What is closed to new work, as those are told who decide what starts: by the wall clock, and by the keys as they are now. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { virtualWorld } from '../../sim/world.ts'
import { openDatabase } from '../store/database.ts'
import { createCoolDowns } from './cool-downs.ts'

const minute = 60_000
const hour = 60 * minute
const [older, newer] = ['sk-old-00000000000000000000', 'sk-new-00000000000000000000']
const waiter = { lane: 'normal', patienceMs: () => 0, waiting: () => {}, gone: () => false } as const

/** Cool-downs of one model, whose family has a key that may change. */
async function make() {
  const world = virtualWorld()
  const database = openDatabase(':memory:')
  const state = { key: older }
  const coolDowns = await createCoolDowns(
    world,
    database,
    (error) => assert.fail(String(error)),
    () => state.key,
  )
  const asked = { family: 'anthropic', model: 'claude-opus-5-5', bytes: 100, cap: null }
  const ask = async () => {
    const passing = coolDowns.pass({ ...asked, key: state.key }, waiter)
    await world.settle()
    const leave = await passing
    assert.ok(!('shut' in leave))
    return leave
  }
  const told = () => coolDowns.closed().map(({ why, since, until }) => [why, since, until])
  return {
    world,
    state,
    told,
    ask,
    async [Symbol.asyncDispose]() {
      await world.settle() // what was written down of it
      database.close()
    },
  }
}

test('a refused key closes its model for as long as it is the key, asked with another or not', async () => {
  await using made = await make()
  const { state, told, ask, world } = made
  ;(await ask()).heard(401, {}, '{}')
  assert.deepEqual(told(), [['key', world.clock.now(), Infinity]])
  state.key = newer
  assert.deepEqual(told(), [], 'or nothing would start that could ask with it')
  state.key = ''
  assert.deepEqual(told().length, 1, 'none is no other one')
})

test('a no to the key before closes nothing once another has been asked with', async () => {
  await using made = await make()
  const { state, told, ask } = made
  ;(await ask()).heard(200, {}, '')
  const late = await ask()
  state.key = newer
  ;(await ask()).heard(200, {}, '')
  late.heard(401, {}, '{}')
  assert.deepEqual(told(), [])
  ;(await ask()).heard(401, {}, '{}')
  assert.equal(told().length, 1)
})

test('a wall clock that was set back closes nothing for longer', async () => {
  await using made = await make()
  const { world, told, ask } = made
  world.jumpWall(-hour)
  for (let n = 0; n < 3; n++) {
    ;(await ask()).heard(529, {}, '{}')
    await world.advance(20_000)
  }
  const closed = world.clock.now() - 20_000
  assert.deepEqual(told(), [['overloaded', closed, closed + minute]])
})
