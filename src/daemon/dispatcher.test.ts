/** When the dispatcher makes a pass: what nobody told it of is seen at its floor, and where there is nothing to see it does next to nothing. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { virtualWorld } from '../../sim/world.ts'
import { added, snapshot } from '../core/fixture.ts'
import { defaultSettings } from '../core/setting.ts'
import type { TaskEvent } from '../core/event.ts'
import { append } from '../store/append.ts'
import { openDatabase } from '../store/database.ts'
import { takeEpoch } from '../store/lease.ts'
import type { Daemon } from './daemon.ts'
import { dispatcher } from './dispatcher.ts'
import { startLoop } from './loop.ts'

const second = 1000

/** A dispatcher in its loop that may start nothing; counts its passes. */
async function mayStartNothing() {
  const world = virtualWorld()
  const real = openDatabase(':memory:')
  const state = { passes: 0, around: '', isGone: false, carrying: [] as string[], failures: [] as unknown[] }
  const epoch = await real.write((tx) => takeEpoch(tx, { pid: 1, boot_id: 'b', start_time: 1, started_at: 0 }))
  const daemon = {
    world,
    database: { ...real, stamp: () => (state.isGone ? null : real.stamp()) },
    epoch,
    settings: defaultSettings(2),
    engine: { carrying: () => state.carrying, revoke: () => {} },
    around: () => state.around,
    async snapshot(_: unknown, seen: object) {
      state.passes += 1
      const hour = 3600 * second
      const idleMs = { architect: hour, implementer: hour, reviewer: hour, gate: hour }
      return snapshot([], { ...seen, at: world.clock.now(), closed: 'no room', idleMs })
    },
    wake: () => {},
  } as unknown as Daemon
  const { pass, hasNews } = dispatcher(daemon, new Map())
  const failed = async (_: string, error: unknown) => void state.failures.push(error)
  const loop = startLoop(world, 'dispatcher', second, pass, failed, hasNews)
  await world.settle()
  await world.advance(second) // the first pass has written what keeps tasks from starting: it is looked at once more
  state.passes = 0
  /** Passes made meanwhile. */
  const passesIn = async (ms: number) => {
    const before = state.passes
    await world.advance(ms)
    return state.passes - before
  }
  const tell = (...events: TaskEvent[]) =>
    real.write((tx) => append(tx, { at: world.clock.now(), actor: 'x', stream: 'task/task_1', events }))
  return {
    world,
    real,
    state,
    loop,
    passesIn,
    tell,
    async [Symbol.asyncDispose]() {
      await loop[Symbol.asyncDispose]()
      real.close()
      assert.deepEqual(state.failures, [])
    },
  }
}

test('while nothing is written and nothing else changes there is one pass in ten looks', async () => {
  await using made = await mayStartNothing()
  assert.equal(await made.passesIn(100 * second), 10)
})

test('what nobody told of is seen at the next look: a row, what is in no row, a database that cannot be asked, work under way', async () => {
  await using made = await mayStartNothing()
  const { state, real } = made
  const seen: number[] = []
  for (const act of [
    () => real.write((tx) => tx.run('update daemon set started_at = 7')),
    async () => void (state.around = 'less than 2 GB of disk left'),
    async () => {},
  ]) {
    await act()
    seen.push(await made.passesIn(second), await made.passesIn(second))
  }
  assert.deepEqual(seen, [1, 0, 1, 0, 0, 0])
  state.isGone = true
  assert.equal(await made.passesIn(3 * second), 3)
  state.isGone = false
  await made.passesIn(second)
  assert.equal(await made.passesIn(3 * second), 0)
  state.carrying = ['att_1']
  assert.equal(await made.passesIn(3 * second), 3)
})

test('a moment that comes is met at the next look: a delayed task, and a clock that was set back', async () => {
  await using made = await mayStartNothing()
  const { world, tell } = made
  await tell(added('task_1'), { type: 'task.delayed', until: world.clock.now() + 5500, why: 'the provider is down' })
  assert.equal(await made.passesIn(second), 1, 'it was written')
  assert.equal(await made.passesIn(4 * second), 0)
  assert.equal(await made.passesIn(second), 1, 'its time has come')
  assert.equal(await made.passesIn(3 * second), 0)
  world.jumpWall(-3600 * second)
  assert.equal(await made.passesIn(second), 1)
})

test('whoever wakes it gets a pass, news or not', async () => {
  await using made = await mayStartNothing()
  made.loop.wake()
  assert.equal(await made.passesIn(0), 1)
})
