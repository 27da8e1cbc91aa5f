import assert from 'node:assert/strict'
import test from 'node:test'
import { forecastDay } from './forecast.ts'
import { utcOf } from './day.ts'

const hour = 3_600_000
const noon = 1_795_867_200_000 // 2026-11-28 12:00 UTC

test('a day ends when what is left has been spent as lately, or outlasts the day', () => {
  const day = { usedNanoUsd: 40, limitNanoUsd: 54 }
  const soon = forecastDay(day, { nanoUsd: 3, ms: hour }, noon)!
  assert.deepEqual([soon.hourNanoUsd, utcOf(soon.endsAt!)], [3, '2026-11-28 16:40 UTC'])
  assert.deepEqual(forecastDay(day, { nanoUsd: 1, ms: hour }, noon), { hourNanoUsd: 1, endsAt: null })
  assert.equal(forecastDay(day, { nanoUsd: 0, ms: hour }, noon), null)
  assert.deepEqual(forecastDay({ ...day, usedNanoUsd: 99 }, { nanoUsd: 6, ms: hour / 2 }, noon), {
    hourNanoUsd: 12,
    endsAt: noon,
  })
})
