/** What may start, in which order, and that no slot is ever given twice. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { seededRandom } from '../../sim/world.ts'
import { admit, type FamilyState, type Snapshot } from './admission.ts'
import { whyWaiting } from './waiting.ts'
import { daySteps, dayStepOf } from './day.ts'
import type { TaskAdded, TaskEvent } from './event.ts'
import { added, foldTask, move, snapshot, startLife, underReview } from './fixture.ts'
import { wantedSteps } from './wanted-step.ts'
import { lanes } from './lane.ts'
import type { Pausable, Pause } from './pause.ts'
import { evolve } from './evolve.ts'
import { roles, type Role, type Step, type Task } from './task.ts'

const minute = 60_000
const idle = (ms: number) => ({ architect: ms, implementer: ms, reviewer: ms, gate: ms })

const task = (id: string, more: Partial<Task> & Partial<TaskAdded> = {}): Task => ({
  ...foldTask([added(id)]),
  ...more,
})
const pauseOf = (what: Pausable, name: string, until: number | null = null): Pause => ({
  what,
  name,
  why: 'the release',
  by: 'person:ada',
  at: 0,
  now: false,
  until,
})
const somePauses = [
  pauseOf('all', 'all'),
  pauseOf('lane', 'normal'),
  pauseOf('repo', 'repo_1'),
  pauseOf('family', 'openai'),
  pauseOf('family', 'google'),
  pauseOf('lane', 'critical'),
  pauseOf('repo', 'repo_1', 0),
]
const names = (world: Snapshot): string[] => admit(world).map(({ task: id }) => id)

let given = 0
/** Lets in what may start, again and again, with everything under way staying so. */
function fill(world: Snapshot, passes = 5): Task[] {
  const tasks = new Map(world.tasks.map((each) => [each.id, each]))
  for (let pass = 0; pass < passes; pass++)
    for (const admission of admit({ ...world, tasks: [...tasks.values()] })) {
      const now = tasks.get(admission.task)!
      const { task: _, ...rest } = admission
      const running = { ...rest, attempt: `att_${(given += 1)}`, admittedAt: 0 }
      tasks.set(now.id, { ...now, token: rest.token, running: [...now.running, running] })
    }
  return [...tasks.values()]
}

/** Slots in use: a review round holds one, however many reviewers it has started. */
const inUse = (tasks: readonly Task[]): Record<Role, number> => {
  const used = { architect: 0, implementer: 0, reviewer: 0, gate: 0 }
  for (const { running } of tasks)
    for (const role of roles) {
      const held = running.filter((each) => each.role === role).length
      used[role] += role === 'reviewer' ? Math.min(1, held) : held
    }
  return used
}

const agentSlots = ({ architect, implementer, reviewer }: Record<Role, number>): number =>
  architect + implementer + reviewer

test('as many start as there are free slots, in order of lane, then of age, and no more', () => {
  const tasks = [
    task('task_4', { lane: 'background', addedAt: 1 }),
    task('task_3', { addedAt: 3 }),
    task('task_2', { addedAt: 2 }),
    task('task_1', { lane: 'critical', addedAt: 4 }),
  ]
  const three = { ...idle(0), implementer: 3, gate: 1, reviewer: 1, architect: 1 }
  assert.deepEqual(names(snapshot(tasks, { slots: three })), ['task_1', 'task_2', 'task_3'])
  assert.deepEqual(names(snapshot([])), [])
})

test('an override goes before every lane, and equals go by id so that the order is always the same', () => {
  const tasks = [
    task('task_b', { lane: 'critical' }),
    task('task_a', { lane: 'critical' }),
    task('task_c', { lane: 'background', override: true }),
  ]
  const slots = { architect: 1, implementer: 9, reviewer: 1, gate: 1 }
  const expected = ['task_c', 'task_a', 'task_b']
  assert.deepEqual(names(snapshot(tasks, { slots })), expected)
  assert.deepEqual(names(snapshot(tasks.toReversed(), { slots })), expected)
})

test('whoever waits long enough is next, whatever lane it is in: nothing starves', () => {
  const waiting = task('task_0', { lane: 'background' })
  let started: number | null = null
  for (let at = minute; at <= 60 * minute && started === null; at += minute) {
    const fresh = task(`task_${at}`, { lane: 'critical', addedAt: at, readyAt: at })
    if (names(snapshot([fresh, waiting], { at })).includes(waiting.id)) started = at
  }
  assert.equal(started, 30 * minute, 'two lanes in two steps of 15 minutes, then it is the older one')
})

test('what a person held back has not waited meanwhile', () => {
  const held: TaskEvent[] = [added('task_1', { lane: 'background' }), { type: 'task.held', why: 'wait' }]
  const events = [
    ...held.map((event) => ({ event, at: 0 })),
    { event: { type: 'task.released' } as const, at: 60 * minute },
  ]
  const released = events.reduce<Task | null>((now, { event, at }) => evolve(now, event, at), null)!
  const fresh = task('task_2', { addedAt: 61 * minute, readyAt: 61 * minute })
  assert.deepEqual(names(snapshot([released, fresh], { at: 61 * minute })), ['task_2'])
})

test('held, delayed, escalated, over and waiting for another: none of them starts', () => {
  const before = task('task_0', { held: 'not yet' })
  const at = 5
  const world = (one: Task) => snapshot([before, one], { at })
  const never: Partial<Task>[] = [
    { held: 'wait for the release' },
    { notBefore: 6 },
    { after: ['task_0'] },
    { after: ['task_gone'] },
    { phase: 'escalated' },
    { phase: 'awaiting-approval' },
    { phase: 'split' },
    { phase: 'done' },
    { phase: 'cancelled' },
  ]
  for (const more of never) assert.deepEqual(names(world(task('task_1', more))), [], JSON.stringify(more))
  const may: Partial<Task>[] = [{}, { notBefore: 5 }]
  for (const more of may) assert.deepEqual(names(world(task('task_1', more))), ['task_1'])
  const free = task('task_1', { after: ['task_0'] })
  assert.deepEqual(names(snapshot([{ ...before, phase: 'done' }, free])), ['task_1'])
  assert.deepEqual(names(snapshot([{ ...before, phase: 'cancelled' }, free])), [], 'what was cancelled is not done')
})

test('nothing starts while the machine is closed, and no model is asked without money; gates cost none', () => {
  const verify = task('task_2', { step: 'verify' })
  const tasks = [task('task_1'), verify]
  assert.deepEqual(names(snapshot(tasks, { closed: 'draining' })), [])
  assert.deepEqual(names(snapshot(tasks, { dayStep: 'closed' })), ['task_2'])
})

test('as a day is used up background work stops, one slot stays, then normal work stops, then everything that asks a model', () => {
  const slots = { architect: 2, implementer: 2, reviewer: 2, gate: 2 }
  const tasks = lanes.flatMap((lane) => [task(`task_${lane}1`, { lane }), task(`task_${lane}2`, { lane })])
  const gates = task('task_gate', { step: 'verify', lane: 'background' })
  const on = (dayStep: Snapshot['dayStep'], more: Task[] = []) =>
    names(snapshot([...tasks, gates, ...more], { dayStep, slots }))
  assert.deepEqual(on('open'), ['task_critical1', 'task_critical2', 'task_gate'])
  assert.deepEqual(on('background-stops'), ['task_critical1', 'task_gate'], 'one slot stays')
  const busy = foldTask([
    { ...added('task_busy'), lane: 'background' },
    {
      type: 'attempt.admitted',
      attempt: 'att_1',
      token: 1,
      step: 'implement',
      role: 'implementer',
      family: 'openai',
      agent: 'scripted',
      model: 'm',
      finding: null,
      because: null,
    },
  ])
  assert.deepEqual(on('background-stops', [busy]), ['task_gate'], 'and is taken')
  assert.deepEqual(on('normal-stops'), ['task_critical1', 'task_gate'])
  assert.deepEqual(on('closed'), ['task_gate'])
  const lone = (dayStep: Snapshot['dayStep'], lane: Task['lane']) =>
    names(snapshot([task('task_1', { lane })], { dayStep }))
  assert.deepEqual(
    lanes.map((lane) =>
      (['background-stops', 'normal-stops', 'closed'] as const).map((step) => lone(step, lane).length),
    ),
    [
      [1, 1, 0],
      [1, 0, 0],
      [0, 0, 0],
    ],
  )
})

test('a review under way is one slot, so its other reviewer may still start on a narrow day', () => {
  const [first, second] = admit(snapshot([underReview('task_1')], { dayStep: 'background-stops' }))
  assert.deepEqual([first?.role, second?.role], ['reviewer', 'reviewer'])
})

test('where the breaker has tripped only gates start', () => {
  const tasks = [task('task_1', { lane: 'critical' }), task('task_2', { step: 'verify' })]
  assert.deepEqual(names(snapshot(tasks, { breaker: '$5 within 60 seconds' })), ['task_2'])
})

test('a family that is closed is not used before its time; the route takes the next one, a reviewer has no substitute', () => {
  const closed = (family: string, at: number): Snapshot => {
    const world = snapshot([task('task_1'), underReview('task_2')], { at })
    return {
      ...world,
      families: world.families.map((each) => (each.family === family ? { ...each, closedUntil: 10 } : each)),
    }
  }
  const who = (world: Snapshot) => admit(world).map(({ task: id, family, model }) => [id, family, model])
  assert.deepEqual(who(closed('openai', 9)), [
    ['task_1', 'anthropic', 'anthropic-i'],
    ['task_2', 'anthropic', 'anthropic-r'],
    ['task_2', 'google', 'google-r'],
  ])
  assert.deepEqual(who(closed('google', 9)), [
    ['task_1', 'openai', 'openai-i'],
    ['task_2', 'anthropic', 'anthropic-r'],
  ])
  assert.equal(who(closed('google', 10)).length, 3)
  const none = { ...snapshot([]), families: [] }
  assert.deepEqual(names({ ...none, tasks: [task('task_1')] }), [])
})

test('of a family that could not be reached one attempt at a time finds out whether it can be again', () => {
  const only = (unreachable: boolean): FamilyState => ({
    ...snapshot([]).families[0]!,
    closedUntil: 5,
    ...(unreachable ? { unreachable: true } : {}),
  })
  const tasks = ['task_1', 'task_2'].map((id) => task(id))
  const at = (ms: number, unreachable = true) =>
    snapshot(tasks, { at: ms, families: [only(unreachable)], slots: { ...snapshot([]).slots, implementer: 2 } })
  assert.deepEqual(names(at(4)), [], 'not before its time')
  assert.deepEqual(names(at(5)), ['task_1'])
  assert.deepEqual(names(at(5, false)), ['task_1', 'task_2'], 'one that was closed for another reason')
  const [probe] = admit(at(5))
  const { task: _, ...admission } = probe!
  const probing = evolve(tasks[0]!, { type: 'attempt.admitted', attempt: 'att_1', ...admission }, 5)
  assert.deepEqual(names({ ...at(5), tasks: [probing, tasks[1]!] }), [], 'nor while another one does')
})

test('a review round holds one slot however many reviewers it starts, and each has a token of its own', () => {
  const admitted = admit(snapshot([underReview('task_1'), underReview('task_2')]))
  assert.deepEqual(
    admitted.map(({ task: id, family, token, because }) => [id, family, token, because]),
    [
      ['task_1', 'anthropic', 1, 'asked by the review policy'],
      ['task_1', 'google', 2, 'asked by the review policy'],
    ],
  )
  const half = fill(snapshot([underReview('task_1')]), 1).map((each) => ({ ...each, running: each.running.slice(1) }))
  assert.deepEqual(
    admit(snapshot([...half, underReview('task_2')])).map(({ task: id, family }) => [id, family]),
    [['task_1', 'anthropic']],
    'the second reviewer joins the slot that its round holds',
  )
})

test('at most one landing at a time in each repository', () => {
  const land = (id: string, repo: string) => task(id, { step: 'land', repo })
  const slots = { architect: 1, implementer: 1, reviewer: 1, gate: 9 }
  const tasks = [land('task_1', 'repo_1'), land('task_2', 'repo_1'), land('task_3', 'repo_2')]
  assert.deepEqual(names(snapshot(tasks, { slots })), ['task_1', 'task_3'])
  const running = fill(snapshot(tasks, { slots }), 3)
  assert.deepEqual(
    running.map((each) => each.running.length),
    [1, 0, 1],
  )
  const dying = names(snapshot(tasks, { slots, dyingLandings: ['repo_1'] }))
  assert.deepEqual(dying, ['task_3'], 'that of a cancelled task is one too, until it has ended')
})

test('an idle slot is lent to another role that asks a model, never one of a role that was busy just now, and never a gate slot', () => {
  const three = [task('task_1'), task('task_2'), task('task_3'), task('task_4')]
  const lent = (idleMs: Snapshot['idleMs']) => names(snapshot(three, { idleMs })).length
  assert.equal(lent(idle(0)), 1)
  assert.equal(lent(idle(minute - 1)), 1)
  assert.equal(lent(idle(minute)), 3)
  assert.equal(lent({ ...idle(0), architect: minute }), 2)
  assert.equal(lent({ ...idle(0), gate: minute }), 1)
  const gates = [task('task_1', { step: 'verify' }), task('task_2', { step: 'verify' })]
  assert.deepEqual(names(snapshot(gates, { idleMs: idle(minute) })), ['task_1'], 'a gate borrows nothing')
})

test('a slot that was lent is in use until its attempt ends: it is lent once, and its own role waits for it', () => {
  const many = Array.from({ length: 8 }, (_, n) => task(`task_${n}`))
  const world = snapshot(many, { idleMs: idle(minute) })
  const running = fill(world)
  assert.deepEqual(inUse(running), { architect: 0, implementer: 3, reviewer: 0, gate: 0 })
  const plan = task('task_plan', { step: 'plan', lane: 'critical', override: true })
  assert.deepEqual(names({ ...world, tasks: [...running, plan] }), [])
})

test('whatever has happened before and whatever has been lent: no more is under way than there are slots', () => {
  const role = fc.record({ architect: fc.nat(2), implementer: fc.nat(2), reviewer: fc.nat(2), gate: fc.nat(2) })
  const steps: Step[] = ['plan', 'implement', 'verify', 'land']
  const one = fc.oneof(fc.constantFrom(...steps), fc.constant('review' as const))
  fc.assert(
    fc.property(
      role,
      fc.array(one, { maxLength: 12 }),
      fc.array(role, { minLength: 1, maxLength: 4 }),
      (slots, work, idles) => {
        let tasks = work.map((step, n) =>
          step === 'review' ? underReview(`task_${n}`) : task(`task_${n}`, { step, repo: `repo_${n}` }),
        )
        for (const lend of idles) {
          const idleMs = Object.fromEntries(roles.map((each) => [each, lend[each] * minute])) as Snapshot['idleMs']
          tasks = fill(snapshot(tasks, { slots, idleMs }), 1)
          const used = inUse(tasks)
          assert.ok(agentSlots(used) <= agentSlots(slots) && used.gate <= slots.gate, JSON.stringify(used))
        }
      },
    ),
    { seed: 2026, numRuns: 500 },
  )
})

test('in every life, what is let in is wanted, by a task that may start, and within the slots', () => {
  fc.assert(
    fc.property(fc.integer(), (seed) => {
      const life = startLife({ random: seededRandom(seed), tasks: 4 })
      for (let n = 0; n < 120; n++) {
        move(life)
        const tasks = [...life.tasks.values()]
        const world = snapshot(tasks, { at: life.at, idleMs: idle(life.dice(2) * minute) })
        for (const { task: id, step, family, finding } of admit(world)) {
          const now = life.tasks.get(id)!
          assert.ok(now.phase === 'open' && now.held === null && (now.notBefore ?? 0) <= life.at)
          assert.ok(now.after.every((each) => life.tasks.get(each)!.phase === 'done'))
          const fits = wantedSteps(now).filter(
            (each) => each.step === step && each.finding === finding && (each.family ?? family) === family,
          )
          assert.equal(fits.length, 1)
        }
        assert.ok(agentSlots(inUse(tasks)) <= 3 && inUse(tasks).gate <= 2)
      }
    }),
    { seed: 2026, numRuns: 60 },
  )
})

test('what is ready and does not start though all slots are free has a reason, and only that', () => {
  const families = snapshot([]).families.filter(({ family }) => ['openai', 'anthropic', 'google'].includes(family))
  const tasks = [
    task('task_1'),
    task('task_2', { tags: ['family:google'] }),
    task('task_3', { step: 'plan', kind: 'architect' }),
    task('task_4', { step: 'verify' }),
    underReview('task_5'),
  ]
  fc.assert(
    fc.property(
      fc.constantFrom(...tasks),
      fc.subarray(families),
      fc.constantFrom(null, 'less than 2 GB of disk left'),
      fc.nat(100),
      fc.constantFrom(...lanes),
      fc.constantFrom(null, 'too much'),
      fc.subarray(somePauses),
      fc.subarray(['openai', 'anthropic', 'google']),
      fc.record({
        until: fc.constant(9),
        repos: fc.dictionary(fc.constantFrom('repo_1', 'repo_2'), fc.constantFrom(...daySteps)),
        families: fc.dictionary(fc.constantFrom('openai', 'anthropic', 'google'), fc.constantFrom(...daySteps)),
      }),
      (each, usable, closed, spentNanoUsd, lane, breaker, pauses, cooling, parts) => {
        const one = { ...each, lane }
        const dayStep = dayStepOf(spentNanoUsd, 100)
        const seen = usable.map((state) => (cooling.includes(state.family) ? { ...state, closedUntil: 1 } : state))
        const world = { ...snapshot([one]), families: seen, closed, dayStep, breaker, pauses, parts }
        const named = usable.map(({ family }) => family)
        const closures = cooling.map((family) => ({ family, until: 1, why: 'its quota is used up' }))
        const seenNow = { closed, families: named, dayNanoUsd: 100, spentNanoUsd, breaker, pauses, closures, parts }
        const now = { ...seenNow, clock: String }
        assert.equal(whyWaiting(one, now) === null, admit(world).length > 0)
      },
    ),
  )
  const now = { closed: null, families: ['openai'], dayNanoUsd: 5, spentNanoUsd: 0, pauses: [], clock: String }
  assert.match(
    whyWaiting(tasks[0]!, { ...now, spentNanoUsd: 4.5 })!,
    /^90 % of today's budget is used, and normal work/,
  )
  assert.equal(whyWaiting(tasks[0]!, { ...now, breaker: '$5 a minute' }), 'the breaker has tripped: $5 a minute')
  assert.equal(whyWaiting(tasks[1]!, now), "the task's tag asks for google, which is not usable")
  assert.equal(whyWaiting(tasks[4]!, now), 'review by anthropic, which is not usable')
  const closures = [{ family: 'openai', until: 7, why: 'its quota is used up' }]
  assert.equal(
    whyWaiting(tasks[0]!, { ...now, closures }),
    'implement waits for openai: its quota is used up, asked again at 7',
  )
  assert.equal(whyWaiting(tasks[4]!, { ...now, families: ['google'] }), null, 'one of its reviewers can start')
  assert.equal(whyWaiting(tasks[0]!, { ...now, spentNanoUsd: 5 }), "today's budget is spent")
  assert.equal(whyWaiting(tasks[0]!, { ...now, closed: 'no disk' }), 'nothing new starts: no disk')
  assert.equal(whyWaiting({ ...tasks[1]!, held: 'by Ada' }, now), null)
  const paused = (what: Pausable, name: string) => ({ ...now, pauses: [pauseOf(what, name)] })
  assert.equal(whyWaiting(tasks[0]!, paused('all', 'all')), 'everything is paused by ada: the release')
  assert.equal(whyWaiting(tasks[0]!, paused('lane', 'normal')), 'lane normal is paused by ada: the release')
  assert.equal(whyWaiting(tasks[0]!, paused('repo', 'repo_1')), 'its repository is paused by ada: the release')
  assert.equal(whyWaiting(tasks[1]!, paused('family', 'google')), 'family google is paused by ada: the release')
  assert.equal(whyWaiting(tasks[0]!, paused('lane', 'critical')), null)
})
