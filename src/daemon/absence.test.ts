import assert from 'node:assert/strict'
import { test } from 'node:test'
import { virtualWorld } from '../../sim/world.ts'
import { defaultSettings } from '../core/setting.ts'
import { added, foldTask } from '../core/fixture.ts'
import type { Carried } from '../engine/engine.ts'
import { openDatabase } from '../store/database.ts'
import { deadLeases, offerLease } from '../store/lease.ts'
import { readLog } from '../store/log.ts'
import { watchAbsence } from './absence.ts'
import type { Daemon } from './daemon.ts'
import { keepVigil } from './vigil.ts'

const [beatMs, leaseMs] = [30_000, 90_000]
const hour = 3_600_000

/** A daemon with one lease; `sleep` lets both clocks go on, or the wall clock alone, while no timer of it fires. */
async function present() {
  const inner = virtualWorld()
  const skipped = { mono: 0 }
  const clock = { now: inner.clock.now, mono: () => inner.clock.mono() + skipped.mono }
  const world = { ...inner, clock }
  const database = openDatabase(':memory:')
  await database.write((tx) =>
    offerLease(tx, { attempt: 'att_1', task: 'task_1', token: 1, epoch: 1 }, clock.mono(), leaseMs),
  )
  const absence = watchAbsence({ world, database, epoch: 1, beatMs, leaseMs }, assert.ifError)
  return {
    world,
    database,
    absence,
    sleep(ms: number, counts: 'both' | 'wall') {
      inner.jumpWall(ms)
      if (counts === 'both') skipped.mono += ms
    },
    advance: inner.advance,
    dead: () => database.read((reader) => deadLeases(reader, 1, clock.mono(), 10)),
    away: async () =>
      (await database.read((reader) => readLog(reader, { types: ['daemon.resumed'], limit: 10 }))).map(
        ({ event }) => event.type === 'daemon.resumed' && Math.round(event.awayMs / 60_000),
      ),
  }
}

test('a sleep is seen whether the monotonic clock counts it or not; it is told once, and ends no lease', async () => {
  for (const counts of ['both', 'wall'] as const) {
    const my = await present()
    await my.advance(12_000)
    my.sleep(2 * hour, counts)
    assert.equal((await my.dead()).length, counts === 'both' ? 1 : 0, 'without a look it would be lost')
    await Promise.all([my.absence.look(), my.absence.look()])
    assert.deepEqual([await my.dead(), await my.away()], [[], [120]])
    assert.equal(Math.round(my.absence.lostMs() / hour), counts === 'both' ? 2 : 0)
    await my.advance(60_000)
    assert.deepEqual(await my.away(), [120], 'once')
    my.absence[Symbol.dispose]()
  }
})

test('a busy machine and a clock that is set back are no absence', async () => {
  const my = await present()
  my.sleep(9000, 'both')
  await my.absence.look()
  my.sleep(-hour, 'wall')
  await my.advance(60_000)
  assert.deepEqual([await my.away(), my.absence.lostMs()], [[], 0])
  my.absence[Symbol.dispose]()
})

test('an extension that the database did not take is tried again', async () => {
  const my = await present()
  my.database.write = ((write) => (body) => {
    my.database.write = write
    void body
    return Promise.reject(new Error('disk full'))
  })(my.database.write.bind(my.database))
  my.sleep(hour, 'both')
  await assert.rejects(my.absence.look(), /disk full/)
  await my.absence.look()
  assert.deepEqual([await my.dead(), await my.away()], [[], [60]])
  my.absence[Symbol.dispose]()
})

test('an attempt was not silent while nobody ran, and is still found silent afterwards', async () => {
  const my = await present()
  const revoked: string[] = []
  const daemon = {
    world: my.world,
    settings: defaultSettings(2),
    absence: my.absence,
    engine: { revoke: (_: string, why: string) => revoked.push(why) },
    gateway: {
      onActivity: () => () => {},
      report: () => ({ requests: 0, waitedMs: 0 }),
      pacerEmptyMs: () => 0,
    },
    failed: async (_: string, error: unknown) => assert.ifError(error),
  } as unknown as Daemon
  const carried = { attempt: 'att_1', beat: async () => true } as unknown as Carried
  const vigil = keepVigil(daemon, carried, foldTask([added('task_1', { size: 'small' })]), 'implementer')
  await my.advance(60_000)
  my.sleep(2 * hour, 'both')
  await my.advance(60_000)
  assert.deepEqual(revoked, [])
  await my.advance(8 * 60_000)
  assert.deepEqual(revoked, ['stalled'])
  vigil.end()
  my.absence[Symbol.dispose]()
})
