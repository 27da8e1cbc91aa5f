import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { parseDuration, parseSize, parseUsd, showDuration, showSize, showUsd } from './quantity.ts'

const table = <In, Out>(read: (written: In) => Out, rows: readonly (readonly [In, Out])[]) =>
  assert.deepEqual(
    rows.map(([written]) => [written, read(written)]),
    rows,
  )

test('dollars are read exactly, and what is not an amount is nothing', () => {
  table<string | number, number | null>(parseUsd, [
    ['$10', 10_000_000_000],
    ['10', 10_000_000_000],
    [' 10.50 ', 10_500_000_000],
    [0.1, 100_000_000],
    ['0.000000001', 1],
    ['0.0000000001', null],
    ['-1', null],
    ['1e3', null],
    ['$1,000', null],
    ['9999999999', null],
    ['999999999', null],
    ['10 USD', null],
    ['', null],
    ['.5', null],
    [Number.NaN, null],
  ])
})

test('durations need a unit', () => {
  table<string | number, number | null>(parseDuration, [
    ['90s', 90_000],
    ['5m', 300_000],
    ['1h30m', 5_400_000],
    ['1h 30m', 5_400_000],
    ['500ms', 500],
    ['1.5h', 5_400_000],
    ['7d', 604_800_000],
    ['0s', 0],
    ['90', null],
    [90, null],
    ['m', null],
    ['-5m', null],
    ['5 minutes', null],
    ['', null],
  ])
})

test('sizes need a unit, and a kilobyte is 1,024 bytes', () => {
  table<string | number, number | null>(parseSize, [
    ['100KB', 102_400],
    ['64MB', 67_108_864],
    ['2 GiB', 2_147_483_648],
    ['512b', 512],
    ['1.5kb', 1536],
    [64, null],
    ['64', null],
    ['64M', null],
    ['-1KB', null],
    ['', null],
  ])
})

test('what is shown is read back unchanged', () => {
  const amount = fc.integer({ min: 0, max: 900_000_000_000_000 })
  fc.assert(fc.property(amount, (nano) => assert.equal(parseUsd(showUsd(nano)), nano)))
  fc.assert(fc.property(amount, (ms) => assert.equal(parseDuration(showDuration(ms)), ms)))
  fc.assert(fc.property(amount, (bytes) => assert.equal(parseSize(showSize(bytes)), bytes)))
  assert.deepEqual(
    [showUsd(75_000_000_000), showUsd(10_500_000_000), showUsd(4_200_000), showDuration(90_000), showSize(67_108_864)],
    ['$75', '$10.50', '$0.0042', '90s', '64MB'],
  )
})
