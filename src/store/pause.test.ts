/** What a pause at once ends, how much it is over, and that a queue made before there were pauses is the one the log makes. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import type { DaemonEvent, TaskAdded, TaskEvent } from '../core/event.ts'
import { added } from '../core/fixture.ts'
import type { Pausable } from '../core/pause.ts'
import { openDatabase, type Database } from './database.ts'
import { append } from './append.ts'
import { migrations } from './migrate.ts'
import { attemptsToEnd, countUnder } from './pause.ts'
import { verifyProjections } from './rebuild.ts'

const happen = (database: Database, task: string, ...events: TaskEvent[]) =>
  database.write((tx) => append(tx, { at: 1, actor: 'daemon', stream: `task/${task}`, events }))
const person = (database: Database, event: DaemonEvent) =>
  database.write((tx) => append(tx, { at: 2, actor: 'person:ada', stream: 'daemon/main', events: [event] }))
const pause = (what: Pausable, name: string, now = true): DaemonEvent => ({
  type: 'work.paused',
  what,
  name,
  why: '',
  now,
})

const admitted = (attempt: string, family: string | null): TaskEvent => ({
  type: 'attempt.admitted',
  attempt,
  token: 1,
  step: family === null ? 'land' : 'implement',
  role: family === null ? 'gate' : 'implementer',
  family,
  agent: null,
  model: null,
  finding: null,
  because: null,
})

/** Three tasks with something under way, of which the third is landing at this moment. */
async function threeUnderWay(): Promise<Database> {
  const database = openDatabase(':memory:')
  const begin = (task: string, more: Partial<TaskAdded>, ...events: TaskEvent[]) =>
    happen(database, task, added(task, more), ...events)
  await begin('task_1', { lane: 'background' }, admitted('att_1', 'openai'))
  await begin('task_2', { repo: 'repo_2' }, admitted('att_2', 'google'))
  const intent = { commit: 'c', tree: 't', parent: null, target: 'main' }
  await begin('task_3', {}, admitted('att_3', null), { type: 'landing.intended', attempt: 'att_3', ...intent })
  return database
}
const all = ['att_1', 'att_2', 'att_3']

test('a pause at once ends what is under way of it and nothing else; what lands at this moment is let finish', async () => {
  const expected: [Pausable, string, string[], number][] = [
    ['all', 'all', ['att_1', 'att_2'], 3],
    ['lane', 'background', ['att_1'], 1],
    ['lane', 'critical', [], 0],
    ['repo', 'repo_1', ['att_1'], 2],
    ['repo', 'repo_2', ['att_2'], 1],
    ['family', 'google', ['att_2'], 1],
  ]
  for (const [what, name, ended, under] of expected) {
    const database = await threeUnderWay()
    const toEnd = () => database.read((reader) => attemptsToEnd(reader, all))
    assert.equal(await database.read((reader) => countUnder(reader, { what, name })), under)
    await person(database, pause(what, name, false))
    assert.deepEqual(await toEnd(), [], 'they go on to their end')
    await person(database, pause(what, name))
    assert.deepEqual(await toEnd(), ended, `${what} ${name}`)
    await person(database, { type: 'work.resumed', what, name })
    assert.deepEqual(await toEnd(), [])
    database.close()
  }
})

test('a task held at once ends, and not after it was released or when it is held again without', async () => {
  const database = await threeUnderWay()
  const toEnd = () => database.read((reader) => attemptsToEnd(reader, all))
  await happen(database, 'task_1', { type: 'task.held', why: 'no' })
  assert.deepEqual(await toEnd(), [])
  await happen(database, 'task_1', { type: 'task.held', why: 'no', now: true })
  assert.deepEqual(await toEnd(), ['att_1'])
  await happen(database, 'task_1', { type: 'task.released' })
  assert.deepEqual(await toEnd(), [])
  await happen(database, 'task_1', { type: 'task.held', why: 'again' })
  assert.deepEqual(await toEnd(), [])
  await happen(database, 'task_2', { type: 'task.cancelled', why: 'no' })
  assert.deepEqual(await toEnd(), ['att_2'], 'what was cancelled ends anyway')
  database.close()
})

test('a queue made before there were pauses is brought to the lines that the log makes', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'tri-agent-pause-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  const path = join(folder, 'tasks.db')
  const made = openDatabase(path)
  await made.write((tx) =>
    append(tx, {
      at: 0,
      actor: 'x',
      stream: 'repo/repo_1',
      events: [{ type: 'repo.registered', repo: 'repo_1', path: '/shop', name: 'shop', base: 'main' }],
    }),
  )
  await happen(made, 'task_1', added('task_1', { tags: ['family:openai'] }))
  await happen(made, 'task_2', added('task_2', { size: 'large', lane: 'background' }), {
    type: 'task.prioritized',
    lane: null,
    override: true,
  })
  await happen(made, 'task_3', added('task_3'), { type: 'task.approved', commit: 'c', by: 'ada' })
  await happen(made, 'task_4', added('task_4', { kind: 'review', ref: 'main' }))
  const lines = () => made.read((reader) => reader.all<{ line: string }>('select line from queue order by task'))
  assert.deepEqual(
    (await lines()).map(({ line }) => line),
    [
      'repo_1 implementer family:openai | normal',
      'repo_1 architect | background first',
      'repo_1 gate land | normal',
      'repo_1 gate | normal',
    ],
  )
  made.close()
  const migration = migrations().find(({ name }) => name.endsWith('-pause.sql'))!
  const raw = new DatabaseSync(path)
  const old = [
    'implementer family:openai | normal',
    'architect | background first',
    'gate repo_1 | normal',
    'gate | normal',
  ]
  for (const [index, line] of old.entries())
    raw.prepare('update queue set line = ? where task = ?').run(line, `task_${index + 1}`)
  raw.exec(`drop table pause; ${migration.sql}`)
  raw.close()
  const upgraded = openDatabase(path)
  assert.deepEqual((await verifyProjections(upgraded)).differences, [])
  upgraded.close()
})
