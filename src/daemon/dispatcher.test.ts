/** When the dispatcher makes a pass: what nobody told it of is seen at its floor, and where there is nothing to see it does next to nothing. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { virtualWorld } from '../../sim/world.ts'
import type { Snapshot } from '../core/admission.ts'
import { added, admittedGate, ended, snapshot } from '../core/fixture.ts'
import { defaultSettings } from '../core/setting.ts'
import type { TaskEvent } from '../core/event.ts'
import { append } from '../store/append.ts'
import { openDatabase, type Tx } from '../store/database.ts'
import { takeEpoch } from '../store/lease.ts'
import { loadTask } from '../store/task.ts'
import type { Daemon } from './daemon.ts'
import { dispatcher } from './dispatcher.ts'
import { startLoop } from './loop.ts'

const second = 1000

/** A dispatcher in its loop that may start nothing; counts its passes. */
async function mayStartNothing() {
  const world = virtualWorld()
  const real = openDatabase(':memory:')
  const state = {
    passes: 0,
    around: '',
    isGone: false,
    carrying: [] as string[],
    failures: [] as unknown[],
    families: snapshot([]).families,
    /** What every look at the clock takes. */
    slowMs: 0,
    /** Tasks that a pass looked at. */
    seen: new Set<string>(),
    idleMs: {} as Partial<Snapshot['idleMs']>,
    /** How long the disk takes nothing. */
    waitMs: 0,
  }
  const now = () => {
    if (state.slowMs > 0) world.oversleep(state.slowMs)
    return world.clock.now()
  }
  const epoch = await real.write((tx) => takeEpoch(tx, { pid: 1, boot_id: 'b', start_time: 1, started_at: 0 }))
  const daemon = {
    world: { ...world, clock: { ...world.clock, now } },
    database: {
      ...real,
      stamp: () => (state.isGone ? null : real.stamp()),
      write: (body: (tx: Tx) => Promise<unknown>) => {
        world.oversleep(state.waitMs)
        return real.write(body)
      },
    },
    epoch,
    settings: defaultSettings(2),
    engine: { carrying: () => state.carrying, revoke: () => {} },
    around: () => state.around,
    async snapshot(_: unknown, seen: Pick<Snapshot, 'tasks' | 'idleMs'>) {
      state.passes += 1
      state.idleMs = seen.idleMs
      for (const { id } of seen.tasks) state.seen.add(id)
      const hour = 3600 * second
      const idleMs = { architect: hour, implementer: hour, reviewer: hour, gate: hour }
      return snapshot([], { at: now(), ...seen, closed: 'no room', families: state.families, idleMs })
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

test('however long a pass takes, what falls due in the middle of it is met at the next look', async () => {
  for (const into of [2, 6, 10, 14, 18, 22]) {
    await using made = await mayStartNothing()
    const { world, tell, state } = made
    await tell(added('task_1'), { type: 'task.delayed', until: world.clock.now() + second + into, why: 'overloaded' })
    state.slowMs = 4
    await made.passesIn(second)
    state.slowMs = 0
    await made.passesIn(second)
    assert.deepEqual([...state.seen], ['task_1'], `${into} ms after the pass began`)
  }
})

test('a person is asked for a family as soon as it has been waited for long enough', async () => {
  await using made = await mayStartNothing()
  const { world, tell, state, real } = made
  const began = world.clock.now()
  const closedSince = began + 4 * second
  state.families = state.families.map((each) => ({
    ...each,
    closedUntil: Infinity,
    closedSince,
    closedWhy: 'no quota',
  }))
  await tell(added('task_1'))
  const { familyMs } = defaultSettings(2).review
  world.jumpWall(familyMs)
  await made.passesIn(3 * second)
  const phase = async () => (await real.read((reader) => loadTask(reader, 'task_1')))!.phase
  assert.deepEqual([await phase(), await made.passesIn(second), await phase()], ['open', 1, 'escalated'])
})

test('who had a slot is not idle for as long as a pass waited to be written', async () => {
  await using made = await mayStartNothing()
  const { tell, state } = made
  await tell(added('task_1'), admittedGate('att_1', 'verify'))
  state.waitMs = 3600 * second
  await made.passesIn(second)
  state.waitMs = 0
  await tell(ended('att_1', 'passed'))
  await made.passesIn(second)
  assert.equal(state.idleMs.gate, second)
})

test('whoever wakes it gets a pass, news or not', async () => {
  await using made = await mayStartNothing()
  made.loop.wake()
  assert.equal(await made.passesIn(0), 1)
})
