import assert from 'node:assert/strict'
import test from 'node:test'
import { breakerEdge, isWaste, mayClose, mayWarn, whyTrip, type Spending } from './breaker.ts'

const usd = 1_000_000_000
const pace = { minuteNanoUsd: usd, burstNanoUsd: 3 * usd }
const spending = (more: Partial<Spending>): Spending => ({
  committedNanoUsd: 0,
  heldNanoUsd: 0,
  offPathNanoUsd: 0,
  ...more,
})

test('the breaker trips above the burst and one and a half times the rate, held money counted', () => {
  assert.equal(breakerEdge(pace), 4.5 * usd)
  assert.equal(whyTrip(spending({ committedNanoUsd: 3 * usd, heldNanoUsd: 1.5 * usd }), pace), null)
  assert.equal(
    whyTrip(spending({ committedNanoUsd: 3 * usd, heldNanoUsd: 1.5 * usd + 1 }), pace),
    '$4.500000001 spent and held within 60 seconds, more than $4.50 (money.burst and 1.5 × money.minute)',
  )
})

test('money that was billed and never held trips it; the last frame of a cut stream does not', () => {
  assert.equal(whyTrip(spending({ offPathNanoUsd: usd / 10 }), pace), null)
  assert.match(
    whyTrip(spending({ offPathNanoUsd: usd / 10 + 1 }), pace)!,
    /^\$0\.100000001 was billed within 60 seconds/,
  )
})

test('a tripped breaker closes after a minute, and only once a minute is cheap again', () => {
  assert.equal(mayClose(spending({ committedNanoUsd: usd }), pace, 0, 60_000), true)
  assert.equal(mayClose(spending({ committedNanoUsd: usd }), pace, 0, 59_999), false)
  assert.equal(mayClose(spending({ committedNanoUsd: usd, heldNanoUsd: 1 }), pace, 0, 60_000), false)
})

test('an attempt is waste where the pacer is empty, nothing new was made for ten minutes, and it goes on asking', () => {
  const circling = { answers: 3, sinceMs: 600_000, pacerEmptyMs: 600_000 }
  assert.equal(isWaste(circling), true)
  for (const more of [{ answers: 2 }, { sinceMs: 599_999 }, { pacerEmptyMs: 599_999 }])
    assert.equal(isWaste({ ...circling, ...more }), false, JSON.stringify(more))
})

test('a dear minute is told of once in ten minutes', () => {
  const dear = spending({ committedNanoUsd: usd / 2 + 1 })
  assert.equal(mayWarn(dear, usd / 2, null, 0), true)
  assert.equal(mayWarn(spending({ committedNanoUsd: usd / 2 }), usd / 2, null, 0), false)
  assert.deepEqual(
    [599_999, 600_000].map((at) => mayWarn(dear, usd / 2, 0, at)),
    [false, true],
  )
})
