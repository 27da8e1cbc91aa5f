import assert from 'node:assert/strict'
import test from 'node:test'
import fc from 'fast-check'
import { fullLevel, levelAt, takeFrom, waitFor, type Level, type Pace } from './pacer.ts'

const pace: Pace = { minuteNanoUsd: 1_000, burstNanoUsd: 3_000 }

test('a quiet pacer lets the burst through at once, then the rate', () => {
  const full = fullLevel(pace, 0)
  assert.equal(waitFor(full, pace, 0, 3_000, 0), 0)
  const empty = takeFrom(full, pace, 3_000, 0)
  assert.deepEqual(
    [0, 30_000, 60_000].map((at) => waitFor(empty, pace, 0, 500, at)),
    [30_000, 0, 0],
  )
  assert.equal(levelAt(empty, pace, 3_600_000), 3_000, 'it never holds more than the burst')
})

test('what others hold is not there, and more than the burst never passes', () => {
  const full = fullLevel(pace, 0)
  assert.equal(waitFor(full, pace, 2_500, 500, 0), 0)
  assert.equal(waitFor(full, pace, 2_501, 500, 0), 60)
  assert.equal(waitFor(full, pace, 0, 3_001, 0), Infinity)
})

test('a clock that was set back neither refills nor takes', () => {
  const level = takeFrom(fullLevel(pace, 1_000_000), pace, 1_000, 1_000_000)
  assert.equal(levelAt(level, pace, 0), 2_000)
  assert.deepEqual(takeFrom(level, pace, 500, 0), { nanoUsd: 1_500, at: 1_000_000 })
})

/** Requests that ask, wait, and are settled for no more than they held. */
const story = fc.array(
  fc.record({
    afterMs: fc.nat(40_000),
    holds: fc.integer({ min: 1, max: 3_000 }),
    share: fc.nat(100),
    lastsMs: fc.nat(90_000),
  }),
  { minLength: 1, maxLength: 40 },
)

test('in any stretch of time no more is charged than the burst and the rate over that time', () => {
  fc.assert(
    fc.property(story, (requests) => {
      let level: Level = fullLevel(pace, 0)
      let now = 0
      const open: { holds: number; charge: number; endsAt: number }[] = []
      const charges: { at: number; nanoUsd: number }[] = []
      const held = () => open.reduce((sum, each) => sum + each.holds, 0)
      const settleUntil = (at: number) => {
        for (const each of open.filter(({ endsAt }) => endsAt <= at).toSorted((a, b) => a.endsAt - b.endsAt)) {
          open.splice(open.indexOf(each), 1)
          level = takeFrom(level, pace, each.charge, each.endsAt)
          charges.push({ at: each.endsAt, nanoUsd: each.charge })
        }
      }
      for (const { afterMs, holds, share, lastsMs } of requests) {
        now += afterMs
        settleUntil(now)
        for (
          let wait = waitFor(level, pace, held(), holds, now);
          wait > 0;
          wait = waitFor(level, pace, held(), holds, now)
        ) {
          now = Math.min(now + wait, ...open.map(({ endsAt }) => endsAt))
          settleUntil(now)
        }
        open.push({ holds, charge: Math.floor((holds * share) / 100), endsAt: now + lastsMs })
      }
      settleUntil(Infinity)
      for (const [first, { at: from }] of charges.entries()) {
        let sum = 0
        for (const { at, nanoUsd } of charges.slice(first)) {
          sum += nanoUsd
          const most = pace.burstNanoUsd + Math.ceil((pace.minuteNanoUsd * (at - from)) / 60_000)
          assert.ok(sum <= most, `${sum} of ${most} between ${from} and ${at}`)
        }
      }
    }),
  )
})
