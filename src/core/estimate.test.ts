import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { estimate } from './estimate.ts'

test('three tasks like it tell more than prices; fewer do not', () => {
  assert.deepEqual(estimate([5, 1], 100), { lowNanoUsd: 50, highNanoUsd: 300, from: 'prices', tasks: 2 })
  assert.deepEqual(estimate([5, 1, 9], 100), { lowNanoUsd: 1, highNanoUsd: 9, from: 'history', tasks: 3 })
  const ten = [10, 9, 8, 7, 6, 5, 4, 3, 2, 1]
  assert.deepEqual(estimate(ten, 100), { lowNanoUsd: 2, highNanoUsd: 10, from: 'history', tasks: 10 })
})

test('a range is never upside down, and never outside of what was seen', () => {
  fc.assert(
    fc.property(fc.array(fc.nat(), { minLength: 3 }), fc.nat(), (history, usual) => {
      const { lowNanoUsd, highNanoUsd } = estimate(history, usual)
      return lowNanoUsd <= highNanoUsd && history.includes(lowNanoUsd) && history.includes(highNanoUsd)
    }),
  )
})
