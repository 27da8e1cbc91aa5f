/** The queue's head is enough: admission lets in from it exactly what it would let in from all tasks, whatever they have been through. */
import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { test } from 'node:test'
import fc from 'fast-check'
import { seededRandom } from '../../sim/world.ts'
import { admit, type Snapshot } from '../core/admission.ts'
import { daySteps } from '../core/day.ts'
import { demandOf } from '../core/waiting.ts'
import type { Caps } from '../core/cap.ts'
import type { TaskAdded, TaskEvent } from '../core/event.ts'
import { added, admittedGate, ended, foldTask, move, snapshot, startLife, type Life } from '../core/fixture.ts'
import { effectiveRank, lanes } from '../core/lane.ts'
import { waitsSince, type Pause } from '../core/pause.ts'
import { roles, type Task } from '../core/task.ts'
import { openDatabase, type Database } from './database.ts'
import { append } from './append.ts'
import { migrations } from './migrate.ts'
import { anythingMoves } from './moving.ts'
import { headOfQueue, nextDue } from './queue.ts'
import { verifyProjections } from './rebuild.ts'
import { dyingLandings, tasksAround } from './task.ts'

const minute = 60_000
const laneStepMs = 15 * minute

/** A life to which tasks keep coming: of every lane, some for a family nobody has, some that wait for others. */
function crowdedLife({ seed, moves }: { seed: number; moves: number }): Life {
  const life = startLife({ random: seededRandom(seed), tasks: 3 })
  for (let n = 0; n < moves; n++) {
    move(life)
    for (let more = life.dice(3); more > 0; more--) {
      const id = `task_${String(life.dice(1_000_000)).padStart(7, '0')}_${n}`
      const others = [...life.tasks.keys()]
      const event = added(id, {
        repo: `repo_${1 + life.dice(2)}`,
        lane: lanes[life.dice(3)]!,
        size: life.dice(2) === 0 ? 'small' : 'medium',
        tags: [[], [], ['family:openai'], ['family:none']][life.dice(4)]!,
        after: life.dice(5) === 0 ? [others[life.dice(others.length)]!] : [],
      })
      life.log.push({ task: id, at: life.at, by: 'person', events: [event] })
      life.tasks.set(id, foldTask([event], life.at))
    }
  }
  return life
}

async function store(log: readonly { task: string; at: number; events: readonly TaskEvent[] }[]): Promise<Database> {
  const database = openDatabase(':memory:')
  await Promise.all(
    log.map(({ task, at, events }) =>
      database.write((tx) => append(tx, { at, actor: 'daemon', stream: `task/${task}`, events })),
    ),
  )
  return database
}

/** A few things paused, or paused once. */
function anyPauses(life: Life): Pause[] {
  const things = [
    ...lanes.map((name) => ({ what: 'lane' as const, name })),
    ...['repo_1', 'repo_2'].map((name) => ({ what: 'repo' as const, name })),
    { what: 'family' as const, name: 'openai' },
    { what: 'all' as const, name: 'all' },
  ]
  return things
    .filter(() => life.dice(5) === 0)
    .map((thing) => {
      const until = thing.what !== 'all' && life.dice(2) === 0 ? null : life.at - life.dice(60) * minute
      return { ...thing, why: '', by: 'person:ada', at: 0, now: false, until }
    })
}

/** Some of everything may be capped: more narrowly than there are slots, or not. */
function anyCaps(life: Life): Caps {
  const some = <Name extends string>(names: readonly Name[]) =>
    Object.fromEntries(names.filter(() => life.dice(4) === 0).map((name) => [name, 1 + life.dice(3)])) as Record<
      Name,
      number
    >
  return { families: some(['openai', 'anthropic', 'google']), roles: some(roles), repos: some(['repo_1', 'repo_2']) }
}

/** Repositories and families may have used up some of their day, or all. */
function anyParts(life: Life): Snapshot['parts'] {
  const some = (names: readonly string[]) =>
    Object.fromEntries(names.filter(() => life.dice(4) === 0).map((name) => [name, daySteps[life.dice(4)]!]))
  return { until: 0, repos: some(['repo_1', 'repo_2']), families: some(['openai', 'anthropic', 'google']) }
}

/** The world as a dispatcher might meet it: any number of slots, families cooling down, money gone, roles idle, things paused. */
function anyWorld(life: Life): Omit<Snapshot, 'tasks'> {
  const each = (value: () => number) =>
    Object.fromEntries(roles.map((role) => [role, value()])) as Record<(typeof roles)[number], number>
  const world = snapshot([], {
    at: life.at + [0, minute, 40 * minute][life.dice(3)]!,
    slots: each(() => 1 + life.dice(3)),
    idleMs: each(() => life.dice(2) * 2 * minute),
    dayStep: life.dice(5) === 0 ? 'closed' : 'open',
    parts: anyParts(life),
    breaker: null,
    laneStepMs,
    pauses: anyPauses(life),
    caps: anyCaps(life),
  })
  const closed = world.families.map((family) => (life.dice(5) === 0 ? { ...family, closedUntil: Infinity } : family))
  return { ...world, families: closed }
}

/** The first of each demand, override and lane, found by sorting all there are. */
function expectedHead(life: Life, at: number, most: number, pauses: readonly Pause[]): string[] {
  const waiting = [...life.tasks.values()].filter(
    (task) =>
      demandOf(task) !== null &&
      (task.notBefore === null || task.notBefore <= at) &&
      task.after.every((id) => life.tasks.get(id)!.phase === 'done'),
  )
  const since = (task: Task) => Math.max(task.readyAt, waitsSince(pauses, task))
  const rank = (task: Task) => effectiveRank(task.lane, at - since(task), laneStepMs)
  const groups = Object.groupBy(
    waiting,
    (task) => `${demandOf(task)} ${task.override} ${task.lane} ${task.notBefore !== null}`,
  )
  return Object.values(groups).flatMap((group) =>
    group!
      .toSorted((a, b) => rank(a) - rank(b) || a.addedAt - b.addedAt || (a.id < b.id ? -1 : 1))
      .slice(0, most)
      .map(({ id }) => id),
  )
}

const slotsOf = ({ slots }: Pick<Snapshot, 'slots'>) => Object.values(slots).reduce((sum, each) => sum + each, 0)

test('admission lets in from the head of the queue what it lets in from all tasks', async () => {
  let started = 0
  let left = 0
  const chance = fc.record({ seed: fc.integer(), moves: fc.integer({ min: 1, max: 120 }) })
  await fc.assert(
    fc.asyncProperty(chance, async (which) => {
      const life = crowdedLife(which)
      const database = await store(life.log)
      for (let look = 0; look < 5; look++) {
        const world = anyWorld(life)
        const near = await database.read(async (reader) =>
          tasksAround(
            reader,
            await headOfQueue(reader, { at: world.at, laneStepMs, most: slotsOf(world), pauses: world.pauses }),
          ),
        )
        const all = admit({ ...world, tasks: [...life.tasks.values()] })
        assert.deepEqual(admit({ ...world, tasks: near }), all)
        const most = 1 + life.dice(2)
        const head = await database.read((reader) =>
          headOfQueue(reader, { at: world.at, laneStepMs, most, pauses: world.pauses }),
        )
        assert.deepEqual(head.toSorted(), expectedHead(life, world.at, most, world.pauses).toSorted())
        started += all.length
        left += life.tasks.size - near.length
      }
      database.close()
    }),
    { seed: 2026, numRuns: 30 },
  )
  assert.ok(started > 250 && left > 1500, `${started} started, ${left} were not even looked at`)
})

test('a landing whose task was cancelled keeps its repository until it has ended', async () => {
  const database = openDatabase(':memory:')
  const tell = (task: string, ...events: TaskEvent[]) =>
    database.write((tx) => append(tx, { at: 1, actor: 'daemon', stream: `task/${task}`, events }))
  const dying = () => database.read(dyingLandings)
  for (const [n, step] of (['land', 'land', 'verify'] as const).entries()) {
    const [task, attempt] = [`task_${n}`, `att_${n}`]
    await tell(task, added(task, { repo: `repo_${n}` }), admittedGate(attempt, step))
  }
  assert.deepEqual(await dying(), [], 'whose task goes on is no dying one')
  for (const n of [1, 2]) await tell(`task_${n}`, { type: 'task.cancelled', why: 'not wanted' })
  assert.deepEqual(await dying(), ['repo_1'])
  await tell('task_1', ended('att_1', 'killed'))
  assert.deepEqual(await dying(), [])
  database.close()
})

const anything: TaskAdded = added('task_0')
const entry = (task: string, at: number, ...events: TaskEvent[]) => ({ task, at, events })

test('of three thousand tasks no more are read than there are slots, of every demand, lane and override', async () => {
  const many = Array.from({ length: 3000 }, (_, n) => {
    const id = `task_${String(n).padStart(5, '0')}`
    return entry(id, n, { ...anything, task: id, root: id, lane: n % 2 === 0 ? 'normal' : 'background' })
  })
  const database = await store(many)
  const look = { at: 5000, laneStepMs, most: 3, pauses: [] }
  const head = () => database.read((reader) => headOfQueue(reader, look))
  const background = ['task_00001', 'task_00003', 'task_00005']
  const normal = ['task_00000', 'task_00002', 'task_00004']
  assert.deepEqual(await head(), [...background, ...normal])
  await database.write((tx) =>
    append(tx, {
      at: 5000,
      actor: 'person:ada',
      stream: 'task/task_02999',
      events: [{ type: 'task.prioritized', lane: null, override: true }],
    }),
  )
  assert.deepEqual(await head(), [...background, 'task_02999', ...normal])
  database.close()
})

test('a task comes into the queue when the last it needs is done, and leaves it while it is held or under way', async () => {
  const database = await store([
    entry('task_1', 1, { ...anything, task: 'task_1' }),
    entry('task_2', 2, { ...anything, task: 'task_2' }),
    entry('task_3', 3, { ...anything, task: 'task_3', after: ['task_1', 'task_2', 'task_1'] }),
  ])
  const happen = (task: string, at: number, ...events: TaskEvent[]) =>
    database.write((tx) => append(tx, { at, actor: 'x', stream: `task/${task}`, events }))
  const look = { at: 100, laneStepMs, most: 9, pauses: [] }
  const head = () => database.read((reader) => headOfQueue(reader, look))
  const moves = () => database.read(anythingMoves)
  assert.deepEqual(await head(), ['task_1', 'task_2'])
  await happen('task_1', 4, { type: 'task.reported', report: 'done' })
  assert.deepEqual(await head(), ['task_2'])
  await happen('task_2', 5, { type: 'task.held', why: 'wait' })
  assert.deepEqual([await head(), await moves()], [[], false])
  await happen('task_2', 6, { type: 'task.released' })
  await happen('task_2', 7, { type: 'task.reported', report: 'done' })
  assert.deepEqual([await head(), await moves()], [['task_3'], true])
  await happen('task_3', 8, { type: 'task.delayed', until: 101, why: 'the provider is down' })
  assert.deepEqual([await head(), await moves()], [[], true], 'it waits, and will go on without anybody')
  const running = { attempt: 'att_1', token: 1, step: 'implement', role: 'implementer', family: 'openai' } as const
  const admitted = { ...running, type: 'attempt.admitted', agent: 'codex', model: 'm', finding: null } as const
  await happen('task_3', 9, { ...admitted, because: null })
  assert.deepEqual([await head(), await moves()], [[], true], 'it is under way')
  database.close()
})

test('a clock that was set back hides no task', async () => {
  const hour = 60 * minute
  const released: TaskEvent = { type: 'task.released' }
  const held: TaskEvent = { type: 'task.held', why: 'wait' }
  const database = await store([
    entry('task_1', 10 * hour, { ...anything, task: 'task_1' }, held),
    entry('task_1', 2 * hour, released),
    entry('task_2', 3 * hour, { ...anything, task: 'task_2' }),
  ])
  const head = await database.read((reader) => headOfQueue(reader, { at: 4 * hour, laneStepMs, most: 1, pauses: [] }))
  assert.deepEqual(head, ['task_1'], 'it has waited longest')
  database.close()
})

test('tasks of one demand want the same, and what no slot would help wants nothing', () => {
  const task = (more: Partial<TaskAdded>, ...events: TaskEvent[]) => foldTask([{ ...anything, ...more }, ...events])
  assert.deepEqual(
    [
      demandOf(task({})),
      demandOf(task({ size: 'medium' })),
      demandOf(task({ tags: ['web', 'family:openai'] })),
      demandOf(task({ kind: 'review', ref: 'main', tags: ['family:openai'] })),
      demandOf({ ...task({ repo: 'repo_9' }), step: 'land' }),
      demandOf(task({}, { type: 'task.held', why: 'wait' })),
      demandOf(task({}, { type: 'task.cancelled', why: 'no' })),
    ],
    [
      'repo_1 implementer',
      'repo_1 architect',
      'repo_1 implementer family:openai',
      'repo_1 gate',
      'repo_9 gate land',
      null,
      null,
    ],
  )
})

test('tasks whose time has not come stand in lines of their own, and those whose time has come start in their order', async () => {
  const delayed = (until: number): TaskEvent => ({ type: 'task.delayed', until, why: 'the provider is down' })
  const many = Array.from({ length: 400 }, (_, n) => {
    const id = `task_${String(n).padStart(4, '0')}`
    return entry(id, n, { ...anything, task: id }, delayed(n % 4 === 0 ? 1000 - n : 5000))
  })
  const database = await store([...many, entry('task_9', 500, { ...anything, task: 'task_9' })])
  const head = (at: number, most = 3) =>
    database.read((reader) => headOfQueue(reader, { at, laneStepMs, most, pauses: [] }))
  const lines = await database.read((reader) =>
    reader.all<{ line: string; n: number }>('select line, count(*) as n from queue group by line order by line'),
  )
  assert.deepEqual(
    lines.map(({ line, n }) => [line, n]),
    [
      ['repo_1 implementer | normal', 1],
      ['repo_1 implementer | normal later', 400],
    ],
  )
  assert.deepEqual(await head(600), ['task_9'])
  assert.deepEqual(await head(612), ['task_9', 'task_0388', 'task_0392', 'task_0396'])
  assert.deepEqual(await head(4999), ['task_9', 'task_0000', 'task_0004', 'task_0008'])
  assert.deepEqual(await head(5000), ['task_9', 'task_0000', 'task_0001', 'task_0002'])
  const due = await Promise.all([0, 604, 607, 1000, 5000].map((at) => database.read((reader) => nextDue(reader, at))))
  assert.deepEqual(due, [604, 608, 608, 5000, null])
  const row = await database.read((reader) =>
    reader.get<{ state: string }>("select state from task where id = 'task_0001'"),
  )
  assert.equal(row!.state, 'delayed')
  database.close()
})

test('a database made before there were delayed tasks is brought to what the log makes', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'tri-agent-delayed-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  const path = join(folder, 'tasks.db')
  const made = openDatabase(path)
  const delayed: TaskEvent = { type: 'task.delayed', until: 9, why: 'down' }
  const first: TaskEvent = { type: 'task.prioritized', lane: null, override: true }
  for (const { task, at, events } of [
    entry('task_1', 1, { ...anything, task: 'task_1' }),
    entry('task_2', 2, { ...anything, task: 'task_2' }, delayed, first),
    entry('task_3', 3, { ...anything, task: 'task_3' }, delayed, { type: 'task.held', why: 'no' }),
  ])
    await made.write((tx) => append(tx, { at, actor: 'x', stream: `task/${task}`, events }))
  made.close()
  const raw = new DatabaseSync(path)
  raw.exec(`drop index queue_by_time;
    update task set state = 'ready' where state = 'delayed';
    update queue set line = replace(line, ' later', '')`)
  raw.exec(migrations().find(({ name }) => name.endsWith('-delayed.sql'))!.sql)
  raw.close()
  const upgraded = openDatabase(path)
  t.after(() => upgraded.close())
  assert.deepEqual((await verifyProjections(upgraded)).differences, [])
  const states = await upgraded.read((reader) => reader.all<{ state: string }>('select state from task order by id'))
  assert.deepEqual(
    states.map(({ state }) => state),
    ['ready', 'delayed', 'delayed'],
  )
})
