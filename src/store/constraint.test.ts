/** What the database itself refuses, whatever the code above it believes: the last of the three times that a law is said. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Event, TaskEvent } from '../core/event.ts'
import { added } from '../core/fixture.ts'
import { openDatabase, type Database } from './database.ts'
import { lastEvent, lastSeq, readLastLog, readLog } from './log.ts'
import { append } from './append.ts'

const round: TaskEvent = {
  type: 'round.opened',
  round: 1,
  commit: 'c1',
  base: 'b',
  author: 'openai',
  policy: { families: ['google', 'anthropic'], person: false, advisory: null, checkers: [], why: '' },
}
const vote = (family: string): TaskEvent => ({
  type: 'vote.cast',
  round: 1,
  attempt: 'att_1',
  commit: 'c1',
  family,
  model: `${family}-1`,
  summary: '',
  findings: [],
})
const admitted = (attempt: string, token: number): TaskEvent => ({
  type: 'attempt.admitted',
  attempt,
  token,
  step: 'implement',
  role: 'implementer',
  family: 'openai',
  agent: 'scripted',
  model: 'openai-1',
  finding: null,
  because: null,
})
const landed: TaskEvent = { type: 'task.landed', commit: 'c', tree: 't', target: 'main' }

async function log(...events: TaskEvent[]): Promise<Database> {
  const database = openDatabase(':memory:')
  await happen(database, added('task_1'), ...events)
  return database
}
const happen = (database: Database, ...events: Event[]) =>
  database.write((tx) => append(tx, { at: 5, actor: 'daemon', stream: 'task/task_1', events }))
const sql = (database: Database, text: string) => database.write((tx) => tx.run(text))

test('nobody reviews their own work: such a vote cannot be written, whoever writes it', async () => {
  const database = await log(round, vote('google'))
  await assert.rejects(happen(database, vote('openai')), /CHECK constraint failed: nobody_reviews_their_own_work/)
  await assert.rejects(
    sql(database, 'update vote set family = author'),
    /CHECK constraint failed: nobody_reviews_their_own_work/,
  )
  assert.equal((await database.read((reader) => readLog(reader, { limit: 10 }))).length, 3, 'and no event stays behind')
})

test('a family votes once in a round', async () => {
  const database = await log(round, vote('google'))
  await assert.rejects(happen(database, vote('google')), /UNIQUE constraint failed: vote.task, vote.round, vote.family/)
  await happen(database, vote('anthropic'))
})

test('a token is given once', async () => {
  const database = await log(admitted('att_1', 1))
  await assert.rejects(happen(database, admitted('att_2', 1)), /UNIQUE constraint failed: attempt.task, attempt.token/)
  await happen(database, admitted('att_2', 2))
})

test('a task lands once', async () => {
  const database = await log(landed)
  await assert.rejects(happen(database, landed), /UNIQUE constraint failed: landing.task/)
})

test('an attempt that ended says how, and one that has not does not', async () => {
  const database = await log(admitted('att_1', 1))
  for (const text of ["update attempt set state = 'ended'", "update attempt set outcome = 'passed'"])
    await assert.rejects(sql(database, text), /CHECK constraint failed: ended_says_how/)
  await sql(database, "update attempt set state = 'ended', outcome = 'passed'")
})

test('states, lanes, sizes and times that do not exist cannot be written', async () => {
  const database = await log(admitted('att_1', 1))
  for (const text of [
    "update task set state = 'open'",
    "update task set lane = 'urgent'",
    "update task set size = 'xl'",
    "update task set doc = '{'",
    "update task set added_at = 'yesterday'",
    "update attempt set state = 'paused'",
    "insert into lease values ('att_1', 'task_1', 1, 1, 'stolen', 0, 0, 0)",
    "insert into daemon values (2, 1, 1, 'b', 1, 1, null)",
    "insert into daemon values (1, 1, 1, 'b', 1, 1, '{')",
  ])
    await assert.rejects(sql(database, text), /constraint failed|cannot store/, text)
})

test('no event is ever changed, removed or written into the place of another', async () => {
  const database = await log()
  await assert.rejects(sql(database, "update event set actor = 'eve'"), /event is append-only/)
  await assert.rejects(sql(database, 'delete from event'), /event is append-only/)
  const insert = (stream: string, version: number, type = 'task.held', body = '{}') =>
    sql(
      database,
      `insert into event (at, stream, version, type, actor, body) values (0, '${stream}', ${version}, '${type}', 'x', '${body}')`,
    )
  await assert.rejects(insert('task/task_1', 1), /UNIQUE constraint failed: event.stream, event.version/)
  for (const bad of [
    () => insert('task/task_1', 0),
    () => insert('task_1', 2),
    () => insert('task/task_1', 2, 'held'),
    () => insert('task/task_1', 2, 'task.held', '{'),
  ])
    await assert.rejects(bad(), /CHECK constraint failed/)
})

test('a stream is numbered from one without a gap, and the log is read in order, by stream, type, time and from any place', async () => {
  const database = await log({ type: 'task.held', why: 'wait' }, { type: 'task.released' })
  await database.write((tx) =>
    append(tx, {
      at: 9,
      actor: 'person:ada',
      stream: 'repo/repo_1',
      events: [{ type: 'repo.registered', repo: 'repo_1', path: '/shop', name: 'shop', base: 'main' }],
    }),
  )
  await happen(database, { type: 'task.held', why: 'again' })
  const read = (filter: object) =>
    database.read(async (reader) =>
      (await readLog(reader, { limit: 100, ...filter })).map(({ seq, version }) => `${seq}:${version}`),
    )
  assert.deepEqual(
    [
      await read({}),
      await read({ limit: 2 }),
      await read({ after: 3 }),
      await read({ stream: 'task/task_1' }),
      await read({ since: 6 }),
      await read({ types: ['task.held', 'task.added'] }),
    ],
    [
      ['1:1', '2:2', '3:3', '4:1', '5:4'],
      ['1:1', '2:2'],
      ['4:1', '5:4'],
      ['1:1', '2:2', '3:3', '5:4'],
      ['4:1'],
      ['1:1', '2:2', '5:4'],
    ],
  )
  const last = await database.read((reader) => readLastLog(reader, { limit: 2 }))
  assert.deepEqual(
    last.map(({ seq }) => seq),
    [4, 5],
  )
  assert.deepEqual(await database.read((reader) => lastEvent(reader, 'task/task_1', 'task.held')), {
    seq: 5,
    at: 5,
    stream: 'task/task_1',
    version: 4,
    actor: 'daemon',
    event: { type: 'task.held', why: 'again' },
  })
  assert.equal(await database.read((reader) => lastEvent(reader, 'task/task_1', 'task.landed')), null)
  assert.equal(await database.read(lastSeq), 5)
})
