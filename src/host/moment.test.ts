import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isRefusal } from '../core/refusal.ts'
import { readMoment } from './moment.ts'

const now = Date.UTC(2026, 10, 24, 12)
const local = (...parts: [number, number, number, number?, number?, number?]) => new Date(...parts).getTime()

test('a moment is how long ago, or a date in the zone of whoever looks, or one with its own zone', () => {
  const cases: [string, number][] = [
    ['2h', now - 7_200_000],
    ['1d12h', now - 36 * 3_600_000],
    ['2026-11-24', local(2026, 10, 24)],
    ['2026-11-24 15:04', local(2026, 10, 24, 15, 4)],
    ['2026-11-24T15:04:05', local(2026, 10, 24, 15, 4, 5)],
    ['2026-11-24T15:04:05Z', Date.UTC(2026, 10, 24, 15, 4, 5)],
    ['2026-11-24T15:04:05.25+0100', Date.UTC(2026, 10, 24, 14, 4, 5, 250)],
    ['2024-02-29', local(2024, 1, 29)],
  ]
  assert.deepEqual(
    cases.map(([said]) => readMoment('--since', said, now)),
    cases.map(([, at]) => at),
  )
})

test('what is no moment is refused, with how one is said', () => {
  for (const said of [
    '',
    'yesterday',
    '2',
    '2026-13-01',
    '2026-02-30',
    '2026-11-24 25:00',
    '24.11.2026',
    "1' or 1=1",
  ]) {
    const refused = readMoment('--since', said, now)
    assert.ok(isRefusal(refused) && refused.refused === 'bad-time' && refused.why.includes(JSON.stringify(said)), said)
  }
})
