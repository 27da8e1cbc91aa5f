import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { seededRandom } from '../../sim/world.ts'
import {
  closedUntil,
  departed,
  finished,
  heard,
  mayLeave,
  newCoolDown,
  overloadedMs,
  withNewKey,
  type CoolDown,
  type Cost,
  type Levels,
  type Signal,
} from './cool-down.ts'

const free: Cost = { requests: 1, tokens: 0, input: 0, output: 0 }
const start = 1_000_000
const minute = 60_000

let nextId = 0
/** One request that leaves at `leftAt` and is heard of at `at`. */
function ask(state: CoolDown, signal: Signal, at: number, leftAt = at, levels: Levels = {}): CoolDown {
  const id = ++nextId
  return heard(departed(state, id, free), { id, leftAt, at, signal, levels, chance: 0 })
}
const limited = (delayMs: number | null): Signal => ({ kind: 'limited', delayMs })
const exhausted = (delayMs: number | null): Signal => ({ kind: 'exhausted', delayMs })
const fine: Signal = { kind: 'fine' }
const overloaded: Signal = { kind: 'overloaded', delayMs: null }
const may = (state: CoolDown, at: number, cost = free): boolean => mayLeave(state, cost, at).may

test('nothing leaves before the delay of a 429 is over, and without one for a minute', () => {
  fc.assert(
    fc.property(fc.nat(300_000), fc.nat(400_000), (delayMs, later) => {
      const state = ask(newCoolDown(start), limited(delayMs), start)
      return may(state, start + later) === later >= Math.max(1000, delayMs)
    }),
  )
  const state = ask(newCoolDown(start), limited(null), start)
  assert.deepEqual([may(state, start + minute - 1), may(state, start + minute)], [false, true])
})

test('an answer to a request that had left before a 429 does not open its gate', () => {
  const state = ask(ask(newCoolDown(start), limited(minute), start), fine, start + 10, start - 10)
  assert.equal(may(state, start + 20), false)
})

test('each 429 narrows the window, at most once in five seconds; answers widen it again', () => {
  const wide = {
    ...newCoolDown(start),
    window: 10,
    unheard: Array.from({ length: 9 }, (_, id) => ({ id, cost: free })),
  }
  const once = ask(wide, limited(0), start)
  assert.equal(once.window, 7)
  assert.equal(ask(once, limited(0), start + 4999).window, 7)
  assert.ok(ask(once, limited(0), start + 5000).window < 7)
  assert.ok(ask(once, fine, start + 1).window > 7)
})

test('a provider that says nothing but 429, each time for no time at all, is left alone longer and longer', () => {
  let state = newCoolDown(start)
  let at = start
  const waits: number[] = []
  for (let round = 0; round < 6; round += 1) {
    state = ask(state, limited(0), at)
    const passage = mayLeave(state, free, at)
    assert.ok(!passage.may && passage.until !== null)
    waits.push((passage.until - at) / 1000)
    at = passage.until
  }
  assert.deepEqual(waits, [1, 2, 4, 8, 16, 300])
  assert.equal(ask(state, fine, at).refusals, 0)
})

test('of an unknown provider only one request is on its way until it is answered', () => {
  const one = departed(newCoolDown(start), 1, free)
  assert.deepEqual(mayLeave(one, free, start), { may: false, why: 'window', until: null })
  const state = heard(one, { id: 1, leftAt: start, at: start, signal: fine, levels: {}, chance: 0 })
  assert.ok(may(state, start))
})

test('a used-up quota is asked about after 5, 10, 20, 30, 30 minutes, by one request at a time', () => {
  let state = ask(newCoolDown(start), exhausted(null), start)
  let at = start
  for (const minutes of [5, 10, 20, 30, 30]) {
    assert.equal(closedUntil(state, at)?.until, at + minutes * minute)
    assert.equal(may(state, at + minutes * minute - 1), false)
    at += minutes * minute
    assert.ok(may(state, at))
    const probing = departed(state, ++nextId, free)
    assert.deepEqual(mayLeave(probing, free, at), { may: false, why: 'exhausted', until: null })
    state = heard(probing, { id: nextId, leftAt: at, at, signal: exhausted(null), levels: {}, chance: 0 })
  }
  at += 30 * minute
  assert.ok(may(ask(state, fine, at), at))
})

test('a near reset that is named is believed; a far one is asked about before, because it may be wrong', () => {
  for (const minutes of [3, 15, 30]) {
    const state = ask(newCoolDown(start), exhausted(minutes * minute), start)
    assert.equal(closedUntil(state, start)?.until, start + minutes * minute)
  }
  const far = ask(newCoolDown(start), exhausted(600 * minute), start)
  assert.equal(closedUntil(far, start)?.until, start + 5 * minute)
})

test('a probe whose client went away leaves the place to another', () => {
  const state = ask(newCoolDown(start), exhausted(null), start)
  const at = start + 5 * minute
  const probing = departed(state, 77, free)
  assert.equal(may(probing, at), false)
  assert.ok(may(finished(probing, 77), at))
})

test('an overloaded provider is left alone for a minute after three answers in a row, then asked once', () => {
  const twice = ask(ask(newCoolDown(start), overloaded, start), overloaded, start)
  const soon = start + 1000
  assert.ok(may(twice, soon))
  assert.ok(may(ask(ask(twice, fine, start), overloaded, start), soon), 'an answer between them starts the count anew')
  const broken = ask(twice, overloaded, start)
  assert.deepEqual(mayLeave(broken, free, start + 1), { may: false, why: 'overloaded', until: start + minute })
  const probing = departed(broken, 88, free)
  assert.equal(may(probing, start + minute), false)
  const again = heard(probing, {
    id: 88,
    leftAt: start + minute,
    at: start + minute,
    signal: overloaded,
    levels: {},
    chance: 0,
  })
  assert.equal(may(again, start + 2 * minute - 1), false)
  assert.deepEqual(
    closedUntil(again, start + 3 * minute)?.since,
    start,
    'closed since the first time, and until it answers',
  )
  assert.ok(may(ask(again, fine, start + 2 * minute), start + 2 * minute))
})

test('an overloaded answer holds everybody for a second or a few, then fewer leave at once, and after a breaker one alone', () => {
  const wide = { ...newCoolDown(start), window: 10, unheard: [1, 2, 3, 4, 5].map((id) => ({ id, cost: free })) }
  const once = ask(wide, overloaded, start)
  assert.deepEqual(mayLeave(once, free, start + 999), { may: false, why: 'overloaded', until: start + 1000 })
  assert.deepEqual([once.window, may(once, start + 1000)], [6 * 0.7, false], 'five are still on their way')
  const twice = ask(once, overloaded, start + 1)
  assert.equal(twice.window, once.window, 'those that left together narrow it once')
  assert.ok(ask(once, overloaded, start + 1000).window < once.window)
  assert.equal(ask(twice, overloaded, start + 2).window, 1)
})

/** What came of so many agents in ten minutes that ask a provider which says 529 to whatever is more than `capacity` at once. */
function crowd(agents: number, capacity: number): { sent: number; answered: number } {
  const dice = seededRandom(1)
  const due: { at: number; what: () => void }[] = []
  const waiting = Array.from({ length: agents }, () => 0) // each one's last pause
  const count = { sent: 0, answered: 0 }
  let [state, now, onTheWay] = [newCoolDown(0), 0, 0]
  const after = (ms: number, what: () => void): unknown => due.push({ at: now + ms, what })
  const comes = (pauseMs: number): void => {
    waiting.push(pauseMs)
    look()
  }
  const look = (): void => {
    for (let passage = mayLeave(state, free, now); waiting.length > 0; passage = mayLeave(state, free, now)) {
      if (!passage.may) return void (passage.until !== null && after(passage.until - now, look))
      leave(waiting.shift()!)
    }
  }
  const leave = (pauseMs: number): void => {
    const [id, leftAt] = [++nextId, now]
    const isTaken = ++onTheWay <= capacity
    count.sent += 1
    state = departed(state, id, free)
    after(isTaken ? 1000 : 50, () => {
      onTheWay -= 1
      const signal = isTaken ? fine : overloaded
      state = heard(state, { id, leftAt, at: now, signal, levels: {}, chance: dice() })
      const nextMs = isTaken ? 0 : overloadedMs(pauseMs, dice())
      count.answered += Number(isTaken)
      after(isTaken ? 16_000 * dice() : nextMs, () => comes(nextMs))
      look()
    })
  }
  look()
  while (due.length > 0 && now <= 10 * minute) {
    const next = due.reduce((first, each) => (each.at < first.at ? each : first))
    due.splice(due.indexOf(next), 1)
    now = next.at
    next.what()
  }
  return count
}

test('a provider that is overloaded by half is neither stormed nor left alone', () => {
  for (const [agents, capacity, least] of [
    [12, 3, 500],
    [6, 1, 250],
    [30, 3, 600],
  ] as const) {
    const { sent, answered } = crowd(agents, capacity)
    const seen = `${agents} agents, ${capacity} at once: ${answered} answered, ${sent} sent`
    assert.ok(answered >= least && sent <= 1.7 * answered, seen)
  }
})

test('a provider that stays away is asked less and less often, at least every ten minutes', () => {
  let state = [1, 2, 3].reduce((now) => ask(now, overloaded, start), newCoolDown(start))
  const gaps = Array.from({ length: 60 }, () => {
    const at = state.broken!.until
    state = ask(state, overloaded, at)
    return (state.broken!.until - at) / minute
  })
  assert.deepEqual([gaps[0], gaps[9], gaps.at(-1)], [1, 1, 10])
  assert.deepEqual(
    gaps,
    gaps.toSorted((a, b) => a - b),
  )
})

test('a refused key closes for good, until it is another', () => {
  const state = ask(newCoolDown(start), { kind: 'key-refused' }, start)
  assert.equal(closedUntil(state, start)?.until, Infinity)
  assert.equal(may(state, start + 1e9), false)
  assert.ok(may(withNewKey(state), start))
})

test('a short gate is waited out inside a request and does not close the family', () => {
  assert.equal(closedUntil(ask(newCoolDown(start), limited(30_000), start), start), null)
  assert.equal(closedUntil(ask(newCoolDown(start), limited(90_000), start), start)?.until, start + 90_000)
})

test('an overloaded request is asked again after one to twenty seconds', () => {
  fc.assert(
    fc.property(fc.nat(20_000), fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }), (last, chance) => {
      const ms = overloadedMs(last, chance)
      return ms >= 1000 && ms <= 20_000
    }),
  )
})

/** A provider that counts as they all do: a bucket that fills evenly. It says in every answer what is left. */
function bucket(limit: number, at: number) {
  let [level, since] = [limit, at]
  return (cost: number, now: number): { refused: boolean; levels: Levels } => {
    level = Math.min(limit, level + ((now - since) * limit) / minute)
    since = now
    const refused = cost > level
    if (!refused) level -= cost
    const resetAt = now + Math.ceil(((limit - level) / limit) * minute)
    return { refused, levels: { input: { limit, remaining: Math.floor(level), resetAt } } }
  }
}

test('whoever heeds the mirror is never refused by a limit, whatever the sizes and the delays', () => {
  const size = fc.record({ cost: fc.integer({ min: 1, max: 60_000 }), slow: fc.integer({ min: 1, max: 20_000 }) })
  fc.assert(
    fc.property(fc.array(size, { minLength: 1, maxLength: 60 }), (sizes) => {
      const count = bucket(60_000, start)
      let state = newCoolDown(start)
      let at = start
      let waiting = sizes.map(({ cost, slow }, id) => ({ id, slow, cost: { ...free, input: cost } }))
      let flying: { id: number; leftAt: number; heardAt: number; levels: Levels }[] = []
      let refusals = 0
      for (let step = 0; waiting.length + flying.length > 0; step += 1) {
        assert.ok(step < 10_000, 'somebody waits for ever')
        const [first] = waiting
        const passage = first ? mayLeave(state, first.cost, at) : null
        if (first && passage?.may) {
          state = departed(state, first.id, first.cost)
          const { refused, levels } = count(first.cost.input, at)
          refusals += Number(refused)
          flying.push({ id: first.id, leftAt: at, heardAt: at + first.slow, levels })
          waiting = waiting.slice(1)
          continue
        }
        const landing = flying.toSorted((a, b) => a.heardAt - b.heardAt)[0]
        const wake = passage && !passage.may ? passage.until : null
        if (landing && (wake === null || landing.heardAt <= wake)) {
          at = Math.max(at, landing.heardAt)
          flying = flying.filter(({ id }) => id !== landing.id)
          state = heard(state, { ...landing, at, signal: fine, chance: 0 })
        } else at = wake!
      }
      return refusals === 0
    }),
  )
})
