/** Laws of all commands: what a person may ask for in which state, that a "no" writes nothing, and that the log explains the tables afterwards. */
import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import fc from 'fast-check'
import { virtualWorld } from '../../sim/world.ts'
import type { Event, LoggedEvent, TaskEvent } from '../core/event.ts'
import { isRefusal, type Refusal } from '../core/refusal.ts'
import { isOver, stateOf, type Task } from '../core/task.ts'
import { openDatabase, type Database } from '../store/database.ts'
import { readLog } from '../store/log.ts'
import { append } from '../store/append.ts'
import { verifyProjections } from '../store/rebuild.ts'
import { loadTask } from '../store/task.ts'
import { addTask } from './add.ts'
import { cancelTask } from './cancel.ts'
import { approveTask, holdTask, prioritizeTask, rejectTask, releaseTask, retryTask } from './decision.ts'
import type { CommandPorts } from './ports.ts'
import { registerRepository } from './register.ts'

const commit = '3f9c2ab14d5e6f708192a3b4c5d6e7f8091a2b3c'
const policy = { families: ['google'], person: true, advisory: null, checkers: ['google'], why: 'one other family' }

type Shop = CommandPorts & {
  repo: string
  add(title: string, wish?: object): Promise<Task>
  /** What the daemon would write. */
  happen(task: string, ...events: TaskEvent[]): Promise<void>
  task(id: string): Promise<Task>
  log(): Promise<LoggedEvent[]>
}

async function shop(database: Database = openDatabase(':memory:')): Promise<Shop> {
  const world = virtualWorld()
  const ports = { database, world, actor: 'person:ada' }
  const row = granted(await registerRepository(ports, { path: '/shop', name: 'shop', base: 'main' }))
  return {
    ...ports,
    repo: row.id,
    add: async (title, wish = {}) => granted(await addTask(ports, { repo: row.id, title, ...wish })),
    happen: (task, ...events) =>
      database.write((tx) => append(tx, { at: world.clock.now(), actor: 'daemon', stream: `task/${task}`, events })),
    task: async (id) => (await database.read((reader) => loadTask(reader, id)))!,
    log: () => database.read((reader) => readLog(reader, { limit: 10_000 })),
  }
}

function granted<T>(value: T | Refusal): T {
  if (isRefusal(value)) throw new Error(value.why)
  return value
}

const admitted = (token: number): TaskEvent => ({
  type: 'attempt.admitted',
  attempt: `att_${token}`,
  token,
  step: 'implement',
  role: 'implementer',
  family: 'openai',
  agent: 'scripted',
  model: 'openai-1',
  finding: null,
  because: null,
})
const reviewed: TaskEvent[] = [
  { type: 'round.opened', round: 1, commit, base: commit, author: 'openai', policy },
  { type: 'verdict.reached', round: 1, commit, verdict: 'approved', why: 'no finding' },
]
const intended: TaskEvent = {
  type: 'landing.intended',
  attempt: 'att_1',
  commit,
  tree: commit,
  parent: null,
  target: 'main',
}

/** What brings a new task into each situation a command can meet. */
const situations: Record<string, (id: string) => TaskEvent[]> = {
  ready: () => [],
  running: () => [admitted(1)],
  held: () => [{ type: 'task.held', why: 'wait' }],
  awaiting: () => reviewed,
  approved: () => [...reviewed, { type: 'task.approved', commit, by: 'person:ada' }],
  landing: () => [...reviewed, { type: 'task.approved', commit, by: 'person:ada' }, intended],
  escalated: () => [{ type: 'task.escalated', why: 'stuck', evidence: '' }],
  split: () => [{ type: 'task.split', children: [] }],
  done: () => [{ type: 'task.reported', report: 'all well' }],
  cancelled: () => [{ type: 'task.cancelled', why: 'no' }],
}

const commands = {
  approve: (ports: CommandPorts, id: string) => approveTask(ports, id, null),
  reject: (ports: CommandPorts, id: string) => rejectTask(ports, id, 'not like this'),
  retry: (ports: CommandPorts, id: string) => retryTask(ports, id),
  cancel: (ports: CommandPorts, id: string) => cancelTask(ports, id, 'no longer wanted'),
  hold: (ports: CommandPorts, id: string) => holdTask(ports, id, 'wait'),
  release: (ports: CommandPorts, id: string) => releaseTask(ports, id),
  prioritize: (ports: CommandPorts, id: string) => prioritizeTask(ports, id, { lane: 'critical' }),
}
type Command = keyof typeof commands
const names = Object.keys(commands) as Command[]

test('what may be asked for depends on the state alone, and each pair of both is decided', async () => {
  const allowed: Record<string, Command[]> = {
    ready: ['cancel', 'hold', 'prioritize'],
    running: ['cancel', 'hold', 'prioritize'],
    held: ['cancel', 'release', 'prioritize'],
    awaiting: ['approve', 'reject', 'cancel', 'hold', 'prioritize'],
    approved: ['cancel', 'hold', 'prioritize'],
    landing: ['hold', 'prioritize'],
    escalated: ['retry', 'cancel', 'hold', 'prioritize'],
    split: ['cancel', 'hold', 'prioritize'],
    done: [],
    cancelled: [],
  }
  const found: Record<string, Command[]> = {}
  for (const [situation, events] of Object.entries(situations))
    for (const name of names) {
      const at = await shop()
      const { id } = await at.add('Sell tea')
      await at.happen(id, ...events(id))
      const before = await at.log()
      const answer = await commands[name](at, id)
      found[situation] ??= []
      if (isRefusal(answer)) assert.deepEqual(await at.log(), before, `${name} of ${situation}: a "no" writes nothing`)
      else {
        found[situation].push(name)
        assert.deepEqual(answer, await at.task(id), 'the answer is the task as it is now')
        assert.deepEqual((await at.log()).at(-1)!.actor, 'person:ada')
      }
    }
  assert.deepEqual(found, allowed)
})

test('each decision is one event that says what was decided, by whom', async () => {
  const at = await shop()
  const decided = async (events: TaskEvent[], decide: (id: string) => Promise<Task | Refusal>): Promise<Event> => {
    const { id } = await at.add('Sell tea')
    await at.happen(id, ...events)
    const before = (await at.log()).length
    granted(await decide(id))
    const [written, ...more] = (await at.log()).slice(before)
    assert.deepEqual(more, [])
    return written!.event
  }
  assert.deepEqual(
    [
      await decided(reviewed, (id) => approveTask(at, id, commit.slice(0, 7))),
      await decided(reviewed, (id) => rejectTask(at, id, '  it leaks \n')),
      await decided(situations['escalated']!(''), (id) => retryTask(at, id)),
      await decided([], (id) => prioritizeTask(at, id, { override: true })),
      await decided([], (id) => prioritizeTask(at, id, { lane: 'background' })),
      await decided([], (id) => holdTask(at, id, 'wait for the release')),
      await decided(situations['held']!(''), (id) => releaseTask(at, id)),
      await decided([admitted(2)], (id) => cancelTask(at, id, 'no longer wanted')),
    ],
    [
      { type: 'task.approved', commit, by: 'person:ada' },
      { type: 'task.rejected', commit, by: 'person:ada', why: 'it leaks' },
      { type: 'task.retried', step: 'implement' },
      { type: 'task.prioritized', lane: null, override: true },
      { type: 'task.prioritized', lane: 'background', override: null },
      { type: 'task.held', why: 'wait for the release' },
      { type: 'task.released' },
      { type: 'task.cancelled', why: 'no longer wanted' },
    ],
  )
})

test('an approval is for the commit that was reviewed and for no other', async () => {
  const at = await shop()
  const { id } = await at.add('Sell tea')
  await at.happen(id, ...reviewed)
  for (const other of ['deadbeef', commit.slice(0, 6), commit.slice(1), ''])
    assert.equal(((await approveTask(at, id, other)) as Refusal).refused, 'other-commit', other)
  assert.equal(granted(await approveTask(at, id, commit)).approval?.commit, commit)
})

test('a task is on disk before its add is answered', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'command-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  const path = join(folder, 'tasks.db')
  const database = openDatabase(path)
  t.after(() => database.close())
  const at = await shop(database)
  const task = await at.add('Sell tea')
  const other = openDatabase(path, { readOnly: true })
  t.after(() => other.close())
  assert.deepEqual(await other.read((reader) => loadTask(reader, task.id)), task)
})

test('add keeps all that was wished, with defaults for the rest, and names whom it waits for by whole ids, once', async () => {
  const at = await shop()
  const first = await at.add('Sell tea')
  const task = await at.add('Sell coffee', {
    text: 'hot',
    kind: 'fix',
    lane: 'critical',
    size: 'medium',
    tags: ['web'],
    acceptance: ['hot'],
    after: [first.id, first.id.slice('task_'.length), first.id],
    budgetNanoUsd: 5,
  })
  const { id, repo, title, text, kind, lane, size, tags, acceptance, after, budgetNanoUsd, ref, parent, depth, root } =
    task
  assert.deepEqual(
    { repo, title, text, kind, lane, size, tags, acceptance, after, budgetNanoUsd, ref, parent, depth, root },
    {
      repo: at.repo,
      title: 'Sell coffee',
      text: 'hot',
      kind: 'fix',
      lane: 'critical',
      size: 'medium',
      tags: ['web'],
      acceptance: ['hot'],
      after: [first.id],
      budgetNanoUsd: 5,
      ref: null,
      parent: null,
      depth: 0,
      root: id,
    },
  )
  assert.deepEqual([first.kind, first.lane, first.size], ['feature', 'normal', 'small'])
})

test('add refuses what it does not know and what can never be done, and writes nothing', async () => {
  const at = await shop()
  const [one, two] = [await at.add('Sell tea'), await at.add('Sell milk')]
  await cancelTask(at, two.id, 'no')
  const before = await at.log()
  const refused = async (wish: object) =>
    ((await addTask(at, { repo: at.repo, title: 'x', ...wish })) as Refusal).refused
  assert.deepEqual(
    [
      await refused({ repo: 'repo_nowhere' }),
      await refused({ after: ['task_nowhere'] }),
      await refused({ after: [one.id, 'task_0000000'] }),
      await refused({ after: [two.id] }),
      await refused({ lane: 'urgent' }),
      await refused({ text: 'x'.repeat(100 * 1024 + 1) }),
    ],
    ['no-such-repository', 'no-such-task', 'ambiguous', 'cancelled', 'unknown-lane', 'text-too-large'],
  )
  assert.deepEqual(await at.log(), before)
})

const part = (at: Shop, id: string, parent: string, after: string[] = []): TaskEvent => ({
  type: 'task.added',
  task: id,
  repo: at.repo,
  title: id,
  text: '',
  kind: 'feature',
  lane: 'normal',
  size: 'small',
  tags: [],
  after,
  acceptance: [],
  budgetNanoUsd: null,
  parent,
  depth: 1,
  root: parent,
  ref: null,
})

test('with a task all of its parts are given up, however deep, except those that are over or landing', async () => {
  const at = await shop()
  const { id: root } = await at.add('Open a shop')
  for (const [id, parent] of [
    ['task_done', root],
    ['task_landing', root],
    ['task_open', root],
    ['task_split', root],
    ['task_deep', 'task_split'],
  ] as const)
    await at.happen(id, part(at, id, parent, id === 'task_split' ? ['task_open'] : []))
  await at.happen('task_done', ...situations['done']!(''))
  await at.happen('task_landing', ...situations['landing']!(''))
  await at.happen('task_split', { type: 'task.split', children: ['task_deep'] })
  await at.happen(root, { type: 'task.split', children: ['task_done', 'task_landing', 'task_open', 'task_split'] })
  granted(await cancelTask(at, root, 'no money'))
  const states = await Promise.all(
    [root, 'task_done', 'task_landing', 'task_open', 'task_split', 'task_deep'].map(async (id) => {
      const task = await at.task(id)
      return [stateOf(task), task.why]
    }),
  )
  assert.deepEqual(states, [
    ['cancelled', 'no money'],
    ['done', null],
    ['ready', 'one other family'],
    ['cancelled', `${root} was cancelled: no money`],
    ['cancelled', `${root} was cancelled: no money`],
    ['cancelled', 'task_split was cancelled: no money'],
  ])
})

test('who waits for a task that is given up is not left waiting in silence: a person is asked', async () => {
  const at = await shop()
  const tea = await at.add('Sell tea')
  const sugar = await at.add('Sell sugar')
  const cups = await at.add('Sell cups', { after: [tea.id, sugar.id] })
  const later = await at.add('Sell sets', { after: [cups.id] })
  granted(await cancelTask(at, tea.id, 'no leaves'))
  granted(await cancelTask(at, sugar.id, 'asked already, so not asked again'))
  const { phase, why } = await at.task(cups.id)
  assert.deepEqual([phase, why], ['escalated', `${tea.id}, which it waits for, was cancelled: no leaves`])
  assert.equal((await at.task(later.id)).phase, 'open', 'it waits for one that may still be done')
  assert.equal(((await retryTask(at, cups.id)) as Refusal).refused, 'waits-for-cancelled', 'it would wait for ever')
  granted(await cancelTask(at, cups.id, 'no cups either'))
  assert.equal((await at.task(later.id)).phase, 'escalated')
})

test('a repository is registered once; a new name or base is kept under the same id', async () => {
  const at = await shop()
  const same = granted(await registerRepository(at, { path: '/shop', name: 'shop', base: 'main' }))
  assert.equal((await at.log()).length, 1)
  const moved = granted(await registerRepository(at, { path: '/shop', name: 'shop', base: 'next' }))
  assert.deepEqual([moved.id, moved.base, (await at.log()).length], [same.id, 'next', 2])
  assert.equal(
    ((await registerRepository(at, { path: 'shop', name: 'shop', base: 'main' })) as Refusal).refused,
    'bad-path',
  )
})

const step = fc.record({
  command: fc.constantFrom(...names, 'add', 'escalated', 'awaiting', 'done'),
  which: fc.nat(4),
  waits: fc.boolean(),
})

test('whatever is asked for in whatever order: the log folds into the tables, what is over stays so, and nothing open waits for what never comes', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 30 }), async (steps) => {
      const at = await shop()
      const ids = [(await at.add('first')).id]
      for (const { command, which, waits } of steps) {
        const id = ids[which % ids.length]!
        const before = await at.task(id)
        if (command === 'add') {
          const added = await addTask(at, { repo: at.repo, title: 'more', after: waits ? [id] : [] })
          if (!isRefusal(added)) ids.push(added.id)
        } else if (command in commands) await commands[command as Command](at, id)
        else if (before.phase === 'open' && (await isFree(at, before))) await at.happen(id, ...situations[command]!(id))
        const now = await at.task(id)
        if (isOver(before)) assert.deepEqual(now, before)
      }
      for (const id of ids) {
        const { after, phase } = await at.task(id)
        const needed = await Promise.all(after.map(at.task))
        if (needed.some((each) => each.phase === 'cancelled')) assert.notEqual(phase, 'open')
      }
      assert.deepEqual((await verifyProjections(at.database)).differences, [])
      at.database.close()
    }),
    { numRuns: 60 },
  )
})

/** The daemon works on a task only once those it waits for are done. */
const isFree = async (at: Shop, { after }: Task): Promise<boolean> =>
  (await Promise.all(after.map(at.task))).every(({ phase }) => phase === 'done')

test('nothing at all names no task, not even the only one', async () => {
  const at = await shop()
  const { id } = await at.add('Sell tea')
  for (const nothing of ['', 'task_'])
    for (const name of names)
      assert.equal(((await commands[name](at, nothing)) as Refusal).refused, 'no-such-task', `${name} ${nothing}`)
  assert.equal(granted(await holdTask(at, id.slice(0, 6), 'wait')).id, id)
})
