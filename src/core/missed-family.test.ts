import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { FamilyState, Snapshot } from './admission.ts'
import type { TaskAdded } from './event.ts'
import { added, foldTask, snapshot, underReview } from './fixture.ts'
import { missedFamily } from './missed-family.ts'
import type { Task } from './task.ts'

const minute = 60_000

const task = (id: string, more: Partial<Task> & Partial<TaskAdded> = {}): Task => ({
  ...foldTask([added(id)]),
  ...more,
})

test('a family that is needed is missed after its time, and not before, nor where another can do the work', () => {
  const hours = 60 * minute
  const most = { mostMs: 6 * hours, since: 0 }
  const away = (names: readonly string[], closedSince: number | null = 0) =>
    snapshot([]).families.map((state) =>
      names.includes(state.family) ? { ...state, closedUntil: Infinity, closedSince, closedWhy: 'quota' } : state,
    )
  const missed = (one: Task, at: number, families: Snapshot['families'], more: Partial<Snapshot> = {}) =>
    missedFamily(one, snapshot([one], { at, families, ...more }), most)
  const all = snapshot([]).families.map(({ family }) => family)
  const work = task('task_1', { readyAt: 0 })
  assert.equal(missed(work, 6 * hours, away(all)), 'any family')
  const unreached = away(all).map((state): FamilyState => ({ ...state, unreachable: true }))
  assert.equal(missed(work, 9 * hours, unreached), null, 'the network is gone: nobody is asked')
  assert.equal(missed(work, 9 * hours, unreached.slice(1).concat(away(all)[0]!)), 'any family', 'one says why')
  const only = unreached.slice(0, 1)
  assert.equal(missed(work, 9 * hours, only), 'any family', 'of one alone nobody knows whether it is the network')
  assert.equal(missed(work, 6 * hours - 1, away(all)), null)
  assert.equal(missed(work, 6 * hours, away(all.slice(1))), null, 'one is open')
  assert.equal(missed(work, 6 * hours, away(all, 1)), null, 'closed only since then')
  assert.equal(missed({ ...work, readyAt: 1 }, 6 * hours, away(all)), null, 'ready only since then')
  assert.equal(missed({ ...work, held: 'by Ada' }, 9 * hours, away(all)), null)
  const tagged = task('task_2', { tags: ['family:google'] })
  assert.equal(missed(tagged, 6 * hours, away(['google'])), 'google')
  assert.equal(missed(tagged, 6 * hours, away(['openai'])), null)
  assert.equal(
    missed(
      tagged,
      6 * hours,
      away([]).filter(({ family }) => family !== 'google'),
    ),
    'google',
    'never there',
  )
  const pause = { what: 'family', name: 'google', why: '', by: 'person:ada', at: 0, now: false, until: null } as const
  assert.equal(missed(tagged, 9 * hours, away(['google']), { pauses: [pause] }), null, 'a person paused it')
  const review = underReview('task_5')
  const reviewers = review.round!.policy.families
  assert.equal(missed(review, 6 * hours, away(reviewers)), reviewers[0])
  assert.equal(missed(review, 6 * hours, away(reviewers.slice(1))), null, 'the other one can go on')
  assert.equal(missed(task('task_4', { step: 'verify' }), 9 * hours, away(all)), null, 'gates ask no family')
})
