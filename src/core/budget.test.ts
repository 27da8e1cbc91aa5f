import assert from 'node:assert/strict'
import test from 'node:test'
import { dayOf, defaultLimits, fitTokens, heldTokens, nextLease, tightest } from './budget.ts'

const limits = { ...defaultLimits, quantumTokens: 2000, decodeRate: 400, cancelLagMs: 1000, frameTokens: 64 }

test('input that does not fit lets nothing in, not even an answer of no tokens', () => {
  const ask = { rate: 1e6, least: 0, most: 10 }
  assert.equal(fitTokens(99, { ...ask, inputNanoUsd: 100 }), null)
  assert.equal(fitTokens(100, { ...ask, inputNanoUsd: 100 }), 0)
  assert.equal(fitTokens(105, { ...ask, inputNanoUsd: 100 }), 5)
  assert.equal(fitTokens(Infinity, { ...ask, inputNanoUsd: 100 }), 10)
})

test('a lease grows by whole quanta once 85 % of it is used, and what is held ends at the cap', () => {
  assert.deepEqual(
    [0, 1700, 1701, 3700, 3701].map((used) => nextLease(used, 2000, limits)),
    [2000, 2000, 4000, 4000, 6000],
  )
  assert.equal(heldTokens(2000, null, limits), 2464)
  assert.equal(heldTokens(2000, 2100, limits), 2100)
})

test('the tightest account decides', () => {
  const account = (scope: string, limit: number | null, spent: number, held: number) => ({ scope, limit, spent, held })
  assert.deepEqual(
    tightest([account('total', null, 9, 9), account('day/x', 100, 20, 30), account('task/y', 60, 5, 0)]),
    {
      scope: 'day/x',
      room: 50,
    },
  )
  assert.equal(tightest([account('total', null, 9, 9)]).room, Infinity)
})

test('a budget day begins at midnight UTC', () => {
  assert.deepEqual([dayOf(1_795_478_399_999), dayOf(1_795_478_400_000)], ['2026-11-23', '2026-11-24'])
})

test('the budget day is the day of the calendar, leap years and ends of centuries too', () => {
  const calendar = new Intl.DateTimeFormat('sv-SE', { timeZone: 'UTC' })
  const wrong: string[] = []
  for (let day = -1000; day < 60_000; day++) {
    const at = day * 86_400_000 + ((day + 1000) % 86_400) * 1000
    if (dayOf(at) !== calendar.format(at)) wrong.push(dayOf(at))
  }
  assert.deepEqual(wrong, [])
})
