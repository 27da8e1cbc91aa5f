import assert from 'node:assert/strict'
import test from 'node:test'
import { driftOf } from './drift.ts'

const tokens = (input: number, output = 0) => ({ input, cachedInput: 0, cacheWrite: 0, output })

test('a client that counts more than the wire saw, or less than half of it, has drifted; one that says nothing has not', () => {
  assert.equal(driftOf(tokens(100_000, 1000), tokens(101_000)), null)
  assert.equal(driftOf(tokens(100_000), tokens(102_500)), null)
  assert.equal(driftOf(tokens(100_000), tokens(102_501)), 'more')
  assert.equal(driftOf(tokens(0), tokens(501)), 'more')
  assert.equal(driftOf(tokens(100_000), tokens(49_500)), null)
  assert.equal(driftOf(tokens(100_000), tokens(49_499)), 'less')
  assert.equal(driftOf(tokens(100_000), tokens(0)), null)
})

test('how tokens are split between caches is no drift', () => {
  assert.equal(driftOf({ input: 10, cachedInput: 9000, cacheWrite: 90, output: 5 }, tokens(9100, 5)), null)
})
