/** The landing queue: of each repository one at a time, those that come first first, and all of them in the end. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { admit } from './admission.ts'
import { added, foldTask, snapshot } from './fixture.ts'
import { lanes } from './lane.ts'
import type { Task } from './task.ts'

const repos = ['repo_1', 'repo_2', 'repo_3'] as const
const approved = fc.record({
  repo: fc.constantFrom(...repos),
  lane: fc.constantFrom(...lanes),
  override: fc.boolean(),
  addedAt: fc.nat(5),
})

/** The model: a list for each repository. */
const before = (a: Task, b: Task): number =>
  Number(b.override) - Number(a.override) ||
  lanes.indexOf(a.lane) - lanes.indexOf(b.lane) ||
  a.addedAt - b.addedAt ||
  (a.id < b.id ? -1 : 1)

test('however many wait to land, each repository lands them one at a time and in order, until none is left', () => {
  fc.assert(
    fc.property(
      fc.array(approved, { maxLength: 14 }),
      fc.integer({ min: 1, max: 4 }),
      fc.infiniteStream(fc.nat(9)),
      (wishes, gates, dice) => {
        let tasks = wishes.map(({ override, addedAt, ...wish }, n): Task => {
          const id = `task_${String(n).padStart(2, '0')}`
          return { ...foldTask([added(id, wish)]), step: 'land', override, addedAt, readyAt: 0 }
        })
        const expected = repos.map((repo) => tasks.filter((task) => task.repo === repo).toSorted(before))
        const landed: Task[] = []
        for (let steps = 0; tasks.length > 0; steps++) {
          assert.ok(steps <= 2 * wishes.length, 'it stands still')
          const slots = { architect: 0, implementer: 0, reviewer: 0, gate: gates }
          const admitted = admit(snapshot(tasks, { at: 10, slots, laneStepMs: 1e9 }))
          for (const { task: id, token, step, role, finding } of admitted) {
            const running = {
              attempt: `att_${id}`,
              token,
              step,
              role,
              finding,
              family: null,
              agent: null,
              model: null,
              admittedAt: 10,
            }
            tasks = tasks.map((task) => (task.id === id ? { ...task, running: [running] } : task))
          }
          const landing = tasks.filter(({ running }) => running.length > 0)
          assert.ok(landing.length <= gates, 'no more than there are slots')
          assert.equal(new Set(landing.map(({ repo }) => repo)).size, landing.length, 'one of each repository')
          const done = landing[dice.next().value! % landing.length]!
          landed.push(done)
          tasks = tasks.filter(({ id }) => id !== done.id)
        }
        const ids = (list: readonly Task[]) => list.map(({ id }) => id)
        assert.deepEqual(
          repos.map((repo) => ids(landed.filter((task) => task.repo === repo))),
          expected.map(ids),
        )
      },
    ),
    { seed: 2026, numRuns: 200 },
  )
})
