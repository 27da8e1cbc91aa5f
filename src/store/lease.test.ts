/** Leases: a fence that no stale holder passes, and expiry on the monotonic clock of one daemon's life. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { openDatabase, type Database } from './database.ts'
import {
  beatLease,
  claimLeases,
  daemonRow,
  deadLeases,
  forgetProcess,
  gateResult,
  holds,
  keepGateResult,
  offerLease,
  recordedProcesses,
  recordProcess,
  releaseLease,
  takeEpoch,
  type Lease,
} from './lease.ts'

const leaseMs = 90_000
const lease = (n: number, more: Partial<Lease> = {}): Lease => ({
  attempt: `att_${String(n).padStart(3, '0')}`,
  task: 'task_1',
  token: n,
  epoch: 1,
  ...more,
})
const daemon = { pid: 7, boot_id: 'boot', start_time: 1, started_at: 0 }
const dead = (database: Database, mono: number, limit = 100, epoch = 1) =>
  database.read(async (reader) => (await deadLeases(reader, epoch, mono, limit)).map(({ token }) => token))

async function offered(...leases: Lease[]): Promise<Database> {
  const database = openDatabase(':memory:')
  await database.write(async (tx) => {
    for (const each of leases) await offerLease(tx, each, 0, leaseMs)
  })
  return database
}

test('an offer is claimed once, by a daemon of its own epoch', async () => {
  const database = await offered(lease(1), lease(2, { epoch: 2 }))
  const claim = async (epoch: number) => {
    return database.write((tx) => claimLeases(tx, { epoch, monoMs: 0, leaseMs }))
  }
  assert.deepEqual(
    [await claim(1), await claim(1), await claim(3), await claim(2)],
    [[lease(1)], [], [], [lease(2, { epoch: 2 })]],
  )
})

test('all that is on offer is claimed at once, or the first so many of it, and no more is marked than is handed out', async () => {
  const database = await offered(...[4, 2, 5, 1, 3].map((n) => lease(n)))
  const claim = (most?: number) =>
    database.write(async (tx) => {
      const limit = most === undefined ? {} : { most }
      return (await claimLeases(tx, { epoch: 1, monoMs: 0, leaseMs, ...limit })).map(({ token }) => token)
    })
  const isHeld = (n: number) => database.write((tx) => holds(tx, lease(n)))
  assert.deepEqual([await claim(2), await isHeld(2), await isHeld(3)], [[1, 2], true, false])
  await database.write((tx) => offerLease(tx, lease(0), 0, leaseMs))
  assert.deepEqual([await claim(), await claim()], [[0, 3, 4, 5], []])
})

test('only who claimed it holds it: not with another token, of another epoch, nor before it was claimed or after it was given back', async () => {
  const database = await offered(lease(1))
  const mine = lease(1)
  const others = [lease(2, { attempt: mine.attempt }), lease(1, { epoch: 2 }), lease(1, { attempt: 'att_9' })]
  const may = async (who: Lease) =>
    database.write(async (tx) => [await holds(tx, who), await beatLease(tx, who, 1, leaseMs, 1)])
  assert.deepEqual(await may(mine), [false, false], 'offered is not held')
  await database.write((tx) => claimLeases(tx, { epoch: 1, monoMs: 0, leaseMs }))
  assert.deepEqual(await may(mine), [true, true])
  for (const other of others) {
    assert.deepEqual(await may(other), [false, false])
    assert.equal(await database.write((tx) => releaseLease(tx, other)), false)
  }
  assert.equal(await database.write((tx) => releaseLease(tx, mine)), true)
  assert.deepEqual(await may(mine), [false, false])
  assert.equal(await database.write((tx) => releaseLease(tx, mine)), false, 'a result is written once')
})

test('a lease is dead once it was silent for longer than a lease, counted from its last beat, whether claimed or not', async () => {
  const database = await offered(lease(1), lease(2))
  await database.write((tx) => claimLeases(tx, { epoch: 1, monoMs: 10, leaseMs, most: 1 }))
  assert.deepEqual(
    [await dead(database, leaseMs), await dead(database, leaseMs + 1), await dead(database, leaseMs + 11)],
    [[], [2], [1, 2]],
  )
  await database.write((tx) => beatLease(tx, lease(1), 50_000, leaseMs, 50_000))
  assert.deepEqual([await dead(database, 140_000), await dead(database, 140_001)], [[2], [1, 2]])
})

test('all leases of an earlier epoch are dead at once, however fresh: their daemon counted on another clock', async () => {
  const database = await offered(lease(1, { epoch: 1 }), lease(2, { epoch: 2 }))
  assert.deepEqual(await dead(database, 0, 100, 2), [1])
})

test('a sweep is bounded, and sweep after sweep takes them all', async () => {
  const database = await offered(...Array.from({ length: 150 }, (_, n) => lease(n)))
  const sizes: number[] = []
  for (let found = await dead(database, 1e6, 64); found.length > 0; found = await dead(database, 1e6, 64)) {
    sizes.push(found.length)
    await database.write(async (tx) => {
      for (const n of found) await releaseLease(tx, lease(n))
    })
  }
  assert.deepEqual(sizes, [64, 64, 22])
})

test('each daemon takes the next epoch, and the row says who has it', async () => {
  const database = openDatabase(':memory:')
  assert.equal(await database.read(daemonRow), undefined)
  const epochs = [
    await database.write((tx) => takeEpoch(tx, daemon)),
    await database.write((tx) => takeEpoch(tx, { ...daemon, pid: 8 })),
  ]
  assert.deepEqual([epochs, { ...(await database.read(daemonRow)) }], [[1, 2], { ...daemon, pid: 8, epoch: 2 }])
})

test('whatever holders, sweeps and new daemons do, each token is finished at most once and only by who holds it', async () => {
  const act = fc.record({
    what: fc.constantFrom('offer', 'claim', 'finish', 'beat', 'sweep', 'wait', 'restart'),
    who: fc.nat(20),
  })
  await fc.assert(
    fc.asyncProperty(fc.array(act, { maxLength: 60 }), async (acts) => {
      const database = openDatabase(':memory:')
      let [mono, token, epoch] = [0, 0, await database.write((tx) => takeEpoch(tx, daemon))]
      const holders: Lease[] = []
      const finished: number[] = []
      const swept = new Set<number>()
      for (const { what, who } of acts)
        await database.write(async (tx) => {
          const holder = holders[who % Math.max(1, holders.length)]
          if (what === 'wait') mono += 30_000
          if (what === 'offer') await offerLease(tx, lease((token += 1), { epoch }), mono, leaseMs)
          if (what === 'claim') {
            holders.push(...(await claimLeases(tx, { epoch, monoMs: mono, leaseMs, most: 1 + (who % 3) })))
          }
          if (what === 'restart') [epoch, mono] = [await takeEpoch(tx, daemon), 0]
          if (what === 'sweep')
            for (const each of await deadLeases(tx, epoch, mono, 5)) {
              if (await releaseLease(tx, each)) swept.add(each.token)
            }
          if (!holder) return
          if (what === 'beat') assert.equal(await beatLease(tx, holder, mono, leaseMs, mono), await holds(tx, holder))
          if (what === 'finish' && (await releaseLease(tx, holder))) finished.push(holder.token)
        })
      assert.equal(new Set(finished).size, finished.length)
      assert.ok(
        finished.every((each) => !swept.has(each)),
        'what was taken back is finished by nobody',
      )
      database.close()
    }),
    { seed: 2026, numRuns: 100 },
  )
})

test('a process tree is written down once per attempt, follows its attempt, and is forgotten when it is proven dead', async () => {
  const database = openDatabase(':memory:')
  const row = { attempt: 'att_1', pid: 5, boot_id: 'boot', start_time: 1, area: '/area', started_at: 2 }
  await database.write((tx) => recordProcess(tx, row))
  await database.write((tx) => recordProcess(tx, { ...row, pid: 6, start_time: null, started_at: 3 }))
  const recorded = async () => (await database.read(recordedProcesses)).map((each) => ({ ...each }))
  assert.deepEqual(await recorded(), [{ ...row, pid: 6, start_time: null, started_at: 3 }])
  await database.write((tx) => forgetProcess(tx, 'att_1'))
  assert.deepEqual(await recorded(), [])
})

test('a gate result is reused for that tree and that key alone, and says that it was', async () => {
  const database = openDatabase(':memory:')
  const report = { tree: 't1', key: 'k1', results: [], baseline: [], reused: false }
  await database.write((tx) => keepGateResult(tx, report, 1))
  await database.write((tx) => keepGateResult(tx, { ...report, baseline: ['test'] }, 2))
  const found = await Promise.all(
    [
      ['t1', 'k1'],
      ['t1', 'k2'],
      ['t2', 'k1'],
    ].map(([tree, key]) => database.read((reader) => gateResult(reader, tree!, key!))),
  )
  assert.deepEqual(found, [{ ...report, baseline: ['test'], reused: true }, null, null])
})

test('a red gate result is reused only where it is no older than asked for, a green one always', async () => {
  const database = openDatabase(':memory:')
  const result = { name: 'test', command: 'npm test', exitCode: 0, ms: 1, tail: '' }
  for (const state of ['green', 'red', 'timed-out'] as const) {
    const report = { tree: state, key: 'k', results: [{ ...result, state }], baseline: [], reused: false }
    await database.write((tx) => keepGateResult(tx, report, 5))
  }
  const found = (redSince?: number) =>
    Promise.all(
      ['green', 'red', 'timed-out'].map(async (tree) =>
        Boolean(await database.read((reader) => gateResult(reader, tree, 'k', redSince))),
      ),
    )
  assert.deepEqual(await found(), [true, true, true])
  assert.deepEqual(await found(5), [true, true, true])
  assert.deepEqual(await found(6), [true, false, false])
})
