/** The queue and its leases answer what their model answers, whatever is asked of them in whatever order, with any clock. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { openDatabase } from '../src/store/database.ts'
import { takeEpoch } from '../src/store/lease.ts'
import { empty, follow, type Call, type Holder, type State } from './crash/claim-model.ts'
import { daemon, perform } from './crash/claim-store.ts'

const often: Call['call'][] = ['add', 'admit', 'claim', 'beat', 'finish']
const asked = fc.record({
  what: fc.constantFrom<Call['call'][]>(...often, ...often, ...often, 'sweep', 'sweep', 'restart'),
  who: fc.nat(20),
  /** A client may not have heard of the newest daemon yet. */
  behind: fc.constantFrom(0, 0, 0, 1),
  passes: fc.nat(30),
})

test('whatever is asked in whatever order is answered as the model of queue and leases says', async () => {
  const answered = new Map<string, number>()
  await fc.assert(
    fc.asyncProperty(fc.array(asked, { minLength: 25, maxLength: 60 }), async (asks) => {
      const database = openDatabase(':memory:')
      await database.write((tx) => takeEpoch(tx, daemon))
      let state: State = { ...empty, epoch: 1 }
      let now = 1000
      const held: Holder[] = []
      for (const [n, { what, who, behind, passes }] of asks.entries()) {
        now += passes
        const holder = held[who % Math.max(1, held.length)] ?? { attempt: 'att_none', token: 1, epoch: 1 }
        const id = String(n).padStart(3, '0')
        const call = await perform(database, { what, id, epoch: Math.max(1, state.epoch - behind), now, holder })
        const next = follow(state, call)
        assert.ok(next, `${JSON.stringify(call)} in ${JSON.stringify(state)}`)
        state = next
        if (call.call === 'claim' && call.answer) held.push(call.answer)
        // somebody who thinks that what was offered is already theirs
        if (call.call === 'admit' && call.answer) held.push({ attempt: call.attempt, token: 1, epoch: call.epoch })
        if ('answer' in call && call.answer) answered.set(what, (answered.get(what) ?? 0) + 1)
      }
      database.close()
    }),
    { seed: 2026, numRuns: 80 },
  )
  for (const what of ['admit', 'claim', 'beat', 'finish', 'restart'])
    assert.ok((answered.get(what) ?? 0) > 20, `${what} was hardly ever answered: ${answered.get(what)}`)
})
