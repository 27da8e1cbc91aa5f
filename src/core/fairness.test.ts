/** What is paused never starts and is in nobody's way; who waits is never overtaken for ever. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { seededRandom } from '../../sim/world.ts'
import { admit, type Snapshot } from './admission.ts'
import { added, foldTask, move, snapshot, startLife } from './fixture.ts'
import { pauseOfFamily, pauseOver, waitsSince, type Pausable, type Pause } from './pause.ts'
import type { Task } from './task.ts'

const minute = 60_000
const idle = (ms: number) => ({ architect: ms, implementer: ms, reviewer: ms, gate: ms })
const task = (id: string, more: Partial<Task> = {}): Task => ({ ...foldTask([added(id)]), ...more })
const names = (world: Snapshot): string[] => admit(world).map(({ task: id }) => id)

const pauseOf = (what: Pausable, name: string, until: number | null = null): Pause => ({
  what,
  name,
  why: 'the release',
  by: 'person:ada',
  at: 0,
  now: false,
  until,
})

/** Anything a person may have paused, or paused and resumed a while ago. */
const anyPauses: fc.Arbitrary<Pause[]> = fc.uniqueArray(
  fc
    .record({
      thing: fc.constantFrom(
        ...(['critical', 'normal', 'background'] as const).map((name) => ({ what: 'lane' as const, name })),
        ...['repo_1', 'repo_2'].map((name) => ({ what: 'repo' as const, name })),
        ...['anthropic', 'openai', 'google'].map((name) => ({ what: 'family' as const, name })),
        { what: 'all' as const, name: 'all' },
      ),
      until: fc.constantFrom(null, 0, 20 * minute),
    })
    .map(({ thing: { what, name }, until }) => pauseOf(what, name, what === 'all' ? (until ?? 0) : until)),
  { selector: ({ what, name }) => `${what} ${name}`, maxLength: 4 },
)

test('a paused thing never starts, and nothing else notices: all is as if it were not there', () => {
  let kept = 0
  let started = 0
  fc.assert(
    fc.property(fc.integer(), anyPauses, fc.boolean(), (seed, pauses, everything) => {
      const life = startLife({ random: seededRandom(seed), tasks: 5 })
      for (let n = 0; n < 60; n++) {
        move(life)
        const tasks = [...life.tasks.values()]
        const world = snapshot(tasks, { at: life.at, idleMs: idle(life.dice(2) * minute) })
        const all = everything ? [...pauses.filter(({ what }) => what !== 'all'), pauseOf('all', 'all')] : pauses
        const admitted = admit({ ...world, pauses: all })
        for (const { task: id, family } of admitted) {
          assert.equal(pauseOver(all, life.tasks.get(id)!), null)
          assert.equal(family === null ? null : pauseOfFamily(all, family), null)
        }
        const without = {
          ...world,
          pauses: all.filter(({ until }) => until !== null),
          tasks: tasks.map((each): Task => (pauseOver(all, each) ? { ...each, held: 'as if it were' } : each)),
          families: world.families.filter(({ family }) => pauseOfFamily(all, family) === null),
        }
        assert.deepEqual(admitted, admit(without))
        kept += admit({ ...world, pauses: [] }).length - admitted.length
        started += admitted.length
      }
    }),
    { seed: 2026, numRuns: 100 },
  )
  assert.ok(kept > 300 && started > 300, `${kept} kept from starting, ${started} started`)
})

test('whoever could start is never overtaken by one who came three lane steps later: every ready task starts while slots come free', () => {
  const step = 15 * minute
  let waits = 0
  const arrival = fc.record({
    lane: fc.constantFrom('critical', 'critical', 'normal', 'background'),
    repo: fc.constantFrom('repo_1', 'repo_2'),
    tags: fc.constantFrom([], [], ['family:openai'], ['family:google']),
  })
  const moment = fc.record({
    afterMs: fc.integer({ min: 0, max: 20 * minute }),
    arrivals: fc.array(arrival, { maxLength: 3 }),
    pauses: anyPauses,
  })
  fc.assert(
    fc.property(fc.array(moment, { minLength: 10, maxLength: 40 }), fc.integer({ min: 1, max: 2 }), (moments, free) => {
      const waiting = new Map<string, Task>()
      let at = 0
      let pauses: Pause[] = []
      /** One pass, after which all that started has ended. */
      const pass = (): number => {
        const slots = { architect: 0, implementer: free, reviewer: 0, gate: 0 }
        const world = snapshot([...waiting.values()], { at, pauses, slots })
        const started = names(world)
        for (const first of started) {
          const since = (id: string) => Math.max(waiting.get(id)!.readyAt, waitsSince(pauses, waiting.get(id)!))
          for (const [id, one] of waiting) {
            if (started.includes(id) || names({ ...world, tasks: [one] }).length === 0) continue
            assert.ok(since(first) < since(id) + 3 * step, `${first} overtook ${id}`)
            waits += 1
          }
        }
        for (const id of started) waiting.delete(id)
        return started.length
      }
      for (const { afterMs, arrivals, pauses: next } of moments) {
        at += afterMs
        for (const each of arrivals) {
          const id = `task_${waiting.size}_${at}`
          waiting.set(
            id,
            task(id, { ...each, tags: [...each.tags], lane: each.lane as Task['lane'], addedAt: at, readyAt: at }),
          )
        }
        const over = pauses.map((each) => ({ ...each, until: each.until ?? at }))
        pauses = [
          ...over.filter((each) => !next.some(({ what, name }) => what === each.what && name === each.name)),
          ...next,
        ]
        pass()
      }
      pauses = pauses.map((each) => ({ ...each, until: each.until ?? at }))
      while (waiting.size > 0) assert.ok(pass() > 0, `${waiting.size} wait for ever`)
    }),
    { seed: 2026, numRuns: 200 },
  )
  assert.ok(waits > 1000, `${waits} had to wait`)
})

test('what a person paused has not waited meanwhile, in its lane, its repository or everywhere', () => {
  const old = task('task_old', { lane: 'background', repo: 'repo_1' })
  const fresh = task('task_fresh', { repo: 'repo_2', addedAt: 61 * minute, readyAt: 61 * minute })
  const first = (...pauses: Pause[]) => names(snapshot([old, fresh], { at: 61 * minute, pauses }))
  assert.deepEqual(first(), ['task_old'])
  for (const [what, name] of [
    ['lane', 'background'],
    ['repo', 'repo_1'],
    ['all', 'all'],
  ] as const)
    assert.deepEqual(first(pauseOf(what, name, 60 * minute)), ['task_fresh'], what)
  assert.deepEqual(first(pauseOf('lane', 'normal', 60 * minute), pauseOf('family', 'openai', 60 * minute)), [
    'task_old',
  ])
})
