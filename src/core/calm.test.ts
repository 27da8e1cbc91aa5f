/** Time alone: as long as it is said that nothing may start, nothing may. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { seededRandom } from '../../sim/world.ts'
import { admit, type Snapshot } from './admission.ts'
import { calmMs } from './calm.ts'
import { added, foldTask, move, snapshot, startLife } from './fixture.ts'
import { roles } from './task.ts'

const minute = 60_000

/** The same, so much later. */
const after = (world: Snapshot, ms: number): Snapshot => ({
  ...world,
  at: world.at + ms,
  idleMs: Object.fromEntries(roles.map((role) => [role, world.idleMs[role] + ms])) as Snapshot['idleMs'],
})

test('where nothing may start, nothing may for as long as is said, whatever is in the queue; and then, often, something does', () => {
  let calm = 0
  let started = 0
  fc.assert(
    fc.property(fc.integer(), (seed) => {
      const life = startLife({ random: seededRandom(seed), tasks: 4 })
      for (let n = 0; n < 60; n++) {
        move(life)
        const some = (most: number) => Object.fromEntries(roles.map((role) => [role, life.dice(most)]))
        const tasks = [...life.tasks.values()].map((task) => ({
          ...task,
          running: [],
          notBefore: life.dice(3) === 0 ? null : life.at + (life.dice(20) - 4) * minute,
        }))
        const usual = snapshot(tasks, {
          at: life.at,
          slots: some(2) as Snapshot['slots'],
          idleMs: some(2 * minute) as Snapshot['idleMs'],
        })
        const families = usual.families.map((family) =>
          life.dice(3) === 0 ? family : { ...family, closedUntil: life.at + (life.dice(30) - 4) * minute },
        )
        const world = { ...usual, families }
        if (admit(world).length > 0) continue
        const ms = calmMs(world)
        for (const later of [1, life.dice(ms), ms - 1]) assert.deepEqual(admit(after(world, later)), [])
        calm += 1
        started += Number(admit(after(world, ms)).length > 0)
      }
    }),
    { seed: 2026, numRuns: 60 },
  )
  assert.ok(calm > 300 && started > 60, `${calm} calm, ${started} ended with a start`)
})

test('nothing is said while something is under way or a breaker may close; else no more than to the end of the day, or to what is read beside', () => {
  const hour = 60 * minute
  const idleMs = { architect: hour, implementer: hour, reviewer: hour, gate: hour }
  const task = foldTask([added('task_1')])
  const running = [
    { attempt: 'att_1', token: 1, step: 'implement', role: 'implementer', family: 'openai', admittedAt: 0 },
  ] as unknown as typeof task.running
  const world = snapshot([{ ...task, held: 'wait' }], { at: 23 * hour, idleMs })
  assert.deepEqual(
    [
      calmMs(world),
      calmMs(world, [null, 23 * hour + 5, 22 * hour]),
      calmMs({ ...world, breaker: 'too much' }),
      calmMs({ ...world, tasks: [{ ...task, running }] }),
    ],
    [hour, 5, 0, 0],
  )
})
