import assert from 'node:assert/strict'
import { test } from 'node:test'
import { virtualWorld } from '../../sim/world.ts'
import { realWorld } from '../host/world.ts'
import { openDatabase } from '../store/database.ts'
import { recordedProcesses } from '../store/lease.ts'
import { isTryOut, tryOutOf, watchMachine, witnessOf } from './machine.ts'

/** A machine whose proof comes when it is told to. */
async function machine(space: string | null, isRemembered: boolean) {
  const { promise: proof, resolve, reject } = Promise.withResolvers<string | null>()
  let opened = 0
  const failures: string[] = []
  const watched = await watchMachine({
    world: realWorld(),
    look: async () => space,
    prove: isRemembered ? () => proof : undefined,
    witness: { born: async () => {}, over: async () => {} },
    opened: () => void (opened += 1),
    failed: async (loop) => void failures.push(loop),
  })
  return { watched, resolve, reject, failures, opened: () => opened }
}

test('nothing starts on a remembered sandbox before it is proven, and the dispatcher is woken when it is', async () => {
  const { watched, resolve, opened } = await machine(null, true)
  assert.equal(watched.why(), 'the sandbox is tried out once more')
  const watching = watched.watch()
  assert.equal(watched.why(), 'the sandbox is tried out once more')
  resolve(null)
  await watching[Symbol.asyncDispose]()
  assert.deepEqual([watched.why(), opened()], [null, 1])
})

test('a sandbox that does not hold, or cannot be tried, closes the machine for good', async () => {
  const broken = await machine(null, true)
  broken.resolve('bubblewrap is gone')
  await broken.watched.watch()[Symbol.asyncDispose]()
  assert.equal(broken.watched.why(), 'bubblewrap is gone')
  const faulty = await machine(null, true)
  faulty.reject(new Error('no more files'))
  await faulty.watched.watch()[Symbol.asyncDispose]()
  assert.deepEqual(
    [faulty.watched.why(), faulty.failures],
    ['the sandbox could not be tried out: no more files', ['sandbox']],
  )
})

test('space that is short and an end that has begun close it too', async () => {
  const { watched } = await machine('less than 2 GB of disk left', false)
  assert.equal(watched.why(), 'less than 2 GB of disk left')
  watched.drain()
  assert.equal(watched.why(), 'the daemon is ending')
})

test('a try-out is written down before it goes on, so that the next daemon finds it should this one die, and struck out when it is gone', async () => {
  const database = openDatabase(':memory:')
  const witness = witnessOf(realWorld(), database, 7)
  await witness.born({ pid: 4711, startTime: 99 }, '/tmp/tri-probe')
  const [row] = await database.read(recordedProcesses)
  assert.deepEqual([row?.attempt, row?.pid, row?.start_time, row?.area], [tryOutOf(7), 4711, 99, '/tmp/tri-probe'])
  assert.deepEqual([isTryOut(tryOutOf(7)), isTryOut('att_1')], [true, false])
  await witness.over()
  assert.deepEqual(await database.read(recordedProcesses), [])
  database.close()
})

test('a sandbox that did not hold is tried out again, and work starts once it does', async () => {
  const world = virtualWorld()
  const answers = ['a contained program was killed', null]
  const watched = await watchMachine({
    world,
    look: async () => null,
    prove: async () => answers.shift() ?? null,
    witness: { born: async () => {}, over: async () => {} },
    opened: () => {},
    failed: async () => {},
  })
  const watching = watched.watch()
  await world.settle()
  assert.equal(watched.why(), 'a contained program was killed')
  await world.advance(10_000)
  assert.equal(watched.why(), null)
  await watching[Symbol.asyncDispose]()
})
