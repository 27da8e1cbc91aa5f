import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'node:test'
import fc from 'fast-check'
import { breakerEdge } from '../core/breaker.ts'
import { defaultLimits, scopePath, type Grant } from '../core/budget.ts'
import { noTokens } from '../core/price.ts'
import { isRefusal } from '../core/refusal.ts'
import { openDatabase, type Database } from './database.ts'
import { chargeInput, extendHold, grantKey, hashKey, placeHold, recoverHolds, settleHold } from './ledger.ts'
import { readLog } from './log.ts'
import { closeBreaker, followClock, readPacing, readSpending, setPace, warnOfSpending, watchSpending } from './pace.ts'

const grant: Grant = {
  attempt: 'attempt_1',
  task: 'task_1',
  repo: 'repo_1',
  repoName: 'shop',
  stage: 'implement',
  lane: 'normal',
  family: 'anthropic',
  models: ['claude-opus-5-5'],
  grantedAt: 1,
  scope: 'task/task_1',
  limitNanoUsd: 0,
}
const pace = { minuteNanoUsd: 1000, burstNanoUsd: 3000 }
const minute = 60_000
const start = 1_764_000_000_000

async function paced(file = ':memory:'): Promise<Database> {
  const database = openDatabase(file)
  await database.write(async (tx) => {
    await setPace(tx, pace, start)
    await grantKey(tx, 'key-1', grant)
  })
  return database
}

const place = (database: Database, nanoUsd: number, at: number) =>
  database.write((tx) =>
    placeHold(tx, {
      keyHash: hashKey('key-1'),
      grant,
      model: 'claude-opus-5-5',
      path: scopePath(grant, { ...defaultLimits, dayNanoUsd: null }, '2025-11-24'),
      inputNanoUsd: nanoUsd,
      inputTokens: 1,
      outputRate: 1e6,
      leastTokens: 0,
      mostTokens: 0,
      at,
      day: '2025-11-24',
    }),
  )
const settle = (database: Database, hold: number, nanoUsd: number, at: number) =>
  database.write(async (tx) => {
    await settleHold(tx, hold, { nanoUsd, tokens: noTokens, how: 'exact', at })
    return watchSpending(tx, at)
  })
const extend = (database: Database, hold: number, nanoUsd: number, at: number) =>
  database.write((tx) => extendHold(tx, hold, [{ nanoUsd, outputTokens: 1 }], { lane: 'normal', at }))

test('a hold waits for the pacer, however often it asks, and passes when its time has come', async () => {
  const database = await paced()
  assert.ok('hold' in (await place(database, 3000, start)))
  assert.equal(await settle(database, 1, 3000, start), null)
  const early = await place(database, 500, start + 12_000)
  assert.ok('waits' in early && early.waits === 'pace' && early.ms === 18_000)
  assert.ok('hold' in (await place(database, 500, start + 30_000)))
  const beyond = await place(database, 3001, start + 10 * minute)
  assert.ok('scope' in beyond && beyond.scope === 'burst', JSON.stringify(beyond))
})

test('what streams take beyond the level is a debt that whoever comes next waits for', async () => {
  const database = await paced()
  await place(database, 3000, start)
  assert.ok(!isRefusal(await extend(database, 1, 500, start)))
  assert.equal(await settle(database, 1, 3500, start), null)
  const next = await place(database, 1, start)
  assert.ok('waits' in next && next.ms === 30_060)
})

test('the breaker trips at its edge: the stream is refused, nothing new is let in, and the log says why; then it closes', async () => {
  const database = await paced()
  await place(database, 3000, start)
  assert.ok(!isRefusal(await extend(database, 1, 1500, start)))
  const refusal = await extend(database, 1, 1, start)
  assert.ok(isRefusal(refusal) && 'scope' in refusal && refusal.scope === 'minute')
  const late = await place(database, 1, start + 1)
  assert.ok(isRefusal(late) && late.why.startsWith('the breaker has tripped: $0.000004501 spent and held'))
  await settle(database, 1, 2000, start + 1000)
  const close = (at: number, actor = 'daemon') => database.write((tx) => closeBreaker(tx, at, actor))
  assert.equal(await close(start + 59_000), false)
  assert.equal(await close(start + 60_000), false, 'the minute was still dear')
  assert.equal(await close(start + 62_000), true)
  assert.equal(await close(start + 62_000), false, 'it is closed already')
  assert.ok('hold' in (await place(database, 1, start + 62_000)))
  const logged = await database.read((reader) => readLog(reader, { limit: 10 }))
  assert.deepEqual(
    logged.map(({ stream, actor, event }) => [stream, actor, event.type]),
    [
      ['budget/main', 'gateway', 'breaker.tripped'],
      ['budget/main', 'daemon', 'breaker.closed'],
    ],
  )
})

test('money that nothing was held for trips the breaker, and a person may close it at once', async () => {
  const database = await paced()
  await place(database, 10, start)
  await database.write((tx) => chargeInput(tx, 1, 60, noTokens, start))
  assert.equal(await database.write((tx) => watchSpending(tx, start)), null)
  assert.match((await settle(database, 1, 111, start))!, /^\$0\.000000101 was billed/)
  assert.equal(await database.write((tx) => closeBreaker(tx, start, 'person:ada')), true)
  await place(database, 1, start + 1000)
  assert.equal(await settle(database, 2, 1, start + 1000), null, 'what it tripped for does not trip it again')
})

test('level, debt and a tripped breaker outlive a crash, and what it left in flight is taken from the level', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'pace-'))
  const file = join(folder, 'tasks.db')
  try {
    const before = await paced(file)
    await place(before, 2000, start)
    before.close()
    const after = openDatabase(file)
    await after.write((tx) => recoverHolds(tx, start))
    await after.write((tx) => setPace(tx, pace, start + 1))
    const { level, breaker } = await after.read(readPacing)
    assert.deepEqual([level, breaker], [{ nanoUsd: 1000, at: start }, null])
    await after.write((tx) => tx.run("update pacer set tripped_at = :at, tripped_why = 'too much'", { at: start }))
    after.close()
    const later = openDatabase(file)
    await later.write((tx) => setPace(tx, pace, start + 2))
    assert.deepEqual((await later.read(readPacing)).breaker, { trippedAt: start, why: 'too much' })
    later.close()
  } finally {
    rmSync(folder, { recursive: true })
  }
})

test('a dear minute is in the log once', async () => {
  const database = await paced()
  await place(database, 600, start)
  await settle(database, 1, 501, start)
  const warn = (at: number) => database.write((tx) => warnOfSpending(tx, 500, at))
  assert.deepEqual([await warn(start), await warn(start + 1000), await warn(start + minute)], [true, false, false])
})

test('without a pace nothing waits and nothing trips, and what is spent is known all the same', async () => {
  const database = openDatabase(':memory:')
  await database.write((tx) => grantKey(tx, 'key-1', grant))
  await place(database, 1_000_000, start)
  assert.equal(await settle(database, 1, 1_000_000, start), null)
  const { committedNanoUsd, heldNanoUsd } = await database.read((reader) => readSpending(reader, start))
  assert.deepEqual([committedNanoUsd, heldNanoUsd], [1_000_000, 0])
})

type Step = { do: 'place' | 'extend' | 'settle'; amount: number; hold: number; afterMs: number }
const step: fc.Arbitrary<Step> = fc.record({
  do: fc.constantFrom('place', 'extend', 'settle'),
  amount: fc.nat(3000),
  hold: fc.integer({ min: 1, max: 8 }),
  afterMs: fc.nat(30_000),
})

test('under any schedule 60 seconds never show more than the edge of the breaker', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
      const database = await paced()
      let at = start
      for (const each of steps) {
        at += each.afterMs
        if (each.do === 'place') await place(database, each.amount, at)
        else if (each.do === 'extend') await extend(database, each.hold, each.amount, at)
        else {
          const row = await database.read((reader) =>
            reader.get<{ held: number }>('select input_nano_usd + output_nano_usd as held from hold where id = :id', {
              id: each.hold,
            }),
          )
          if (row) await settle(database, each.hold, Math.min(row.held, each.amount), at)
        }
        await database.write((tx) => closeBreaker(tx, at, 'daemon'))
        const { committedNanoUsd, heldNanoUsd } = await database.read((reader) => readSpending(reader, at))
        assert.ok(committedNanoUsd + heldNanoUsd <= breakerEdge(pace), `${committedNanoUsd} + ${heldNanoUsd}`)
      }
      database.close()
    }),
    { numRuns: 60 },
  )
})

test('a wall clock that was set back stops no spending until it has come to where it was', async () => {
  const database = await paced()
  const back = start - 24 * 60 * minute
  const first = await place(database, 3000, start)
  assert.ok('hold' in first)
  assert.equal(await settle(database, first.hold, 3000, start), null)
  await database.write((tx) => followClock(tx, back))
  assert.deepEqual(
    await database.read(async (reader) => [
      (await readPacing(reader)).level,
      (await readSpending(reader, back)).committedNanoUsd,
    ]),
    [{ nanoUsd: 0, at: back }, 0],
    'nothing is refilled, and what was spent in what is now the future says nothing about this minute',
  )
  assert.ok('hold' in (await place(database, 1000, back + minute)))
  database.close()
})

test('a breaker that tripped before the clock was set back closes a minute later', async () => {
  const database = await paced()
  await database.write(async (tx) => {
    assert.notEqual(await watchSpending(tx, start, 10_000), null)
    await followClock(tx, start - 60 * minute)
    assert.equal(await closeBreaker(tx, start - 60 * minute + 1, 'daemon'), false)
    assert.equal(await closeBreaker(tx, start - 59 * minute, 'daemon'), true)
  })
  database.close()
})
