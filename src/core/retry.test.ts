import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { silenceMs } from './patience.ts'
import { delayMs, mayRetry } from './retry.ts'
import { defaultSettings } from './setting.ts'
import { sizes } from './task.ts'

const { retry, patience } = defaultSettings(2)

test('the delay doubles from 5 s to 300 s and no further', () => {
  const plain = [1, 2, 3, 6, 7, 8, 2000].map((failures) => delayMs({ ...retry, capMs: 300_000 }, failures, 0.5))
  assert.deepEqual(plain, [5000, 10_000, 20_000, 160_000, 300_000, 300_000, 300_000])
})

test('chance moves a delay by at most a quarter, evenly, and never makes it shorter with more failures at equal luck', () => {
  assert.deepEqual(
    [0, 0.5, 1].map((chance) => delayMs(retry, 1, chance)),
    [3750, 5000, 6250],
  )
  fc.assert(
    fc.property(fc.nat(100), fc.double({ min: 0, max: 1, noNaN: true }), (failures, chance) => {
      const delay = delayMs(retry, failures, chance)
      assert.ok(delay >= 3750 && delay <= 375_000 && Number.isInteger(delay))
      assert.ok(delayMs(retry, failures + 1, chance) >= delay)
    }),
    { seed: 2026 },
  )
})

test('three attempts and no fourth; the same failure often enough is a fact, unknown ones are not the same', () => {
  const many = { ...retry, attempts: 10 }
  assert.deepEqual(
    [
      mayRetry(retry, []),
      mayRetry(retry, ['a', 'b']),
      mayRetry(retry, ['a', 'b', 'c']),
      mayRetry(many, ['a', 'a']),
      mayRetry(many, ['a', 'b', 'a', 'a']),
      mayRetry(many, ['a', 'a', 'a', 'b']),
      mayRetry(many, [null, null, null, null]),
    ],
    [true, true, false, true, false, true, true],
  )
})

test('an attempt may be silent for the window of its size and half as long again', () => {
  const minute = 60_000
  assert.deepEqual(
    sizes.map((size) => silenceMs(size, patience)),
    [7.5 * minute, 22.5 * minute, 45 * minute],
  )
})
