import assert from 'node:assert/strict'
import test from 'node:test'
import { defaultLimits, fitTokens, forLane, heldTokens, nextLease, tightest } from './budget.ts'
import { dayOf, numberOf, dayStepOf, daySteps, mayStartOn } from './day.ts'
import { lanes } from './lane.ts'

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
    if (numberOf(dayOf(at)) !== numberOf('1970-01-01') + day) wrong.push(`${dayOf(at)} is ${numberOf(dayOf(at))}`)
  }
  assert.deepEqual(wrong, [])
})

test('a day steps down at 80, 90 and 95 %, and a day without a limit never does', () => {
  const steps = [0, 79.9, 80, 89.9, 90, 94.9, 95, 120].map((used) => dayStepOf(used, 100))
  const [open, background, normal, closed] = daySteps
  assert.deepEqual(steps, [open, open, background, background, normal, normal, closed, closed])
  assert.equal(dayStepOf(1e12, null), 'open')
  assert.equal(dayStepOf(0, 0), 'closed', 'a day without money is over before it begins')
})

test('on each step one more lane starts nothing', () => {
  assert.deepEqual(
    daySteps.map((step) => lanes.filter((lane) => mayStartOn(step, lane))),
    [['critical', 'normal', 'background'], ['critical', 'normal'], ['critical'], []],
  )
})

test('of what is shared each lane sees its share, of a task and an attempt everything', () => {
  const limitsOf = (scope: string) =>
    lanes.map((lane) => forLane({ scope, limit: 1000, spent: 5, held: 6 }, lane).limit)
  assert.deepEqual(['total', 'day/2026-11-24', 'task/t', 'attempt/a'].map(limitsOf), [
    [1000, 900, 800],
    [1000, 900, 800],
    [1000, 1000, 1000],
    [1000, 1000, 1000],
  ])
  assert.equal(forLane({ scope: 'total', limit: null, spent: 0, held: 0 }, 'background').limit, null)
})
