import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { seededRandom } from '../../sim/world.ts'
import { move, startLife } from './fixture.ts'
import { effectiveRank, lanes } from './lane.ts'

const quarter = 15 * 60_000

test('waiting raises the rank by one lane per step, without end, and never lowers it', () => {
  assert.deepEqual(
    lanes.map((lane) => [0, quarter - 1, quarter, 10 * quarter].map((waited) => effectiveRank(lane, waited, quarter))),
    [
      [0, 0, -1, -10],
      [1, 1, 0, -9],
      [2, 2, 1, -8],
    ],
  )
})

test('nothing starves: however much comes in before it, a task that waits is overtaken by no fresh one in the end', () => {
  const lane = fc.constantFrom(...lanes)
  fc.assert(
    fc.property(lane, lane, fc.integer({ min: 1, max: 1e9 }), (waiting, fresh, step) => {
      assert.ok(effectiveRank(waiting, lanes.length * step, step) < effectiveRank(fresh, 0, step))
    }),
    { seed: 2026 },
  )
})

test('whatever a task goes through and however long it waits, only a person moves it to another lane', () => {
  let moved = 0
  fc.assert(
    fc.property(fc.integer(), (seed) => {
      const life = startLife({
        random: seededRandom(seed),
        seen: (before, event, after) => {
          const asked = event.type === 'task.prioritized' ? event.lane : null
          if (before) assert.equal(after.lane, asked ?? before.lane)
          moved += asked === null ? 0 : 1
        },
      })
      for (let moves = 0; moves < 60; moves++) move(life)
    }),
    { seed: 2026 },
  )
  assert.ok(moved > 10, `${moved} were moved by a person`)
})

test('a clock that went backwards makes nobody wait longer', () => {
  assert.equal(effectiveRank('normal', -10 * quarter, quarter), effectiveRank('normal', 0, quarter))
})
