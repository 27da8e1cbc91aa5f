import assert from 'node:assert/strict'
import { test } from 'node:test'
import { virtualWorld } from '../../sim/world.ts'
import { openDatabase, type Database } from '../store/database.ts'
import { deadLeases, offerLease, releaseLease } from '../store/lease.ts'
import { conforms, type Rig } from './conformance.ts'
import { embeddedEngine } from './embedded.ts'

const leaseMs = 90_000

/** One database, virtual time, and a store that can be made to fail. */
function rig(): Rig {
  const world = virtualWorld()
  const real = openDatabase(':memory:')
  const faults: unknown[] = []
  let failing = 0
  const database: Database = {
    ...real,
    write: (body) => (failing-- > 0 ? Promise.reject(new Error('the store is unwell')) : real.write(body)),
  }
  return {
    leaseMs,
    faults,
    engine: (epoch) => embeddedEngine({ world, database, epoch, leaseMs, onFault: (error) => void faults.push(error) }),
    write: real.write,
    settle: world.settle,
    advance: world.advance,
    jumpWall: world.jumpWall,
    now: () => world.clock.mono(),
    failWrites: (count) => void (failing = count),
    sweep: (epoch) =>
      real.write(async (tx) => {
        const taken: string[] = []
        for (const lease of await deadLeases(tx, epoch, world.clock.mono(), 64))
          if (await releaseLease(tx, lease)) taken.push(lease.attempt)
        return taken
      }),
    [Symbol.asyncDispose]: async () => real.close(),
  }
}

conforms('embedded', rig)

test('embedded: a worker looks when something is offered and at the poll, once for all of them: so what is claimed can be in the commit of its offer', async () => {
  const world = virtualWorld()
  const real = openDatabase(':memory:')
  let looks = 0
  const database: Database = { ...real, write: (body) => real.write((looks++, body)) }
  const onFault = (error: unknown) => assert.fail(String(error))
  const engine = embeddedEngine({ world, database, epoch: 1, leaseMs, onFault })
  const claimed: string[][] = []
  const working = engine.work(async ({ attempt }) => void claimed.at(-1)!.push(attempt))
  const seen: number[] = []
  for (const offered of [[], ['att_1'], ['att_2'], ['att_3', 'att_4'], []]) {
    claimed.push([])
    await real.write(async (tx) => {
      for (const attempt of offered) await engine.offer(tx, { attempt, task: 'task_1', token: 1 })
    })
    await world.settle()
    seen.push(looks)
  }
  await world.advance(1000)
  assert.deepEqual([seen, looks], [[1, 2, 3, 4, 4], 5])
  assert.deepEqual(claimed, [[], ['att_1'], ['att_2'], ['att_3', 'att_4'], []])
  await world.advance(60_000)
  assert.equal(looks, 5, 'nothing was written: a look would find what the last one found')
  await real.write((tx) => offerLease(tx, { attempt: 'att_5', task: 'task_1', token: 1, epoch: 1 }, 0, leaseMs))
  await world.advance(1000)
  assert.deepEqual([looks, claimed.at(-1)], [6, ['att_5']], 'what is put there past the engine is seen at the poll')
  await working[Symbol.asyncDispose]()
  real.close()
})
