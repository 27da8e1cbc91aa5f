/** What is paused never starts and is in nobody's way; who waits is never overtaken for ever. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { seededRandom } from '../../sim/world.ts'
import { admit, type Admission, type Snapshot } from './admission.ts'
import { whyWaiting } from './waiting.ts'
import { noCaps, type Caps, type Place } from './cap.ts'
import { added, foldTask, move, snapshot, startLife } from './fixture.ts'
import { pauseOfFamily, pauseOver, waitsSince, type Pausable, type Pause } from './pause.ts'
import { roles, type Task } from './task.ts'

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

const anyCaps: fc.Arbitrary<Caps> = fc.record({
  families: fc.dictionary(fc.constantFrom('openai', 'anthropic', 'google'), fc.integer({ min: 1, max: 2 })),
  roles: fc.dictionary(fc.constantFrom(...roles), fc.integer({ min: 1, max: 2 })),
  repos: fc.dictionary(fc.constantFrom('repo_1', 'repo_2'), fc.integer({ min: 1, max: 2 })),
})

test('no more is under way by a family, of a role or in a repository than its cap allows, and a cap does not keep others out', () => {
  let narrowed = 0
  fc.assert(
    fc.property(fc.integer(), anyCaps, (seed, caps) => {
      const life = startLife({ random: seededRandom(seed), tasks: 6 })
      const slots = { architect: 3, implementer: 3, reviewer: 3, gate: 3 }
      for (let n = 0; n < 40; n++) {
        move(life)
        const tasks = [...life.tasks.values()]
        const world = snapshot(tasks, { at: life.at, slots, caps })
        const before: Place[] = tasks.flatMap(({ running, repo }) => running.map((each) => ({ ...each, repo })))
        const placed = (more: readonly Admission[]): Place[] =>
          more.map((each) => ({ ...each, repo: life.tasks.get(each.task)!.repo }))
        const admitted = admit(world)
        const after = [...before, ...placed(admitted)]
        const within = (of: (place: Place) => boolean, cap: number | undefined) =>
          cap === undefined || after.filter(of).length <= Math.max(cap, before.filter(of).length)
        for (const role of roles)
          assert.ok(
            within((each) => each.role === role, caps.roles[role]),
            role,
          )
        for (const repo of ['repo_1', 'repo_2'])
          assert.ok(
            within((each) => each.repo === repo, caps.repos[repo]),
            repo,
          )
        for (const family of ['openai', 'anthropic', 'google'])
          assert.ok(
            within((each) => each.family === family, caps.families[family]),
            family,
          )
        const without = admit({ ...world, caps: noCaps })
        narrowed += without.length - admitted.length
        const touched = (place: Place) =>
          caps.roles[place.role] !== undefined ||
          caps.repos[place.repo] !== undefined ||
          Object.keys(caps.families).length > 0
        for (const [index, place] of placed(without).entries())
          if (!touched(place))
            assert.ok(
              admitted.some(({ task: id }) => id === without[index]!.task),
              'nothing caps it',
            )
      }
    }),
    { seed: 2026, numRuns: 100 },
  )
  assert.ok(narrowed > 100, `${narrowed} were kept out`)
})

test('a family at its cap is passed over where another may take its part; where a task asks for it, the task waits', () => {
  const busy = task('task_0', {
    running: [
      {
        attempt: 'att_1',
        token: 1,
        step: 'implement',
        role: 'implementer',
        family: 'openai',
        agent: null,
        model: null,
        finding: null,
        admittedAt: 0,
      },
    ],
  })
  const slots = { architect: 1, implementer: 3, reviewer: 1, gate: 1 }
  const caps = { ...noCaps, families: { openai: 1 } }
  const world = snapshot([busy, task('task_1'), task('task_2', { tags: ['family:openai'] })], { slots, caps })
  assert.deepEqual(
    admit(world).map(({ task: id, family }) => [id, family]),
    [['task_1', 'anthropic']],
  )
  const now = {
    closed: null,
    families: ['openai', 'anthropic'],
    dayNanoUsd: 5,
    spentNanoUsd: 0,
    pauses: [],
    caps,
    clock: String,
  }
  const underWay: Place[] = [{ family: 'openai', role: 'implementer', repo: 'repo_1' }]
  const full = 'as many attempts are under way as caps.families.openai allows: 1'
  assert.equal(whyWaiting(task('task_2', { tags: ['family:openai'] }), { ...now, underWay }), full)
  assert.equal(whyWaiting(task('task_1'), { ...now, underWay }), null)
  assert.equal(whyWaiting(task('task_1'), { ...now, families: ['openai'], underWay }), full)
  assert.equal(whyWaiting(task('task_2', { tags: ['family:openai'] }), now), null)
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
    fc.property(
      fc.array(moment, { minLength: 10, maxLength: 40 }),
      fc.integer({ min: 1, max: 3 }),
      anyCaps,
      (moments, free, caps) => {
        const waiting = new Map<string, Task>()
        let at = 0
        let pauses: Pause[] = []
        const begun = (each: Task): Task => {
          const { family } = by.get(each.id)!
          const running = {
            attempt: each.id,
            token: 1,
            step: 'implement',
            role: 'implementer',
            agent: null,
            model: null,
            finding: null,
          } as const
          return { ...each, running: [{ ...running, family, admittedAt: at }] }
        }
        const by = new Map<string, Admission>()
        /** One pass, after which all that started has ended. */
        const pass = (): number => {
          const slots = { architect: 0, implementer: free, reviewer: 0, gate: 0 }
          const world = snapshot([...waiting.values()], { at, pauses, slots, caps })
          const admitted = admit(world)
          for (const each of admitted) by.set(each.task, each)
          const started = admitted.map(({ task: id }) => id)
          for (const first of started) {
            const since = (id: string) => Math.max(waiting.get(id)!.readyAt, waitsSince(pauses, waiting.get(id)!))
            for (const [id, one] of waiting) {
              if (started.includes(id)) continue
              const others = world.tasks.filter((each) => each.id !== first && started.includes(each.id)).map(begun)
              if (!names({ ...world, tasks: [...others, one] }).includes(id)) continue // it could not have, in its stead
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
      },
    ),
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
